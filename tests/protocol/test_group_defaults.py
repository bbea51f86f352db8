"""Settings of the broker for groups: their defaults are Kafka's."""

import pytest

from protocol.client import Client, Error

BROKER = 4
FROM_DEFAULT = 5

BROKER_KEYS = {
    "group.consumer.assignment.interval.ms": "1000",
    "group.consumer.assignors": "uniform,range",
    "group.consumer.heartbeat.interval.ms": "5000",
    "group.consumer.max.assignment.interval.ms": "15000",
    "group.consumer.max.heartbeat.interval.ms": "15000",
    "group.consumer.max.session.timeout.ms": "60000",
    "group.consumer.max.size": "2147483647",
    "group.consumer.migration.policy": "bidirectional",
    "group.consumer.min.assignment.interval.ms": "0",
    "group.consumer.min.heartbeat.interval.ms": "5000",
    "group.consumer.min.session.timeout.ms": "45000",
    "group.consumer.session.timeout.ms": "45000",
    "group.max.session.timeout.ms": "1800000",
    "group.max.size": "2147483647",
    "group.min.session.timeout.ms": "6000",
    "offset.metadata.max.bytes": "4096",
    "offsets.retention.check.interval.ms": "600000",
    "offsets.retention.minutes": "10080",
    "offsets.topic.num.partitions": "50",
    "offsets.topic.segment.bytes": "104857600",
}


def described(client: Client, kind: int, name: str) -> dict[str, tuple[str, int]]:
    """The value of each setting, and where it comes from."""
    wanted = [{"resource_type": kind, "resource_name": name, "configuration_keys": None}]
    (found,) = client.ask("DescribeConfigs", 4, resources=wanted).results
    assert found.error_code == Error.NONE, found.error_message
    return {each.name: (each.value, each.config_source) for each in found.configs}


@pytest.mark.parametrize("name", BROKER_KEYS)
def test_defaults_of_the_broker(client: Client, name: str) -> None:
    """Where nothing is set, Kafka's defaults hold."""
    (broker,) = client.ask("Metadata", 12, topics=[]).brokers
    assert described(client, BROKER, str(broker.node_id))[name] == (BROKER_KEYS[name], FROM_DEFAULT)
