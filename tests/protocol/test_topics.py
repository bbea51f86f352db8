"""CreateTopics and DeleteTopics at every version."""

import uuid

import pytest

from broker_process import wait_until
from protocol.client import DEADLINE_S, Client, Error
from protocol.schema import NO_ID, versions

TIMEOUT_MS = 10_000


def wanted(name: str, partitions: int = 1, replicas: int = 1, **fields: object) -> dict[str, object]:
    """A topic as a request names it."""
    return {"name": name, "num_partitions": partitions, "replication_factor": replicas} | fields


def exists(client: Client, name: str) -> bool:
    """Whether the broker tells of a topic."""
    return client.metadata(name).error_code == Error.NONE


@pytest.mark.parametrize("version", versions("CreateTopics"))
def test_create(client: Client, topic: str, version: int) -> None:
    """The topic is there with its partitions; newer answers say what was made."""
    body = wanted(topic, 3, configs=[{"name": "retention.ms", "value": "1234567"}])
    (made,) = client.ask("CreateTopics", version, topics=[body], timeout_ms=TIMEOUT_MS).topics
    assert (made.name, made.error_code) == (topic, Error.NONE)
    if version >= 5:
        assert (made.num_partitions, made.replication_factor) == (3, 1)
        assert ("retention.ms", "1234567") in {(each.name, each.value) for each in made.configs}
    wait_until(lambda: exists(client, topic), DEADLINE_S, f"{topic} is made")
    found = client.metadata(topic)
    assert len(found.partitions) == 3
    assert made.topic_id == (found.topic_id if version >= 7 else NO_ID)
    (again,) = client.ask("CreateTopics", version, topics=[body], timeout_ms=TIMEOUT_MS).topics
    assert again.error_code == Error.TOPIC_ALREADY_EXISTS
    assert again.error_message


@pytest.mark.parametrize("version", versions("CreateTopics"))
def test_validate_only(client: Client, topic: str, version: int) -> None:
    """What would be made is said, what would be refused too, and nothing is made."""
    topics = [wanted(topic, 2), wanted(f"{topic}-b", 1, 9)]
    made, refused = sorted(
        client.ask("CreateTopics", version, topics=topics, timeout_ms=TIMEOUT_MS, validate_only=True).topics,
        key=lambda each: each.name,
    )
    assert (made.error_code, refused.error_code) == (Error.NONE, Error.INVALID_REPLICATION_FACTOR)
    if version >= 5:
        assert made.num_partitions == 2
    assert not exists(client, topic)
    # A broker that lags behind its controller would make the line above true for a while.
    (made,) = client.ask("CreateTopics", version, topics=[wanted(topic)], timeout_ms=TIMEOUT_MS).topics
    assert made.error_code == Error.NONE


@pytest.mark.parametrize("version", versions("CreateTopics", since=4))
def test_defaults(client: Client, topic: str, version: int) -> None:
    """-1 stands for the broker's defaults (KIP-464)."""
    (made,) = client.ask("CreateTopics", version, topics=[wanted(topic, -1, -1)], timeout_ms=TIMEOUT_MS).topics
    assert made.error_code == Error.NONE
    wait_until(lambda: exists(client, topic), DEADLINE_S, f"{topic} is made")
    assert len(client.metadata(topic).partitions) == 1


@pytest.mark.parametrize("version", versions("CreateTopics"))
def test_refused(client: Client, topic: str, version: int) -> None:
    """Each reason has its error; what is good in the same request is made."""
    one_replica = [{"partition_index": 0, "broker_ids": [client.ask("Metadata", 12, topics=[]).controller_id]}]
    refused = {
        f"{topic}-a": (wanted(f"{topic}-a", 0), Error.INVALID_PARTITIONS),
        f"{topic}-b": (wanted(f"{topic}-b", 1, 2), Error.INVALID_REPLICATION_FACTOR),
        f"{topic}-c": (wanted(f"{topic}-c", 1, 0), Error.INVALID_REPLICATION_FACTOR),
        f"{topic} d": (wanted(f"{topic} d"), Error.INVALID_TOPIC_EXCEPTION),
        "": (wanted(""), Error.INVALID_TOPIC_EXCEPTION),
        f"{topic}-e": (
            wanted(f"{topic}-e", configs=[{"name": "no.such.thing", "value": "1"}]),
            Error.INVALID_CONFIG,
        ),
        f"{topic}-f": (
            wanted(f"{topic}-f", configs=[{"name": "retention.ms", "value": "soon"}]),
            Error.INVALID_CONFIG,
        ),
        f"{topic}-g": (
            wanted(f"{topic}-g", configs=[{"name": "retention.ms", "value": None}]),
            Error.INVALID_CONFIG,
        ),
        "__cluster_metadata": (wanted("__cluster_metadata"), Error.INVALID_REQUEST),
        f"{topic}-h": (wanted(f"{topic}-h", 1, 1, assignments=one_replica), Error.INVALID_REQUEST),
    }
    topics = [body for body, _ in refused.values()] + [wanted(topic)]
    answer = client.ask("CreateTopics", version, topics=topics, timeout_ms=TIMEOUT_MS).topics
    codes = {each.name: each.error_code for each in answer}
    assert codes == {name: code for name, (_, code) in refused.items()} | {topic: Error.NONE}


@pytest.mark.parametrize("version", versions("CreateTopics"))
def test_twice_in_one_request(client: Client, topic: str, version: int) -> None:
    """A topic that is named twice is not made."""
    answer = client.ask("CreateTopics", version, topics=[wanted(topic), wanted(topic, 2)], timeout_ms=TIMEOUT_MS)
    assert [(each.name, each.error_code) for each in answer.topics] == [(topic, Error.INVALID_REQUEST)]
    assert not exists(client, topic)


@pytest.mark.parametrize("version", versions("DeleteTopics"))
def test_delete_by_name(client: Client, topic: str, version: int) -> None:
    """The topic goes; one that is unknown is an error beside it."""
    made = client.create(topic, 2)
    names = [topic, f"{topic}-unknown"]
    body = {"topic_names": names} if version < 6 else {"topics": [{"name": name} for name in names]}
    answer = client.ask("DeleteTopics", version, timeout_ms=TIMEOUT_MS, **body).responses
    codes = {each.name: each.error_code for each in answer}
    assert codes == {topic: Error.NONE, f"{topic}-unknown": Error.UNKNOWN_TOPIC_OR_PARTITION}
    if version >= 6:
        assert {each.name: each.topic_id for each in answer} == {topic: made.id, f"{topic}-unknown": NO_ID}
    wait_until(lambda: not exists(client, topic), DEADLINE_S, f"{topic} is gone")


@pytest.mark.parametrize("version", versions("DeleteTopics", since=6))
def test_delete_by_id(client: Client, topic: str, version: int) -> None:
    """The topic goes, and its name is said; an id without topic is an error of its own; both at once are refused."""
    made, other = client.create(topic), client.create(f"{topic}-other")
    unknown = uuid.uuid4()
    topics = [{"name": None, "topic_id": made.id}, {"name": None, "topic_id": unknown}]
    answer = client.ask("DeleteTopics", version, topics=topics, timeout_ms=TIMEOUT_MS).responses
    found = {each.topic_id: (each.name, each.error_code) for each in answer}
    assert found == {made.id: (topic, Error.NONE), unknown: (None, Error.UNKNOWN_TOPIC_ID)}
    wait_until(lambda: not exists(client, topic), DEADLINE_S, f"{topic} is gone")
    both = [{"name": other.name, "topic_id": other.id}]
    (refused,) = client.ask("DeleteTopics", version, topics=both, timeout_ms=TIMEOUT_MS).responses
    assert refused.error_code == Error.INVALID_REQUEST
    assert exists(client, other.name)
