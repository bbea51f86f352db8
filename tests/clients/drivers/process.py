"""A client in a program of its own: one JSON line asks, one answers."""

import base64
import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from clients.drivers import DEADLINE_S, Message, Received


class DriverError(AssertionError):
    """The client reported an error, or ended."""


def _encoded(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


class ProcessDriver:
    """Talks to the program that `command` runs; its standard error goes to `log`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        codecs: Sequence[str] = ("none", "gzip", "snappy", "lz4", "zstd"),
        consumes: bool = True,
        null_headers: bool = True,
        mixed_headers: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Starts the program, which runs until `close`."""
        self.name = name
        self.codecs = codecs
        self.idempotent = True
        self.consumes = consumes
        self.null_headers = null_headers
        self.mixed_headers = mixed_headers
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
            )

    def ask(self, op: str, *, deadline_s: float = DEADLINE_S + 10, **arguments: object) -> object:
        """Sends one request and returns its result."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # A program that does not answer is ended, which ends the waiting for its answer.
        overdue = threading.Timer(deadline_s, self._process.kill)
        overdue.start()
        try:
            self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            overdue.cancel()
        if not line:
            raise DriverError(f"{self.name} did not answer {op}\n{self._log.read_text(errors='replace')[-4_000:]}")
        answer = json.loads(line)
        if error := answer.get("error"):
            raise DriverError(f"{self.name}: {op}: {error}\n{self._log.read_text(errors='replace')[-4_000:]}")
        return answer["result"]

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """See `Driver`."""
        self.ask("create", topic=topic, partitions=partitions, config=dict(config))

    def partitions(self, topic: str) -> list[int]:
        """See `Driver`."""
        return list(self.ask("partitions", topic=topic))

    def produce(self, topic: str, messages: Sequence[Message], *, codec: str, idempotent: bool) -> list[int]:
        """See `Driver`."""
        records = [
            {
                "partition": message.partition,
                "timestamp": message.timestamp_ms,
                "key": _encoded(message.key),
                "value": _encoded(message.value),
                "headers": [[name, _encoded(value)] for name, value in message.headers],
            }
            for message in messages
        ]
        return list(self.ask("produce", topic=topic, codec=codec, idempotent=idempotent, records=records))

    def consume(self, topic: str, partitions: Sequence[int], start: str | int, count: int) -> list[Received]:
        """See `Driver`."""
        records = self.ask("consume", topic=topic, partitions=list(partitions), start=str(start), count=count)
        return [
            Received(
                record["offset"],
                Message(
                    _decoded(record["value"]),
                    _decoded(record["key"]),
                    tuple((name, _decoded(value)) for name, value in record["headers"]),
                    record["partition"],
                    record["timestamp"],
                ),
            )
            for record in records
        ]

    def offset(self, topic: str, partition: int, at: str) -> int:
        """See `Driver`."""
        return self.ask("offset", topic=topic, partition=partition, at=at)

    def run_tool(self, tool: str, arguments: Sequence[str], stdin: bytes) -> tuple[int, str, str]:
        """Runs one of Kafka's tools, which the Java program alone has: its exit code and what it printed."""
        ran = self.ask("tool", tool=tool, arguments=list(arguments), stdin=_encoded(stdin))
        out, err = (base64.b64decode(ran[name]).decode() for name in ("stdout", "stderr"))
        return ran["code"], out, err

    def close(self) -> None:
        """Ends the program by closing its input."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
