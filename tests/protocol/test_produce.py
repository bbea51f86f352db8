"""Produce and InitProducerId at every version."""

import time
import uuid

import pytest

from broker_process import BrokerProcess, wait_until
from protocol.client import DEADLINE_S, Client, Error, Topic, produce_body
from protocol.records import CONTROL, TRANSACTIONAL, batch
from protocol.schema import versions


@pytest.mark.parametrize("version", versions("Produce"))
@pytest.mark.parametrize("acks", [1, -1])
def test_acknowledged(client: Client, topic: str, version: int, acks: int) -> None:
    """The answer has the offset of the first record; what was answered is read."""
    made = client.create(topic)
    for first, values in ((0, (b"a", b"b")), (2, (b"c",))):
        placed = client.produce(made, batch(*values), version=version, acks=acks)
        assert (placed.error_code, placed.base_offset, placed.log_append_time_ms) == (Error.NONE, first, -1)
        assert placed.log_start_offset == (0 if version >= 5 else -1)
        if version >= 8:
            assert (placed.record_errors, placed.error_message) == ([], None)
    assert client.values(made) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("version", versions("Produce"))
def test_without_acknowledgement(client: Client, topic: str, version: int) -> None:
    """acks=0 has no answer: the next one is that of the next request. The record is stored."""
    made = client.create(topic)
    client.send("Produce", version, **produce_body(made, {0: batch(b"a")}, acks=0))
    placed = client.produce(made, batch(b"b"), version=version)
    assert (placed.error_code, placed.base_offset) == (Error.NONE, 1)
    assert client.values(made) == [b"a", b"b"]


def test_without_acknowledgement_and_gone(client: Client, broker: BrokerProcess, topic: str) -> None:
    """Clients that send with acks=0 and close at once: what they sent is stored."""
    made, count = client.create(topic), 64
    for number in range(count):
        with Client(broker.address) as passing:
            passing.send("Produce", 9, **produce_body(made, {0: batch(b"%d" % number)}, acks=0))
    wait_until(lambda: len(client.values(made)) == count, 20, "all records are there")
    assert sorted(client.values(made), key=int) == [b"%d" % number for number in range(count)]


@pytest.mark.parametrize("version", versions("Produce"))
def test_failure_without_acknowledgement(client: Client, topic: str, version: int) -> None:
    """Who wants no answer learns of a failure by the loss of the connection."""
    client.create(topic)
    unknown = Topic(f"{topic}-unknown", uuid.uuid4())
    client.send("Produce", version, **produce_body(unknown, {0: batch(b"a")}, acks=0))
    assert client.is_closed()


@pytest.mark.parametrize("version", versions("Produce"))
@pytest.mark.parametrize("acks", [2, -2, 32_767])
def test_acks_that_make_no_sense(client: Client, topic: str, version: int, acks: int) -> None:
    """They are refused."""
    made = client.create(topic)
    placed = client.produce(made, batch(b"a"), version=version, acks=acks)
    assert (placed.error_code, placed.base_offset) == (Error.INVALID_REQUIRED_ACKS, -1)
    assert client.values(made) == []


@pytest.mark.parametrize("version", versions("Produce"))
def test_several_partitions(client: Client, topic: str, version: int) -> None:
    """Each partition has its own fate."""
    made = client.create(topic, 3)
    data = {0: batch(b"a"), 1: batch(b"b", b"c"), 2: batch(b"d")[:-1] + b"?", 7: batch(b"e")}
    (of_topic,) = client.ask("Produce", version, **produce_body(made, data)).responses
    fates = {each.index: (each.error_code, each.base_offset) for each in of_topic.partition_responses}
    assert fates == {
        0: (Error.NONE, 0),
        1: (Error.NONE, 0),
        2: (Error.CORRUPT_MESSAGE, -1),
        7: (Error.UNKNOWN_TOPIC_OR_PARTITION, -1),
    }
    assert [client.values(made, partition) for partition in range(3)] == [[b"a"], [b"b", b"c"], []]


@pytest.mark.parametrize("version", versions("Produce"))
def test_unknown_topics(client: Client, topic: str, version: int) -> None:
    """No topic is made by producing; ids have an error of their own."""
    unknown = Topic(topic, uuid.uuid4())
    placed = client.produce(unknown, batch(b"a"), version=version)
    assert placed.error_code == (Error.UNKNOWN_TOPIC_ID if version >= 13 else Error.UNKNOWN_TOPIC_OR_PARTITION)
    assert client.metadata(topic).error_code == Error.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("version", versions("Produce"))
def test_times_of_the_log(client: Client, topic: str, version: int) -> None:
    """Where the log stamps the records, the answer has the stamp, and readers see it."""
    made = client.create(topic, message_timestamp_type="LogAppendTime")
    placed = client.produce(made, batch(b"a", b"b", step_ms=5), version=version)
    assert placed.error_code == Error.NONE
    assert placed.log_append_time_ms > 1_000_000
    assert [record.timestamp for record in client.records(made)] == [placed.log_append_time_ms] * 2


@pytest.mark.parametrize("version", versions("Produce"))
def test_batches_that_are_refused(client: Client, topic: str, version: int) -> None:
    """Each reason has Kafka's error, and nothing is stored."""
    made = client.create(topic, max_message_bytes="2000")
    good = batch(b"a")
    numbered = batch(b"a", producer_id=1, producer_epoch=0, base_sequence=0)
    refused = {
        "a flipped bit": (good[:-2] + bytes([good[-2] ^ 1]) + good[-1:], Error.CORRUPT_MESSAGE),
        "too large": (batch(bytes(3_000)), Error.MESSAGE_TOO_LARGE),
        "a control batch": (batch(b"a", attributes=CONTROL), Error.INVALID_RECORD),
        "two batches of one idempotent producer": (numbered + numbered, Error.INVALID_RECORD),
        "no records": (batch(), Error.INVALID_RECORD),
    }
    codes = {kind: client.produce(made, data, version=version).error_code for kind, (data, _) in refused.items()}
    assert codes == {kind: code for kind, (_, code) in refused.items()}
    assert client.values(made) == []
    assert client.produce(made, good, version=version).base_offset == 0


@pytest.mark.wiber_only("Kafka has transactions")
@pytest.mark.parametrize("version", versions("Produce"))
def test_transactions_are_refused(client: Client, topic: str, version: int) -> None:
    """A batch of a transaction is refused with the error for one that is not open."""
    made = client.create(topic)
    part = batch(b"a", attributes=TRANSACTIONAL, producer_id=1, producer_epoch=0, base_sequence=0)
    placed = client.produce(made, part, version=version, transactional_id="t")
    assert placed.error_code == Error.INVALID_TXN_STATE
    assert client.values(made) == []


@pytest.mark.parametrize("version", versions("Produce"))
def test_transactions_without_their_id(client: Client, topic: str, version: int) -> None:
    """A batch of a transaction in a request that names none: nobody may write that."""
    made = client.create(topic)
    part = batch(b"a", attributes=TRANSACTIONAL, producer_id=1, producer_epoch=0, base_sequence=0)
    placed = client.produce(made, part, version=version)
    assert placed.error_code == Error.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert client.values(made) == []


@pytest.mark.parametrize("version", versions("Produce"))
def test_a_transaction_without_its_id_fails_the_request(client: Client, topic: str, version: int) -> None:
    """All partitions of the request are refused, also those that are not part of it, or not there."""
    made = client.create(topic, 2)
    part = batch(b"a", attributes=TRANSACTIONAL, producer_id=1, producer_epoch=0, base_sequence=0)
    data = {0: batch(b"b"), 1: part, 7: batch(b"c")}
    (of_topic,) = client.ask("Produce", version, **produce_body(made, data)).responses
    fates = {each.index: each.error_code for each in of_topic.partition_responses}
    assert fates == dict.fromkeys(data, Error.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    assert client.values(made) == client.values(made, 1) == []


def producer_id(client: Client, version: int) -> int:
    """A new producer id."""
    end = time.monotonic() + DEADLINE_S
    while True:
        answer = client.ask("InitProducerId", version, transactional_id=None, transaction_timeout_ms=60_000)
        # As Kafka says right after its start.
        if answer.error_code != Error.COORDINATOR_LOAD_IN_PROGRESS or time.monotonic() > end:
            break
    assert (answer.error_code, answer.producer_epoch) == (Error.NONE, 0)
    return answer.producer_id


@pytest.mark.parametrize("version", versions("InitProducerId"))
def test_producer_ids_are_unique(client: Client, version: int) -> None:
    """No two are the same."""
    ids = [producer_id(client, version) for _ in range(50)]
    assert len(set(ids)) == 50
    assert min(ids) >= 0


@pytest.mark.wiber_only("Kafka has transactions")
@pytest.mark.parametrize("version", versions("InitProducerId"))
def test_transactional_ids_are_refused(client: Client, version: int) -> None:
    """There is no coordinator for them."""
    answer = client.ask("InitProducerId", version, transactional_id="t", transaction_timeout_ms=60_000)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (Error.NOT_COORDINATOR, -1, -1)


@pytest.mark.parametrize("version", versions("Produce"))
def test_sequences(client: Client, topic: str, version: int) -> None:
    """A batch that is sent again is stored once; a gap is refused, and so is an epoch of the past."""
    made = client.create(topic)
    own = producer_id(client, 4)

    def send(value: bytes, sequence: int, epoch: int = 1) -> tuple[int, int]:
        numbered = batch(value, producer_id=own, producer_epoch=epoch, base_sequence=sequence)
        placed = client.produce(made, numbered, version=version)
        return placed.error_code, placed.base_offset

    assert send(b"0", 0) == (Error.NONE, 0)
    assert [send(b"%d" % number, number) for number in range(1, 5)] == [(Error.NONE, number) for number in range(1, 5)]
    # The last five batches are remembered.
    assert [send(b"%d" % number, number) for number in range(5)] == [(Error.NONE, number) for number in range(5)]
    assert send(b"gap", 6) == (Error.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert send(b"old", 5, epoch=0) == (Error.INVALID_PRODUCER_EPOCH, -1)
    assert send(b"new", 0, epoch=2) == (Error.NONE, 5)
    assert client.values(made) == [b"0", b"1", b"2", b"3", b"4", b"new"]
