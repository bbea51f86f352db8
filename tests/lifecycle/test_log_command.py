"""`wiber log inspect` and `wiber log verify`: what they tell of a directory, of damage in it, and of one in use."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from broker_process import BrokerProcess, binary, wait_until
from clients.librdkafka import Record, create_topic, delete_records, delete_topic, produce_all
from conftest import StartBroker
from lifecycle.load import Load
from protocol.client import Client, Error, Topic

pytestmark = pytest.mark.wiber_only("the command line is ours")

DEADLINE_S = 60
BATCHES = 1_500
"""More than a pipe and the writer's buffer hold, one line for each."""


def log_command(*arguments: object, code: int = 0) -> str:
    """Runs `wiber log` to its end, which must be `code` with nothing on standard error: its standard output."""
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (code, ""), f"{done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs `wiber log` to its end, whatever that is."""
    command = [str(binary()), "log", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def told(output: str) -> list[dict[str, object]]:
    """The objects of `--output json`."""
    return [json.loads(line) for line in output.splitlines()]


def content(directory: Path) -> dict[Path, tuple[int, bytes]]:
    """Every file with its time of change and its bytes."""
    files = (file for file in directory.rglob("*") if file.is_file())
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


@pytest.fixture
def stopped(start_broker: StartBroker, topic: str) -> BrokerProcess:
    """A broker with a segment of many batches and of more index entries than a checkpoint holds, in good order."""
    broker = start_broker()
    create_topic(broker.address, topic, index_interval_bytes="1024", wiber_durability="relaxed")
    records = [Record(b"%d" % number) for number in range(BATCHES)]
    produce_all(broker.address, topic, records, batch_num_messages=1, linger_ms=0)
    broker.stop()
    return broker


def segment_file(broker: BrokerProcess, kind: str) -> Path:
    """The only file of that kind that is not empty."""
    (found,) = (file for file in broker.data_dir.rglob(f"*.{kind}") if file.stat().st_size)
    return found


def flip(file: Path, at: int) -> None:
    """Flips a bit of the byte at `at`."""
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)


def test_a_directory_in_good_order(stopped: BrokerProcess, topic: str) -> None:
    """All is well; every batch is told of; text and JSON say the same; nothing is changed."""
    directory = ("--data-dir", stopped.data_dir)
    before = content(stopped.data_dir)
    assert log_command("verify", *directory).rstrip().endswith("all is well")
    (summary,) = told(log_command("verify", *directory, "--output", "json"))
    size = segment_file(stopped, "log").stat().st_size
    expected = {"found": "summary", "problems": 0, "logs": 1, "batches": BATCHES, "bytes_read": size}
    assert summary.items() >= expected.items()
    found = told(log_command("inspect", *directory, "--batches", "--output", "json"))
    (log,) = (each for each in found if each["found"] == "log")
    assert log.items() >= {"topic": topic, "partition": 0, "start": 0, "end": BATCHES}.items()
    batches = [each for each in found if each["found"] == "batch"]
    assert [each["base_offset"] for each in batches] == list(range(BATCHES))
    assert sum(each["bytes"] for each in batches) == size
    assert len(log_command("inspect", *directory, "--batches").splitlines()) == len(found)
    outline = log_command("inspect", *directory)
    assert f"log {topic}-0: offsets 0 to {BATCHES}" in outline
    assert len(outline.splitlines()) == len(found) - len(batches)
    assert content(stopped.data_dir) == before


def test_beside_a_broker(start_broker: StartBroker, topic: str) -> None:
    """While a broker writes, checkpoints and deletes, what is there is whole, and the broker is not disturbed."""
    broker = start_broker()
    create_topic(broker.address, topic, segment_bytes="1048576", retention_bytes="4194304")
    load = Load(broker.address, topic, value_bytes=10_000)
    looks = 0
    # More than two checkpoints' worth: the log begins one after 64 MiB.
    while load.acknowledged_bytes() < 160 << 20 or looks < 5:
        assert log_command("verify", "--data-dir", broker.data_dir).rstrip().endswith("all is well")
        log_command("inspect", "--data-dir", broker.data_dir)
        looks += 1
    load.stop()
    broker.stop()
    assert log_command("verify", "--data-dir", broker.data_dir).rstrip().endswith("all is well")


def is_well(broker: BrokerProcess) -> None:
    """`verify` and `inspect` find nothing wrong."""
    directory = ("--data-dir", broker.data_dir)
    assert log_command("verify", *directory).rstrip().endswith("all is well")
    log_command("inspect", *directory, "--batches")
    log_command("inspect", *directory)


def test_a_topic_is_deleted_after_the_checkpoint(stopped: BrokerProcess, topic: str) -> None:
    """Its files go at once, and the checkpoint that lists them stays a while: all is well, beside a broker too."""
    stopped.start()
    create_topic(stopped.address, f"{topic}-that-stays")
    before = segment_file(stopped, "log")
    delete_topic(stopped.address, topic)
    wait_until(lambda: not before.exists(), DEADLINE_S, "the topic's files are deleted")
    is_well(stopped)
    stopped.kill()
    is_well(stopped)
    stopped.start()
    is_well(stopped)
    stopped.stop()
    is_well(stopped)


def test_records_are_deleted_after_the_checkpoint(start_broker: StartBroker, topic: str) -> None:
    """Files below the log start go, though the checkpoint lists them: all is well."""
    broker = start_broker()
    create_topic(broker.address, topic, segment_bytes="1048576")
    records = [Record(b"x" * 50_000) for _ in range(100)]
    produce_all(broker.address, topic, records, batch_num_messages=1)
    broker.stop()
    files = sorted(file for file in broker.data_dir.rglob("*.log") if file.stat().st_size)
    assert len(files) > 2
    broker.start()
    delete_records(broker.address, topic)
    is_well(broker)
    broker.kill()
    is_well(broker)
    # The recovery deletes what lies below the log start.
    broker.start()
    wait_until(lambda: not files[0].exists(), DEADLINE_S, "the files are deleted")
    is_well(broker)
    broker.kill()
    is_well(broker)


def problem_of(broker: BrokerProcess) -> dict[str, object]:
    """The only problem of a directory, which is told in text as in JSON, with exit code 1."""
    text = log_command("verify", "--data-dir", broker.data_dir, code=1).splitlines()
    assert text[-1].endswith("1 problem"), text
    problem, summary = told(log_command("verify", "--data-dir", broker.data_dir, "--output", "json", code=1))
    assert (problem["found"], summary["problems"]) == ("problem", 1)
    verify = [str(binary()), "log", "verify", "--data-dir", str(broker.data_dir)]
    with subprocess.Popen(verify, stdout=subprocess.PIPE) as unread:
        unread.stdout.close()
        assert unread.wait(DEADLINE_S) == 1, "a reader that is gone hides no problem"
    assert text[0] == f"PROBLEM {problem['file']} at byte {problem['byte']}: {problem['what']}"
    assert (broker.data_dir / str(problem["file"])).is_file()
    return problem


def test_a_flipped_bit_in_a_segment(stopped: BrokerProcess) -> None:
    """The batch that it is in is named."""
    file = segment_file(stopped, "log")
    batches = told(log_command("inspect", "--data-dir", stopped.data_dir, "--batches", "--output", "json"))
    places = [(each["byte"], each["bytes"]) for each in batches if each["found"] == "batch"]
    byte, size = places[700]
    flip(file, byte + size - 1)
    problem = problem_of(stopped)
    assert (problem["file"], problem["byte"]) == (str(file.relative_to(stopped.data_dir)), byte)


def test_a_broker_tells_of_a_flipped_bit_once(stopped: BrokerProcess, topic: str) -> None:
    """However often its batch is asked for; what lies before it is served."""
    file = segment_file(stopped, "log")
    batches = told(log_command("inspect", "--data-dir", stopped.data_dir, "--batches", "--output", "json"))
    places = [(each["byte"], each["bytes"]) for each in batches if each["found"] == "batch"]
    byte, size = places[700]
    flip(file, byte + size - 1)
    stopped.start()
    with Client(stopped.address) as client:
        found = Topic(topic, client.metadata(topic).topic_id)
        assert client.fetch(found, 699).error_code == Error.NONE
        for _ in range(5):
            assert client.fetch(found, 700).error_code == Error.CORRUPT_MESSAGE
    (line,) = (line for line in stopped.log().splitlines() if "is damaged at byte" in line)
    place = f"{file.relative_to(stopped.data_dir)} is damaged at byte {byte}"
    for named in (f'partition="{topic}-0"', "offset=", place):
        assert named in line, line


def test_a_flipped_bit_in_an_index(stopped: BrokerProcess) -> None:
    """The entry that it is in is named."""
    file = segment_file(stopped, "index")
    size = file.stat().st_size
    flip(file, size // 2)
    problem = problem_of(stopped)
    assert problem["file"] == str(file.relative_to(stopped.data_dir))
    assert 0 <= size // 2 - problem["byte"] < 100


def test_a_segment_that_is_gone_or_short(stopped: BrokerProcess) -> None:
    """It is named, and looking at its size is enough."""
    file = segment_file(stopped, "log")
    data = file.read_bytes()
    for damage in (lambda: file.write_bytes(data[:-1]), file.unlink):
        damage()
        for command in ("verify", "inspect"):
            output = log_command(command, "--data-dir", stopped.data_dir, code=1)
            assert f"PROBLEM {file.relative_to(stopped.data_dir)}" in output


def test_a_flipped_bit_in_the_write_ahead_log(start_broker: StartBroker, topic: str) -> None:
    """A group that others follow is named."""
    broker = start_broker()
    for number in range(5):
        assert produce_all(broker.address, topic, [Record(b"%d" % number)]) == [number]
    broker.kill()
    found = told(log_command("inspect", "--data-dir", broker.data_dir, "--output", "json"))
    at = [index for index, each in enumerate(found) if "batch for" in str(each.get("frame"))]
    assert len(at) == 5
    # The frames of a group come behind it.
    group = next(each for each in reversed(found[: at[1]]) if each["found"] == "group")
    (file,) = (broker.data_dir / "wal").glob(f"*{group['extent']}.wal")
    text = file.read_bytes()
    # The last byte of the group's payload that is not padding.
    end = group["byte"] + len(text[group["byte"] :][:4096].rstrip(b"\0"))
    flip(file, end - 1)
    problem = problem_of(broker)
    assert problem["file"] == str(file.relative_to(broker.data_dir))
    assert group["byte"] <= problem["byte"] < end


def test_a_flipped_bit_in_the_checkpoint(stopped: BrokerProcess) -> None:
    """It is named, and what cannot be told without it is not told."""
    file = stopped.data_dir / "checkpoint"
    flip(file, file.stat().st_size // 2)
    assert problem_of(stopped)["file"] == "checkpoint"


def test_what_is_no_data_directory(tmp_path: Path) -> None:
    """One line that names it and says what to do, exit code 1; nothing is made in it."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    for place in ("empty", "file", "nothing"):
        for command in ("inspect", "verify"):
            done = run(command, "--data-dir", tmp_path / place)
            assert (done.returncode, done.stdout) == (1, "")
            (line,) = done.stderr.splitlines()
            assert str(tmp_path / place) in line
            assert "--data-dir" in line
            assert not re.search("panic", line)
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "nothing").exists()


def test_other_format_version(stopped: BrokerProcess) -> None:
    """A directory of another release is refused in one line."""
    stamp = stopped.data_dir / "wiber.format"
    stamp.write_bytes(re.sub(rb"(format\D*)1\b", rb"\g<1>99", stamp.read_bytes(), count=1))
    done = run("verify", "--data-dir", stopped.data_dir)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert "99" in line


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_reader_that_has_seen_enough(stopped: BrokerProcess, output: str) -> None:
    """A closed pipe ends the printing in peace, as `| head -1` does."""
    arguments = ["log", "inspect", "--data-dir", str(stopped.data_dir), "--batches", "--output", output]
    with subprocess.Popen(
        [str(binary()), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "cluster" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(DEADLINE_S) == 0
