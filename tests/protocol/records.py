"""Record batches, format version 2, written and read by hand."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from protocol.schema import Reader, varint
from wire import CODECS

TRANSACTIONAL = 1 << 4
CONTROL = 1 << 5

_CASTAGNOLI = 0x82F63B78


@dataclass(frozen=True)
class Record:
    """A record as a consumer sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    leader_epoch: int = -1
    headers: tuple[tuple[bytes, bytes | None], ...] = ()


@cache
def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_CASTAGNOLI if byte & 1 else 0)
        table.append(byte)
    return table


def crc32c(data: bytes) -> int:
    """The checksum of batches."""
    crc, table = 0xFFFFFFFF, _table()
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _signed(value: int) -> bytes:
    return varint((value << 1 ^ value >> 63) & (2**64 - 1))


def _sized(data: bytes | None) -> bytes:
    return _signed(-1) if data is None else _signed(len(data)) + data


def batch(
    *values: bytes | None,
    step_ms: int = 0,
    headers: Sequence[tuple[bytes, bytes | None]] = (),
    **fields: int,
) -> bytes:
    """An uncompressed batch of records with these values, without keys; fields as of `keyed`."""
    return keyed(*((None, value) for value in values), step_ms=step_ms, headers=headers, **fields)


def keyed(
    *pairs: tuple[bytes | None, bytes | None],
    timestamp: int = 1_000_000,
    step_ms: int = 0,
    attributes: int = 0,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    headers: Sequence[tuple[bytes, bytes | None]] = (),
) -> bytes:
    """An uncompressed batch of records with these keys and values, each `step_ms` later than the one before."""
    tail = _signed(len(headers)) + b"".join(_sized(name) + _sized(value) for name, value in headers)
    records = b""
    for number, (key, value) in enumerate(pairs):
        record = b"\0" + _signed(number * step_ms) + _signed(number) + _sized(key) + _sized(value) + tail
        records += _signed(len(record)) + record
    last = len(pairs) - 1
    times = (timestamp, timestamp + last * step_ms)
    producer = (producer_id, producer_epoch, base_sequence)
    checked = struct.pack(">hiqqqhii", attributes, last, *times, *producer, len(pairs)) + records
    rest = struct.pack(">ibI", -1, 2, crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(rest)) + rest


_FIELDS = {
    "length": (8, ">i"),
    "magic": (16, ">b"),
    "crc": (17, ">I"),
    "attributes": (21, ">h"),
    "last_offset_delta": (23, ">i"),
    "record_count": (57, ">i"),
}
_CRC_FROM = 21
_HEADER_BYTES = 61


def altered(data: bytes, payload: bytes | None = None, **fields: int) -> bytes:
    """A batch with other records, as they stand, or other header fields; length and checksum fit unless given."""
    new = bytearray(data[:_HEADER_BYTES] + (data[_HEADER_BYTES:] if payload is None else payload))
    for last in (False, True):
        for name, value in fields.items():
            if (name in ("length", "magic", "crc")) == last:
                struct.pack_into(_FIELDS[name][1], new, _FIELDS[name][0], value)
        if not last:
            struct.pack_into(">i", new, 8, len(new) - 12)
            struct.pack_into(">I", new, 17, crc32c(bytes(new[_CRC_FROM:])))
    return bytes(new)


def _read_signed(reader: Reader) -> int:
    value = reader.varint()
    return value >> 1 ^ -(value & 1)


def _read_sized(reader: Reader) -> bytes | None:
    length = _read_signed(reader)
    return None if length < 0 else reader.take(length)


def _read_header(reader: Reader) -> tuple[bytes, bytes | None]:
    name, value = _read_sized(reader), _read_sized(reader)
    assert name is not None
    return name, value


def codecs_of(data: bytes | None) -> list[str]:
    """The codec of each batch."""
    codecs, rest = [], data or b""
    while rest:
        (length,) = struct.unpack_from(">i", rest, 8)
        codecs.append(CODECS[struct.unpack_from(">h", rest, 21)[0] & 7])
        rest = rest[12 + length :]
    return codecs


def records_of(data: bytes | None) -> list[Record]:
    """The records of whole, uncompressed batches, whose checksums are checked."""
    reader, found = Reader(data or b""), []
    while reader.at < len(reader.data):
        base_offset, length = struct.unpack(">qi", reader.take(12))
        body = reader.take(length)
        leader_epoch, magic, crc = struct.unpack_from(">ibI", body)
        attributes, _, base_timestamp, max_timestamp = struct.unpack_from(">hiqq", body, 9)
        assert (magic, attributes & 7) == (2, 0)
        assert crc == crc32c(body[9:])
        (count,) = struct.unpack_from(">i", body, 45)
        inner = Reader(body[49:])
        for _ in range(count):
            end = _read_signed(inner) + inner.at
            inner.take(1)
            timestamp = base_timestamp + _read_signed(inner)
            offset = base_offset + _read_signed(inner)
            key, value = _read_sized(inner), _read_sized(inner)
            headers = tuple(_read_header(inner) for _ in range(_read_signed(inner)))
            assert inner.at == end
            stamp = max_timestamp if attributes & 8 else timestamp
            found.append(Record(offset, stamp, key, value, leader_epoch, headers))
        assert inner.at == len(inner.data)
    assert all(one.offset < next_one.offset for one, next_one in pairwise(found))
    return found
