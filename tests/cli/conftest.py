"""Fixtures of the command line's tests: the command, at the end of pipes or on a terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker_process import ROOT, BrokerProcess, binary, is_reference, wait_until

DEADLINE_S = 60.0


def command() -> Path:
    """The command under test: the broker's binary, or this tree's where that is Kafka; WIBER_CLI names another."""
    named = os.environ.get("WIBER_CLI")
    if named:
        return Path(named).resolve()
    return ROOT / "target" / "release" / "wiber" if is_reference() else binary()


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, object]]:
        """The objects of `--output json` and `--format json`, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def well(self) -> "Ended":
        """The same, if all went well and nothing was said about it."""
        assert (self.code, self.err) == (0, ""), f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


class Cli:
    """Runs `wiber` against one broker."""

    def __init__(self, address: str) -> None:
        """`address` is what WIBER_BOOTSTRAP says."""
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("WIBER_")},
            "WIBER_BOOTSTRAP": address,
            "TZ": "UTC",
            "RUST_BACKTRACE": "0",
        }

    def line(self, *arguments: object) -> list[str]:
        """The command line."""
        guard = ["setpriv", "--pdeathsig", "KILL", "--"]
        return [*guard, str(command()), *map(str, arguments)]

    def run(self, *arguments: object, stdin: bytes | str = b"") -> Ended:
        """Runs to the end, whatever that is."""
        done = subprocess.run(
            self.line(*arguments),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env=self.environment,
            timeout=DEADLINE_S,
            check=False,
        )
        ended = Ended(done.returncode, done.stdout.decode(errors="surrogateescape"), done.stderr.decode())
        assert "panicked" not in ended.err, ended.err
        return ended

    def __call__(self, *arguments: object, stdin: bytes | str = b"") -> Ended:
        """Runs to a good end."""
        return self.run(*arguments, stdin=stdin).well()

    def fails(self, *arguments: object, stdin: bytes | str = b"", code: int = 1) -> str:
        """Runs to a bad end, with one line that says why: that line, without the command's name."""
        ended = self.run(*arguments, stdin=stdin)
        assert ended.code == code, f"exit code {ended.code}\n{ended.out}\n{ended.err}"
        lines = ended.err.splitlines()
        assert len(lines) == 1, ended.err
        assert lines[0].startswith("wiber: "), ended.err
        return lines[0].removeprefix("wiber: ")

    def shows(self, text: str, *arguments: object, shown: bool = True) -> None:
        """Runs until the output has `text`, or has it no more: Kafka's brokers learn late what its controller did."""
        wait_until(lambda: (text in self(*arguments).out) is shown, DEADLINE_S, f"{text!r} in {arguments}: {shown}")

    def start(self, *arguments: object, **options: object) -> subprocess.Popen[bytes]:
        """Starts a command whose end the caller sees to."""
        return subprocess.Popen(
            self.line(*arguments),
            env=self.environment,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, cli: Cli, *arguments: object, **streams: object) -> None:
        """Starts it with all three streams on the terminal, or as `streams` says."""
        self.seen = ""
        self._master, slave = pty.openpty()
        self.process = cli.start(*arguments, **{"stdin": slave, "stdout": slave, "stderr": slave, **streams})
        os.close(slave)

    def shows(self, text: str) -> bool:
        """Whether `text` is on the terminal by now."""
        while select.select([self._master], [], [], 0)[0]:
            self.seen += os.read(self._master, 65536).decode(errors="replace")
        return text in self.seen

    def read_until(self, text: str) -> str:
        """Waits until the terminal shows `text` behind what was waited for before; what it showed up to its end."""
        end = time.monotonic() + DEADLINE_S
        while text not in self.seen:
            ready, _, _ = select.select([self._master], [], [], 0.1)
            try:
                chunk = os.read(self._master, 65536) if ready else b""
            except OSError:
                chunk = b""
                assert text in self.seen, f"the command ended before {text!r}: {self.seen!r}"
            self.seen += chunk.decode(errors="replace")
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
        shown, _, self.seen = self.seen.partition(text)
        return shown + text

    def type(self, text: str) -> None:
        """Types."""
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Waits for the exit code."""
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """Ends the command if it runs, and the terminal."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """The lines of its output as they come."""
    for line in process.stdout:
        yield line.decode().rstrip("\n")


class Following:
    """`wiber consume --group` in the background."""

    def __init__(self, cli: Cli, topic: str, group: str, *arguments: object, **options: object) -> None:
        """Starts it."""
        self.process = cli.start("consume", topic, "--group", group, *arguments, **options)
        self.lines = lines_of(self.process)

    def next(self, count: int) -> list[str]:
        """The next lines."""
        return [next(self.lines) for _ in range(count)]

    def end(self, how: signal.Signals = signal.SIGINT) -> list[str]:
        """Ends it well; what it showed that was not taken yet."""
        self.process.send_signal(how)
        rest = list(self.lines)
        err = self.process.stderr.read()
        assert (self.process.wait(DEADLINE_S), err) == (0, b"")
        return rest


@pytest.fixture
def cli(broker: BrokerProcess) -> Cli:
    """The command, with the shared broker as its bootstrap."""
    return Cli(broker.address)


@pytest.fixture
def terminal(cli: Cli) -> Iterator[Callable[..., Terminal]]:
    """Starts commands on terminals, and ends them after the test."""
    terminals: list[Terminal] = []

    def start(*arguments: object, **streams: object) -> Terminal:
        terminals.append(Terminal(cli, *arguments, **streams))
        return terminals[-1]

    yield start
    for it in terminals:
        it.close()


@pytest.fixture
def group(topic: str) -> str:
    """A group of this test's own."""
    return f"group-of-{topic}"


@pytest.fixture
def following(cli: Cli) -> Iterator[Callable[..., Following]]:
    """Starts members, and kills those that are left."""
    started: list[Following] = []

    def start(*arguments: object, **options: object) -> Following:
        started.append(Following(cli, *arguments, **options))
        return started[-1]

    yield start
    for it in started:
        it.process.kill()
        it.process.wait()
