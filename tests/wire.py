"""Just enough of the Kafka protocol, by hand, to see and to send what no client library shows or lets through."""

import socket
import struct
from dataclasses import dataclass

FETCH = 1
API_VERSIONS = 18

CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

_BATCH_OVERHEAD = 12  # Base offset and length: what a batch's length field does not count.


@dataclass(frozen=True)
class Batch:
    """The header fields of a record batch that tests look at."""

    base_offset: int
    codec: str
    producer_id: int
    record_count: int


@dataclass(frozen=True)
class FetchedPartition:
    """One partition of a Fetch response; `records` is None where the broker sent a null."""

    error_code: int
    high_watermark: int
    records: bytes | None

    def batches(self) -> list[Batch]:
        """The complete batches among the records."""
        found, rest = [], self.records or b""
        while len(rest) >= 61:
            base_offset, length = struct.unpack_from(">qi", rest)
            if len(rest) < _BATCH_OVERHEAD + length:
                break
            (attributes,) = struct.unpack_from(">h", rest, 21)
            (producer_id,) = struct.unpack_from(">q", rest, 43)
            (record_count,) = struct.unpack_from(">i", rest, 57)
            found.append(Batch(base_offset, CODECS[attributes & 7], producer_id, record_count))
            rest = rest[_BATCH_OVERHEAD + length :]
        return found


class WireError(AssertionError):
    """The broker closed the connection or answered with another correlation id."""


class Connection:
    """A connection to a broker, on which the test decides every byte."""

    def __init__(self, address: str, timeout_s: float = 15.0) -> None:
        """Connects to `HOST:PORT`."""
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._correlation_id = 0

    def __enter__(self) -> "Connection":
        """Enters the connection's scope."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the connection."""
        self.socket.close()

    def frame(self, api_key: int, api_version: int, body: bytes) -> bytes:
        """A request frame with header version 1."""
        self._correlation_id += 1
        client_id = b"wire"
        header = struct.pack(">hhih", api_key, api_version, self._correlation_id, len(client_id)) + client_id
        return struct.pack(">i", len(header) + len(body)) + header + body

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes."""
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise WireError("the broker closed the connection")
            data += chunk
        return data

    def response(self) -> tuple[int, bytes]:
        """The next response: its correlation id and its body."""
        (length,) = struct.unpack(">i", self.read(4))
        data = self.read(length)
        return struct.unpack_from(">i", data)[0], data[4:]

    def call(self, api_key: int, api_version: int, body: bytes) -> bytes:
        """Sends a request and returns the body of its response."""
        self.socket.sendall(self.frame(api_key, api_version, body))
        correlation_id, response = self.response()
        if correlation_id != self._correlation_id:
            raise WireError(f"asked with correlation id {self._correlation_id}, answered with {correlation_id}")
        return response

    def api_versions(self) -> dict[int, tuple[int, int]]:
        """The version ranges that the broker advertises, by API key."""
        body = self.call(API_VERSIONS, 0, b"")
        error_code, count = struct.unpack_from(">hi", body)
        assert error_code == 0
        ranges = (struct.unpack_from(">hhh", body, 6 + 6 * index) for index in range(count))
        return {key: (lowest, highest) for key, lowest, highest in ranges}

    def fetch(
        self, topic: str, partition: int, offset: int, *, max_wait_ms: int = 0, min_bytes: int = 1
    ) -> FetchedPartition:
        """Fetches one partition with version 4."""
        name, max_bytes = topic.encode(), 16 << 20
        body = struct.pack(">iiiib", -1, max_wait_ms, min_bytes, max_bytes, 0)
        body += struct.pack(">ih", 1, len(name)) + name + struct.pack(">iiqi", 1, partition, offset, max_bytes)
        response = self.call(FETCH, 4, body)
        at = 4 + 4 + 2 + len(name) + 4  # Throttle time, one topic, its name, one partition.
        _, error_code, high_watermark, _, aborted = struct.unpack_from(">ihqqi", response, at)
        at += 26 + 16 * max(aborted, 0)
        (length,) = struct.unpack_from(">i", response, at)
        records = None if length < 0 else response[at + 4 : at + 4 + length]
        return FetchedPartition(error_code, high_watermark, records)
