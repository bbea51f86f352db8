"""Brokers that can be measured: how each is started, and what durability its settings give.

Every broker has the command line of `wiber serve`; `tests/reference/kafka` gives Apache Kafka that command line.
"""

import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"listening on (127\.0\.0\.1:\d+)")
STOP_DEADLINE_S = 60.0
EPHEMERAL_PORTS_START = 32_768
"""Linux's default: from here on, a port may be taken by any connection that goes out."""

SYNCED = "synced"
RELAXED = "relaxed"


class BrokerError(Exception):
    """The broker did not do what a measurement needs."""


@dataclass(frozen=True)
class Kind:
    """One sort of broker."""

    name: str
    program: Path
    topic_settings: dict[str, dict[str, str]]
    """For each durability, the settings of a topic that has it."""
    default_durability: str
    """What a topic without settings has."""
    ready_deadline_s: float
    """How long a start may take."""
    arguments: Sequence[str] = ("serve",)
    """What makes the program a broker."""
    rows: Sequence[str] = ("*",)
    """Patterns of the rows that it can be measured in."""
    warms_up: bool = False
    """Whether it gets faster by running, as a JVM does: then one process serves all rows, after a warm-up."""


def wiber(program: Path) -> Kind:
    """Wiber, by default synced before each acknowledgement."""
    return Kind(
        name="wiber",
        program=program,
        topic_settings={SYNCED: {}, RELAXED: {"wiber.durability": "relaxed"}},
        default_durability=SYNCED,
        ready_deadline_s=60,
    )


def kafka() -> Kind:
    """Apache Kafka, by default never synced: the kernel writes back when it likes."""
    return Kind(
        name="kafka",
        program=ROOT / "tests" / "reference" / "kafka",
        topic_settings={SYNCED: {"flush.messages": "1"}, RELAXED: {}},
        default_durability=RELAXED,
        ready_deadline_s=120,
        warms_up=True,
    )


def ideal(program: Path) -> Kind:
    """The least that a broker can do for a produce: see `crates/bench/src/ideal.rs`."""
    return Kind(
        name="ideal",
        program=program,
        arguments=("ideal",),
        topic_settings={SYNCED: {"ideal.synced": "true"}, RELAXED: {}},
        default_durability=RELAXED,
        ready_deadline_s=10,
        rows=("produce-*B", "ack-*", "spread-*-1p", "memory-idle", "start-empty"),
    )


@dataclass
class Broker:
    """A broker of some kind on a data directory, which can be stopped and started again at the same address."""

    kind: Kind
    home: Path
    cpu: int | None
    prefix: Sequence[str] = ()
    """A command that runs the broker's, and becomes it."""
    address: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Makes an empty home and picks a port."""
        self.wipe()
        self.address = f"127.0.0.1:{free_port()}"

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.home / "broker.log"

    @property
    def pid(self) -> int:
        """The process of the last start."""
        if self._process is None:
            raise BrokerError("the broker was never started")
        return self._process.pid

    def command(self) -> Sequence[str]:
        """The command that runs it in the foreground."""
        return [
            str(self.kind.program),
            *self.kind.arguments,
            "--data-dir",
            str(self.home / "data"),
            "--listen",
            self.address,
        ]

    def start(self) -> None:
        """Starts it and waits for its ready line."""
        prefix = [*self.prefix]
        if self.cpu is not None:
            prefix = ["taskset", "-c", str(self.cpu), *prefix]
        # Should this process be killed, the broker goes too. The prefixes exec, so the process id is the broker's.
        if shutil.which("setpriv"):
            prefix = ["setpriv", "--pdeathsig", "KILL", "--", *prefix]
        with self.log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                [*prefix, *self.command()], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        end = time.monotonic() + self.kind.ready_deadline_s
        while not READY.search(self._log_from(begin)):
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise BrokerError(f"{self.kind.name} did not get ready:\n{self.log_tail()}")
            time.sleep(0.002)

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stops it as an operator does."""
        if not self.running():
            raise BrokerError(f"{self.kind.name} had exited:\n{self.log_tail()}")
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BrokerError(f"{self.kind.name} did not stop within {STOP_DEADLINE_S:g} s") from None

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wipe(self) -> None:
        """Empties the home of a broker that does not run."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)

    def log_tail(self) -> str:
        """The last lines that it printed."""
        return "\n".join(self._log_from(0).splitlines()[-20:])

    def _log_from(self, begin: int) -> str:
        with self.log.open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")


def free_port() -> int:
    """A port that nothing uses, and that no outgoing connection takes between two starts of a broker."""
    while True:
        port = 10_000 + secrets.randbelow(EPHEMERAL_PORTS_START - 10_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
