"""Metadata at every version, and who is asked about coordinators."""

import uuid
from types import SimpleNamespace

import pytest

from broker_process import BrokerProcess, is_reference, wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error
from protocol.schema import NO_ID, versions

UNKNOWN_AUTHORIZED_OPERATIONS = -(2**31)
# A bit for each operation that Kafka has for a cluster, and for a topic.
ON_CLUSTER, ON_TOPIC = 8096, 3576


def one(client: Client, version: int, **body: object) -> SimpleNamespace:
    """The only topic in the answer."""
    (found,) = client.ask("Metadata", version, **body).topics
    return found


@pytest.mark.parametrize("version", versions("Metadata"))
def test_a_topic_by_name(client: Client, broker: BrokerProcess, topic: str, version: int) -> None:
    """The broker, the topic, its partitions: each led by the one broker."""
    made = client.create(topic, 3)
    answer = client.ask("Metadata", version, topics=[{"name": topic}])
    (node,) = answer.brokers
    assert f"{node.host}:{node.port}" == broker.address
    assert node.rack is None
    (found,) = answer.topics
    assert (found.error_code, found.name, found.is_internal) == (Error.NONE, topic, False)
    assert found.topic_id == (made.id if version >= 10 else NO_ID)
    partitions = sorted(found.partitions, key=lambda each: each.partition_index)
    assert [each.partition_index for each in partitions] == [0, 1, 2]
    for each in partitions:
        assert (each.error_code, each.leader_id) == (Error.NONE, node.node_id)
        assert (each.replica_nodes, each.isr_nodes, each.offline_replicas) == ([node.node_id], [node.node_id], [])
        assert (each.leader_epoch >= 0) if version >= 7 else (each.leader_epoch == -1)
    if version >= 1:
        assert answer.controller_id == node.node_id
    if version >= 2:
        assert answer.cluster_id
    if version >= 8:
        assert found.topic_authorized_operations == UNKNOWN_AUTHORIZED_OPERATIONS
    if version >= 13:
        assert answer.error_code == Error.NONE


@pytest.mark.parametrize("version", versions("Metadata", since=8))
def test_what_may_be_done_is_told_when_asked(client: Client, topic: str, version: int) -> None:
    """All that there is, as nobody is kept from anything: with a topic, and with the cluster while that had a field."""
    client.create(topic)
    asked = {"include_topic_authorized_operations": True}
    if version <= 10:
        asked["include_cluster_authorized_operations"] = True
    named = [{"name": topic}, {"name": "nobody-made-this"}]
    answer = client.ask("Metadata", version, topics=named, allow_auto_topic_creation=False, **asked)
    assert [found.topic_authorized_operations for found in answer.topics] == [ON_TOPIC, ON_TOPIC]
    if version <= 10:
        assert answer.cluster_authorized_operations == ON_CLUSTER
    if version >= 12:
        stranger = [{"topic_id": uuid.uuid4(), "name": None}]
        (found,) = client.ask("Metadata", version, topics=stranger, **asked).topics
        assert found.topic_authorized_operations == UNKNOWN_AUTHORIZED_OPERATIONS


@pytest.mark.parametrize("version", versions("Metadata"))
def test_all_topics_or_none(client: Client, topic: str, version: int) -> None:
    """Null asks for all topics, an empty list for none; version 0 has no null and asks with an empty list for all."""
    client.create(topic)
    every = client.ask("Metadata", version, topics=[] if version == 0 else None).topics
    assert topic in {found.name for found in every}
    if version > 0:
        assert client.ask("Metadata", version, topics=[]).topics == []


@pytest.mark.parametrize("version", versions("Metadata", since=4))
def test_no_topic_is_made_unasked(client: Client, topic: str, version: int) -> None:
    """With auto-creation off, an unknown topic is an error, again and again."""
    for _ in range(2):
        found = one(client, version, topics=[{"name": topic}], allow_auto_topic_creation=False)
        assert (found.error_code, found.name, found.partitions) == (Error.UNKNOWN_TOPIC_OR_PARTITION, topic, [])


@pytest.mark.parametrize("version", versions("Metadata"))
def test_a_topic_is_made_when_named(client: Client, topic: str, version: int) -> None:
    """Before version 4 always, later when asked, an unknown topic is created, behind the answer that there is none."""
    auto = {"allow_auto_topic_creation": True} if version >= 4 else {}

    def ask() -> SimpleNamespace:
        return one(client, version, topics=[{"name": topic}], **auto)

    found = ask()
    assert (found.error_code, found.name, found.partitions) == (Error.UNKNOWN_TOPIC_OR_PARTITION, topic, [])
    assert found.topic_id == NO_ID
    wait_until(lambda: ask().error_code != Error.UNKNOWN_TOPIC_OR_PARTITION, DEADLINE_S, f"{topic} is made")
    found = ask()
    assert (found.error_code, len(found.partitions)) == (Error.NONE, 1)
    (partition,) = found.partitions
    assert (partition.error_code, partition.leader_id) == (Error.NONE, 1)


def test_topics_are_made_once(start_broker: StartBroker) -> None:
    """However many ask at once, each is answered at once; what a client asked for that is gone is made too."""
    names = [f"made-{number}" for number in range(20)]
    asked = {"topics": [{"name": name} for name in names], "allow_auto_topic_creation": True}
    broker = start_broker()
    with Client(broker.address) as first, Client(broker.address) as second:
        old = first.create("old")
        with Client(broker.address) as hasty:
            hasty.send("Metadata", 12, topics=[{"name": "left"}], allow_auto_topic_creation=True)
        for client in (first, second):
            for _ in range(5):
                client.send("Metadata", 12, **asked | {"topics": [*asked["topics"], {"name": "old"}]})
        ids: dict[str, set[uuid.UUID]] = {name: set() for name in names}
        for client in (first, second):
            for _ in range(5):
                found = {each.name: each for each in client.receive("Metadata", 12).topics}
                known = found.pop("old")
                assert (known.error_code, known.topic_id) == (Error.NONE, old.id)
                assert sorted(found) == sorted(names)
                for name, each in found.items():
                    assert each.error_code in (Error.NONE, Error.UNKNOWN_TOPIC_OR_PARTITION), each
                    ids[name] |= {each.topic_id} - {NO_ID}
        for name in (*names, "left"):
            wait_until(lambda name=name: first.metadata(name).error_code == Error.NONE, DEADLINE_S, f"{name} is made")
        for name, seen in ids.items():
            assert seen <= {second.metadata(name).topic_id}
    broker.stop()


@pytest.mark.wiber_only("Kafka makes none of them, whenever they are asked for")
def test_more_partitions_than_are_made_at_once(start_broker: StartBroker) -> None:
    """Ten thousand partitions are made at a time; further topics are made when they are asked for again."""
    broker = start_broker(arguments=["--set", "num.partitions=4000"])
    names = ["one", "two", "three"]
    with Client(broker.address) as client:

        def made() -> bool:
            found = client.ask(
                "Metadata", 12, topics=[{"name": name} for name in names], allow_auto_topic_creation=True
            ).topics
            return [len(each.partitions) for each in found] == [4000] * 3

        wait_until(made, DEADLINE_S, "all of them are made", interval_s=0.2)
    broker.stop()


def test_a_topic_that_cannot_be_made(start_broker: StartBroker) -> None:
    """Its clients hear of it as of any that is not there; the broker's log has the reason."""
    broker = start_broker(arguments=["--set", "default.replication.factor=3"])
    with Client(broker.address) as client:
        for _ in range(3):
            found = one(client, 12, topics=[{"name": "three"}], allow_auto_topic_creation=True)
            assert found.error_code == Error.UNKNOWN_TOPIC_OR_PARTITION
        if not is_reference():
            reason = "the topic three, which a client named, cannot be made"
            wait_until(lambda: reason in broker.log(), DEADLINE_S, "it is told")
            assert broker.log().count(reason) == 1
        assert client.metadata("three").error_code == Error.UNKNOWN_TOPIC_OR_PARTITION
    broker.stop()


@pytest.mark.parametrize("version", versions("Metadata"))
def test_names_that_no_topic_has(client: Client, version: int) -> None:
    """They are refused, and not created."""
    auto = {"allow_auto_topic_creation": True} if version >= 4 else {}
    for name in ("", "..", "no/such name", "x" * 250):
        found = one(client, version, topics=[{"name": name}], **auto)
        assert found.error_code == Error.INVALID_TOPIC_EXCEPTION, name


@pytest.mark.parametrize("name", ["__cluster_metadata", "__consumer_offsets"])
def test_internal_topics(start_broker: StartBroker, name: str) -> None:
    """Those of the brokers are told to be internal, whether they exist or not; the metadata log is no topic."""
    is_internal = name == "__consumer_offsets"
    broker = start_broker()
    with Client(broker.address) as client:
        found = one(client, 12, topics=[{"name": name}], allow_auto_topic_creation=True)
        assert (found.error_code, found.is_internal) == (Error.UNKNOWN_TOPIC_OR_PARTITION, is_internal)
        if not is_internal:
            return
        wait_until(
            lambda: one(client, 12, topics=[{"name": name}], allow_auto_topic_creation=False).error_code == Error.NONE,
            DEADLINE_S,
            f"{name} is made",
        )
        found = one(client, 12, topics=[{"name": name}], allow_auto_topic_creation=False)
        assert found.is_internal
        assert len(found.partitions) == 50
        described = client.ask("DescribeTopicPartitions", 0, topics=[{"name": name}], response_partition_limit=100)
        assert described.topics[0].is_internal


@pytest.mark.parametrize("version", versions("Metadata", since=12))
def test_topics_by_id(client: Client, topic: str, version: int) -> None:
    """An id finds its topic; an unknown one is an error of its own (KIP-516)."""
    made = client.create(topic)
    found = one(client, version, topics=[{"topic_id": made.id, "name": None}])
    assert (found.error_code, found.name, found.topic_id) == (Error.NONE, topic, made.id)
    unknown = uuid.uuid4()
    found = one(client, version, topics=[{"topic_id": unknown, "name": None}])
    assert (found.error_code, found.name, found.topic_id) == (Error.UNKNOWN_TOPIC_ID, None, unknown)


@pytest.mark.wiber_only("Kafka has coordinators of transactions")
@pytest.mark.parametrize("version", [v for v in versions("FindCoordinator") if v >= 1])
def test_there_is_no_coordinator_of_transactions(client: Client, version: int) -> None:
    """With the error that clients take for "not now"."""
    if version < 4:
        found = [client.ask("FindCoordinator", version, key_type=1, key="key")]
    else:
        found = client.ask("FindCoordinator", version, key_type=1, coordinator_keys=["a", "b"]).coordinators
        assert [each.key for each in found] == ["a", "b"]
    for each in found:
        expected = (Error.COORDINATOR_NOT_AVAILABLE, -1, "", -1)
        assert (each.error_code, each.node_id, each.host, each.port) == expected
        assert each.error_message


@pytest.mark.parametrize("version", versions("FindCoordinator"))
def test_coordinators_are_asked_for(client: Client, version: int) -> None:
    """The answer has the form of its version; Kafka first says that it has none, and makes the topic of groups."""
    if version < 4:
        assert client.ask("FindCoordinator", version, key="key").error_code in (0, Error.COORDINATOR_NOT_AVAILABLE)
    else:
        found = client.ask("FindCoordinator", version, coordinator_keys=["key"]).coordinators
        assert [each.key for each in found] == ["key"]
