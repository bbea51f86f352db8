"""Runs a broker as a process: starts it, waits for its ready line, stops or kills it, keeps its log.

The binary is `target/release/wiber`, or what WIBER_BIN names. `tests/reference/kafka` has the same command line, so
the tests that hold for every Kafka broker can run against Apache Kafka: `WIBER_BIN=tests/reference/kafka`.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent

READY = re.compile(r"listening on (127\.0\.0\.1:\d+)")
START_DEADLINE_S = 60.0
"""How long a start may take, on a busy machine and of a JVM."""
STOP_DEADLINE_S = 30.0
"""How long a broker may take to stop after SIGTERM."""


EPHEMERAL_PORTS_START = 32_768
"""Linux's default: from here on, a port may be taken by any connection that goes out."""


class BrokerError(AssertionError):
    """The broker did not do what the test needs; the message carries the end of its log."""


def binary() -> Path:
    """The broker under test."""
    named = os.environ.get("WIBER_BIN")
    if named:
        return Path(named).resolve()
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "wiber"


def is_reference() -> bool:
    """Whether the broker under test is Apache Kafka."""
    return binary() == ROOT / "tests" / "reference" / "kafka"


def wait_until(condition: Callable[[], bool], deadline_s: float, what: str, interval_s: float = 0.01) -> None:
    """Polls `condition` until it holds; raises after `deadline_s` seconds."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise BrokerError(f"not within {deadline_s:g} s: {what}")
        time.sleep(interval_s)


def restart_port() -> int:
    """A free port that stays free while a broker is down.

    Clients that reconnect to a closed port of the ephemeral range sooner or later get that port as their own.
    """
    while True:
        port = secrets.randbelow(12_000) + EPHEMERAL_PORTS_START - 12_000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class BrokerProcess:
    """One broker on one data directory, which can be stopped and started again on the same port."""

    def __init__(
        self,
        data_dir: Path,
        log_path: Path,
        *,
        listen: str = "127.0.0.1:0",
        prefix: Sequence[str] = (),
        program: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        """`prefix` is a command that runs the broker, such as setpriv; `arguments` follow those of `serve`."""
        self.data_dir = data_dir
        self.log_path = log_path
        self.listen = listen
        self.address = ""
        self.ready_after_s = 0.0
        self._prefix = list(prefix)
        self._program = program or binary()
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def spawn(self) -> None:
        """Starts the process and returns at once."""
        if self._process is not None and self._process.poll() is None:
            raise BrokerError("the broker runs already")
        # A broker must not outlive a test run that was killed. setpriv execs, so the process id is the broker's.
        guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        serve = [str(self._program), "serve", "--data-dir", str(self.data_dir), "--listen", self.listen]
        log: IO[bytes]
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*guard, *self._prefix, *serve, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> str:
        """Starts the broker, waits until it is ready, returns `HOST:PORT`. Later starts use the same port."""
        begun = time.monotonic()
        self.spawn()
        end = begun + START_DEADLINE_S
        while True:
            exited = self.process.poll()
            match = READY.search(self.log())
            if match:
                break
            if exited is not None:
                raise BrokerError(f"the broker exited with {exited} before it was ready\n{self.log_tail()}")
            if time.monotonic() > end:
                self.kill()
                raise BrokerError(f"no ready line within {START_DEADLINE_S:g} s\n{self.log_tail()}")
            time.sleep(0.001)
        self.ready_after_s = time.monotonic() - begun
        self.address = match.group(1)
        self.listen = self.address
        return self.address

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of the last start."""
        assert self._process is not None, "the broker was never started"
        return self._process

    @property
    def port(self) -> int:
        """The port that the ready line named."""
        return int(self.address.rpartition(":")[2])

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def wait(self, deadline_s: float) -> int:
        """Waits for the exit code."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BrokerError(f"the broker did not exit within {deadline_s:g} s\n{self.log_tail()}") from None

    def stop(self) -> float:
        """Stops the broker with SIGTERM as an operator would, checks the exit code, returns the seconds it took."""
        if not self.running():
            raise BrokerError(f"the broker had exited with {self.process.returncode}\n{self.log_tail()}")
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.wait(STOP_DEADLINE_S)
        # A JVM that ran its shutdown hooks still reports the signal.
        if code != 0 and not (is_reference() and code in (143, -signal.SIGTERM)):
            raise BrokerError(f"the broker stopped with exit code {code}\n{self.log_tail()}")
        return time.monotonic() - begun

    def kill(self) -> None:
        """Kills the broker with SIGKILL and reaps it."""
        if self.running():
            self.process.kill()
        if self._process is not None:
            self._process.wait()

    def log(self) -> str:
        """What the process printed since its last start."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def log_tail(self, lines: int = 40) -> str:
        """The last lines that the process printed."""
        return "\n".join(self.log().splitlines()[-lines:])
