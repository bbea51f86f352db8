"""One interface to many Kafka clients, so that each is asked for the same things and judged by the same tests.

Python's clients run in the test's process. Those of other languages are programs in the folders here, which answer one
JSON line for each that they get.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

DEADLINE_S = 40
"""How long a client may take for one request of a test."""
LARGEST_BYTES = 12_000_000
"""What a client must be able to send and to fetch in one piece."""

EARLIEST = "earliest"
LATEST = "latest"

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class Message:
    """A message as a test sends it."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int = 0
    timestamp_ms: int = 0

    def at(self, offset: int) -> "Received":
        """This message as it should be read."""
        return Received(offset, self)

    def into(self, partition: int) -> "Message":
        """The same for another partition."""
        return replace(self, partition=partition)


@dataclass(frozen=True)
class Received:
    """A message as a client got it."""

    offset: int
    message: Message


class Driver(Protocol):
    """A client. Each call raises what goes wrong."""

    name: str
    codecs: Sequence[str]
    idempotent: bool
    """Whether it has an idempotent producer."""
    consumes: bool
    """Whether it reads partitions without a group."""
    null_headers: bool
    """Whether it can send a header without a value."""
    mixed_headers: bool
    """Whether headers of equal keys may have others between them."""

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """Creates a topic."""

    def partitions(self, topic: str) -> list[int]:
        """The partitions that the topic has, as the client is told."""

    def produce(self, topic: str, messages: Sequence[Message], *, codec: str, idempotent: bool) -> list[int]:
        """Sends all with `acks=all`; their offsets, in the order of the messages."""

    def consume(self, topic: str, partitions: Sequence[int], start: str | int, count: int) -> list[Received]:
        """Reads `count` messages: from EARLIEST, an offset, or `time:MS`, the first of that time or later."""

    def offset(self, topic: str, partition: int, at: str) -> int:
        """The offset at EARLIEST, at LATEST or at `time:MS`; -1 where there is none."""

    def close(self) -> None:
        """Ends the client."""


def time_of(at: str | int) -> int | None:
    """The milliseconds of `time:MS`."""
    return int(at.removeprefix("time:")) if isinstance(at, str) and at.startswith("time:") else None
