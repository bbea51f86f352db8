"""The clients that load a broker: librdkafka's own `rdkafka_performance`, and `wiber-bench`."""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PRODUCED = re.compile(r"(\d+) delivered \(offset -?\d+, (\d+) failed\) in (\d+)ms: (\d+) msgs/s")
CONSUMED = re.compile(r"(\d+) messages \((\d+) bytes\) consumed in (\d+)ms: (\d+) msgs/s")
LINGER_MS = 5
"""librdkafka's own default; rdkafka_performance would set 1000, and the last batch of a run would wait that long."""


class ClientError(Exception):
    """A client failed; the message carries the end of its output."""


@dataclass(frozen=True)
class Rate:
    """What a client did."""

    records: int
    records_per_s: float


@dataclass(frozen=True)
class Clients:
    """The programs, and where they run."""

    rdkafka_performance: Path
    wiber_bench: Path
    cpu: int | None

    def start_producer(
        self, address: str, topic: str, *, size: int, records: int, partition: int | None = 0, idempotent: bool = False
    ) -> "Running":
        """Produces as fast as it goes. Without a partition, librdkafka's default partitioner spreads them."""
        where = [] if partition is None else ["-p", str(partition)]
        settings = ["-X", f"linger.ms={LINGER_MS}", "-X", f"enable.idempotence={str(idempotent).lower()}"]
        return self._rdkafka(
            ["-P", "-t", topic, *where, "-s", str(size), "-c", str(records), *settings], address, PRODUCED, records
        )

    def start_consumer(self, address: str, topic: str, *, records: int, partitions: int = 1) -> "Running":
        """Consumes from the beginning as fast as it goes, until it has so many records."""
        where = [argument for partition in range(partitions) for argument in ("-p", str(partition))]
        return self._rdkafka(
            ["-C", "-t", topic, *where, "-o", "beginning", "-c", str(records)], address, CONSUMED, records
        )

    def bench(self, command: str, *arguments: str, deadline_s: float = 120) -> dict:
        """Runs a command of `wiber-bench` and returns what it printed."""
        output = self.start_bench(command, *arguments).output(deadline_s)
        return json.loads(output.splitlines()[-1]) if output.strip() else {}

    def start_bench(self, command: str, *arguments: str) -> "Running":
        """Starts a command of `wiber-bench`."""
        return self._start([str(self.wiber_bench), command, *arguments])

    def _rdkafka(self, arguments: Sequence[str], address: str, result: re.Pattern[str], records: int) -> "Running":
        common = ["-b", address, "-q", "-X", "log_level=3"]
        running = self._start([str(self.rdkafka_performance), *arguments, *common])
        running.result, running.records = result, records
        return running

    def _start(self, command: Sequence[str]) -> "Running":
        prefix = ["taskset", "-c", str(self.cpu)] if self.cpu is not None else []
        return Running(
            subprocess.Popen(
                [*prefix, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )


class Running:
    """A client that runs."""

    result: re.Pattern[str]
    records: int

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Takes the process over."""
        self.process = process

    def rate(self, deadline_s: float = 120) -> Rate:
        """Waits for the client's end; what it printed of its speed. All of its records must have gone through."""
        output = self.output(deadline_s)
        match = self.result.search(output)
        if match is None or int(match[1]) < self.records or (self.result is PRODUCED and int(match[2]) > 0):
            raise ClientError(f"not all of {self.records} records went through:\n{_tail(output)}")
        return Rate(records=int(match[1]), records_per_s=float(match[4]))

    def output(self, deadline_s: float) -> str:
        """Waits for the client's end; what it printed."""
        try:
            output = self.process.communicate(timeout=deadline_s)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            raise ClientError(f"{self.process.args} did not end within {deadline_s:g} s") from None
        finally:
            self.kill()
        if self.process.returncode != 0:
            raise ClientError(f"{self.process.args} exited with {self.process.returncode}:\n{_tail(output)}")
        return output

    def kill(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()


def _tail(output: str) -> str:
    return "\n".join(output.splitlines()[-10:])
