"""What `wiber` refuses to do: one clear line that says what to do, exit code 1, and nothing disturbed."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_process import ROOT, binary
from clients.librdkafka import Record, consume_all, produce_all
from conftest import StartBroker

pytestmark = pytest.mark.wiber_only("the command line is ours")

DEADLINE_S = 60
NOBODY = 65_534


def refused(*arguments: object, program: Path | None = None, prefix: tuple[str, ...] = (), code: int = 1) -> str:
    """Runs `wiber` to its end, which must be `code` after a single line: that line."""
    command = [*prefix, str(program or binary()), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WIBER_")}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env=environment,
    )
    assert done.returncode == code, f"exit code {done.returncode}:\n{done.stdout}"
    (line,) = done.stdout.splitlines()
    assert "panicked" not in line
    return line


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A temporary directory that every user may enter, with a copy of the binary in it."""
    directory = Path(tempfile.mkdtemp(prefix="wiber-test-"))
    directory.chmod(0o755)
    shutil.copy(binary(), directory / "wiber")
    (directory / "wiber").chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def as_nobody() -> tuple[str, ...]:
    """Root may do anything: become somebody who may not."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


def test_version() -> None:
    """`--version` is the workspace's version."""
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert refused("--version", code=0) == f"wiber {version}"


def test_directory_in_use(start_broker: StartBroker, topic: str) -> None:
    """A second broker on the directory names it and says what to do; the first one goes on."""
    broker = start_broker()
    produce_all(broker.address, topic, [Record(b"before")])
    for _ in range(2):
        line = refused("serve", "--data-dir", broker.data_dir, "--listen", "127.0.0.1:0")
        assert str(broker.data_dir) in line
        assert re.search(r"in use|another|already", line)
    assert produce_all(broker.address, topic, [Record(b"after")]) == [1]
    broker.kill()
    # The lock goes with the process, however it ended.
    broker.start()
    assert len(consume_all(broker.address, topic)) == 2
    broker.stop()


def test_port_taken(start_broker: StartBroker, tmp_path: Path) -> None:
    """The line names the address; the directory is not left locked."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = refused("serve", "--data-dir", tmp_path / "data", "--listen", address)
        assert address in line
    start_broker(data_dir=tmp_path / "data").stop()


def test_address_not_ours(tmp_path: Path) -> None:
    """An address that this machine does not have."""
    line = refused("serve", "--data-dir", tmp_path / "data", "--listen", "192.0.2.1:9092")
    assert "192.0.2.1:9092" in line


def test_listen_is_no_address(tmp_path: Path) -> None:
    """What is no HOST:PORT is refused with the text that was given."""
    command = [str(binary()), "serve", "--data-dir", str(tmp_path / "data"), "--listen", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode in (1, 2)
    assert "nonsense" in done.stderr
    assert "panicked" not in done.stderr


def test_no_permission_to_create(open_directory: Path) -> None:
    """A directory that cannot be made."""
    (open_directory / "parent").mkdir(mode=0o555)
    data = open_directory / "parent" / "data"
    arguments = ("serve", "--data-dir", data, "--listen", "127.0.0.1:0")
    line = refused(*arguments, program=open_directory / "wiber", prefix=as_nobody())
    assert str(data) in line
    assert re.search("permission", line, re.IGNORECASE)


def test_no_permission_to_enter(open_directory: Path) -> None:
    """A directory of somebody else."""
    data = open_directory / "data"
    data.mkdir(mode=0o000 if os.geteuid() else 0o700)
    arguments = ("serve", "--data-dir", data, "--listen", "127.0.0.1:0")
    line = refused(*arguments, program=open_directory / "wiber", prefix=as_nobody())
    data.chmod(0o700)
    assert str(data) in line
    assert re.search("permission", line, re.IGNORECASE)


def test_directory_is_a_file(tmp_path: Path) -> None:
    """A file where the directory should be is left alone."""
    (tmp_path / "data").write_text("mine")
    line = refused("serve", "--data-dir", tmp_path / "data", "--listen", "127.0.0.1:0")
    assert str(tmp_path / "data") in line
    assert (tmp_path / "data").read_text() == "mine"


def test_directory_of_somebody_else(start_broker: StartBroker, tmp_path: Path) -> None:
    """One with strange files in it, such as Kafka's, is left as it is; that of a new file system is taken."""
    data = tmp_path / "data"
    (data / "topic-0").mkdir(parents=True)
    names = {"cleaner-offset-checkpoint", "meta.properties", "topic-0", "zz"}
    for name in names - {"topic-0"}:
        (data / name).write_text("mine")
    line = refused("serve", "--data-dir", data, "--listen", "127.0.0.1:0")
    holds = "cleaner-offset-checkpoint, meta.properties, topic-0 and 1 more"
    assert f"{data} has no wiber.format and holds {holds}" in line
    assert "--data-dir" in line
    assert {each.name for each in data.iterdir()} == names
    (tmp_path / "new" / "lost+found").mkdir(parents=True)
    start_broker(data_dir=tmp_path / "new").stop()
    start_broker(data_dir=tmp_path / "new").stop()


def test_other_format_version(start_broker: StartBroker, topic: str) -> None:
    """A directory of another release is refused untouched, and served again once its version is back."""
    broker = start_broker()
    produce_all(broker.address, topic, [Record(b"kept")])
    broker.stop()
    stamp = broker.data_dir / "wiber.format"
    original = stamp.read_bytes()
    other = re.sub(rb"(format\D*)1\b", rb"\g<1>99", original, count=1)
    assert other != original
    stamp.write_bytes(other)

    def times() -> dict[Path, int]:
        files = (file for file in broker.data_dir.rglob("*") if file.name != "wiber.lock")
        return {file: file.stat().st_mtime_ns for file in files}

    before = times()
    line = refused("serve", "--data-dir", broker.data_dir, "--listen", "127.0.0.1:0")
    assert "99" in line
    assert str(broker.data_dir) in line
    assert times() == before
    stamp.write_bytes(original)
    broker.start()
    assert [message.value() for message in consume_all(broker.address, topic)] == [b"kept"]
    broker.stop()
