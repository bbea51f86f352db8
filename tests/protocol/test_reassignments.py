"""AlterPartitionReassignments and AlterReplicaLogDirs: a node alone has all replicas where they belong."""

import pytest

from protocol.client import Client, Error
from protocol.schema import versions

TIMEOUT_MS = 10_000
NO_REASSIGNMENT_IN_PROGRESS = 85
INVALID_REPLICA_ASSIGNMENT = 39
LOG_DIR_NOT_FOUND = 57


def reassigned(client: Client, version: int, topic: str, *wanted: tuple[int, list[int] | None]) -> list[tuple]:
    """The code and the words for each partition."""
    partitions = [{"partition_index": index, "replicas": replicas} for index, replicas in wanted]
    topics = [{"name": topic, "partitions": partitions}]
    answer = client.ask("AlterPartitionReassignments", version, timeout_ms=TIMEOUT_MS, topics=topics)
    assert (answer.error_code, answer.error_message) == (Error.NONE, None)
    (told,) = answer.responses
    assert told.name == topic
    assert [each.partition_index for each in told.partitions] == [index for index, _ in wanted]
    return [(each.error_code, each.error_message) for each in told.partitions]


@pytest.mark.parametrize("version", versions("AlterPartitionReassignments"))
def test_reassignments(client: Client, topic: str, version: int) -> None:
    """What holds already is granted; what cannot be is refused in Kafka's words."""
    client.create(topic, 2)
    node = client.ask("Metadata", 12, topics=[]).controller_id
    unknown = f"Unable to find partition {topic}:9."
    assert reassigned(client, version, topic, (0, [node]), (1, None), (9, [node])) == [
        (Error.NONE, None),
        (NO_REASSIGNMENT_IN_PROGRESS, None),
        (Error.UNKNOWN_TOPIC_OR_PARTITION, unknown),
    ]
    includes = "The manual partition assignment includes "
    assert reassigned(client, version, topic, (0, [node, node]), (1, [])) == [
        (INVALID_REPLICA_ASSIGNMENT, f"{includes}the broker {node} more than once."),
        (INVALID_REPLICA_ASSIGNMENT, f"{includes}an empty replica list."),
    ]
    assert reassigned(client, version, topic, (0, [node, 77])) == [
        (INVALID_REPLICA_ASSIGNMENT, f"{includes}broker 77, but no such broker is registered."),
    ]
    nobody = f"{topic}-that-is-not-there"
    assert reassigned(client, version, nobody, (0, [node])) == [
        (Error.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find a topic named {nobody}."),
    ]


@pytest.mark.parametrize("version", versions("AlterReplicaLogDirs"))
def test_directories(client: Client, topic: str, version: int) -> None:
    """A replica is in the only directory; there is no other."""
    client.create(topic)
    directory = client.ask("DescribeLogDirs", 4, topics=None).results[0].log_dir

    def moved(path: str, partitions: list[int]) -> dict[int, int]:
        dirs = [{"path": path, "topics": [{"name": topic, "partitions": partitions}]}]
        (told,) = client.ask("AlterReplicaLogDirs", version, dirs=dirs).results
        return {each.partition_index: each.error_code for each in told.partitions}

    assert moved(directory, [0, 9]) == {0: Error.NONE, 9: Error.UNKNOWN_TOPIC_OR_PARTITION}
    for other in ("/no/such/directory", "relative", directory + "/"):
        assert moved(other, [0]) == {0: LOG_DIR_NOT_FOUND}
