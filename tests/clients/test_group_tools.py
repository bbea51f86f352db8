"""Kafka's own tools for groups, with the arguments, input and output that they have in a shell."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from broker_process import BrokerProcess, wait_until
from clients.kafka_tools import Tool
from clients.librdkafka import DEADLINE_S, Record, create_topic, produce_all

STAMP_MS = 1_700_000_000_000
"""Of the first record; each next one is a second later."""

Rows = list[dict[str, str]]


def table(text: str) -> Rows:
    """The rows of a tool's table, by its head."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    at = next(number for number, line in enumerate(lines) if "GROUP" in line)
    head = [name for name in lines[at] if name != "(ID)"]
    return [dict(zip(head, line, strict=False)) for line in lines[at + 1 :]]


@pytest.fixture
def filled(broker: BrokerProcess, topic: str) -> str:
    """A topic with two partitions, of ten and of twenty records."""
    create_topic(broker.address, topic, partitions=2)
    for partition, count in ((0, 10), (1, 20)):
        for number in range(count):
            stamp = STAMP_MS + 1_000 * number
            value = Record(b"%d-%d" % (partition, number))
            produce_all(broker.address, topic, [value], partition=partition, timestamp_ms=stamp, linger_ms=0)
    return topic


@pytest.fixture
def group(topic: str) -> str:
    """A group id of this test's own."""
    return f"group-of-{topic}"


@pytest.fixture
def member(broker: BrokerProcess, filled: str, group: str) -> Iterator[Consumer]:
    """A consumer of the group that has everything assigned, and has committed 3 and 5."""
    client = Consumer({"bootstrap.servers": broker.address, "group.id": group, "client.id": "its-client"})
    client.subscribe([filled])

    def assigned() -> bool:
        client.poll(0.05)
        return len(client.assignment()) == 2

    wait_until(assigned, DEADLINE_S, "both partitions are assigned")
    offsets = client.assignment()
    for each in offsets:
        each.offset = 3 + 2 * each.partition
    client.commit(offsets=offsets, asynchronous=False)
    yield client
    client.close()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_console_consumer(run: Tool, broker: BrokerProcess, filled: str, group: str, protocol: str) -> None:
    """In a group it reads everything once, and what is new the next time."""
    consume = ("--topic", filled, "--group", group, "--from-beginning", "--command-property")
    consume = (*consume, f"group.protocol={protocol}")
    ran = run("kafka-console-consumer", *consume, "--max-messages", "30")
    assert sorted(ran.out.split()) == sorted([f"0-{each}" for each in range(10)] + [f"1-{each}" for each in range(20)])
    produce_all(broker.address, filled, [Record(b"new")], partition=0)
    ran = run("kafka-console-consumer", *consume, "--max-messages", "1")
    assert ran.out.split() == ["new"]


def test_list_and_describe(run: Tool, filled: str, group: str, member: Consumer) -> None:
    """A group with a member: its offsets, its members, its state."""
    assert group in run("kafka-consumer-groups", "--list").out.split()
    rows = table(run("kafka-consumer-groups", "--list", "--state").out)
    assert {"GROUP": group, "STATE": "Stable"}.items() <= next(row for row in rows if row["GROUP"] == group).items()
    assert group in run("kafka-consumer-groups", "--list", "--type", "classic").out
    assert group not in run("kafka-consumer-groups", "--list", "--state", "empty").out

    described = ("kafka-consumer-groups", "--describe", "--group", group)
    for more in ((), ("--offsets",)):
        rows = table(run(*described, *more).out)
        wanted = [("0", "3", "10", "7"), ("1", "5", "20", "15")]
        names = ("PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG")
        assert sorted(tuple(row[name] for name in names) for row in rows) == wanted
        assert {(row["TOPIC"], row["HOST"], row["CLIENT-ID"]) for row in rows} == {(filled, "/127.0.0.1", "its-client")}
    (row,) = table(run(*described, "--members", "--verbose").out)
    assert (row["CLIENT-ID"], row["#PARTITIONS"], row["HOST"]) == ("its-client", "2", "/127.0.0.1")
    state = run(*described, "--state").out
    assert re.search(rf"^{group} .* range +Stable +1\s*$", state, re.MULTILINE), state
    # It takes what it prints as an error for no failure.
    missing = run("kafka-consumer-groups", "--describe", "--group", f"{group}-nobody")
    assert "not" in missing.out + missing.err


def committed(run: Tool, group: str) -> dict[int, int]:
    """The committed offset of each partition."""
    rows = table(run("kafka-consumer-groups", "--describe", "--group", group).out)
    return {int(row["PARTITION"]): int(row["CURRENT-OFFSET"]) for row in rows}


def test_reset_offsets(run: Tool, filled: str, group: str, tmp_path: Path) -> None:
    """By every rule; a trial run changes nothing."""
    reset = ("kafka-consumer-groups", "--reset-offsets", "--group", group)
    all_of = (*reset, "--topic", filled)

    def becomes(wanted: dict[int, int], *how: str) -> None:
        rows = table(run(*all_of, *how, "--execute").out)
        assert {int(row["PARTITION"]): int(row["NEW-OFFSET"]) for row in rows} == wanted
        assert committed(run, group) == wanted

    becomes({0: 0, 1: 0}, "--to-earliest")
    rows = table(run(*all_of, "--to-latest", "--dry-run").out)
    assert {int(row["PARTITION"]): int(row["NEW-OFFSET"]) for row in rows} == {0: 10, 1: 20}
    assert committed(run, group) == {0: 0, 1: 0}
    becomes({0: 10, 1: 20}, "--to-latest")
    becomes({0: 7, 1: 17}, "--shift-by", "-3")
    becomes({0: 10, 1: 20}, "--shift-by", "5")
    becomes({0: 4, 1: 4}, "--to-offset", "4")
    becomes({0: 4, 1: 4}, "--to-current")
    becomes({0: 5, 1: 5}, "--to-datetime", "2023-11-14T22:13:25.000")
    becomes({0: 0, 1: 0}, "--by-duration", "P20000D")
    run(*reset, "--topic", f"{filled}:1", "--to-offset", "9", "--execute")
    assert committed(run, group) == {0: 0, 1: 9}
    plan = tmp_path / "plan.csv"
    plan.write_text(f'"{filled}",0,2\n"{filled}",1,8\n')
    run(*reset, "--from-file", str(plan), "--execute")
    assert committed(run, group) == {0: 2, 1: 8}
    exported = run(*all_of, "--to-current", "--dry-run", "--export").out
    assert sorted(exported.replace('"', "").split()) == [f"{filled},0,2", f"{filled},1,8"]


def test_what_members_forbid(run: Tool, filled: str, group: str, member: Consumer) -> None:
    """Offsets of topics that are in use stay as they are, and so does the group."""
    one = ("--group", group)
    # The tool itself looks whether anybody is there, and takes that for no failure.
    refused = run("kafka-consumer-groups", "--reset-offsets", *one, "--topic", filled, "--to-earliest", "--execute")
    assert re.search("inactive|Stable", refused.out + refused.err)
    refused = run("kafka-consumer-groups", "--delete", *one)
    assert "GroupNotEmptyException" in refused.out + refused.err
    refused = run("kafka-consumer-groups", "--delete-offsets", *one, "--topic", filled)
    assert re.search("subscribed", refused.out + refused.err)
    assert committed(run, group) == {0: 3, 1: 5}


def test_delete(run: Tool, filled: str, group: str) -> None:
    """Offsets of a topic are deleted, and then the group."""
    one = ("--group", group)
    run("kafka-consumer-groups", "--reset-offsets", *one, "--topic", filled, "--to-offset", "4", "--execute")
    out = run("kafka-consumer-groups", "--delete-offsets", *one, "--topic", f"{filled}:0").out
    assert "Successful" in out
    assert committed(run, group) == {1: 4}
    assert "successful" in run("kafka-consumer-groups", "--delete", *one).out
    assert group not in run("kafka-consumer-groups", "--list").out.split()


def test_groups(run: Tool, group: str, member: Consumer) -> None:
    """All groups, of any type, and those of one."""
    rows = table(run("kafka-groups", "--list").out)
    (row,) = [each for each in rows if each["GROUP"] == group]
    assert (row["TYPE"], row["PROTOCOL"]) == ("Classic", "consumer")
    assert group in run("kafka-groups", "--list", "--consumer").out
    assert group in run("kafka-groups", "--list", "--group-type", "classic").out
    assert group not in run("kafka-groups", "--list", "--group-type", "consumer").out


def test_consumer_perf_test(run: Tool, broker: BrokerProcess, topic: str, group: str) -> None:
    """It reads as many messages as it was told to, in a group."""
    create_topic(broker.address, topic, partitions=3)
    for partition in range(3):
        produce_all(broker.address, topic, [Record(b"x" * 100)] * 2_000, partition=partition)
    common = ("--topic", topic, "--group", group, "--timeout", "20000")
    out = run("kafka-consumer-perf-test", *common, "--num-records", "6000", "--hide-header").out
    counts = [each.strip() for each in out.strip().splitlines()[-1].split(",")]
    assert counts[4] == "6000"
