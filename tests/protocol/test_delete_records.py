"""DeleteRecords at every version: where a log begins is moved up, for good."""

from types import SimpleNamespace

import pytest

from conftest import StartBroker
from protocol.client import Client, Error, Topic
from protocol.records import batch, records_of
from protocol.schema import versions

TIMEOUT_MS = 10_000
HIGH_WATERMARK = -1
EARLIEST = -2


def delete(client: Client, version: int, topic: str, offsets: dict[int, int]) -> dict[int, SimpleNamespace]:
    """Deletes below an offset of each partition: the answer's parts, by partition."""
    wanted = [{"partition_index": index, "offset": offset} for index, offset in offsets.items()]
    body = {"topics": [{"name": topic, "partitions": wanted}], "timeout_ms": TIMEOUT_MS}
    (found,) = client.ask("DeleteRecords", version, **body).topics
    assert found.name == topic
    return {each.partition_index: each for each in found.partitions}


def outcome(answer: SimpleNamespace) -> tuple[int, int]:
    """What is said of one partition."""
    return answer.error_code, answer.low_watermark


def values_from(fetched: SimpleNamespace, offset: int) -> list[bytes | None]:
    """The values that were fetched, from an offset on: the batch that holds it may begin before."""
    return [record.value for record in records_of(fetched.records) if record.offset >= offset]


def filled(client: Client, name: str, partitions: int = 1) -> Topic:
    """A topic with ten records in each partition: batches of three, three and four."""
    made = client.create(name, partitions)
    for partition in range(partitions):
        for values in (b"012", b"345", b"6789"):
            written = client.produce(made, batch(*(bytes([value]) for value in values)), partition)
            assert written.error_code == Error.NONE
    return made


def earliest(client: Client, topic: Topic, partition: int = 0) -> int:
    """Where the log begins, as ListOffsets has it."""
    wanted = [{"partition_index": partition, "timestamp": EARLIEST}]
    body = {"replica_id": -1, "topics": [{"name": topic.name, "partitions": wanted}]}
    (found,) = client.ask("ListOffsets", 7, **body).topics
    return found.partitions[0].offset


@pytest.mark.parametrize("version", versions("DeleteRecords"))
def test_to_an_offset(client: Client, topic: str, version: int) -> None:
    """What lies before it is gone, also within a batch; the rest and the other partitions stay."""
    made = filled(client, topic, 2)
    assert outcome(delete(client, version, topic, {0: 4})[0]) == (Error.NONE, 4)
    assert (earliest(client, made), earliest(client, made, 1)) == (4, 0)
    assert client.fetch(made, 3).error_code == Error.OFFSET_OUT_OF_RANGE
    found = client.fetch(made, 4)
    assert (found.error_code, found.log_start_offset, found.high_watermark) == (Error.NONE, 4, 10)
    assert values_from(found, 4) == b"4 5 6 7 8 9".split()
    # An offset that is behind already changes nothing, and is no error.
    assert outcome(delete(client, version, topic, {0: 2})[0]) == (Error.NONE, 4)
    assert outcome(delete(client, version, topic, {0: 4})[0]) == (Error.NONE, 4)
    assert outcome(delete(client, version, topic, {0: 10})[0]) == (Error.NONE, 10)


@pytest.mark.parametrize("version", versions("DeleteRecords"))
def test_to_the_high_watermark(client: Client, topic: str, version: int) -> None:
    """-1 deletes all that is there; what comes next has the next offset."""
    made = filled(client, topic)
    for _ in range(2):
        assert outcome(delete(client, version, topic, {0: HIGH_WATERMARK})[0]) == (Error.NONE, 10)
    found = client.fetch(made, 10)
    assert (found.error_code, found.log_start_offset, found.high_watermark) == (Error.NONE, 10, 10)
    written = client.produce(made, batch(b"new"))
    assert (written.error_code, written.base_offset, written.log_start_offset) == (Error.NONE, 10, 10)
    assert [record.value for record in records_of(client.fetch(made, 10).records)] == [b"new"]


@pytest.mark.parametrize("version", versions("DeleteRecords"))
def test_refused(client: Client, topic: str, version: int) -> None:
    """Each reason has its error and deletes nothing; what is good in the same request is done."""
    made = filled(client, topic, 4)
    answer = delete(client, version, topic, {0: 11, 1: -2, 2: 3, 9: 0, -1: 0})
    assert {index: outcome(each) for index, each in answer.items()} == {
        0: (Error.OFFSET_OUT_OF_RANGE, -1),
        1: (Error.OFFSET_OUT_OF_RANGE, -1),
        2: (Error.NONE, 3),
        9: (Error.UNKNOWN_TOPIC_OR_PARTITION, -1),
        -1: (Error.UNKNOWN_TOPIC_OR_PARTITION, -1),
    }
    assert [earliest(client, made, partition) for partition in range(4)] == [0, 0, 3, 0]
    unknown = delete(client, version, f"{topic}-unknown", {0: 0})
    assert outcome(unknown[0]) == (Error.UNKNOWN_TOPIC_OR_PARTITION, -1)
    assert client.ask("DeleteRecords", version, topics=[], timeout_ms=TIMEOUT_MS).topics == []


@pytest.mark.wiber_only("Kafka writes where its logs begin down every minute, and a kill loses that")
@pytest.mark.parametrize("version", versions("DeleteRecords"))
def test_what_was_answered_survives_a_kill(start_broker: StartBroker, topic: str, version: int) -> None:
    """A deletion that was answered holds after a kill and after a stop, also where the log was empty then."""
    broker = start_broker()
    with Client(broker.address) as client:
        filled(client, topic, 2)
        answer = delete(client, version, topic, {0: 4, 1: HIGH_WATERMARK})
        assert [outcome(each) for each in answer.values()] == [(Error.NONE, 4), (Error.NONE, 10)]
    for end in (broker.kill, broker.stop):
        end()
        broker.start()
        with Client(broker.address) as client:
            made = Topic(topic, client.metadata(topic).topic_id)
            assert [earliest(client, made, partition) for partition in range(2)] == [4, 10]
            assert values_from(client.fetch(made, 4), 4) == b"4 5 6 7 8 9".split()
            assert client.fetch(made, 9, 1).error_code == Error.OFFSET_OUT_OF_RANGE
    with Client(broker.address) as client:
        assert client.produce(made, batch(b"new"), 1).base_offset == 10
    broker.stop()


def test_a_topic_that_keeps_everything(client: Client, topic: str) -> None:
    """Without a clean-up policy only retention is off: what is deleted on request goes."""
    client.create(topic, cleanup_policy="")
    assert outcome(delete(client, 2, topic, {0: HIGH_WATERMARK})[0]) == (Error.NONE, 0)


@pytest.mark.parametrize("version", versions("DeleteRecords"))
def test_of_a_compacted_topic(client: Client, topic: str, version: int) -> None:
    """The newest value of each key stays, unless old records go besides."""
    client.create(topic, cleanup_policy="compact")
    assert outcome(delete(client, version, topic, {0: HIGH_WATERMARK})[0]) == (Error.POLICY_VIOLATION, -1)
    client.create(f"{topic}-delete", cleanup_policy="compact,delete")
    assert outcome(delete(client, version, f"{topic}-delete", {0: HIGH_WATERMARK})[0]) == (Error.NONE, 0)


def offset_at(client: Client, topic: Topic, timestamp: int) -> int:
    """The first record of that time or later."""
    wanted = [{"partition_index": 0, "timestamp": timestamp}]
    body = {"replica_id": -1, "topics": [{"name": topic.name, "partitions": wanted}]}
    (found,) = client.ask("ListOffsets", 7, **body).topics
    assert found.partitions[0].error_code == Error.NONE
    return found.partitions[0].offset


@pytest.mark.parametrize("version", versions("DeleteRecords"))
def test_times_of_what_is_left(client: Client, topic: str, version: int) -> None:
    """A look-up by time passes over what is deleted, also within a batch, and goes on behind it."""
    made = client.create(topic)
    # Records 0 to 2 at times 300, 200, 100; then 3 at 250.
    assert client.produce(made, batch(b"a", b"b", b"c", timestamp=300, step_ms=-100)).error_code == Error.NONE
    assert client.produce(made, batch(b"d", timestamp=250)).error_code == Error.NONE
    assert [offset_at(client, made, time) for time in (100, 220, 300, 301)] == [0, 0, 0, -1]
    assert outcome(delete(client, version, topic, {0: 1})[0]) == (Error.NONE, 1)
    assert [offset_at(client, made, time) for time in (100, 220, 260)] == [1, 3, -1]
