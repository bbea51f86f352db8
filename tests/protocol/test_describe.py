"""DescribeCluster, DescribeTopicPartitions and ListConfigResources at every version."""

from types import SimpleNamespace

import pytest

from broker_process import BrokerProcess
from protocol.client import Client, Error
from protocol.schema import NO_ID, versions

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS = 2, 4, 8, 16
# A bit for each operation that Kafka has for a cluster, and for a topic; nobody is kept from anything.
ON_CLUSTER, ON_TOPIC, NOT_ASKED = 8096, 3576, -(2**31)
MISMATCHED_ENDPOINT_TYPE, UNSUPPORTED_ENDPOINT_TYPE = 114, 115


@pytest.mark.parametrize("version", versions("DescribeCluster"))
def test_cluster(client: Client, broker: BrokerProcess, version: int) -> None:
    """The one broker is told with its address, and what may be done if that is asked for."""
    for asked in (False, True):
        found = client.ask("DescribeCluster", version, include_cluster_authorized_operations=asked)
        assert (found.error_code, found.error_message, found.endpoint_type) == (Error.NONE, None, 1)
        (node,) = found.brokers
        assert f"{node.host}:{node.port}" == broker.address
        assert (node.broker_id, node.rack, node.is_fenced) == (found.controller_id, None, False)
        assert found.cluster_id == client.ask("Metadata", 12, topics=[]).cluster_id
        assert found.cluster_authorized_operations == (ON_CLUSTER if asked else NOT_ASKED)


@pytest.mark.parametrize("version", versions("DescribeCluster", since=1))
def test_endpoint_of_another_kind(client: Client, version: int) -> None:
    """A broker does not answer for a controller, nor for what does not exist (KIP-919)."""
    for kind, code in ((2, MISMATCHED_ENDPOINT_TYPE), (3, UNSUPPORTED_ENDPOINT_TYPE)):
        found = client.ask("DescribeCluster", version, endpoint_type=kind)
        assert (found.error_code, found.cluster_id, found.controller_id, found.brokers) == (code, "", -1, [])
        assert found.error_message


def pages(
    client: Client, topics: list[str], limit: int = 2000, cursor: tuple[str, int] | None = None
) -> SimpleNamespace:
    """One page of a description."""
    named = [{"name": name} for name in topics]
    at = cursor and {"topic_name": cursor[0], "partition_index": cursor[1]}
    return client.ask("DescribeTopicPartitions", 0, topics=named, response_partition_limit=limit, cursor=at)


def shown(page: SimpleNamespace) -> list[tuple[str, int, list[int]]]:
    """Name, error and partitions of each topic on a page."""
    return [(each.name, each.error_code, [p.partition_index for p in each.partitions]) for each in page.topics]


def next_of(page: SimpleNamespace) -> tuple[str, int] | None:
    """Where the next page begins."""
    return page.next_cursor and (page.next_cursor.topic_name, page.next_cursor.partition_index)


def test_partitions(client: Client, topic: str) -> None:
    """A topic is told with its id and its partitions; a name that is there twice counts once."""
    made = client.create(topic, 2)
    page = pages(client, [topic, topic])
    (found,) = page.topics
    assert (found.error_code, found.name, found.topic_id) == (Error.NONE, topic, made.id)
    assert (found.is_internal, found.topic_authorized_operations) == (False, ON_TOPIC)
    node = client.ask("Metadata", 12, topics=[]).controller_id
    for index, partition in enumerate(found.partitions):
        assert (partition.error_code, partition.partition_index, partition.leader_id) == (Error.NONE, index, node)
        assert partition.leader_epoch == client.leader_epoch(made, index)
        assert (partition.replica_nodes, partition.isr_nodes, partition.offline_replicas) == ([node], [node], [])
        assert (partition.eligible_leader_replicas, partition.last_known_elr) == ([], [])
    assert len(found.partitions) == 2
    assert page.next_cursor is None


def test_pages(client: Client, topic: str) -> None:
    """Pages have as many partitions as are asked for, at least one, and follow each other in the order of the names."""
    a, b, c = (f"{topic}-{name}" for name in "abc")
    for name, partitions in ((c, 1), (a, 3), (b, 2)):
        client.create(name, partitions)
    names = [c, a, b]
    seen, cursor = [], None
    while True:
        page = pages(client, names, 2, cursor)
        seen.append((shown(page), next_of(page)))
        cursor = next_of(page)
        if cursor is None:
            break
    assert seen == [
        ([(a, 0, [0, 1])], (a, 2)),
        ([(a, 0, [2]), (b, 0, [0])], (b, 1)),
        ([(b, 0, [1]), (c, 0, [0])], None),
    ]
    assert next_of(pages(client, names, 3)) == (b, 0)
    for limit in (0, -1):
        assert shown(pages(client, [a], limit)) == [(a, 0, [0])]
    assert shown(pages(client, [a], 2, (a, 9))) == [(a, 0, [])]
    every = pages(client, [], 4, (a, 1))
    assert shown(every)[:2] == [(a, 0, [1, 2]), (b, 0, [0, 1])]
    assert next_of(every) == (c, 0)


def test_unknown_topics(client: Client, topic: str) -> None:
    """What does not exist is an error on its page, and takes no room there."""
    client.create(topic, 2)
    page = pages(client, [f"{topic}-unknown", topic, f"{topic}-0 0"], 2)
    assert shown(page)[0] == (topic, Error.NONE, [0, 1])
    assert next_of(page) == (f"{topic}-0 0", 0)
    page = pages(client, [f"{topic}-unknown", topic, "a-unknown"], 1, ("a-unknown", 1))
    assert shown(page) == [("a-unknown", Error.UNKNOWN_TOPIC_OR_PARTITION, []), (topic, Error.NONE, [0])]
    assert page.topics[0].topic_id == NO_ID


@pytest.mark.wiber_only("Kafka fails with UNKNOWN_SERVER_ERROR for all topics")
def test_invalid_name(client: Client, topic: str) -> None:
    """A name that no topic can have is an error of its own."""
    client.create(topic)
    assert shown(pages(client, ["", topic])) == [
        ("", Error.INVALID_TOPIC_EXCEPTION, []),
        (topic, Error.NONE, [0]),
    ]


def test_cursor_is_refused(client: Client, topic: str) -> None:
    """The cursor is at one of the topics, and at a partition."""
    client.create(topic)
    for cursor in (("zz", 0), (topic, -1)):
        page = pages(client, [topic], 2, cursor)
        assert shown(page) == [(topic, Error.INVALID_REQUEST, [])]
        assert page.next_cursor is None
    page = pages(client, [], 2, ("zzz", 0))
    assert (page.topics, page.next_cursor) == ([], None)


def test_resources(client: Client, topic: str) -> None:
    """Version 1 lists what is asked for, and everything if nothing is; version 0 knows clients' metrics alone."""
    client.create(topic)
    node = str(client.ask("Metadata", 12, topics=[]).controller_id)

    def listed(*types: int) -> list[tuple[int, str]]:
        found = client.ask("ListConfigResources", 1, resource_types=list(types))
        assert found.error_code == Error.NONE
        return [(each.resource_type, each.resource_name) for each in found.config_resources]

    assert {(TOPIC, topic), (BROKER, node), (BROKER_LOGGER, node)} <= set(listed())
    assert (TOPIC, topic) in listed(TOPIC)
    assert {kind for kind, _ in listed(TOPIC)} == {TOPIC}
    assert len(listed(TOPIC, BROKER, TOPIC)) == len(listed(TOPIC)) + 1
    assert listed(BROKER) == [(BROKER, node)]
    assert listed(CLIENT_METRICS) == []
    found = client.ask("ListConfigResources", 0)
    assert (found.error_code, found.config_resources) == (Error.NONE, [])


@pytest.mark.parametrize("kind", [0, 99])
def test_unknown_resources(client: Client, kind: int) -> None:
    """A type of resource that does not exist is refused, whatever is asked for beside it."""
    found = client.ask("ListConfigResources", 1, resource_types=[TOPIC, kind])
    assert (found.error_code, found.config_resources) == (Error.UNSUPPORTED_VERSION, [])
