"""The same demands on each client: bytes, offsets and order, in each codec, with and without idempotence."""

import random
import time

import pytest

from broker_process import BrokerProcess
from clients.conftest import DRIVERS, Drivers
from clients.drivers import EARLIEST, LATEST, Driver, Message
from clients.librdkafka import delete_topic, wait_for_partitions
from wire import Connection

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
MESSAGES = 300
LARGE_VALUE_BYTES = 10_000_000
LARGE_MAX_MESSAGE_BYTES = 11_000_000
WIDE_PARTITIONS = 1_000

CONSUMERS = [name for name in DRIVERS if name != "kafkajs"]

each_client = pytest.mark.parametrize("client", DRIVERS)
each_consumer = pytest.mark.parametrize("client", CONSUMERS)


def now_ms() -> int:
    """The time, as messages carry it."""
    return int(time.time() * 1000)


def numbered(count: int, seed: int) -> list[Message]:
    """Messages of half random, half repetitive bytes, at times of their own."""
    source = random.Random(seed)
    base_ms = now_ms() - 1_000_000
    messages = []
    for number in range(count):
        half = source.randbytes(source.randrange(1, 400))
        key = None if number % 3 == 0 else b"key %d" % number
        messages.append(Message(half + b"x" * len(half), key, timestamp_ms=base_ms + 10 * number))
    return messages


def create(driver: Driver, topic: str, partitions: int = 1, **config: str) -> None:
    """Creates a topic; config names have `_` for `.`."""
    driver.create_topic(topic, partitions, {name.replace("_", "."): value for name, value in config.items()})


def reader_of(drivers: Drivers, client: str) -> Driver:
    """The client, or another one where it does not read."""
    return drivers[client if client in CONSUMERS else "confluent-kafka"]


@each_client
@pytest.mark.parametrize("idempotent", [True, False], ids=["idempotent", "plain"])
@pytest.mark.parametrize("codec", CODECS)
def test_codecs(drivers: Drivers, broker: BrokerProcess, topic: str, client: str, codec: str, idempotent: bool) -> None:
    """What is sent in a codec lies in the log in that codec, and is read as it was by this client and by another."""
    driver = drivers[client]
    messages = numbered(MESSAGES, seed=3)
    create(driver, topic)
    assert driver.produce(topic, messages, codec=codec, idempotent=idempotent) == list(range(MESSAGES))
    expected = [message.at(offset) for offset, message in enumerate(messages)]
    for name in {client, "confluent-kafka"} & set(CONSUMERS):
        assert drivers[name].consume(topic, [0], EARLIEST, MESSAGES) == expected, name
    with Connection(broker.address) as connection:
        batches = connection.fetch(topic, 0, 0).batches()
    assert sum(batch.record_count for batch in batches) == MESSAGES
    # Some clients leave a batch as it is where compression gains nothing.
    assert codec in {batch.codec for batch in batches} <= {codec, "none"}
    assert all((batch.producer_id >= 0) == idempotent for batch in batches)


@each_client
def test_shapes(drivers: Drivers, topic: str, client: str) -> None:
    """Null differs from empty; headers repeat and keep their order; bytes are bytes."""
    driver = drivers[client]
    headers = [("a", b"1"), ("a", b"2"), ("a", b"1"), ("b", bytes(range(256))), ("\N{SNOWMAN}", b"")]
    if driver.mixed_headers:
        headers.append(("a", b"after others"))
    if driver.null_headers:
        headers.append(("null", None))
    stamp = now_ms()
    messages = [
        Message(None, b"key", timestamp_ms=stamp),
        Message(b"", b"key", timestamp_ms=stamp),
        Message(b"value", None, timestamp_ms=stamp),
        Message(b"value", b"", timestamp_ms=stamp),
        Message(None, b"", timestamp_ms=stamp),
        Message(b"", None, timestamp_ms=stamp),
        Message(bytes(range(256)), b"\xff\x00", tuple(headers), timestamp_ms=stamp),
        Message(b"value", b"key", (("only", b""),), timestamp_ms=stamp),
    ]
    create(driver, topic)
    assert driver.produce(topic, messages, codec="none", idempotent=True) == list(range(len(messages)))
    expected = [message.at(offset) for offset, message in enumerate(messages)]
    assert reader_of(drivers, client).consume(topic, [0], EARLIEST, len(messages)) == expected
    assert drivers["confluent-kafka"].consume(topic, [0], EARLIEST, len(messages)) == expected


@each_client
def test_positions(drivers: Drivers, topic: str, client: str) -> None:
    """Reading from the beginning, from an offset, from a time; and the offsets of these, also where there is none."""
    driver = drivers[client]
    messages = numbered(100, seed=5)
    create(driver, topic)
    driver.produce(topic, messages[:60], codec="none", idempotent=True)
    driver.produce(topic, messages[60:], codec="gzip", idempotent=True)
    stamps = [message.timestamp_ms for message in messages]
    assert driver.offset(topic, 0, EARLIEST) == 0
    assert driver.offset(topic, 0, LATEST) == 100
    # Times of a message, between two, before all, and after all.
    times = {
        stamps[0] - 5: 0,
        stamps[17]: 17,
        stamps[41] + 1: 42,
        stamps[77] - 9: 77,
        stamps[99]: 99,
        stamps[99] + 1: -1,
    }
    assert {at: driver.offset(topic, 0, f"time:{at}") for at in times} == times
    if driver.consumes:
        expected = [message.at(offset) for offset, message in enumerate(messages)]
        assert driver.consume(topic, [0], EARLIEST, 100) == expected
        for offset in (0, 1, 59, 60, 83, 99):
            assert driver.consume(topic, [0], offset, 100 - offset) == expected[offset:]
        for at, offset in times.items():
            if offset >= 0:
                assert driver.consume(topic, [0], f"time:{at}", 100 - offset) == expected[offset:]


@each_client
def test_large_messages(drivers: Drivers, topic: str, client: str) -> None:
    """Messages of 10 MB, on a topic that takes them, with a small one between."""
    driver = drivers[client]
    source = random.Random(8)
    stamp = now_ms()
    large = [Message(source.randbytes(LARGE_VALUE_BYTES), b"%d" % each, timestamp_ms=stamp) for each in range(2)]
    messages = [large[0], Message(b"small", timestamp_ms=stamp), large[1]]
    create(driver, topic, max_message_bytes=str(LARGE_MAX_MESSAGE_BYTES))
    for offset, message in enumerate(messages):
        assert driver.produce(topic, [message], codec="none", idempotent=True) == [offset]
    expected = [message.at(offset) for offset, message in enumerate(messages)]
    assert reader_of(drivers, client).consume(topic, [0], EARLIEST, 3) == expected


@each_client
def test_a_thousand_partitions(drivers: Drivers, broker: BrokerProcess, topic: str, client: str) -> None:
    """Each of a thousand partitions is created, told of, written and read, by one client."""
    driver = drivers[client]
    create(driver, topic, WIDE_PARTITIONS)
    partitions = list(range(WIDE_PARTITIONS))
    assert driver.partitions(topic) == partitions
    wait_for_partitions(broker.address, topic, WIDE_PARTITIONS)
    stamp = now_ms()
    messages = [Message(b"%d of %d" % (lap, each), None, (), each, stamp) for lap in range(2) for each in partitions]
    offsets = driver.produce(topic, messages, codec="none", idempotent=True)
    assert offsets == [0] * WIDE_PARTITIONS + [1] * WIDE_PARTITIONS
    got = reader_of(drivers, client).consume(topic, partitions, EARLIEST, len(messages))
    by_partition = {each: [it for it in got if it.message.partition == each] for each in partitions}
    assert by_partition == {each: [messages[each].at(0), messages[WIDE_PARTITIONS + each].at(1)] for each in partitions}
    assert driver.offset(topic, WIDE_PARTITIONS - 1, LATEST) == 2
    delete_topic(broker.address, topic)
