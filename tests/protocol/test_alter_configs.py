"""AlterConfigs and IncrementalAlterConfigs at every version: what changes, what is refused, that it holds at once."""

import pytest

from broker_process import wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error
from protocol.records import batch
from protocol.schema import versions

TOPIC, BROKER, BROKER_LOGGER = 2, 4, 8
SET, DELETE, APPEND, SUBTRACT = range(4)
FROM_TOPIC = 1

Edit = tuple[str, int, str | None]


def edits(kind: int, name: str, *configs: Edit) -> dict[str, object]:
    """A resource as an IncrementalAlterConfigs names it."""
    named = [{"name": key, "config_operation": operation, "value": value} for key, operation, value in configs]
    return {"resource_type": kind, "resource_name": name, "configs": named}


def alter(
    client: Client,
    *resources: dict[str, object],
    version: int = versions("IncrementalAlterConfigs")[-1],
    validate_only: bool = False,
) -> list[int]:
    """Changes single settings of resources: the error of each."""
    body = {"resources": list(resources), "validate_only": validate_only}
    answer = client.ask("IncrementalAlterConfigs", version, **body).responses
    assert [each.resource_name for each in answer] == [each["resource_name"] for each in resources]
    assert all(each.error_message for each in answer if each.error_code != Error.NONE)
    return [each.error_code for each in answer]


def replace(
    client: Client, kind: int, name: str, version: int, validate_only: bool = False, **configs: str | None
) -> int:
    """Replaces all settings of a resource: the error."""
    named = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
    resources = [{"resource_type": kind, "resource_name": name, "configs": named}]
    (answer,) = client.ask("AlterConfigs", version, resources=resources, validate_only=validate_only).responses
    assert (answer.resource_type, answer.resource_name) == (kind, name)
    assert answer.error_message or answer.error_code == Error.NONE
    return answer.error_code


def own(client: Client, topic: str) -> dict[str, str]:
    """The settings that a topic has of its own."""
    wanted = [{"resource_type": TOPIC, "resource_name": topic, "configuration_keys": None}]
    (found,) = client.ask("DescribeConfigs", 4, resources=wanted).results
    assert found.error_code == Error.NONE
    return {config.name: config.value for config in found.configs if config.config_source == FROM_TOPIC}


def becomes(client: Client, topic: str, wanted: dict[str, str]) -> None:
    """Waits until a topic has these settings: Kafka's broker lags behind its controller."""
    wait_until(lambda: own(client, topic) == wanted, DEADLINE_S, f"{topic} has {wanted}")


@pytest.mark.parametrize("version", versions("IncrementalAlterConfigs"))
def test_set_and_delete(client: Client, topic: str, version: int) -> None:
    """Single settings change, and the others stay; deleting what is not set, or does not exist, is nothing."""
    client.create(topic, retention_ms="1", segment_ms="5")
    change = edits(TOPIC, topic, ("retention.ms", SET, "77"), ("segment.ms", DELETE, None), ("no.such", DELETE, None))
    assert alter(client, change, version=version) == [Error.NONE]
    becomes(client, topic, {"retention.ms": "77"})
    assert alter(client, edits(TOPIC, topic), version=version) == [Error.NONE]
    assert alter(client, edits(TOPIC, topic, ("retention.ms", DELETE, "x")), version=version) == [Error.NONE]
    becomes(client, topic, {})


@pytest.mark.parametrize("version", versions("IncrementalAlterConfigs"))
def test_append_and_subtract(client: Client, topic: str, version: int) -> None:
    """Elements join and leave a list, which begins as its default; once each."""
    client.create(topic)
    key = "leader.replication.throttled.replicas"
    for operation, elements, wanted in (
        (APPEND, "0:1", "0:1"),
        (APPEND, "1:1,0:1", "0:1,1:1"),
        (SUBTRACT, "0:1,7:7", "1:1"),
    ):
        assert alter(client, edits(TOPIC, topic, (key, operation, elements)), version=version) == [Error.NONE]
        becomes(client, topic, {key: wanted})
    change = edits(TOPIC, topic, (key, DELETE, None), ("cleanup.policy", SUBTRACT, "delete"))
    assert alter(client, change, version=version) == [Error.NONE]
    becomes(client, topic, {"cleanup.policy": ""})
    assert alter(client, edits(TOPIC, topic, ("cleanup.policy", APPEND, "delete")), version=version) == [Error.NONE]
    becomes(client, topic, {"cleanup.policy": "delete"})


@pytest.mark.parametrize("version", versions("IncrementalAlterConfigs"))
def test_refused(client: Client, topic: str, version: int) -> None:
    """Each resource has its own error, and none of its settings changes; what is good beside it does."""
    client.create(topic, retention_ms="5")
    node = str(client.ask("Metadata", 12, topics=[]).controller_id)
    bad: list[tuple[int, str, list[Edit], Error]] = [
        (TOPIC, topic, [("segment.ms", SET, "9"), ("retention.ms", SET, "soon")], Error.INVALID_CONFIG),
        (TOPIC, topic, [("retention.ms", SET, "-2")], Error.INVALID_CONFIG),
        (TOPIC, topic, [("no.such", SET, "1")], Error.INVALID_CONFIG),
        (TOPIC, topic, [("no.such", APPEND, "1")], Error.INVALID_CONFIG),
        (TOPIC, topic, [("retention.ms", APPEND, "1")], Error.INVALID_CONFIG),
        (TOPIC, topic, [("retention.ms", SUBTRACT, "5")], Error.INVALID_CONFIG),
        (TOPIC, topic, [("cleanup.policy", APPEND, "burn")], Error.INVALID_CONFIG),
        (TOPIC, topic, [("leader.replication.throttled.replicas", SET, "zz")], Error.INVALID_CONFIG),
        (
            TOPIC,
            topic,
            [("min.compaction.lag.ms", SET, "10"), ("max.compaction.lag.ms", SET, "5")],
            Error.INVALID_CONFIG,
        ),
        (TOPIC, topic, [("retention.ms", SET, None)], Error.INVALID_REQUEST),
        (TOPIC, topic, [("retention.ms", SET, "1"), ("retention.ms", SET, "1")], Error.INVALID_REQUEST),
        (TOPIC, f"{topic}-unknown", [("retention.ms", SET, "7")], Error.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, f"{topic}-unknown", [("retention.ms", SET, "x")], Error.INVALID_CONFIG),
        (TOPIC, "", [("retention.ms", SET, "7")], Error.INVALID_REQUEST),
        (TOPIC, "a b", [("retention.ms", SET, "7")], Error.INVALID_TOPIC_EXCEPTION),
        (BROKER, node, [("node.id", SET, "99")], Error.INVALID_REQUEST),
        (BROKER, "98765", [("log.retention.ms", SET, "99")], Error.INVALID_REQUEST),
        (BROKER, "soon", [("log.retention.ms", SET, "99")], Error.INVALID_REQUEST),
        (BROKER_LOGGER, node, [("no.such", SET, "INFO")], Error.INVALID_CONFIG),
        (0, "x", [("a", SET, "b")], Error.INVALID_REQUEST),
        (99, "x", [("a", SET, "b")], Error.INVALID_REQUEST),
    ]
    client.create(f"{topic}-good")
    for kind, name, configs, code in bad:
        good = edits(TOPIC, f"{topic}-good", ("retention.ms", SET, "9"))
        found = alter(client, edits(kind, name, *configs), good, version=version)
        assert found == [code, Error.NONE], (kind, name, configs)
    assert own(client, topic) == {"retention.ms": "5"}
    becomes(client, f"{topic}-good", {"retention.ms": "9"})


@pytest.mark.parametrize("version", versions("IncrementalAlterConfigs"))
def test_twice_in_one_request(client: Client, topic: str, version: int) -> None:
    """A resource that is named twice is not changed."""
    client.create(topic)
    change = edits(TOPIC, topic, ("retention.ms", SET, "5"))
    assert alter(client, change, change, version=version) == [Error.INVALID_REQUEST] * 2
    assert own(client, topic) == {}


@pytest.mark.parametrize("version", versions("IncrementalAlterConfigs"))
def test_a_name_that_fills_a_string(client: Client, topic: str, version: int) -> None:
    """What is said of it is an answer all the same, though it repeats the name."""
    client.create(topic)
    name = "x" * 32_767
    assert alter(client, edits(TOPIC, topic, (name, SET, "5")), version=version) == [Error.INVALID_CONFIG]


@pytest.mark.parametrize("version", versions("IncrementalAlterConfigs"))
def test_validate_only(client: Client, topic: str, version: int) -> None:
    """What would be refused is said, and nothing changes."""
    client.create(topic)
    good = edits(TOPIC, topic, ("retention.ms", SET, "5"))
    bad = edits(TOPIC, f"{topic}-unknown", ("retention.ms", SET, "5"))
    assert alter(client, good, bad, version=version, validate_only=True) == [
        Error.NONE,
        Error.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    # A broker that lags behind its controller would tell of nothing for a while.
    assert alter(client, edits(TOPIC, topic, ("segment.ms", SET, "6")), version=version) == [Error.NONE]
    becomes(client, topic, {"segment.ms": "6"})


@pytest.mark.wiber_only("Kafka fails with UNKNOWN_SERVER_ERROR on its way to the controller")
def test_unknown_operation(client: Client, topic: str) -> None:
    """An operation that does not exist is refused."""
    client.create(topic)
    assert alter(client, edits(TOPIC, topic, ("retention.ms", 9, "5"))) == [Error.INVALID_REQUEST]


@pytest.mark.parametrize("version", versions("AlterConfigs"))
def test_replace(client: Client, topic: str, version: int) -> None:
    """All settings are replaced: those that are not named get their defaults."""
    client.create(topic, retention_ms="1")
    assert replace(client, TOPIC, topic, version, validate_only=True, segment_ms="5") == Error.NONE
    assert own(client, topic) == {"retention.ms": "1"}
    assert replace(client, TOPIC, topic, version, segment_ms="5", max_message_bytes="1000") == Error.NONE
    becomes(client, topic, {"segment.ms": "5", "max.message.bytes": "1000"})
    assert replace(client, TOPIC, topic, version) == Error.NONE
    becomes(client, topic, {})


@pytest.mark.parametrize("version", versions("AlterConfigs"))
def test_replace_is_refused(client: Client, topic: str, version: int) -> None:
    """Each reason has its error, and nothing changes."""
    client.create(topic, retention_ms="5")
    assert replace(client, TOPIC, topic, version, retention_ms="x") == Error.INVALID_CONFIG
    assert replace(client, TOPIC, topic, version, no_such="x") == Error.INVALID_CONFIG
    assert replace(client, TOPIC, topic, version, retention_ms=None) == Error.INVALID_REQUEST
    assert replace(client, TOPIC, f"{topic}-unknown", version) == Error.UNKNOWN_TOPIC_OR_PARTITION
    assert replace(client, BROKER, "98765", version, node_id="1") == Error.INVALID_REQUEST
    assert replace(client, BROKER_LOGGER, "1", version, root="INFO") == Error.INVALID_REQUEST
    assert own(client, topic) == {"retention.ms": "5"}


def test_a_change_holds_at_once(client: Client, topic: str) -> None:
    """What was too large is taken after the change, and the other way round, with no restart."""
    made = client.create(topic, max_message_bytes="200")
    large = batch(b"x" * 500)
    assert client.produce(made, large).error_code == Error.MESSAGE_TOO_LARGE
    assert alter(client, edits(TOPIC, topic, ("max.message.bytes", DELETE, None))) == [Error.NONE]
    wait_until(lambda: client.produce(made, large).error_code == Error.NONE, DEADLINE_S, "the batch is taken")
    assert alter(client, edits(TOPIC, topic, ("max.message.bytes", SET, "200"))) == [Error.NONE]
    wait_until(
        lambda: client.produce(made, large).error_code == Error.MESSAGE_TOO_LARGE, DEADLINE_S, "the batch is refused"
    )


def test_a_change_outlives_a_kill(start_broker: StartBroker, topic: str) -> None:
    """What was answered is there after a kill and a start."""
    broker = start_broker()
    with Client(broker.address) as client:
        client.create(topic, retention_ms="1234", segment_ms="5000")
        change = edits(TOPIC, topic, ("retention.ms", SET, "77"), ("segment.ms", DELETE, None))
        assert alter(client, change) == [Error.NONE]
    broker.kill()
    broker.start()
    with Client(broker.address) as client:
        becomes(client, topic, {"retention.ms": "77"})
