"""What clients make of a compacted log: offsets that are missing, batches with few records or none, tombstones."""

import pytest

from broker_process import BrokerProcess, wait_until
from clients.conftest import Drivers
from clients.drivers import EARLIEST, LATEST, Message
from clients.test_every_client import CODECS, CONSUMERS, create, each_client, now_ms
from protocol.client import Client, Error, Topic
from protocol.records import codecs_of
from protocol.test_alter_configs import SET, alter, edits
from protocol.test_compaction import COMPACTS_IN_S, end_of
from protocol.test_configs import BROKER

KEYS, TURNS = 20, 6
STEP_MS = 1_000


@pytest.fixture
def cleans_soon(broker: BrokerProcess) -> None:
    """The shared broker looks for logs to compact often enough for a test."""
    with Client(broker.address) as client:
        change = edits(BROKER, "", ("log.cleaner.backoff.ms", SET, "100"))
        assert alter(client, change) == [Error.NONE]


def count_left(client: Client, topic: Topic) -> int:
    """How many records the batches of a partition have."""
    offset, count = 0, 0
    while True:
        found = client.fetch(topic, offset)
        assert found.error_code == Error.NONE
        data = found.records or b""
        if offset >= found.high_watermark:
            return count
        while data:
            size = 12 + int.from_bytes(data[8:12])
            count += int.from_bytes(data[57:61])
            offset, data = end_of(data[:size]), data[size:]


@each_client
def test_compacted(drivers: Drivers, broker: BrokerProcess, cleans_soon: None, topic: str, client: str) -> None:
    """Each client's messages are compacted, in every codec that it has, and each client reads what is left."""
    driver = drivers[client]
    config = {"cleanup_policy": "compact", "min_cleanable_dirty_ratio": "0.01", "segment_ms": "100"}
    create(driver, topic, **config)
    base_ms = now_ms() - 10_000_000
    sent: list[Message] = []
    codecs = [codec for codec in CODECS if codec in driver.codecs]
    for turn in range(TURNS):
        # The last turn is the active segment, and stays as it is; each turn leaves fewer keys behind it.
        stamp = base_ms + STEP_MS * turn
        messages = [
            Message(
                None if turn == TURNS - 2 and number % 5 == 0 else b"value %d of turn %d " % (number, turn) * 9,
                b"key %d" % number,
                timestamp_ms=stamp,
            )
            for number in range(KEYS)
            if turn < 2 or number % (turn + 1) == 0
        ]
        codec = codecs[turn % len(codecs)]
        offsets = driver.produce(topic, messages, codec=codec, idempotent=driver.idempotent)
        assert offsets == list(range(len(sent), len(sent) + len(messages)))
        sent += messages
    active = len(sent) - len(messages)
    newest = {message.key: offset for offset, message in enumerate(sent[:active])}
    left = [m.at(offset) for offset, m in enumerate(sent) if offset >= active or newest[m.key] == offset]
    with Client(broker.address) as connection:
        found = connection.metadata(topic)
        made = Topic(topic, found.topic_id)
        wait_until(lambda: count_left(connection, made) == len(left), COMPACTS_IN_S, "it is compacted")
        assert codecs_of(connection.fetch(made, 0).records)
    assert (driver.offset(topic, 0, EARLIEST), driver.offset(topic, 0, LATEST)) == (0, len(sent))
    for name in {client, "confluent-kafka", "kafka-python"} & set(CONSUMERS):
        assert drivers[name].consume(topic, [0], EARLIEST, len(left)) == left, name
        # From an offset that is gone, and from the time of what is gone.
        behind = [received for received in left if received.offset >= 1]
        assert drivers[name].consume(topic, [0], 1, len(behind)) == behind, name
        first = left[0].message.timestamp_ms
        assert drivers[name].offset(topic, 0, f"time:{first - 1}") == left[0].offset, name
