"""CreatePartitions at every version: a topic gets more partitions, and keeps what it has."""

import pytest

from broker_process import wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error, Topic, fetch_body
from protocol.records import batch
from protocol.schema import versions

TIMEOUT_MS = 10_000


def wanted(name: str, count: int, assignments: list[list[int]] | None = None) -> dict[str, object]:
    """A topic as a request names it."""
    lists = None if assignments is None else [{"broker_ids": brokers} for brokers in assignments]
    return {"name": name, "count": count, "assignments": lists}


def ask(client: Client, version: int, *topics: dict[str, object], validate_only: bool = False) -> dict[str, int]:
    """Asks for partitions: the error code for each topic; what is refused is said in words."""
    body = {"topics": list(topics), "timeout_ms": TIMEOUT_MS, "validate_only": validate_only}
    results = client.ask("CreatePartitions", version, **body).results
    for each in results:
        # Kafka has no words for a topic that is unknown.
        wordless = each.error_code in (Error.NONE, Error.UNKNOWN_TOPIC_OR_PARTITION)
        assert wordless or each.error_message
    assert len({each.name for each in results}) == len(results)
    return {each.name: each.error_code for each in results}


def partitions(client: Client, name: str) -> list[int]:
    """The partitions that the broker tells of."""
    return sorted(each.partition_index for each in client.metadata(name).partitions)


def await_led(client: Client, topic: Topic, count: int) -> None:
    """Waits until the broker leads all partitions: Kafka's does a moment after its controller answered."""
    wait_until(lambda: client._is_led(topic.name, count), DEADLINE_S, f"{topic.name} has {count} partitions")


@pytest.mark.parametrize("version", versions("CreatePartitions"))
def test_more(client: Client, topic: str, version: int) -> None:
    """The new ones are empty and take records; the old ones, and the topic's id, stay."""
    made = client.create(topic, 2)
    client.produce(made, batch(b"old"), 1)
    assert ask(client, version, wanted(topic, 5)) == {topic: Error.NONE}
    await_led(client, made, 5)
    found = client.metadata(topic)
    assert (found.topic_id, partitions(client, topic)) == (made.id, [0, 1, 2, 3, 4])
    assert all(each.replica_nodes == each.isr_nodes == [each.leader_id] for each in found.partitions)
    for partition in (2, 3, 4):
        assert client.values(made, partition) == []
        assert client.produce(made, batch(b"new", b"newer"), partition).base_offset == 0
        assert client.values(made, partition) == [b"new", b"newer"]
    assert (client.values(made), client.values(made, 1)) == ([], [b"old"])
    assert client.produce(made, batch(b"next"), 1).base_offset == 1


@pytest.mark.parametrize("version", versions("CreatePartitions"))
def test_assigned(client: Client, topic: str, version: int) -> None:
    """Replicas can be named, for each new partition and for none else; a refusal changes nothing."""
    made = client.create(topic, 1)
    (node,) = client.metadata(topic).partitions[0].replica_nodes
    wrong = {
        "too few": [[node]],
        "too many": [[node]] * 3,
        "none": [],
        "an empty one": [[node], []],
        "an unknown broker": [[node], [node + 77]],
        "twice the same": [[node], [node, node]],
    }
    for why, assignments in wrong.items():
        answer = ask(client, version, wanted(topic, 3, assignments))
        assert answer == {topic: Error.INVALID_REPLICA_ASSIGNMENT}, why
    assert partitions(client, topic) == [0]
    assert ask(client, version, wanted(topic, 3, [[node], [node]])) == {topic: Error.NONE}
    await_led(client, made, 3)
    assert [each.replica_nodes for each in client.metadata(topic).partitions] == [[node]] * 3


@pytest.mark.parametrize("version", versions("CreatePartitions"))
def test_refused(client: Client, topic: str, version: int) -> None:
    """Each reason has its error; what is good in the same request is done."""
    names = [f"{topic}-{letter}" for letter in "abcde"]
    made = [client.create(name, 3) for name in names]
    answer = ask(
        client,
        version,
        wanted(names[0], 3),
        wanted(names[1], 2),
        wanted(names[2], -1),
        wanted(names[3], 4),
        wanted(names[4], 4),
        wanted(names[4], 5),
        wanted(f"{topic}-unknown", 4),
    )
    assert answer == {
        names[0]: Error.INVALID_PARTITIONS,
        names[1]: Error.INVALID_PARTITIONS,
        names[2]: Error.INVALID_PARTITIONS,
        names[3]: Error.NONE,
        names[4]: Error.INVALID_REQUEST,
        f"{topic}-unknown": Error.UNKNOWN_TOPIC_OR_PARTITION,
    }
    await_led(client, made[3], 4)
    assert [len(partitions(client, name)) for name in names] == [3, 3, 3, 4, 3]
    assert ask(client, version) == {}


@pytest.mark.parametrize("version", versions("CreatePartitions"))
def test_validate_only(client: Client, topic: str, version: int) -> None:
    """What would be refused is said, and nothing is changed."""
    made = client.create(topic, 2)
    for _ in range(2):
        assert ask(client, version, wanted(topic, 4), validate_only=True) == {topic: Error.NONE}
    assert ask(client, version, wanted(topic, 2), validate_only=True) == {topic: Error.INVALID_PARTITIONS}
    # A broker that lags behind its controller would make the count below true for a while.
    assert ask(client, version, wanted(topic, 3)) == {topic: Error.NONE}
    await_led(client, made, 3)
    assert partitions(client, topic) == [0, 1, 2]


def test_fetchers_see_them(client: Client, topic: str) -> None:
    """Who asked for a partition before it was there gets it once it is."""
    made = client.create(topic, 1)
    for version in versions("Fetch", since=13):
        (refused,) = client.ask("Fetch", version, **fetch_body(made, {1: {}})).responses
        assert refused.partitions[0].error_code == Error.UNKNOWN_TOPIC_OR_PARTITION
    assert ask(client, versions("CreatePartitions")[-1], wanted(topic, 2)) == {topic: Error.NONE}
    await_led(client, made, 2)
    client.produce(made, batch(b"new"), 1)
    assert client.values(made, 1) == [b"new"]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_they_last(start_broker: StartBroker, topic: str, end: str) -> None:
    """They, and what is in them, are there after a stop and after a kill; more can be added then."""
    broker = start_broker()
    for count in (1, 3, 6):
        with Client(broker.address) as client:
            if count == 1:
                made = client.create(topic, 1)
            else:
                assert ask(client, versions("CreatePartitions")[-1], wanted(topic, count)) == {topic: Error.NONE}
                await_led(client, made, count)
            for partition in range(count):
                assert client.produce(made, batch(b"%d" % count), partition).error_code == Error.NONE
        getattr(broker, end)()
        broker.start()
        with Client(broker.address) as client:
            await_led(client, made, count)
            assert client.metadata(topic).topic_id == made.id
            assert partitions(client, topic) == list(range(count))
            got = [client.values(made, partition) for partition in range(count)]
            begun = [[1, 3, 6], *[[3, 6]] * 2, *[[6]] * 3]
            assert got == [[b"%d" % each for each in counts if each <= count] for counts in begun[:count]]
    broker.stop()
