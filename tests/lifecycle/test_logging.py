"""The log on standard error, as text for people or as JSON for programs; standard output has the ready line alone."""

import datetime
import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker_process import READY, START_DEADLINE_S, STOP_DEADLINE_S, binary, restart_port, wait_until
from clients.librdkafka import Record, create_topic, produce_all
from protocol.client import Client

pytestmark = pytest.mark.wiber_only("the log is ours")

LEVELS = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
TEXT_LINE = re.compile(r"(?P<timestamp>\S+) +(?P<level>[A-Z]+) (?P<target>[a-z_:]+): (?P<message>\S.*)")


@contextmanager
def broker(directory: Path, *arguments: str) -> Iterator[tuple[str, Path, Path]]:
    """A broker whose standard output and standard error are new files; stopped in good order at the end."""
    out, error = directory / "out", directory / "err"
    command = [str(binary()), "serve", "--data-dir", str(directory / "data"), "--listen", "127.0.0.1:0", *arguments]
    with out.open("wb") as out_file, error.open("wb") as error_file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out_file, stderr=error_file)
    try:
        wait_until(lambda: bool(READY.search(out.read_text())), START_DEADLINE_S, "the broker is ready")
        yield READY.search(out.read_text()).group(1), out, error
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()


def lives(directory: Path, *arguments: str) -> tuple[list[str], list[str]]:
    """Two lives of a broker on a directory: the lines of its standard output, and of its log."""
    printed, logged = "", ""
    for life in range(2):
        with broker(directory, *arguments) as (address, out, error):
            create_topic(address, f"topic-{life}", max_compaction_lag_ms="1000000")
            produce_all(address, "lines", [Record(b"x")])
        printed += out.read_text()
        logged += error.read_text()
    return printed.splitlines(), logged.splitlines()


def check_time(text: object) -> None:
    """An ISO 8601 time in UTC, of about now."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", str(text)), text
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(str(text))
    assert abs(age.total_seconds()) < 600


@pytest.mark.parametrize("level", LEVELS)
def test_json(tmp_path: Path, level: str) -> None:
    """Each line is an object of time, level, message and the other fields; none is below the level."""
    out, lines = lives(tmp_path, "--log-format", "json", "--log-level", level.lower())
    assert [bool(READY.search(line)) for line in out] == [True, False] * 2
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        check_time(entry["timestamp"])
        assert entry["level"] in LEVELS[: LEVELS.index(level) + 1]
        assert entry["message"]
        assert entry["target"].startswith("wiber")
    by_message = {entry["message"]: entry for entry in entries}
    if level in ("INFO", "DEBUG", "TRACE"):
        assert by_message["serving"]["address"].startswith("127.0.0.1:")
        assert by_message["stopping"]["signal"] == "SIGTERM"
        assert by_message["stopped"]["milliseconds"] >= 0
        assert [entry["message"] for entry in entries].count("nothing to recover") == 2
    else:
        assert "serving" not in by_message
    if level in ("DEBUG", "TRACE"):
        assert by_message["connected"]["peer"].startswith("127.0.0.1:")


def test_text(tmp_path: Path) -> None:
    """Each line has time, level, place and message, and no colours where nobody looks."""
    out, lines = lives(tmp_path)
    assert [bool(READY.search(line)) for line in out] == [True, False] * 2
    assert out[1].startswith("Try: ")
    for line in lines:
        assert "\x1b" not in line
        match = TEXT_LINE.fullmatch(line)
        assert match, line
        check_time(match["timestamp"])
        assert match["level"] in LEVELS[:3]
    text = "\n".join(lines)
    assert re.search(r'INFO \S+: stopping signal="SIGTERM"', text)
    assert re.search(r"INFO \S+: serving address=127\.0\.0\.1:\d+", text)


def test_a_client_that_wants_transactions_is_told_of_once(tmp_path: Path) -> None:
    """They are not served: the log says so, once for a connection."""
    with broker(tmp_path) as (address, _, error):
        what = "asked for a transaction coordinator"

        def told() -> bool:
            with Client(address) as client:
                for _ in range(3):
                    client.ask("FindCoordinator", 4, key_type=1, coordinator_keys=["key"])
            return f"a client {what}" in error.read_text()

        # The log names at most one client in a second.
        wait_until(told, STOP_DEADLINE_S, f"the log tells that one {what}")
    lines = [line for line in error.read_text().splitlines() if "coordinator" in line]
    assert len(lines) == 1
    assert re.search(r"INFO .* peer=127\.0\.0\.1:\d+", lines[0]), lines


def test_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a flag has a variable."""
    monkeypatch.setenv("WIBER_LOG_FORMAT", "json")
    monkeypatch.setenv("WIBER_LOG_LEVEL", "debug")
    _, lines = lives(tmp_path)
    assert "DEBUG" in {json.loads(line)["level"] for line in lines}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_refused_start(tmp_path: Path, log_format: str) -> None:
    """It is one line of the log's form, and nothing is on standard output."""
    (tmp_path / "data").write_text("no directory")
    command = [str(binary()), "serve", "--data-dir", str(tmp_path / "data"), "--log-format", log_format]
    done = subprocess.run(command, capture_output=True, text=True, timeout=STOP_DEADLINE_S, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    if log_format == "json":
        entry = json.loads(line)
        assert entry["level"] == "ERROR"
        line = entry["message"]
    assert str(tmp_path / "data") in line


def test_nobody_reads(tmp_path: Path) -> None:
    """A broker serves and stops in good order, too, where its standard output and error are closed pipes."""
    address = f"127.0.0.1:{restart_port()}"
    command = [str(binary()), "serve", "--data-dir", str(tmp_path / "data"), "--listen", address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            process.stdout.close()
            process.stderr.close()
            wait_until(lambda: process.poll() is not None or listens(address), START_DEADLINE_S, "it listens")
            assert process.poll() is None
            assert produce_all(address, "unread", [Record(b"x")]) == [0]
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_DEADLINE_S) == 0
        finally:
            process.kill()


def listens(address: str) -> bool:
    """Whether somebody listens there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except ConnectionRefusedError:
        return False
    return True
