"""confluent-kafka consumes: assignment, seeking by offset and time, watermarks, waiting, errors."""

import time

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)

from broker_process import BrokerProcess, wait_until
from clients.librdkafka import (
    DEADLINE_S,
    Record,
    as_record,
    consume_all,
    consumer,
    create_topic,
    produce_all,
    read_to_end,
)
from wire import Connection

EMPTY_WAIT_MS = 400
LONG_WAIT_MS = 5_000


def numbered(count: int) -> list[Record]:
    """Records whose value is their number."""
    return [Record(b"%d" % number) for number in range(count)]


def test_positions_of_an_assignment(broker: BrokerProcess, topic: str) -> None:
    """The beginning, the end, an absolute offset and one relative to the end."""
    produce_all(broker.address, topic, numbered(100))
    tail_base = -2_000  # librdkafka's OFFSET_TAIL(n) is this less n.
    for offset, first in [
        (OFFSET_BEGINNING, 0),
        (42, 42),
        (99, 99),
        (100, 100),
        (OFFSET_END, 100),
        (tail_base - 5, 95),
    ]:
        messages = consume_all(broker.address, topic, offset=offset)
        assert [message.offset() for message in messages] == list(range(first, 100)), offset


@pytest.mark.parametrize("kind", ["gzip", "snappy", "lz4", "zstd", "uncompressed"])
def test_codecs_of_the_broker(broker: BrokerProcess, topic: str, kind: str) -> None:
    """What the broker compressed is what a client unfolds, whichever codec the producer has."""
    create_topic(broker.address, topic, **{"compression.type": kind})
    sent = [Record(b"word " * (number % 500), b"%d" % number, (("h", None), ("h", b"x"))) for number in range(3_000)]
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        produce_all(broker.address, topic, sent, compression_type=codec)
    found = [as_record(message) for message in consume_all(broker.address, topic)]
    assert found == sent * 5
    with Connection(broker.address) as connection:
        batches = connection.fetch(topic, 0, 0).batches()
    assert {batch.codec for batch in batches} == {"none" if kind == "uncompressed" else kind}


def test_seek(broker: BrokerProcess, topic: str) -> None:
    """A consumer that seeks back and forth gets what lies there."""
    produce_all(broker.address, topic, numbered(200), linger_ms=0, batch_num_messages=7)
    with consumer(broker.address) as client:
        client.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        assert len(read_to_end(client)) == 200
        for offset in (150, 3, 199, 0, 100):
            client.seek(TopicPartition(topic, 0, offset))
            assert [message.value() for message in read_to_end(client)] == [b"%d" % n for n in range(offset, 200)]


def test_offsets_for_times(broker: BrokerProcess, topic: str) -> None:
    """The earliest record of a time or later, for times before, between, at and after the records'."""
    for number in range(10):
        produce_all(broker.address, topic, numbered(3), timestamp_ms=1_000_000 + 1_000 * number)
    with consumer(broker.address) as client:

        def offset_of(timestamp_ms: int) -> int:
            (found,) = client.offsets_for_times([TopicPartition(topic, 0, timestamp_ms)], DEADLINE_S)
            assert found.error is None
            return found.offset

        assert offset_of(0) == 0
        assert offset_of(1_000_000) == 0
        assert offset_of(1_000_001) == 3
        assert offset_of(1_005_000) == 15
        assert offset_of(1_009_000) == 27
        assert offset_of(1_009_001) == OFFSET_END
        client.assign([TopicPartition(topic, 0, offset_of(1_004_500))])
        assert [message.offset() for message in read_to_end(client)] == list(range(15, 30))


def test_offsets_for_times_inside_a_batch(broker: BrokerProcess, topic: str) -> None:
    """Within one batch, compressed or not, each record has its own time."""
    for index, codec in enumerate(["none", "gzip", "snappy", "lz4", "zstd"]):
        name = f"{topic}-{codec}"
        create_topic(broker.address, name)
        producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 200, "compression.type": codec})
        for number in range(50):
            producer.produce(name, b"x" * 100, partition=0, timestamp=5_000_000 + 10 * number)
        assert producer.flush(DEADLINE_S) == 0
        with Connection(broker.address) as connection:
            assert len(connection.fetch(name, 0, 0).batches()) < 50, "the records were to share batches"
        with consumer(broker.address) as client:
            asked = TopicPartition(name, 0, 5_000_000 + 10 * (index + 20) - 5)
            assert client.offsets_for_times([asked], DEADLINE_S)[0].offset == index + 20


def test_watermarks(broker: BrokerProcess, topic: str) -> None:
    """Low and high watermark of an empty and of a filled partition."""
    create_topic(broker.address, topic, partitions=2)
    produce_all(broker.address, topic, numbered(17), partition=1)
    with consumer(broker.address) as client:
        assert client.get_watermark_offsets(TopicPartition(topic, 0), DEADLINE_S) == (0, 0)
        assert client.get_watermark_offsets(TopicPartition(topic, 1), DEADLINE_S) == (0, 17)


def test_many_partitions(broker: BrokerProcess, topic: str) -> None:
    """One consumer over 64 partitions gets each one's records, and those that follow later."""
    create_topic(broker.address, topic, partitions=64)
    for partition in range(64):
        produce_all(broker.address, topic, [Record(b"%d" % partition)], partition=partition, linger_ms=0)
    with consumer(broker.address) as client:
        client.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(64)])
        messages = read_to_end(client, partitions=64)
        assert sorted(message.partition() for message in messages) == list(range(64))
        assert all(int(message.value()) == message.partition() for message in messages)
        produce_all(broker.address, topic, numbered(10), partition=63)
        later = read_to_end(client)
        assert [(message.partition(), message.offset()) for message in later] == [(63, 1 + n) for n in range(10)]


def test_offset_out_of_range(broker: BrokerProcess, topic: str) -> None:
    """An offset beyond the end is an error where the client asked for one, and resets where it asked for that."""
    produce_all(broker.address, topic, numbered(5))
    with consumer(broker.address, auto_offset_reset="error") as client:
        client.assign([TopicPartition(topic, 0, 50)])
        with pytest.raises(KafkaException) as out_of_range:
            read_to_end(client)
        assert out_of_range.value.args[0].code() == KafkaError._AUTO_OFFSET_RESET
    with consumer(broker.address, auto_offset_reset="earliest") as client:
        client.assign([TopicPartition(topic, 0, 50)])
        assert [message.offset() for message in read_to_end(client)] == list(range(5))


def test_small_fetches(broker: BrokerProcess, topic: str) -> None:
    """A consumer that takes less than a batch at a time still gets all: the first batch is always given whole."""
    records = [Record(bytes([number]) * 5_000) for number in range(40)]
    produce_all(broker.address, topic, records, linger_ms=50)
    with consumer(broker.address, fetch_message_max_bytes=1_000, fetch_max_bytes=1_000_000) as client:
        client.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        assert [as_record(message) for message in read_to_end(client)] == records


def test_a_waiting_consumer_is_woken(broker: BrokerProcess, topic: str) -> None:
    """A consumer at the end that would wait for seconds gets a new record at once."""
    create_topic(broker.address, topic)
    with consumer(broker.address, fetch_wait_max_ms=LONG_WAIT_MS, socket_timeout_ms=60_000) as client:
        client.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        assert read_to_end(client) == []
        for number in range(5):
            begun = time.monotonic()
            produce_all(broker.address, topic, [Record(b"%d" % number)])
            message = client.poll(LONG_WAIT_MS / 1000)
            while message is not None and message.error():
                message = client.poll(LONG_WAIT_MS / 1000)
            assert message is not None
            assert message.value() == b"%d" % number
            assert time.monotonic() - begun < LONG_WAIT_MS / 1000 / 2


def test_waiting_for_bytes(broker: BrokerProcess, topic: str) -> None:
    """A fetch waits for min.bytes or for its deadline; what it then has to give is empty, never null."""
    produce_all(broker.address, topic, [Record(b"x" * 100)])
    with Connection(broker.address) as connection:
        begun = time.monotonic()
        fetched = connection.fetch(topic, 0, 1, max_wait_ms=EMPTY_WAIT_MS)
        assert fetched.records == b""
        assert fetched.error_code == 0
        assert fetched.high_watermark == 1
        assert time.monotonic() - begun >= EMPTY_WAIT_MS / 1000 * 0.9

        begun = time.monotonic()
        fetched = connection.fetch(topic, 0, 0, max_wait_ms=EMPTY_WAIT_MS, min_bytes=10_000)
        assert len(fetched.batches()) == 1
        assert time.monotonic() - begun >= EMPTY_WAIT_MS / 1000 * 0.9

        begun = time.monotonic()
        fetched = connection.fetch(topic, 0, 0, max_wait_ms=LONG_WAIT_MS, min_bytes=100)
        assert len(fetched.batches()) == 1
        assert time.monotonic() - begun < LONG_WAIT_MS / 1000 / 2


def test_consumed_while_produced(broker: BrokerProcess, topic: str) -> None:
    """A consumer that follows a producer sees every record once, in order."""
    create_topic(broker.address, topic)
    producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True, "linger.ms": 1})
    got: list[int] = []
    with consumer(broker.address, enable_partition_eof=False) as client:
        client.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])

        def follow() -> bool:
            for message in client.consume(500, 0.05):
                assert message.error() is None, message.error()
                got.append(int(message.value()))
            return len(got) >= 5_000

        for number in range(5_000):
            producer.produce(topic, b"%d" % number, partition=0)
            if number % 250 == 0:
                producer.poll(0)
                follow()
        assert producer.flush(DEADLINE_S) == 0
        wait_until(follow, DEADLINE_S, "the consumer has all")
    assert got == list(range(5_000))
