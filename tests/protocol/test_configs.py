"""DescribeConfigs at every version: values, where they come from, and what is refused."""

import json
from types import SimpleNamespace

import pytest

from protocol.client import Client, Error
from protocol.schema import versions

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS = 2, 4, 8, 16
FROM_TOPIC, FROM_FILE, FROM_DEFAULT = 1, 4, 5
BOOLEAN, STRING, INT, LONG, DOUBLE, LIST = 1, 2, 3, 5, 6, 7

# Name: default, type, the broker's setting that the default comes from; all as Kafka has them.
TOPIC_KEYS: dict[str, tuple[str, int, str | None]] = {
    "cleanup.policy": ("delete", LIST, "log.cleanup.policy"),
    "compression.gzip.level": ("-1", INT, "compression.gzip.level"),
    "compression.lz4.level": ("9", INT, "compression.lz4.level"),
    "compression.type": ("producer", STRING, "compression.type"),
    "compression.zstd.level": ("3", INT, "compression.zstd.level"),
    "delete.retention.ms": ("86400000", LONG, "log.cleaner.delete.retention.ms"),
    "file.delete.delay.ms": ("60000", LONG, "log.segment.delete.delay.ms"),
    "flush.messages": ("9223372036854775807", LONG, "log.flush.interval.messages"),
    "flush.ms": ("9223372036854775807", LONG, None),
    "follower.replication.throttled.replicas": ("", LIST, None),
    "index.interval.bytes": ("4096", INT, "log.index.interval.bytes"),
    "leader.replication.throttled.replicas": ("", LIST, None),
    "local.retention.bytes": ("-2", LONG, "log.local.retention.bytes"),
    "local.retention.ms": ("-2", LONG, "log.local.retention.ms"),
    "max.compaction.lag.ms": ("9223372036854775807", LONG, "log.cleaner.max.compaction.lag.ms"),
    "max.message.bytes": ("1048588", INT, "message.max.bytes"),
    "message.timestamp.after.max.ms": ("3600000", LONG, "log.message.timestamp.after.max.ms"),
    "message.timestamp.before.max.ms": ("9223372036854775807", LONG, "log.message.timestamp.before.max.ms"),
    "message.timestamp.type": ("CreateTime", STRING, "log.message.timestamp.type"),
    "min.cleanable.dirty.ratio": ("0.5", DOUBLE, "log.cleaner.min.cleanable.ratio"),
    "min.compaction.lag.ms": ("0", LONG, "log.cleaner.min.compaction.lag.ms"),
    "preallocate": ("false", BOOLEAN, "log.preallocate"),
    "remote.log.copy.disable": ("false", BOOLEAN, None),
    "remote.log.delete.on.disable": ("false", BOOLEAN, None),
    "remote.storage.enable": ("false", BOOLEAN, None),
    "retention.bytes": ("-1", LONG, "log.retention.bytes"),
    "retention.ms": ("604800000", LONG, None),
    "segment.bytes": ("1073741824", INT, "log.segment.bytes"),
    "segment.index.bytes": ("10485760", INT, "log.index.size.max.bytes"),
    "segment.jitter.ms": ("0", LONG, None),
    "segment.ms": ("604800000", LONG, None),
    "unclean.leader.election.enable": ("false", BOOLEAN, "unclean.leader.election.enable"),
}

# Of the broker: default and type.
BROKER_KEYS = {
    "auto.create.topics.enable": ("true", BOOLEAN),
    "default.replication.factor": ("1", INT),
    "log.retention.check.interval.ms": ("300000", LONG),
    "log.segment.bytes": ("1073741824", INT),
    "max.incremental.fetch.session.cache.slots": ("1000", INT),
    "max.request.partition.size.limit": ("2000", INT),
    "message.max.bytes": ("1048588", INT),
    "num.partitions": ("1", INT),
    "producer.id.expiration.ms": ("86400000", INT),
}


def resource(kind: int, name: str, keys: list[str] | None = None) -> dict[str, object]:
    """A resource as a DescribeConfigs names it."""
    return {"resource_type": kind, "resource_name": name, "configuration_keys": keys}


def describe(
    client: Client, *resources: dict[str, object], version: int = versions("DescribeConfigs")[-1], **fields: object
) -> list[SimpleNamespace]:
    """What is told of resources."""
    return client.ask("DescribeConfigs", version, resources=list(resources), **fields).results


def configs_of(client: Client, kind: int, name: str, **fields: object) -> dict[str, SimpleNamespace]:
    """The settings of a resource, by name."""
    (found,) = describe(client, resource(kind, name), **fields)
    assert (found.error_code, found.resource_type, found.resource_name) == (Error.NONE, kind, name)
    assert len({config.name for config in found.configs}) == len(found.configs)
    return {config.name: config for config in found.configs}


def node_id(client: Client) -> str:
    """The broker's id."""
    return str(client.ask("Metadata", 12, topics=[]).controller_id)


def synonyms(config: SimpleNamespace) -> list[tuple[str, str | None, int]]:
    """Where a setting is set."""
    return [(each.name, each.value, each.source) for each in config.synonyms]


@pytest.mark.parametrize("version", versions("DescribeConfigs"))
def test_topic(client: Client, topic: str, version: int) -> None:
    """Every setting has Kafka's default, type and source; what the topic sets comes first."""
    client.create(topic, retention_ms="1234567", **{"segment.bytes": " +2000000 "})
    own = {"retention.ms": "1234567", "segment.bytes": "2000000"}
    found = configs_of(client, TOPIC, topic, version=version, include_synonyms=True)
    assert TOPIC_KEYS.keys() <= found.keys()
    for name, (default, kind, synonym) in TOPIC_KEYS.items():
        config = found[name]
        assert config.value == own.get(name, default), name
        assert config.config_source == (FROM_TOPIC if name in own else FROM_DEFAULT), name
        assert not config.read_only
        assert not config.is_sensitive
        wanted = [(synonym, default, FROM_DEFAULT)] if synonym else []
        if name in own:
            wanted.insert(0, (name, own[name], FROM_TOPIC))
        assert synonyms(config) == wanted, name
        if version >= 3:
            assert config.config_type == kind, name
            assert config.documentation is None
    bare = configs_of(client, TOPIC, topic, version=version)
    assert all(config.synonyms == [] for config in bare.values())


@pytest.mark.parametrize("version", versions("DescribeConfigs"))
def test_broker(client: Client, version: int) -> None:
    """The broker tells of itself by its id."""
    found = configs_of(client, BROKER, node_id(client), version=version, include_synonyms=True)
    assert found["node.id"].value == node_id(client)
    for name, (default, kind) in BROKER_KEYS.items():
        config = found[name]
        assert (config.value, config.config_source, config.is_sensitive) == (default, FROM_DEFAULT, False), name
        assert synonyms(config) == [(name, default, FROM_DEFAULT)]
        if version >= 3:
            assert config.config_type == kind, name
    assert found["num.partitions"].read_only


@pytest.mark.parametrize("version", versions("DescribeConfigs", since=3))
def test_documentation(client: Client, topic: str, version: int) -> None:
    """Every setting is explained to who asks (KIP-569)."""
    client.create(topic)
    for kind, name in ((TOPIC, topic), (BROKER, node_id(client))):
        found = configs_of(client, kind, name, version=version, include_documentation=True)
        # Kafka leaves one or the other of its broker's settings unexplained.
        explained = [config.name for config in found.values() if config.documentation]
        assert len(explained) > 0.7 * len(found)
        assert "retention.bytes" in explained or "num.partitions" in explained


@pytest.mark.wiber_only("Kafka has no such setting")
def test_durability(client: Client, topic: str) -> None:
    """Our own setting is told like the others, and every setting is explained."""
    client.create(topic, **{"wiber.durability": "relaxed"})
    found = configs_of(client, TOPIC, topic, include_synonyms=True, include_documentation=True)
    config = found["wiber.durability"]
    assert synonyms(config) == [("wiber.durability", "relaxed", FROM_TOPIC)]
    assert found.keys() == {*TOPIC_KEYS, "min.insync.replicas", "wiber.durability"}
    assert all(each.documentation for each in found.values())


@pytest.mark.parametrize("version", versions("DescribeConfigs"))
def test_some_keys(client: Client, topic: str, version: int) -> None:
    """Only what is asked for is told; no names are all names, and names that do not exist are nothing."""
    client.create(topic)
    asked = {
        json.dumps(keys): len(describe(client, resource(TOPIC, topic, keys), version=version)[0].configs)
        for keys in (["retention.ms", "no.such"], ["segment.ms", "segment.ms"], ["no.such"])
    }
    assert list(asked.values()) == [1, 1, 0]
    (none,) = describe(client, resource(TOPIC, topic, []), version=version)
    assert len(none.configs) >= len(TOPIC_KEYS)


@pytest.mark.parametrize("version", versions("DescribeConfigs"))
def test_refused(client: Client, topic: str, version: int) -> None:
    """Each resource has its own error; the others are told."""
    client.create(topic)
    refused = [
        (TOPIC, f"{topic}-unknown", Error.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "", Error.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "a b", Error.INVALID_TOPIC_EXCEPTION),
        (BROKER, "98765", Error.INVALID_REQUEST),
        (BROKER, "soon", Error.INVALID_REQUEST),
        (BROKER_LOGGER, "", Error.INVALID_REQUEST),
        (BROKER_LOGGER, "98765", Error.INVALID_REQUEST),
        (CLIENT_METRICS, "", Error.INVALID_REQUEST),
    ]
    wanted = [resource(kind, name) for kind, name, _ in refused]
    answer = describe(client, *wanted, resource(TOPIC, topic), version=version)
    found = [(each.resource_type, each.resource_name, each.error_code) for each in answer]
    assert found == [*refused, (TOPIC, topic, Error.NONE)]
    assert [bool(each.configs) for each in answer] == [False] * len(refused) + [True]


@pytest.mark.parametrize("version", versions("DescribeConfigs"))
def test_cluster_and_loggers(client: Client, version: int) -> None:
    """A broker without a name stands for the whole cluster; its loggers are another resource."""
    answer = describe(client, resource(BROKER, ""), resource(BROKER_LOGGER, node_id(client)), version=version)
    assert [each.error_code for each in answer] == [Error.NONE, Error.NONE]


@pytest.mark.parametrize("version", versions("DescribeConfigs"))
def test_unknown_type(client: Client, topic: str, version: int) -> None:
    """A type of resource that does not exist fails the whole request."""
    client.create(topic)
    answer = describe(client, resource(TOPIC, topic), resource(99, "x"), version=version)
    assert [each.error_code for each in answer] == [Error.INVALID_REQUEST] * 2
