"""confluent-kafka produces: acknowledgement levels, idempotence, codecs, sizes, shapes of records, errors."""

import itertools
import random
import time

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from broker_process import BrokerProcess, wait_until
from clients.librdkafka import Record, as_record, consume_all, create_topic, produce, produce_all
from wire import Connection

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]

MAX_MESSAGE_BYTES = 1_048_588
"""Kafka's default message.max.bytes: the largest batch."""
SINGLE_RECORD_OVERHEAD_BYTES = 72
"""What an uncompressed batch of one record of about a megabyte takes beside its value: 61 of header, 3 of record
length, 4 before the value's length, 3 of that, 1 for no headers."""


def random_records(count: int, seed: int, largest: int = 1_000) -> list[Record]:
    """Records of half random, half repetitive bytes."""
    source = random.Random(seed)
    records = []
    for number in range(count):
        half = source.randbytes(source.randrange(largest // 2))
        records.append(Record(half + b"x" * len(half), b"key %d" % number))
    return records


@pytest.mark.parametrize(
    ("acks", "idempotent"), [("0", False), ("1", False), ("all", False), ("all", True)], ids=lambda value: str(value)
)
@pytest.mark.parametrize("codec", CODECS)
def test_round_trip(broker: BrokerProcess, topic: str, codec: str, acks: str, idempotent: bool) -> None:
    """With each codec, acknowledgement level and with or without idempotence, the bytes return in order."""
    records = random_records(300, seed=7)
    create_topic(broker.address, topic)
    produce_all(
        broker.address, topic, records, compression_type=codec, acks=acks, enable_idempotence=idempotent, linger_ms=20
    )
    with Connection(broker.address) as connection:
        # An acks=0 delivery is reported when it was sent; it arrives a little later.
        wait_until(lambda: connection.fetch(topic, 0, 0).high_watermark == len(records), 10, "all records are readable")
        batches = connection.fetch(topic, 0, 0).batches()
    assert [as_record(message) for message in consume_all(broker.address, topic)] == records
    assert codec in {batch.codec for batch in batches} <= {codec, "none"}
    assert all((batch.producer_id >= 0) == idempotent for batch in batches)


def test_ten_thousand_messages_in_order(broker: BrokerProcess, topic: str) -> None:
    """10,000 records: offsets from 0 without a gap, in the order of sending, every byte equal."""
    records = random_records(10_000, seed=11)
    offsets = produce_all(broker.address, topic, records, enable_idempotence=True, compression_type="lz4")
    assert offsets == list(range(10_000))
    messages = consume_all(broker.address, topic)
    assert [message.offset() for message in messages] == offsets
    assert [as_record(message) for message in messages] == records


def test_several_producers_share_partitions(broker: BrokerProcess, topic: str) -> None:
    """Interleaved producers on three partitions keep their own order, and offsets stay dense."""
    create_topic(broker.address, topic, partitions=3)
    producers = [Producer({"bootstrap.servers": broker.address, "enable.idempotence": True}) for _ in range(4)]
    for number, (index, producer) in itertools.product(range(500), enumerate(producers)):
        producer.produce(topic, b"%d" % number, b"%d" % index, number % 3)
    assert all(producer.flush(20) == 0 for producer in producers)
    for partition in range(3):
        messages = consume_all(broker.address, topic, partition)
        assert [message.offset() for message in messages] == list(range(len(messages)))
        for index in range(4):
            mine = [int(message.value()) for message in messages if message.key() == b"%d" % index]
            assert mine == list(range(partition, 500, 3))


def test_auto_creation(broker: BrokerProcess, topic: str) -> None:
    """Producing to an unknown topic creates it, with one partition."""
    assert produce_all(broker.address, topic, [Record(b"first")]) == [0]
    metadata = Producer({"bootstrap.servers": broker.address}).list_topics(topic, 10)
    assert list(metadata.topics[topic].partitions) == [0]


def test_invalid_topic_name(broker: BrokerProcess) -> None:
    """A name that Kafka forbids is refused, not created."""
    (delivery,) = produce(broker.address, "no/such name", [Record(b"x")], message_timeout_ms=5_000)
    assert delivery.error is not None
    assert delivery.error.code() in (KafkaError.TOPIC_EXCEPTION, KafkaError._UNKNOWN_TOPIC)


def test_unknown_partition(broker: BrokerProcess, topic: str) -> None:
    """A partition beyond the topic's count is unknown."""
    create_topic(broker.address, topic, partitions=2)
    (delivery,) = produce(broker.address, topic, [Record(b"x")], partition=2, message_timeout_ms=5_000)
    assert delivery.error is not None
    assert delivery.error.code() == KafkaError._UNKNOWN_PARTITION


@pytest.mark.parametrize(
    "record",
    [
        Record(None, b"key"),
        Record(b"", b"key"),
        Record(b"value", None),
        Record(b"value", b""),
        Record(None, None),
        Record(b"", b""),
        Record(b"value", b"key", (("a", b"1"), ("b", None), ("a", b"2"), ("a", b"1"), ("", b""))),
        Record(b"\x00\xff" * 500, b"\x00", (("\N{SNOWMAN}", bytes(range(256))),)),
    ],
    ids=["null value", "empty value", "null key", "empty key", "all null", "all empty", "repeated headers", "binary"],
)
def test_shapes_of_records(broker: BrokerProcess, topic: str, record: Record) -> None:
    """Null differs from empty, headers repeat and keep their order, bytes are bytes."""
    produce_all(broker.address, topic, [record, record], enable_idempotence=True)
    assert [as_record(message) for message in consume_all(broker.address, topic)] == [record, record]


def test_largest_message(broker: BrokerProcess, topic: str) -> None:
    """A batch of exactly message.max.bytes is taken; one byte more is MSG_SIZE_TOO_LARGE; the topic goes on."""
    at_limit = random.Random(3).randbytes(MAX_MESSAGE_BYTES - SINGLE_RECORD_OVERHEAD_BYTES)
    large = {"message_max_bytes": 10_000_000, "enable_idempotence": False}
    assert produce_all(broker.address, topic, [Record(at_limit)], **large) == [0]
    (refused,) = produce(broker.address, topic, [Record(at_limit + b"+")], **large)
    assert refused.error is not None
    assert refused.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert produce_all(broker.address, topic, [Record(b"small")], **large) == [1]
    assert [message.value() for message in consume_all(broker.address, topic)] == [at_limit, b"small"]


def test_limit_of_a_topic(broker: BrokerProcess, topic: str) -> None:
    """A topic's max.message.bytes goes before the broker's."""
    create_topic(broker.address, topic, max_message_bytes="2000")
    first, second = produce(broker.address, topic, [Record(b"a" * 1_500), Record(b"b" * 2_500)], batch_num_messages=1)
    assert first.error is None
    assert second.error is not None
    assert second.error.code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_timestamps_of_the_producer(broker: BrokerProcess, topic: str) -> None:
    """CreateTime: the producer's timestamp is kept; one more than an hour ahead is refused."""
    produce_all(broker.address, topic, [Record(b"x")], timestamp_ms=1_234_567_890_123)
    (message,) = consume_all(broker.address, topic)
    assert message.timestamp() == (1, 1_234_567_890_123)
    ahead_ms = int(time.time() * 1000) + 2 * 3_600_000
    (refused,) = produce(broker.address, topic, [Record(b"x")], timestamp_ms=ahead_ms)
    assert refused.error is not None
    assert refused.error.code() == KafkaError.INVALID_TIMESTAMP


def test_timestamps_of_the_log(broker: BrokerProcess, topic: str) -> None:
    """LogAppendTime: the broker's clock goes before the producer's, compressed or not."""
    create_topic(broker.address, topic, message_timestamp_type="LogAppendTime")
    before_ms = int(time.time() * 1000)
    for codec in CODECS:
        produce_all(broker.address, topic, [Record(b"x" * 200)] * 3, timestamp_ms=1_000, compression_type=codec)
    after_ms = int(time.time() * 1000)
    messages = consume_all(broker.address, topic)
    assert len(messages) == 3 * len(CODECS)
    for message in messages:
        kind, stamp = message.timestamp()
        assert kind == 2
        assert before_ms <= stamp <= after_ms
        assert message.value() == b"x" * 200


@pytest.mark.wiber_only("Kafka serves transactions")
def test_transactions_are_refused(broker: BrokerProcess, topic: str) -> None:
    """A transactional producer is told at once and clearly, and nothing hangs."""
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": topic})
    with pytest.raises(KafkaException) as refused:
        producer.init_transactions(10)
    error = refused.value.args[0]
    assert error.code() in (
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError._TIMED_OUT,
    ), error
