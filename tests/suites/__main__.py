"""The suites of other projects against the broker that WIBER_BIN names; `tests/report-card` is the way to all of it.

python -m suites install            fetches and builds the suites
python -m suites run                runs them and keeps what came of them
python -m suites run --gate         runs the part that gates; keeps nothing
python -m suites card               writes docs/compatibility.md from what was kept
"""

import argparse
import ctypes
import fcntl
import os
import socket
import struct
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from broker_process import BrokerProcess, is_reference

from . import card
from .kafka_go import KafkaGo
from .kafka_python import KafkaPython
from .librdkafka import Librdkafka, LibrdkafkaLocal
from .outcome import Outcomes, Verdict, read, write
from .rdkafka import Rdkafka
from .suite import ADDRESS, COMMON_SETTINGS, Suite

SUITES: Sequence[Suite] = (
    KafkaPython(),
    Rdkafka(),
    KafkaGo(),
    Librdkafka("classic", "default"),
    Librdkafka("classic", "noautocreate"),
    Librdkafka("consumer", "default"),
    Librdkafka("consumer", "noautocreate"),
    LibrdkafkaLocal(),
)

_JOBS = 4
"""How many programs of a suite run at the same time; they wait most of the time."""

_CLONE_NEWUSER, _CLONE_NEWNET = 0x1000_0000, 0x4000_0000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def main() -> int:
    """Runs the command line; the exit code says whether everything that ought to pass did."""
    parser = argparse.ArgumentParser(prog="python -m suites", description="Test suites of other projects.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="fetch and build what is missing")
    run = commands.add_parser("run", help="run suites against the broker that WIBER_BIN names")
    names = [suite.name for suite in SUITES]
    run.add_argument("--suite", action="append", choices=names, help="only this one; may be repeated")
    run.add_argument("--only", action="append", default=[], metavar="TEST", help="only this test; may be repeated")
    run.add_argument("--gate", action="store_true", help="only what gates, and keep nothing")
    run.add_argument("--jobs", type=int, default=_JOBS, help="programs at the same time (%(default)s)")
    run.add_argument("--logs", type=Path, help="where the output of suites and brokers is kept")
    commands.add_parser("card", help="write docs/compatibility.md")
    options = parser.parse_args()
    if options.command == "install":
        for suite in SUITES:
            suite.install()
        return 0
    if options.command == "card":
        card.CARD.write_text(card.render(SUITES, card.read_reasons()))
        print(f"written: {card.CARD}")
        return 0
    _own_network()
    with tempfile.TemporaryDirectory(prefix="suites-") as temporary:
        return _run(options, options.logs or Path(temporary))


def _run(options: argparse.Namespace, logs: Path) -> int:
    gate = tomllib.loads((card.HERE / "gate.toml").read_text()) if options.gate else None
    broker = "kafka" if is_reference() else "wiber"
    failed = False
    for suite in SUITES:
        if options.suite and suite.name not in options.suite:
            continue
        before = read(card.kept(broker, suite))
        only = options.only if gate is None else _gating(before, gate.get(suite.name, []))
        if (gate is not None and not only) or (broker == "kafka" and not suite.needs_broker):
            continue
        begun = time.monotonic()
        here = logs / broker / suite.name
        here.mkdir(parents=True, exist_ok=True)
        whole = not only
        now = _with_second_try(suite, only, here, options.jobs, before)
        expected = before if whole else {name: was for name, was in before.items() if _chosen(name, only)}
        counts = ", ".join(f"{sum(o.verdict is verdict for o in now.values())} {verdict}" for verdict in Verdict)
        print(f"--- {suite.title} on {broker}: {counts} in {time.monotonic() - begun:.0f} s", flush=True)
        for outcome in now.values():
            if outcome.verdict is Verdict.FAILED and not options.gate:
                print(f"    failed: {outcome.name}: {outcome.words}")
        gone = card.lost(expected, now) if broker == "wiber" else []
        for outcome in gone:
            print(f"    LOST: {outcome.name} used to pass: {outcome.words}")
        failed = failed or bool(gone)
        if gate is None:
            kept = now if whole else {**before, **now}
            write(card.kept(broker, suite), card.grown(before, kept) if broker == "wiber" else kept)
    return 1 if failed else 0


def _gating(before: Outcomes, patterns: Sequence[str]) -> list[str]:
    """Of the tests that have passed, without their sub-tests, those that gate."""
    passed = (name for name, outcome in before.items() if outcome.passed and not _is_part(name))
    return [name for name in passed if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _is_part(name: str) -> bool:
    """Whether this is a sub-test: what follows the package, program or file of a test has a slash."""
    return "/" in (name.partition("::")[2] or name)


def _chosen(name: str, only: Sequence[str]) -> bool:
    """Whether a test is one of those, or a sub-test of one."""
    return any(name == chosen or name.startswith(f"{chosen}/") for chosen in only)


def _with_second_try(suite: Suite, only: Sequence[str], logs: Path, jobs: int, before: Outcomes) -> Outcomes:
    """Runs tests; one that fails and is not known to runs once more, alone: a busy machine fails some."""
    now = _on_a_broker(suite, only, logs, jobs)
    again = [
        name
        for name, outcome in now.items()
        if outcome.verdict is Verdict.FAILED
        and (not only or _chosen(name, only))
        and (name not in before or before[name].verdict is not Verdict.FAILED)
    ]
    if again:
        second = logs / "second"
        second.mkdir(exist_ok=True)
        now |= {name: outcome for name, outcome in _on_a_broker(suite, again, second, 1).items() if outcome.passed}
    return now


def _on_a_broker(suite: Suite, only: Sequence[str], logs: Path, jobs: int) -> Outcomes:
    if not suite.needs_broker:
        return suite.run(only, logs, jobs)
    settings = {**COMMON_SETTINGS, **suite.settings}
    arguments = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    with tempfile.TemporaryDirectory(prefix="suites-broker-") as data:
        process = BrokerProcess(Path(data) / "data", logs / "broker.log", listen=ADDRESS, arguments=arguments)
        process.start()
        try:
            outcomes = suite.run(only, logs, jobs)
            process.stop()
        finally:
            process.kill()
    return outcomes


def _own_network() -> None:
    """Moves this process to a network of its own: the suites have its ports to themselves, and reach nothing else."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    flags = _CLONE_NEWNET if user == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        raise SystemExit(f"a network namespace cannot be made: {os.strerror(ctypes.get_errno())}")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


if __name__ == "__main__":
    sys.exit(main())
