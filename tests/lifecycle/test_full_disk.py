"""A full disk, on a small filesystem: writes are refused, reads go on, the broker stops, starts and recovers on it."""

import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from broker_process import BrokerProcess
from clients.librdkafka import (
    Record,
    alter_topic,
    consume_all,
    create_topic,
    delete_records,
    delete_topic,
    produce,
    produce_all,
)
from conftest import StartBroker
from protocol.client import Client, Error
from protocol.records import batch

pytestmark = pytest.mark.wiber_only("Kafka stops when its disk is full")

DISK_BYTES = 256 << 20
RECORD_BYTES = 100_000
BATCH_RECORDS = 100
BALLAST_RECORDS = 300
REFUSAL_TIMEOUT_MS = 4_000


FILESYSTEMS = {
    "tmpfs": 'mount -t tmpfs -o size="$2" tmpfs "$1"',
    "ext4": 'truncate -s "$2" "$1.image" && mkfs.ext4 -q -m 0 "$1.image" && mount -o loop "$1.image" "$1"',
}
"""How each is made and mounted on `$1`, with `$2` bytes."""
if os.environ.get("WIBER_TEST_WITHOUT_LOOP"):
    # Loop devices need root. Who has none must say so: what is left out unasked would pass for tested.
    del FILESYSTEMS["ext4"]


class SmallDisk:
    """A small filesystem in a mount namespace of its own, which is gone when the namespace is."""

    def __init__(self, directory: Path, size_bytes: int, filesystem: str = "tmpfs") -> None:
        """Mounts it on `directory`, for those processes alone that are run with `prefix`."""
        self.directory = directory
        as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        script = f"{FILESYSTEMS[filesystem]} && echo mounted && exec cat"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", *as_root, "sh", "-c", script, "sh", str(directory), str(size_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"mounted\n", "nothing could be mounted"
        as_root = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self.prefix = ["nsenter", f"--target={self._holder.pid}", "--mount", *as_root, "--"]

    def fill(self) -> None:
        """Takes all that is free, to the last byte."""
        for number, size in enumerate(("1M", "4k", "1")):
            fill = f"dd if=/dev/zero of=filler-{number} bs={size} status=none"
            command = [*self.prefix, "sh", "-c", f'cd "$1" && {fill}', "sh", str(self.directory)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert "No space left" in done.stderr

    def close(self) -> None:
        """Ends the namespace."""
        self._holder.communicate()
        self.directory.with_name(f"{self.directory.name}.image").unlink(missing_ok=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk on the directory `disk` of the test."""
    (tmp_path / "disk").mkdir()
    disk = SmallDisk(tmp_path / "disk", DISK_BYTES)
    yield disk
    disk.close()


@pytest.mark.timeout(300)
def test_full_disk(start_broker: StartBroker, small_disk: SmallDisk, tmp_path: Path, topic: str) -> None:
    """What was acknowledged stays readable, what is refused leaves no trace; room that is made is used."""
    source = random.Random(21)
    broker = start_broker(data_dir=tmp_path / "disk" / "data", prefix=small_disk.prefix)
    create_topic(broker.address, topic)
    for number in (1, 2):
        ballast = [Record(source.randbytes(RECORD_BYTES)) for _ in range(BALLAST_RECORDS)]
        produce_all(broker.address, f"{topic}-ballast-{number}", ballast)
    kept: dict[int, bytes] = {}

    def fill() -> int:
        """Produces until a record is refused; returns how many were acknowledged before."""
        before = len(kept)
        for _ in range(2 * DISK_BYTES // (BATCH_RECORDS * RECORD_BYTES)):
            values = [source.randbytes(RECORD_BYTES) for _ in range(BATCH_RECORDS)]
            settings = {"enable_idempotence": True, "message_timeout_ms": REFUSAL_TIMEOUT_MS}
            deliveries = produce(broker.address, topic, map(Record, values), **settings)
            kept.update({it.offset: value for it, value in zip(deliveries, values, strict=True) if not it.error})
            errors = {delivery.error.code() for delivery in deliveries if delivery.error}
            if errors:
                assert errors <= {KafkaError._MSG_TIMED_OUT, KafkaError.KAFKA_STORAGE_ERROR}
                return len(kept) - before
        raise AssertionError("the disk never filled up")

    def check() -> None:
        """Reads everything that was acknowledged."""
        assert broker.running(), broker.log_tail()
        got = {message.offset(): message.value() for message in consume_all(broker.address, topic)}
        assert {offset: got.get(offset) for offset in kept} == kept

    def make_room(number: int, *, keep_topic: bool = False) -> None:
        """Deletes a topic, or its records, after which others are written to again."""
        ballast = f"{topic}-ballast-{number}"
        if keep_topic:
            delete_records(broker.address, ballast)
            assert consume_all(broker.address, ballast) == []
        else:
            delete_topic(broker.address, ballast)
        values = [source.randbytes(RECORD_BYTES) for _ in range(BALLAST_RECORDS // 10)]
        produce_all(broker.address, f"{topic}-new-{number}", map(Record, values), message_timeout_ms=20_000)
        got = [message.value() for message in consume_all(broker.address, f"{topic}-new-{number}")]
        assert got == values

    assert fill() * RECORD_BYTES > DISK_BYTES / 8, "the disk was called full too early"
    check()
    assert re.search("no space|disk is full|out of space", broker.log()), "the log says nothing of the full disk"
    make_room(1, keep_topic=True)
    fill()
    check()
    broker.stop()
    broker.start()
    check()
    broker.kill()
    broker.start()
    check()
    make_room(2)
    check()
    broker.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize("end", [BrokerProcess.stop, BrokerProcess.kill], ids=lambda end: end.__name__)
def test_a_start_on_a_full_disk(
    start_broker: StartBroker, tmp_path: Path, topic: str, end: Callable[[BrokerProcess], object], filesystem: str
) -> None:
    """Full to the last byte, the broker starts, serves reads and deletes a topic, after which it takes writes again."""
    (tmp_path / "disk").mkdir()
    disk = SmallDisk(tmp_path / "disk", DISK_BYTES, filesystem)
    source = random.Random(34)
    try:
        broker = start_broker(data_dir=disk.directory / "data", prefix=disk.prefix)
        ballast = [Record(source.randbytes(RECORD_BYTES)) for _ in range(BALLAST_RECORDS)]
        produce_all(broker.address, f"{topic}-ballast", ballast)
        kept = [source.randbytes(RECORD_BYTES) for _ in range(50)]
        produce_all(broker.address, topic, map(Record, kept))
        for _ in range(2):
            end(broker)
            disk.fill()
            broker.start()
            assert [message.value() for message in consume_all(broker.address, topic)] == kept
        delete_topic(broker.address, f"{topic}-ballast")
        values = [source.randbytes(RECORD_BYTES) for _ in range(BALLAST_RECORDS // 10)]
        produce_all(broker.address, topic, map(Record, values), message_timeout_ms=20_000)
        assert [message.value() for message in consume_all(broker.address, topic)] == kept + values
        broker.stop()
        broker.start()
        assert [message.value() for message in consume_all(broker.address, topic)] == kept + values
        broker.stop()
    finally:
        disk.close()


OTHER_REQUESTS = {
    "ApiVersions": lambda topic: (3, {"client_software_name": "test", "client_software_version": "1"}),
    "Metadata": lambda topic: (12, {"topics": [{"name": topic}], "allow_auto_topic_creation": False}),
    "ListOffsets": lambda topic: (
        7,
        {"replica_id": -1, "topics": [{"name": topic, "partitions": [{"partition_index": 0, "timestamp": -1}]}]},
    ),
    "DescribeConfigs": lambda topic: (4, {"resources": [{"resource_type": 2, "resource_name": topic}]}),
    "DescribeLogDirs": lambda topic: (4, {"topics": None}),
    "DescribeCluster": lambda topic: (1, {}),
    "InitProducerId": lambda topic: (4, {"transactional_id": None, "transaction_timeout_ms": 1_000}),
}
"""By API: a version and the fields of a request that a full disk does not keep from being served."""


ROOM = {
    "retention.ms": lambda address, topic: alter_topic(address, topic, retention_ms="1"),
    "retention.bytes": lambda address, topic: alter_topic(address, topic, retention_bytes="1000000"),
    "DeleteRecords": delete_records,
    "DeleteTopics": delete_topic,
}
"""What makes room on a full disk."""


def fresh(value: bytes) -> bytes:
    """A batch of one record that retention leaves alone."""
    return batch(value, timestamp=int(time.time() * 1000))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("filesystem", "how"),
    [("tmpfs", how) for how in ROOM] + [(name, "retention.bytes") for name in FILESYSTEMS if name != "tmpfs"],
)
def test_room_that_is_made(start_broker: StartBroker, tmp_path: Path, topic: str, filesystem: str, how: str) -> None:
    """On a full disk all but writes is served; each way to make room brings writes back, without a restart."""
    (tmp_path / "disk").mkdir()
    disk = SmallDisk(tmp_path / "disk", DISK_BYTES, filesystem)
    source = random.Random(55)
    try:
        broker = start_broker(
            data_dir=disk.directory / "data",
            prefix=disk.prefix,
            arguments=["--set", "log.retention.check.interval.ms=200"],
        )
        address = broker.address
        ballast = [Record(source.randbytes(RECORD_BYTES)) for _ in range(BALLAST_RECORDS)]
        create_topic(address, f"{topic}-ballast", segment_bytes="4000000")
        produce_all(address, f"{topic}-ballast", ballast)
        with Client(address) as client:
            made = client.create(topic)
            kept: list[bytes] = []
            disk.fill()
            # Some room the log has from before.
            while (value := source.randbytes(RECORD_BYTES)) and len(kept) < DISK_BYTES // RECORD_BYTES:
                placed = client.produce(made, fresh(value))
                if placed.error_code != Error.NONE:
                    break
                kept.append(value)
            assert (placed.error_code, placed.base_offset) == (Error.KAFKA_STORAGE_ERROR, -1)

            def check() -> None:
                assert [message.value() for message in consume_all(address, topic)] == kept

            check()
            assert len(consume_all(address, f"{topic}-ballast")) == BALLAST_RECORDS
            for api, body in OTHER_REQUESTS.items():
                version, fields = body(topic)
                client.ask(api, version, **fields)
            assert client.produce(made, fresh(b"x" * RECORD_BYTES)).error_code == Error.KAFKA_STORAGE_ERROR
            assert client.produce(made, fresh(b"small"), acks=1).error_code == Error.KAFKA_STORAGE_ERROR

            ROOM[how](address, f"{topic}-ballast")
            values = [source.randbytes(RECORD_BYTES) for _ in range(BALLAST_RECORDS // 10)]
            settings = {"enable_idempotence": True, "message_timeout_ms": 30_000}
            offsets = produce_all(address, topic, map(Record, values), **settings)
            assert offsets == list(range(len(kept), len(kept) + len(values))), "a refused record left a trace"
            kept += values
            check()
        broker.stop()
        broker.start()
        check()
        broker.stop()
    finally:
        disk.close()
