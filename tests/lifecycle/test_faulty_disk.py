"""A disk that is slow, that stalls, that does not read or write: what is served, what is not, what is told."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Message, Producer, TopicPartition

from broker_process import BrokerProcess, wait_until
from clients.librdkafka import DEADLINE_S, Record, consume_all, consumer, create_topic, produce_all
from conftest import StartBroker
from lifecycle.faulty_disk import FaultyDisk
from lifecycle.load import Load
from protocol.client import Client, Error
from wire import Connection

pytestmark = pytest.mark.wiber_only("Kafka acknowledges before it syncs, and other files are read, written and synced")

KAFKA_STORAGE_ERROR = 56
SYNC_S = 0.3
STALL_S = 4.0
SEGMENT = "data/topics/*.log"
WAL = "data/wal/*"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultyDisk]:
    """A faulty disk on the directory `disk` of the test, on which nothing fails yet."""
    disk = FaultyDisk(tmp_path / "disk")
    yield disk
    disk.close()


@pytest.fixture
def broker_on(start_broker: StartBroker, disk: FaultyDisk) -> BrokerProcess:
    """A broker whose data is on the faulty disk."""
    return start_broker(data_dir=disk.directory / "data", prefix=disk.prefix)


class Outbox:
    """A producer and what became of each record."""

    def __init__(self, address: str, topic: str, **settings: object) -> None:
        """Settings have `_` for `.`."""
        self.placed: dict[bytes, int] = {}
        self.errors: list[KafkaError] = []
        self.took_s: list[float] = []
        self._topic = topic
        config = {"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 0, "log_level": 2}
        self.producer = Producer(config | {name.replace("_", "."): value for name, value in settings.items()})

    def send(self, value: bytes) -> None:
        """Sends and does not wait."""
        begun = time.monotonic()

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.errors.append(error)
                return
            self.took_s.append(time.monotonic() - begun)
            self.placed[message.value()] = message.offset()

        self.producer.produce(self._topic, value, partition=0, on_delivery=delivered)
        self.producer.poll(0)


def values_of(address: str, topic: str, partition: int = 0) -> list[bytes | None]:
    """All values that consumers see."""
    return [message.value() for message in consume_all(address, topic, partition)]


def end_of(address: str, topic: str) -> int:
    """The high watermark."""
    with Connection(address) as connection:
        return connection.fetch(topic, 0, 0).high_watermark


def test_a_slow_disk(broker_on: BrokerProcess, disk: FaultyDisk, topic: str) -> None:
    """Each sync takes long: no record is acknowledged earlier, many share one, and reads do not wait."""
    address = broker_on.address
    create_topic(address, topic)
    old = [Record(b"old %d" % number) for number in range(500)]
    produce_all(address, topic, old)
    with disk.ruled({"operation": "sync", "path": "*", "wait_s": SYNC_S}):
        slow = Outbox(address, topic)
        for number in range(5):
            slow.send(b"slow %d" % number)
            assert slow.producer.flush(DEADLINE_S) == 0
        assert min(slow.took_s) >= SYNC_S

        begun = time.monotonic()
        many = [Record(b"many %d" % number) for number in range(5_000)]
        produce_all(address, topic, many, enable_idempotence=True)
        assert time.monotonic() - begun < 100 * SYNC_S, "records share syncs"

        load = Load(address, topic)
        took_s = []
        with Connection(address) as connection:
            for _ in range(21):
                begun = time.monotonic()
                assert connection.fetch(topic, 0, 0).records
                assert connection.api_versions()
                took_s.append(time.monotonic() - begun)
        assert sorted(took_s)[10] < SYNC_S / 4, "reads wait for syncs"
        load.wait_for_more(100)
        load.stop()
    expected = [record.value for record in old] + [b"slow %d" % number for number in range(5)]
    expected += [record.value for record in many]
    assert values_of(address, topic)[: len(expected)] == expected
    broker_on.stop()


def test_a_stalled_disk(broker_on: BrokerProcess, disk: FaultyDisk, topic: str) -> None:
    """No sync returns: nothing new is acknowledged or seen, and all else is served.

    Clients time out and send again. When the disk goes on, each record is there once.
    """
    address = broker_on.address
    create_topic(address, topic)
    old = [Record(b"old %d" % number) for number in range(500)]
    produce_all(address, topic, old)
    # Twice: once the requests' own time limit passes, once the client's.
    impatient = Outbox(address, topic, request_timeout_ms=500, retry_backoff_ms=50)
    deaf = Outbox(address, topic, socket_timeout_ms=1_000, request_timeout_ms=900, retry_backoff_ms=50)
    with disk.ruled({"operation": "sync", "path": "*", "hold": True}):
        begun = time.monotonic()
        number = 0
        while time.monotonic() - begun < STALL_S:
            impatient.send(b"impatient %d" % number)
            deaf.send(b"deaf %d" % number)
            number += 1
            assert end_of(address, topic) == len(old)
            assert values_of(address, topic) == [record.value for record in old]
            with consumer(address) as client:
                assert client.list_topics(topic, DEADLINE_S).topics[topic].error is None
                assert client.get_watermark_offsets(TopicPartition(topic, 0), DEADLINE_S) == (0, len(old))
            with Client(address) as client:
                both = [{"name": name} for name in (topic, f"{topic}-new")]
                found = client.ask("Metadata", 12, topics=both, allow_auto_topic_creation=True).topics
                assert [each.error_code for each in found] == [Error.NONE, Error.UNKNOWN_TOPIC_OR_PARTITION]
            impatient.producer.poll(0.1)
            deaf.producer.poll(0)
        assert impatient.placed == deaf.placed == {}
        assert impatient.errors == deaf.errors == []
    assert impatient.producer.flush(DEADLINE_S) == 0
    assert deaf.producer.flush(DEADLINE_S) == 0
    assert impatient.errors == deaf.errors == []
    got = values_of(address, topic)[len(old) :]
    for outbox, name in ((impatient, b"impatient"), (deaf, b"deaf")):
        expected = [b"%s %d" % (name, each) for each in range(number)]
        assert [value for value in got if value.startswith(name)] == expected
        assert {value: got.index(value) + len(old) for value in expected} == outbox.placed
    assert len(got) == 2 * number
    with Client(address) as client:
        assert client.metadata(f"{topic}-new").error_code == Error.NONE, "what was asked for meanwhile is made"
    broker_on.stop()


def test_a_stalled_disk_answers_that_it_timed_out(broker_on: BrokerProcess, disk: FaultyDisk, topic: str) -> None:
    """Who names a time limit is told when it has passed, and that it may have to send again."""
    address = broker_on.address
    create_topic(address, topic)
    produce_all(address, topic, [Record(b"old")])
    hopeless = Outbox(
        address, topic, request_timeout_ms=300, message_timeout_ms=2_000, enable_idempotence=False, retries=0
    )
    with disk.ruled({"operation": "sync", "path": "*", "hold": True}):
        hopeless.send(b"new")
        assert hopeless.producer.flush(DEADLINE_S) == 0
        assert [error.code() for error in hopeless.errors] == [KafkaError.REQUEST_TIMED_OUT]
        assert values_of(address, topic) == [b"old"]
    wait_until(lambda: values_of(address, topic) == [b"old", b"new"], DEADLINE_S, "the record lands all the same")
    broker_on.stop()


BATCHES = 120
BATCH_BYTES = 30_000
"""A batch's record; with its header and the like a batch is a little larger, and all are of one size."""


def by_offset(address: str, topic: str) -> dict[int, int]:
    """For each offset the error of a fetch there, and 0 where its own batch came."""
    errors = {}
    with Connection(address) as connection:
        for offset in range(BATCHES):
            fetched = connection.fetch(topic, 0, offset)
            errors[offset] = fetched.error_code
            if not fetched.error_code:
                batches = fetched.batches()
                assert batches[0].base_offset == offset
                assert b"%06d" % offset in fetched.records
    return errors


def test_cold_data_that_cannot_be_read(broker_on: BrokerProcess, disk: FaultyDisk, topic: str) -> None:
    """The records in the bad range are refused and named in the log; what lies around them, and all else, is served."""
    address = broker_on.address
    create_topic(address, topic, partitions=2)
    values = [b"%06d" % number * (BATCH_BYTES // 6) for number in range(BATCHES)]
    for partition in (0, 1):
        for value in values:
            produce_all(address, topic, [Record(value)], partition=partition, linger_ms=0)
    broker_on.stop()
    broker_on.start()  # Nothing is in memory now.
    (file,) = (Path(f"{disk.directory}.backing")).glob("data/topics/*/0/*.log")
    path = str(file.relative_to(f"{disk.directory}.backing"))
    batch_bytes = file.stat().st_size // BATCHES
    start, end = 1_000_000, 1_000_000 + 2 * BATCH_BYTES
    hit = set(range(start // batch_bytes, (end - 1) // batch_bytes + 1))
    with disk.ruled({"operation": "read", "path": "data/topics/*.index", "error": "EIO"}):
        assert values_of(address, topic) == values, "without an index, the way only is longer"
    broker_on.stop()
    broker_on.start()
    with disk.ruled({"operation": "read", "path": path, "start": start, "end": end, "error": "EIO"}):
        errors = by_offset(address, topic)
        assert {offset for offset, error in errors.items() if error} == hit
        assert {errors[offset] for offset in hit} == {KAFKA_STORAGE_ERROR}
        named = rf"WARN .*cannot read {re.escape(path.removeprefix('data/'))} at byte (\d+): .*Input/output error"
        assert by_offset(address, topic) == errors
        # Once each, however often they are asked for.
        told = sorted(int(byte) // batch_bytes for byte in re.findall(named, broker_on.log()))
        assert told == sorted(hit), broker_on.log_tail()
        assert values_of(address, topic, 1) == values
        behind = consume_all(address, topic, offset=max(hit) + 1)
        assert [message.value() for message in behind] == values[max(hit) + 1 :]
        assert produce_all(address, topic, [Record(b"new")]) == [BATCHES]
        assert [message.value() for message in consume_all(address, topic, offset=BATCHES)] == [b"new"]
    assert set(by_offset(address, topic).values()) == {0}, "what can be read again is served again"
    broker_on.stop()


@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize("path", [WAL, SEGMENT], ids=["wal", "segment"])
def test_a_failure_to_write_or_sync(
    broker_on: BrokerProcess, disk: FaultyDisk, topic: str, path: str, operation: str
) -> None:
    """It ends the process, with one line that says what failed; the next start has all that was acknowledged."""
    create_topic(broker_on.address, topic, partitions=2)
    load = Load(broker_on.address, topic, partitions=2, value_bytes=20_000)
    load.wait_for_more(200)
    with disk.ruled({"operation": operation, "path": path, "error": "EIO"}):
        code = broker_on.wait(DEADLINE_S)
    assert code == 1
    *_, line = broker_on.log().splitlines()
    where = r"write-ahead log: .*wal/\d+\.wal" if path == WAL else r"topics/\S+\.log"
    assert re.fullmatch(rf"wiber: .*{where}: Input/output error \(os error 5\)", line), broker_on.log_tail()
    assert " ERROR " not in broker_on.log()
    assert "panicked" not in broker_on.log()
    broker_on.start()
    load.wait_for_more(200)
    load.finish(broker_on.address)
    broker_on.stop()


@pytest.mark.parametrize("path", ["wal/*", "checkpoint", "wiber.format"])
def test_a_start_that_cannot_read(broker_on: BrokerProcess, disk: FaultyDisk, topic: str, path: str) -> None:
    """It says what it cannot read, and ends, and takes nothing unread for the end of the log: a later start has all."""
    create_topic(broker_on.address, topic)
    load = Load(broker_on.address, topic)
    load.wait_for_more(500)
    broker_on.stop()
    broker_on.start()
    load.wait_for_more(500)
    broker_on.kill()
    with disk.ruled({"operation": "read", "path": f"data/{path}", "error": "EIO"}):
        broker_on.spawn()
        assert broker_on.wait(DEADLINE_S) == 1
        *_, line = broker_on.log().splitlines()
        assert re.fullmatch(rf"wiber: .*{path.replace('*', '')}.*: Input/output error \(os error 5\)", line), line
    broker_on.start()
    load.wait_for_more(500)
    load.finish(broker_on.address)
    broker_on.stop()
