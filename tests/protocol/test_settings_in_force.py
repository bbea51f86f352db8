"""Settings of a topic that is in use: a change holds at once, and after a start."""

from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from broker_process import BrokerProcess, wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error, Topic
from protocol.records import batch, codecs_of
from protocol.test_alter_configs import DELETE, SET, alter, edits, own
from protocol.test_configs import TOPIC

EARLIEST = -2
MIB = 1 << 20
OFTEN = ["--set", "log.retention.check.interval.ms=100", "--set", "log.initial.task.delay.ms=100"]
"""Retention is applied often enough for a test."""
LONG_AGO_MS = 1_000_000
SECOND_MS = 1_000


def change(client: Client, topic: Topic, **configs: str | None) -> None:
    """Sets settings, or lets the defaults hold; names have `_` for `.`."""
    named = {name.replace("_", "."): value for name, value in configs.items()}
    wanted = [(name, DELETE if value is None else SET, value) for name, value in named.items()]
    assert alter(client, edits(TOPIC, topic.name, *wanted)) == [Error.NONE]

    def holds() -> bool:
        found = own(client, topic.name)
        return all(found.get(name) == value for name, value in named.items())

    wait_until(holds, DEADLINE_S, f"{topic.name} has {named}")


def log_start(client: Client, topic: Topic) -> int:
    """Where the log of partition 0 begins."""
    wanted = [{"name": topic.name, "partitions": [{"partition_index": 0, "timestamp": EARLIEST}]}]
    (found,) = client.ask("ListOffsets", 7, replica_id=-1, topics=wanted).topics
    (partition,) = found.partitions
    assert partition.error_code == Error.NONE
    return partition.offset


def fill(client: Client, topic: Topic, mebibytes: int) -> int:
    """Writes a lot, in batches that are old: how many records that were."""
    records = 4 * mebibytes
    data = batch(bytes(MIB // 4))
    for _ in range(records):
        assert client.produce(topic, data).error_code == Error.NONE
    return records


@pytest.mark.parametrize("kind", ["bytes", "ms"])
def test_retention(start_broker: StartBroker, topic: str, kind: str) -> None:
    """Nothing goes before the change, old segments go after it, and go on going after a start."""
    broker = start_broker(arguments=OFTEN)
    with Client(broker.address) as client:
        made = client.create(topic, segment_bytes=str(MIB), retention_ms="-1")
        other = client.create(f"{topic}-other", segment_bytes=str(MIB), retention_ms="-1")
        written = fill(client, made, 8)
        fill(client, other, 4)
        assert log_start(client, made) == 0
        change(client, made, **{f"retention_{kind}": str(2 * MIB)})
        wait_until(lambda: log_start(client, made) > 0, DEADLINE_S, "old segments are dropped")
    broker.stop()
    broker.start()
    with Client(broker.address) as client:
        wait_until(lambda: client._is_led(topic, 1), DEADLINE_S, "the topic is led")
        before = log_start(client, made)
        assert 0 < before <= written
        fill(client, made, 8)
        wait_until(lambda: log_start(client, made) > written, DEADLINE_S, "older segments are dropped")
        assert log_start(client, other) == 0
    broker.stop()


def test_segment_bytes(start_broker: StartBroker, topic: str) -> None:
    """Smaller segments can be dropped where one large one cannot."""
    broker = start_broker(arguments=OFTEN)
    with Client(broker.address) as client:
        made = client.create(topic, retention_ms="-1", retention_bytes=str(MIB))
        written = fill(client, made, 6)
        assert log_start(client, made) == 0
        change(client, made, segment_bytes=str(MIB))
        fill(client, made, 6)
        wait_until(lambda: log_start(client, made) >= written, DEADLINE_S, "the large segment is dropped")
    broker.stop()


def test_what_is_taken(start_broker: StartBroker, topic: str) -> None:
    """Sizes, times and codecs of what is produced."""
    broker = start_broker()

    def check(client: Client, made: Topic) -> None:
        data = batch(*[b"x" * 40] * 20)
        assert client.produce(made, batch(b"x" * 1_000)).error_code == Error.MESSAGE_TOO_LARGE
        placed = client.produce(made, data)
        assert (placed.error_code, placed.log_append_time_ms > LONG_AGO_MS) == (Error.NONE, True)
        assert codecs_of(client.fetch(made, placed.base_offset).records) == ["gzip"]

    with Client(broker.address) as client:
        made = client.create(topic)
        assert client.produce(made, batch(b"x" * 1_000)).error_code == Error.NONE
        change(
            client,
            made,
            max_message_bytes="1050",
            message_timestamp_type="LogAppendTime",
            compression_type="gzip",
        )
        wait_until(
            lambda: client.produce(made, batch(b"x" * 1_000)).error_code == Error.MESSAGE_TOO_LARGE,
            DEADLINE_S,
            "the change holds",
        )
        check(client, made)
    broker.kill()
    broker.start()
    with Client(broker.address) as client:
        wait_until(lambda: client._is_led(topic, 1), DEADLINE_S, "the topic is led")
        check(client, made)
        change(client, made, max_message_bytes=None, message_timestamp_type=None, compression_type=None)
        wait_until(
            lambda: client.produce(made, batch(b"x" * 1_000)).error_code == Error.NONE, DEADLINE_S, "the defaults hold"
        )
    broker.stop()


def files(broker: BrokerProcess, topic: Topic, kind: str) -> list[Path]:
    """The files of a topic's partition 0."""
    directories = broker.data_dir.glob("topics/*/0")
    found = {each.parent.name: each for each in directories}
    (mine,) = (path for name, path in found.items() if name == topic_id(topic))
    return sorted(mine.glob(f"*.{kind}"))


def topic_id(topic: Topic) -> str:
    """A topic's id as directories have it."""
    return urlsafe_b64encode(topic.id.bytes).decode().rstrip("=")


@pytest.mark.wiber_only("Kafka's files are Kafka's")
def test_segment_ms(start_broker: StartBroker, topic: str) -> None:
    """Batches whose times lie far apart share a segment before the change, and none after it."""
    broker = start_broker()

    def write(client: Client, made: Topic, seconds: range) -> None:
        for second in seconds:
            placed = client.produce(made, batch(b"x", timestamp=LONG_AGO_MS + second * 10 * SECOND_MS))
            assert placed.error_code == Error.NONE

    keep = {"retention_ms": "-1"}
    with Client(broker.address) as client:
        made, other = client.create(topic, **keep), client.create(f"{topic}-other", **keep)
        for each in (made, other):
            write(client, each, range(4))
    broker.stop()
    assert [len(files(broker, each, "log")) for each in (made, other)] == [1, 1]
    broker.start()
    with Client(broker.address) as client:
        change(client, made, segment_ms=str(SECOND_MS))
        for each in (made, other):
            write(client, each, range(4, 8))
    broker.stop()
    assert [len(files(broker, each, "log")) for each in (made, other)] == [5, 1]
    broker.start()
    with Client(broker.address) as client:
        for each in (made, other):
            write(client, each, range(8, 10))
    broker.stop()
    assert [len(files(broker, each, "log")) for each in (made, other)] == [7, 1]


@pytest.mark.wiber_only("Kafka's files are Kafka's")
def test_index_interval_bytes(start_broker: StartBroker, topic: str) -> None:
    """The indexes of segments that are full are as dense as the setting says, from the change on."""
    broker = start_broker()
    keep = {"retention_ms": "-1", "segment_bytes": str(MIB)}

    def grow() -> list[int]:
        """Writes some segments: by how much the indexes have grown then."""
        before = sizes()
        with Client(broker.address) as client:
            for each in (made, other):
                for _ in range(240):
                    assert client.produce(each, batch(bytes(10_000))).error_code == Error.NONE
        broker.stop()
        return [after - size for after, size in zip(sizes(), before, strict=True)]

    def sizes() -> list[int]:
        return [sum(path.stat().st_size for path in files(broker, each, "index")) for each in (made, other)]

    with Client(broker.address) as client:
        made, other = client.create(topic, **keep), client.create(f"{topic}-other", **keep)
        for each in (made, other):
            assert client.produce(each, batch(b"x")).error_code == Error.NONE
    broker.stop()
    broker.start()
    dense = grow()
    assert dense[0] == dense[1] > 0
    broker.start()
    with Client(broker.address) as client:
        change(client, made, index_interval_bytes="500000")
    sparse = grow()
    assert sparse[0] < sparse[1] / 3
    broker.start()
    sparse = grow()
    assert sparse[0] < sparse[1] / 3
