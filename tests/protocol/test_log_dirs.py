"""DescribeLogDirs at every version: the data directory, the sizes in it, and how much room there is."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from broker_process import BrokerProcess, is_reference
from conftest import StartBroker
from protocol.client import Client, Error
from protocol.records import batch
from protocol.schema import versions

VERSIONS = versions("DescribeLogDirs")
SPACE_VERSION = 4
SLACK_BYTES = 1 << 30
"""Others use the filesystem at the same time."""


def describe(client: Client, version: int, topics: dict[str, list[int]] | None) -> SimpleNamespace:
    """The one directory of an answer."""
    wanted = None if topics is None else [{"topic": name, "partitions": parts} for name, parts in topics.items()]
    answer = client.ask("DescribeLogDirs", version, topics=wanted)
    assert answer.error_code == Error.NONE
    (directory,) = answer.results
    assert directory.error_code == Error.NONE
    return directory


def sizes(directory: SimpleNamespace) -> dict[tuple[str, int], int]:
    """The size of each partition; none is behind or to replace another."""
    found = [(topic.name, each) for topic in directory.topics for each in topic.partitions]
    assert all((each.offset_lag, each.is_future_key) == (0, False) for _, each in found)
    named = {(name, each.partition_index): each.partition_size for name, each in found}
    assert len(named) == len(found)
    return named


@pytest.mark.parametrize("version", VERSIONS)
def test_directory(client: Client, broker: BrokerProcess, version: int) -> None:
    """It has its path, and from version 4 on the room that its filesystem has."""
    directory = describe(client, version, {})
    path = broker.data_dir / "logs" if is_reference() else broker.data_dir
    assert (directory.log_dir, directory.topics) == (str(path), [])
    assert Path(directory.log_dir).is_absolute()
    assert not directory.is_cordoned
    if version < SPACE_VERSION:
        assert (directory.total_bytes, directory.usable_bytes) == (-1, -1)
        return
    space = os.statvfs(broker.data_dir)
    assert directory.total_bytes == space.f_blocks * space.f_frsize
    assert abs(directory.usable_bytes - space.f_bavail * space.f_frsize) < SLACK_BYTES


@pytest.mark.parametrize("version", VERSIONS)
def test_sizes(client: Client, topic: str, version: int) -> None:
    """A partition is as large as the batches in it; what is not there is left out, and nothing is said twice."""
    made = client.create(topic, 3)
    written = 0
    for count in range(1, 4):
        records = batch(*[b"x" * 1000] * count)
        assert client.produce(made, records, 1).error_code == Error.NONE
        written += len(records)
    here = {(topic, 0): 0, (topic, 1): written, (topic, 2): 0}
    every = sizes(describe(client, version, None))
    assert {of: size for of, size in every.items() if of[0] == topic} == here
    some = describe(client, version, {topic: [1, 0, 1, 3, -1], f"{topic}-unknown": [0]})
    assert sizes(some) == {(topic, 0): 0, (topic, 1): written}
    assert sizes(describe(client, version, {topic: []})) == {}


def test_all_of_many_partitions(client: Client, topic: str) -> None:
    """Partitions of several shards are told together."""
    client.create(topic, 50)
    every = sizes(describe(client, VERSIONS[-1], None))
    assert {index for name, index in every if name == topic} == set(range(50))


def test_sizes_last(start_broker: StartBroker, topic: str) -> None:
    """A start finds the same sizes."""
    broker = start_broker()
    with Client(broker.address) as client:
        made = client.create(topic)
        records = batch(b"x" * 5000)
        client.produce(made, records)
        assert sizes(describe(client, VERSIONS[-1], {topic: [0]})) == {(topic, 0): len(records)}
    broker.stop()
    broker.start()
    with Client(broker.address) as client:
        assert sizes(describe(client, VERSIONS[-1], {topic: [0]})) == {(topic, 0): len(records)}
    broker.stop()
