"""Debian's kcat (librdkafka 2.0.2, an older client): metadata, produce and consume, compression, offsets."""

import json
import subprocess
import time
from collections.abc import Callable

import pytest

from broker_process import BrokerProcess
from wire import Connection

Kcat = Callable[..., str]

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
DEADLINE_S = 30


@pytest.fixture
def kcat(broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> Kcat:
    """Runs kcat against the broker and returns what it prints; its exit code must be 0."""
    monkeypatch.setenv("KCAT_CONFIG", "/dev/null")

    def run(*arguments: str, stdin: str = "") -> str:
        command = ["kcat", "-b", broker.address, *arguments]
        done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stderr.decode()}"
        return done.stdout.decode()

    return run


def offsets(lines: str) -> list[int]:
    """The numbers that `-f '%o\\n'` printed."""
    return [int(line) for line in lines.split()]


def test_metadata_lists_the_broker_and_a_topic(kcat: Kcat, broker: BrokerProcess, topic: str) -> None:
    """`-L` shows this broker at its address, as controller, and a topic with its leader, replicas and ISR."""
    kcat("-P", "-t", topic, stdin="one\n")
    listing = json.loads(kcat("-L", "-J"))
    (only,) = listing["brokers"]
    assert only["name"] == broker.address
    assert listing["controllerid"] == only["id"]
    (partition,) = next(each for each in listing["topics"] if each["topic"] == topic)["partitions"]
    assert partition == {
        "partition": 0,
        "leader": only["id"],
        "replicas": [{"id": only["id"]}],
        "isrs": [{"id": only["id"]}],
    }


@pytest.mark.parametrize("idempotent", ["true", "false"])
@pytest.mark.parametrize("codec", CODECS)
def test_round_trip_with_each_codec(kcat: Kcat, broker: BrokerProcess, topic: str, codec: str, idempotent: str) -> None:
    """Lines come back as they went, in order, and lie in the log in the codec that the client chose."""
    lines = "".join(f"line {number} of {codec}\n" for number in range(500))
    kcat("-P", "-t", topic, "-z", codec, "-X", f"enable.idempotence={idempotent}", stdin=lines)
    assert kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q") == lines
    with Connection(broker.address) as connection:
        batches = connection.fetch(topic, 0, 0).batches()
    # librdkafka leaves a batch as it is where compression gains nothing.
    assert codec in {batch.codec for batch in batches} <= {codec, "none"}
    assert all((batch.producer_id >= 0) == (idempotent == "true") for batch in batches)


def test_keys_and_headers(kcat: Kcat, topic: str) -> None:
    """Keys and headers come back; headers in order, with a repeated name, an empty value and a null one."""
    headers = ["-H", "a=1", "-H", "b=", "-H", "a=2", "-H", "c"]
    kcat("-P", "-t", topic, "-K", ":", *headers, stdin="key1:value1\n:value2\n")
    got = kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%k|%s|%h\\n")
    assert got == "key1|value1|a=1,b=,a=2,c=NULL\n|value2|a=1,b=,a=2,c=NULL\n"


def test_null_keys_and_null_values(kcat: Kcat, topic: str) -> None:
    """A null is told from an empty string."""
    kcat("-P", "-t", topic, stdin="no key\n")
    kcat("-P", "-t", topic, "-K", ":", "-Z", stdin="tombstone:\n")
    got = kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%K %S\\n")
    assert got == "-1 6\n9 -1\n"


def test_offsets(kcat: Kcat, topic: str) -> None:
    """Every way in which kcat names an offset."""
    kcat("-P", "-t", topic, stdin="".join(f"{number}\n" for number in range(20)))

    def consume(offset: str) -> list[int]:
        return offsets(kcat("-C", "-t", topic, "-p", "0", "-o", offset, "-e", "-q", "-f", "%o\\n"))

    assert consume("beginning") == list(range(20))
    assert consume("end") == []
    assert consume("-5") == list(range(15, 20))
    assert consume("7") == list(range(7, 20))


def test_timestamps(kcat: Kcat, topic: str) -> None:
    """`s@` starts at the first record of that time or later; `-Q` asks for the offset alone."""
    kcat("-P", "-t", topic, stdin="before 1\nbefore 2\n")
    between_ms = int(time.time() * 1000) + 5
    while time.time() * 1000 < between_ms + 5:
        pass
    kcat("-P", "-t", topic, stdin="after 1\nafter 2\n")

    assert kcat("-C", "-t", topic, "-p", "0", "-o", f"s@{between_ms}", "-e", "-q") == "after 1\nafter 2\n"
    assert kcat("-Q", "-t", f"{topic}:0:{between_ms}") == f"{topic} [0] offset 2\n"
    assert kcat("-Q", "-t", f"{topic}:0:-2") == f"{topic} [0] offset 0\n"
    assert kcat("-Q", "-t", f"{topic}:0:-1") == f"{topic} [0] offset 4\n"
    assert kcat("-Q", "-t", f"{topic}:0:{between_ms + 86_400_000}") == f"{topic} [0] offset -1\n"
    stamps = kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%T\\n").split()
    assert all(int(stamp) < between_ms for stamp in stamps[:2])
    assert all(int(stamp) >= between_ms for stamp in stamps[2:])


def test_a_file_becomes_one_message(kcat: Kcat, topic: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A binary file of 600 kB survives as one message."""
    file = tmp_path_factory.mktemp("kcat") / "payload"
    file.write_bytes(bytes(range(32, 127)) * 6_300)
    kcat("-P", "-t", topic, str(file))
    assert kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%s") == file.read_bytes().decode()
