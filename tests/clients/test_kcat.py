"""kcat with three generations of librdkafka: metadata, produce and consume, compression, offsets, large and many."""

import json
import os
import random
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import confluent_kafka
import pytest

from broker_process import BrokerProcess
from clients.conftest import CACHE
from clients.librdkafka import create_topic, delete_topic, wait_for_partitions
from wire import Connection

Kcat = Callable[..., str]

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
DEADLINE_S = 30
LIBRARIES = ["Debian's", "1.8.2", "newest"]
"""1.8.2 is the oldest that Kafka 4 serves (KIP-896), Debian 12 has 2.0.2, and the newest is confluent-kafka's."""
LARGE_VALUE_BYTES = 10_000_000


def library_path(library: str, directory: Path) -> str:
    """A folder in which `kcat` finds its librdkafka; the empty name is the system's."""
    if library == "1.8.2":
        return str(CACHE / "librdkafka-1.8.2")
    if library == "newest":
        (bundled,) = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs").glob("librdkafka-*.so.1")
        (directory / "librdkafka.so.1").symlink_to(bundled)
        return str(directory)
    return ""


@pytest.fixture(scope="module", params=LIBRARIES)
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which kcat runs with a librdkafka, which is the one that was meant."""
    path = library_path(request.param, tmp_path_factory.mktemp("librdkafka"))
    environment = os.environ | {"KCAT_CONFIG": "/dev/null", "LD_LIBRARY_PATH": path}
    printed = subprocess.run(["kcat", "-V"], env=environment, capture_output=True, text=True, check=True).stdout
    (version,) = re.findall(r"librdkafka (\d+\.\d+\.\d+)", printed)
    assert {"1.8.2": version == "1.8.2", "newest": version == confluent_kafka.libversion()[0]}.get(request.param, True)
    return environment


@pytest.fixture
def kcat(broker: BrokerProcess, environment: dict[str, str]) -> Kcat:
    """Runs kcat against the broker and returns what it prints; its exit code must be 0."""

    def run(*arguments: str, stdin: str = "") -> str:
        command = ["kcat", "-b", broker.address, *arguments]
        done = subprocess.run(
            command, input=stdin.encode(), env=environment, capture_output=True, timeout=DEADLINE_S, check=False
        )
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


def test_large_messages(kcat: Kcat, broker: BrokerProcess, topic: str, tmp_path: Path) -> None:
    """A message of 10 MB on a topic that takes it, and a small one behind it."""
    create_topic(broker.address, topic, max_message_bytes="11000000")
    file = tmp_path / "payload"
    file.write_bytes(random.Random(6).randbytes(LARGE_VALUE_BYTES // 2).hex().encode())
    kcat("-P", "-t", topic, "-X", "message.max.bytes=11000000", str(file))
    kcat("-P", "-t", topic, stdin="small\n")
    limits = ["-X", "fetch.message.max.bytes=12000000", "-X", "receive.message.max.bytes=60000000"]
    got = kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q", *limits, "-f", "%o %S %s\\n")
    assert got == f"0 {LARGE_VALUE_BYTES} {file.read_text()}\n1 5 small\n"


def test_a_thousand_partitions(kcat: Kcat, broker: BrokerProcess, topic: str) -> None:
    """Lines are spread over a thousand partitions and all are read, each partition in order."""
    create_topic(broker.address, topic, partitions=1_000)
    (listed,) = json.loads(kcat("-L", "-J", "-t", topic))["topics"]
    assert sorted(each["partition"] for each in listed["partitions"]) == list(range(1_000))
    wait_for_partitions(broker.address, topic, 1_000)
    kcat("-P", "-t", topic, "-K", ":", stdin="".join(f"key {number}:{number}\n" for number in range(5_000)))
    for partition in ("0", "999"):
        kcat("-P", "-t", topic, "-p", partition, stdin="named\n")
    # Not from "beginning": librdkafka 1.8.2 mostly hangs when it asks for so many of them, with Apache Kafka too.
    lines = kcat("-C", "-t", topic, "-o", "0", "-e", "-q", "-f", "%p %o %s\\n").splitlines()
    got = [(int(partition), int(offset), value) for partition, offset, value in (line.split() for line in lines)]
    assert sorted(value for *_, value in got) == sorted([*map(str, range(5_000)), "named", "named"])
    by_partition: dict[int, list[tuple[int, str]]] = {}
    for partition, offset, value in got:
        by_partition.setdefault(partition, []).append((offset, value))
    assert len(by_partition) > 900
    for partition, own in by_partition.items():
        assert [offset for offset, _ in own] == list(range(len(own)))
        numbers = [int(value) for _, value in own if value != "named"]
        assert numbers == sorted(numbers)
        assert (own[-1][1] == "named") == (partition in (0, 999))
    delete_topic(broker.address, topic)
