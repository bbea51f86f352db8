"""What was sent, what was acknowledged, and the check of a log against it.

A record carries its sender and its number, and its value follows from them and the seed: so nothing but numbers is
kept, and any byte that differs is found.
"""

import random
import struct
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

UNREPORTED = -1
"""The client has said nothing of the record yet."""
FAILED = -2
"""The client gave the record up: it may be in the log once, or not."""

KEY = struct.Struct(">HQ")
"""A record's key: its producer and its number."""

_POOL_BYTES = 4 << 20
_LARGEST_VALUE_BYTES = 1 << 20
_UNIQUE_BYTES = 8
_MULTIPLIER = 0x9E37_79B9_7F4A_7C15  # Spreads consecutive numbers over the pool.


class Values:
    """The value of every record, from the seed, the producer and the number.

    It opens with eight bytes that no other record has; about half of the rest compresses.
    """

    def __init__(self, seed: int, smallest_bytes: int, largest_bytes: int) -> None:
        """Sizes lie between the two, evenly."""
        assert _UNIQUE_BYTES <= smallest_bytes <= largest_bytes <= _LARGEST_VALUE_BYTES
        source = random.Random(seed)
        chunks = (source.randbytes(128) + bytes([source.randrange(256)]) * 128 for _ in range(_POOL_BYTES // 256))
        self._pool = b"".join(chunks)
        self._smallest = smallest_bytes
        self._spread = largest_bytes - smallest_bytes + 1

    def value(self, producer: int, number: int) -> bytes:
        """The bytes of one record."""
        mixed = ((producer << 40) + number + 1) * _MULTIPLIER & (1 << 64) - 1
        start = (mixed >> 32) % (_POOL_BYTES - _LARGEST_VALUE_BYTES)
        size = self._smallest + (mixed >> 8 & 0xFF_FFFF) % self._spread
        return mixed.to_bytes(_UNIQUE_BYTES) + self._pool[start : start + size - _UNIQUE_BYTES]


@dataclass
class ProducerHistory:
    """One producer's records by number: the partition of each, and its acknowledged offset or what became of it."""

    partitions: array = field(default_factory=lambda: array("i"))
    offsets: array = field(default_factory=lambda: array("q"))

    def sent(self, partition: int) -> int:
        """Notes a record that is about to be sent; returns its number."""
        self.partitions.append(partition)
        self.offsets.append(UNREPORTED)
        return len(self.offsets) - 1

    def acknowledged(self) -> int:
        """How many records were acknowledged."""
        return sum(offset >= 0 for offset in self.offsets)

    def save(self, path: Path) -> None:
        """Writes the history to a file."""
        with path.open("wb") as file:
            file.write(struct.pack("q", len(self.offsets)))
            self.partitions.tofile(file)
            self.offsets.tofile(file)

    @classmethod
    def load(cls, path: Path) -> "ProducerHistory":
        """Reads what `save` wrote."""
        history = cls()
        with path.open("rb") as file:
            (count,) = struct.unpack("q", file.read(8))
            history.partitions.fromfile(file, count)
            history.offsets.fromfile(file, count)
        return history


@dataclass(frozen=True)
class LogRecord:
    """A record as it was read back; `intact` says whether its value is the one that was sent."""

    partition: int
    offset: int
    producer: int
    number: int
    intact: bool = True


Position = tuple[int, int]
"""A partition and an offset."""
Identity = tuple[int, int]
"""A producer and a number."""


class Checker:
    """Checks a log, partition by partition in offset order, against the histories of its producers.

    Every acknowledged record is there once, at its acknowledged offset; one that was given up at most once; each
    producer's records keep their order within a partition; offsets have no gaps; values are intact; nothing is there
    that nobody sent.
    """

    MAX_REPORTED = 5
    """Violations of each kind that are told in full."""

    def __init__(self, histories: Mapping[int, ProducerHistory]) -> None:
        """`histories` by producer."""
        self._histories = histories
        self._seen = {producer: bytearray(len(history.offsets)) for producer, history in histories.items()}
        self._next_offset: dict[int, int] = defaultdict(int)
        self._last_number: dict[Position, int] = {}
        self._log: dict[int, array] = defaultdict(lambda: array("q"))
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()
        self.records = 0

    def _violation(self, kind: str, record: LogRecord | str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= self.MAX_REPORTED:
            self.violations.append(f"{kind}: {record}")

    def record(self, record: LogRecord) -> None:
        """Takes the next record of a partition."""
        self.records += 1
        partition, producer, number = record.partition, record.producer, record.number
        if record.offset != self._next_offset[partition]:
            self._violation("gap", f"{record}, expected offset {self._next_offset[partition]}")
        self._next_offset[partition] = record.offset + 1
        log = self._log[partition]
        log.extend([-1] * (record.offset - len(log)))
        log.append(producer << 48 | number)

        history = self._histories.get(producer)
        if history is None or number >= len(history.offsets) or history.partitions[number] != partition:
            self._violation("phantom", record)
            return
        if not record.intact:
            self._violation("corrupt", record)
        if self._seen[producer][number]:
            self._violation("duplicate", record)
            return
        self._seen[producer][number] = 1
        acknowledged = history.offsets[number]
        if acknowledged >= 0 and acknowledged != record.offset:
            self._violation("moved", f"{record}, acknowledged at offset {acknowledged}")
        previous = self._last_number.get((producer, partition), -1)
        if number < previous:
            self._violation("reordered", f"{record}, after number {previous}")
        self._last_number[producer, partition] = max(number, previous)

    def followed(self, partition: int, identities: Iterable[int]) -> None:
        """Compares what a consumer had read of a partition meanwhile, from offset 0 on: it must still be there.

        To be called after every record was taken.
        """
        log = self._log[partition]
        for offset, identity in enumerate(identities):
            if offset >= len(log) or log[offset] != identity:
                now = f"{log[offset]:#x}" if offset < len(log) else "nothing"
                was = f"partition {partition}, offset {offset}: read {identity:#x} before, {now} now"
                self._violation("unstable read", was)

    def finish(self) -> None:
        """Looks for acknowledged records that never came."""
        for producer, history in self._histories.items():
            seen = self._seen[producer]
            for number, offset in enumerate(history.offsets):
                if offset >= 0 and not seen[number]:
                    partition = history.partitions[number]
                    self._violation("lost", LogRecord(partition, offset, producer, number))


def identity_of(key: bytes) -> Identity:
    """The producer and the number in a record's key; a foreign key gives an identity that nobody has."""
    if len(key) != KEY.size:
        return (0xFFFF, 0)
    producer, number = KEY.unpack(key)
    return producer, number
