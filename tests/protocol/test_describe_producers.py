"""DescribeProducers at every version: what a partition remembers of idempotent producers."""

import time
from types import SimpleNamespace

import pytest

from broker_process import wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error, Topic
from protocol.records import batch
from protocol.schema import versions

STAMP = time.time_ns() // 1_000_000  # Kafka forgets producers whose records are old.


def describe(client: Client, version: int, topics: dict[str, list[int]]) -> dict[tuple[str, int], SimpleNamespace]:
    """The parts of an answer, by topic and partition."""
    wanted = [{"name": name, "partition_indexes": indexes} for name, indexes in topics.items()]
    found = client.ask("DescribeProducers", version, topics=wanted).topics
    return {(topic.name, each.partition_index): each for topic in found for each in topic.partitions}


def states(answer: SimpleNamespace) -> dict[int, tuple[int, ...]]:
    """What is said of each producer of a partition."""
    assert answer.error_code == Error.NONE
    return {
        each.producer_id: (
            each.producer_epoch,
            each.last_sequence,
            each.last_timestamp,
            each.coordinator_epoch,
            each.current_txn_start_offset,
        )
        for each in answer.active_producers
    }


def new_producer(client: Client) -> int:
    """An id that nobody else has."""
    body = {"transactional_id": None, "transaction_timeout_ms": 60_000, "producer_id": -1, "producer_epoch": -1}
    given: list[int] = []

    def ask() -> bool:
        # Kafka's broker has none to give for a moment after its start.
        answer = client.ask("InitProducerId", versions("InitProducerId")[-1], **body)
        given.append(answer.producer_id)
        return answer.error_code == Error.NONE

    wait_until(ask, DEADLINE_S, "a producer id is given")
    return given[-1]


def write(client: Client, topic: Topic, producer: int, sequence: int, count: int, epoch: int = 0) -> None:
    """Writes records of a producer to partition 0, a millisecond apart."""
    names = {"producer_id": producer, "producer_epoch": epoch, "base_sequence": sequence}
    records = batch(*[b"x"] * count, timestamp=STAMP + sequence, step_ms=1, **names)
    assert client.produce(topic, records).error_code == Error.NONE


@pytest.mark.parametrize("version", versions("DescribeProducers"))
def test_remembered(client: Client, topic: str, version: int) -> None:
    """Each idempotent producer with its newest epoch and last record; others leave nothing."""
    made = client.create(topic, 2)
    client.produce(made, batch(b"nobody"))
    assert states(describe(client, version, {topic: [0]})[topic, 0]) == {}
    one, other = new_producer(client), new_producer(client)
    write(client, made, one, 0, 3)
    write(client, made, one, 3, 2)
    write(client, made, other, 0, 1)
    write(client, made, other, 0, 4, epoch=7)
    answer = describe(client, version, {topic: [0, 1]})
    assert states(answer[topic, 0]) == {one: (0, 4, STAMP + 4, -1, -1), other: (7, 3, STAMP + 3, -1, -1)}
    assert states(answer[topic, 1]) == {}


@pytest.mark.parametrize("version", versions("DescribeProducers"))
def test_refused(client: Client, topic: str, version: int) -> None:
    """Each reason has its error; what is good in the same request is answered."""
    client.create(topic, 1)
    unknown, impossible = f"{topic}-unknown", "no/such name"
    answer = describe(client, version, {topic: [0, 1, -1], unknown: [0], impossible: [0]})
    assert {of: (each.error_code, each.active_producers) for of, each in answer.items()} == {
        (topic, 0): (Error.NONE, []),
        (topic, 1): (Error.UNKNOWN_TOPIC_OR_PARTITION, []),
        (topic, -1): (Error.UNKNOWN_TOPIC_OR_PARTITION, []),
        (unknown, 0): (Error.UNKNOWN_TOPIC_OR_PARTITION, []),
        (impossible, 0): (Error.INVALID_TOPIC_EXCEPTION, []),
    }
    assert describe(client, version, {}) == {}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_they_last(start_broker: StartBroker, topic: str, end: str) -> None:
    """A start brings back what was remembered."""
    broker = start_broker()
    version = versions("DescribeProducers")[-1]
    with Client(broker.address) as client:
        made = client.create(topic)
        producer = new_producer(client)
        write(client, made, producer, 0, 3)
        before = states(describe(client, version, {topic: [0]})[topic, 0])
    assert before == {producer: (0, 2, STAMP + 2, -1, -1)}
    getattr(broker, end)()
    broker.start()
    with Client(broker.address) as client:
        wait_until(lambda: client._is_led(topic, 1), DEADLINE_S, f"{topic} is led")
        assert states(describe(client, version, {topic: [0]})[topic, 0]) == before
    broker.stop()
