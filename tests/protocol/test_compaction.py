"""Compacted topics: what stays of a log, what readers get of it, and what is refused."""

import struct
import time
from itertools import pairwise

import pytest

from broker_process import BrokerProcess, wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error, Topic, fetch_body
from protocol.records import Record, batch, keyed, records_of
from protocol.schema import versions
from protocol.test_alter_configs import SET, alter, edits
from protocol.test_configs import BROKER
from protocol.test_produce import producer_id

EARLIEST, LATEST, MAX_TIMESTAMP = -2, -1, -3
CLEANER = [
    "--set", "log.cleaner.backoff.ms=50",
    "--set", "log.retention.check.interval.ms=100",
    "--set", "log.initial.task.delay.ms=100",
]  # fmt: skip
"""The cleaner looks often enough for a test."""
COMPACTED = {"cleanup_policy": "compact", "min_cleanable_dirty_ratio": "0.01", "segment_ms": "100"}
"""Each batch of `put` begins a segment of its own."""
STEP_MS = 1_000
COMPACTS_IN_S = 40.0


def now_ms() -> int:
    """The time, on this machine's clock."""
    return time.time_ns() // 1_000_000


class Log:
    """A compacted partition and what was written to it; batches lie so far apart in time that each ends a segment."""

    def __init__(self, client: Client, topic: Topic) -> None:
        """An empty one."""
        self.client, self.topic = client, topic
        self.time = now_ms() - 10_000_000
        self.written: list[Record] = []

    def put(self, *records: tuple[str, str | None], **names: int) -> None:
        """Writes a batch of keys and values."""
        self.time += STEP_MS
        pairs = [(key.encode(), None if value is None else value.encode()) for key, value in records]
        data = keyed(*pairs, timestamp=self.time, **names)
        placed = self.client.produce(self.topic, data)
        assert (placed.error_code, placed.base_offset) == (Error.NONE, len(self.written)), placed
        for key, value in pairs:
            self.written.append(Record(len(self.written), self.time, key, value))

    def read(self, offset: int = 0) -> list[Record]:
        """All records from an offset on; a reader gets to the end."""
        found: list[Record] = []
        while True:
            answer = self.client.fetch(self.topic, offset)
            assert answer.error_code == Error.NONE
            found += [record for record in records_of(answer.records) if record.offset >= offset]
            if offset >= answer.high_watermark:
                assert all(one.offset < other.offset for one, other in pairwise(found))
                return [Record(r.offset, r.timestamp, r.key, r.value) for r in found]
            assert answer.records, f"nothing comes from offset {offset} on, and there is more"
            offset = end_of(answer.records)

    def left(self, before: int) -> list[Record]:
        """What compaction leaves of what was written, if it takes all before an offset."""
        newest = {record.key: record.offset for record in self.written[:before]}
        return [r for r in self.written if r.offset >= before or newest[r.key] == r.offset]

    def wait(self, before: int) -> None:
        """Until all before an offset is compacted."""
        wait_until(
            lambda: self.read() == self.left(before), COMPACTS_IN_S, f"{self.topic.name} is compacted to {before}"
        )


def end_of(data: bytes) -> int:
    """The offset behind the last of some batches."""
    while data:
        base, length = struct.unpack_from(">qi", data)
        (delta,) = struct.unpack_from(">i", data, 23)
        end, data = base + delta + 1, data[12 + length :]
    return end


def offset_at(client: Client, topic: Topic, timestamp: int) -> tuple[int, int]:
    """What ListOffsets says: offset and timestamp."""
    wanted = [{"name": topic.name, "partitions": [{"partition_index": 0, "timestamp": timestamp}]}]
    (found,) = client.ask("ListOffsets", 7, replica_id=-1, topics=wanted).topics
    (partition,) = found.partitions
    assert partition.error_code == Error.NONE
    return partition.offset, partition.timestamp


@pytest.fixture
def cleaner(start_broker: StartBroker) -> BrokerProcess:
    """A broker that compacts soon."""
    return start_broker(arguments=CLEANER)


def test_the_newest_of_each_key_stays(cleaner: BrokerProcess, topic: str) -> None:
    """Offsets and times stay what they were; from every offset on, also one that is gone, readers get what follows."""
    with Client(cleaner.address) as client:
        log = Log(client, client.create(topic, **COMPACTED))
        for turn in range(8):
            log.put(("a", f"a{turn}"), ("b", f"b{turn}"), (f"only {turn}", "x"))
        # The last batch's segment is the active one, which stays as it is.
        log.wait(21)
        left = log.left(21)
        assert len(left) == 2 + 7 + 3
        for offset in range(25):
            assert log.read(offset) == [record for record in left if record.offset >= offset], offset
        assert offset_at(client, log.topic, EARLIEST)[0] == 0
        assert offset_at(client, log.topic, LATEST)[0] == 24
        # By time: the first record that is left and is not older.
        for record in log.written:
            wanted = next(r for r in left if r.timestamp >= record.timestamp)
            assert offset_at(client, log.topic, record.timestamp) == (wanted.offset, wanted.timestamp)
        assert offset_at(client, log.topic, MAX_TIMESTAMP) == (21, log.time)
        wanted = [
            {"topic": log.topic.name, "partitions": [{"partition": 0, "current_leader_epoch": -1, "leader_epoch": 0}]}
        ]
        (ends,) = client.ask("OffsetForLeaderEpoch", 4, replica_id=-1, topics=wanted).topics
        assert ends.partitions[0].end_offset == 24


@pytest.mark.parametrize("kind", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed(cleaner: BrokerProcess, topic: str, kind: str) -> None:
    """What is left of a compressed batch is compressed as it was."""
    with Client(cleaner.address) as client:
        log = Log(client, client.create(topic, compression_type=kind, **COMPACTED))
        for turn in range(4):
            log.put(*[(f"key {each}", f"value {turn} " * 20) for each in range(30) if turn < 2 or each % 2])

        def kept() -> list[int]:
            offset, found = 0, []
            while offset < len(log.written):
                data = client.fetch(log.topic, offset).records
                (length,) = struct.unpack_from(">i", data, 8)
                first = data[: 12 + length]
                (count,) = struct.unpack_from(">i", first, 57)
                (attributes,) = struct.unpack_from(">h", first, 21)
                assert count == 0 or attributes & 7 == ["", "gzip", "snappy", "lz4", "zstd"].index(kind)
                found.append(count)
                offset = end_of(first)
            return found

        # The first batch is gone, of the second the even keys are left, of the third those that nothing follows.
        wait_until(lambda: sum(kept()) == len(log.left(75)), COMPACTS_IN_S, "nothing else is left")


def test_tombstones(cleaner: BrokerProcess, topic: str) -> None:
    """A tombstone goes when it has been there for its time, and the log is compacted anew."""
    with Client(cleaner.address) as client:
        short = client.create(topic, delete_retention_ms="1", **COMPACTED)
        long = client.create(f"{topic}-long", delete_retention_ms="1000000", **COMPACTED)
        for kept, log in ((False, Log(client, short)), (True, Log(client, long))):
            log.put(("a", "1"), ("b", "1"))
            log.put(("a", None), ("b", "2"))
            log.put(("c", "1"))
            wait_until(lambda log=log: [r.value for r in log.read()][:1] != [b"1"], COMPACTS_IN_S, "it is compacted")
            seen = [(r.offset, r.key, r.value) for r in log.read()]
            assert seen[:2] == [(2, b"a", None), (3, b"b", b"2")]
            assert [r.timestamp for r in log.read()] == [log.written[r.offset].timestamp for r in log.read()]
            log.put(("d", "1"))
            log.put(("e", "1"))
            wanted = {True: [2, 3, 4, 5, 6], False: [3, 4, 5, 6]}[kept]
            wait_until(
                lambda log=log, wanted=wanted: [r.offset for r in log.read()] == wanted,
                COMPACTS_IN_S,
                "the tombstone's fate",
            )


def test_lag_and_ratio(cleaner: BrokerProcess, topic: str) -> None:
    """What is too new stays; what has waited for long enough goes, whatever the ratio."""
    with Client(cleaner.address) as client:
        lazy = {**COMPACTED, "min_cleanable_dirty_ratio": "1.0"}
        young = Log(client, client.create(f"{topic}-young", min_compaction_lag_ms="100000000", **COMPACTED))
        few = Log(client, client.create(f"{topic}-few", **lazy))
        late = Log(client, client.create(f"{topic}-late", max_compaction_lag_ms="1000", **lazy))
        done = Log(client, client.create(f"{topic}-done", **COMPACTED))
        for log in (young, few, late, done):
            for turn in range(4):
                log.put(("a", f"{turn}"))
        late.wait(3)
        done.wait(3)
        assert young.read() == young.written
        assert few.read() == few.written


def test_policies_change(cleaner: BrokerProcess, topic: str) -> None:
    """A topic is compacted from when its policy says so; with `delete` beside, retention holds too."""
    from protocol.test_settings_in_force import change, log_start

    with Client(cleaner.address) as client:
        configs = {**COMPACTED, "cleanup_policy": "delete", "retention_ms": "-1"}
        log = Log(client, client.create(topic, **configs))
        for turn in range(4):
            log.put(("a", f"{turn}"), ("b", f"{turn}"))
        change(client, log.topic, cleanup_policy="compact", retention_ms="1")
        log.wait(6)
        assert log_start(client, log.topic) == 0
        change(client, log.topic, cleanup_policy="compact,delete")
        wait_until(lambda: log_start(client, log.topic) >= 6, DEADLINE_S, "old segments are dropped")


def test_producers_are_known(cleaner: BrokerProcess, topic: str) -> None:
    """Of an idempotent producer the last batch stays, if need be empty; what it sends again is recognised."""
    with Client(cleaner.address) as client:
        log = Log(client, client.create(topic, **COMPACTED))
        names = {"producer_id": producer_id(client, 4), "producer_epoch": 0}
        for sequence in range(3):
            log.put(("a", f"{sequence}"), **names, base_sequence=sequence)
        log.put(("a", "newer"))
        log.put(("b", "1"))
        log.wait(4)
        data = client.fetch(log.topic, 0).records
        (producer,) = struct.unpack_from(">q", data, 43)
        assert producer == names["producer_id"]
        assert struct.unpack_from(">qi", data)[0] == 2
        again = keyed((b"a", b"2"), timestamp=log.written[2].timestamp, **names, base_sequence=2)
        placed = client.produce(log.topic, again)
        assert (placed.error_code, placed.base_offset) == (Error.NONE, 2)
        gap = keyed((b"a", b"9"), timestamp=now_ms(), **names, base_sequence=9)
        assert client.produce(log.topic, gap).error_code == Error.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_starts_and_kills(start_broker: StartBroker, topic: str) -> None:
    """What was compacted stays so after a stop, and is so again soon after a kill; and it goes on from where it was."""
    broker = start_broker(arguments=CLEANER)
    with Client(broker.address) as client:
        log = Log(client, client.create(topic, **COMPACTED))
        for turn in range(6):
            log.put(("a", f"{turn}"), ("b", f"{turn}"))
        log.wait(10)
    for end in (broker.stop, broker.kill):
        end()
        broker.start()
        with Client(broker.address) as client:
            log.client = client
            wait_until(lambda: client._is_led(topic, 1), DEADLINE_S, "the topic is led")
            if end == broker.stop:
                assert log.read() == log.left(len(log.written) - 2)
            log.wait(len(log.written) - 2)
            log.put(("a", "more"), ("c", "more"))
            log.wait(len(log.written) - 2)
    broker.stop()


@pytest.mark.parametrize("version", versions("Produce"))
def test_records_need_keys(client: Client, topic: str, version: int) -> None:
    """A record without a key is refused, by its place in the batch, and the batch with it."""
    for policy in ("compact", "compact,delete"):
        made = client.create(f"{topic}-{policy.replace(',', '-')}", cleanup_policy=policy)
        assert client.produce(made, keyed((b"k", b"v"), (b"", None)), version=version).error_code == Error.NONE
        placed = client.produce(made, keyed((b"k", b"v"), (None, b"v"), (None, None)), version=version)
        assert placed.error_code == Error.INVALID_RECORD
        if version >= 8:
            assert [each.batch_index for each in placed.record_errors] == [1, 2]
        assert client.produce(made, batch(b"v"), version=version).error_code == Error.INVALID_RECORD
        answer = client.ask("Fetch", 12, **fetch_body(made, {0: {}}))
        assert answer.responses[0].partitions[0].high_watermark == 2


def test_settings_of_the_cleaner(client: Client) -> None:
    """They change while the broker runs, within bounds: threads by half or double, each with more than 1 MiB."""

    def change(**values: str) -> list[Error]:
        wanted = [(f"log.cleaner.{name.replace('_', '.')}", SET, value) for name, value in values.items()]
        return alter(client, edits(BROKER, "", *wanted))

    assert change(threads="0") == [Error.INVALID_REQUEST]
    assert change(threads="3") == [Error.INVALID_REQUEST]
    assert change(dedupe_buffer_size="1048576") == [Error.INVALID_REQUEST]
    assert change(io_max_bytes_per_second="1000000.5", backoff_ms="100", io_buffer_size="100000") == [Error.NONE]
    assert change(enable="false") == [Error.INVALID_REQUEST]
