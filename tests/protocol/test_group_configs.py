"""The settings of groups (KIP-848): altered, described and listed, as Apache Kafka does."""

import itertools

import pytest

from broker_process import wait_until
from protocol.client import DEADLINE_S, Client, Error
from protocol.schema import versions

GROUP = 32
"""The type of the resource."""
SESSION, HEARTBEAT = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
SET, DELETE, APPEND = 0, 1, 2
OF_GROUP, DEFAULT = 8, 5
"""Where a value comes from."""
_numbers = itertools.count()


@pytest.fixture
def group() -> str:
    """A group of this test alone; nobody is in it, and it need not exist."""
    return f"with-settings-{next(_numbers)}"


def alter(client: Client, group: str, *changes: tuple[str, str | None, int]) -> tuple[int, str | None]:
    """The code and the message of an incremental alteration."""
    configs = [{"name": name, "value": value, "config_operation": op} for name, value, op in changes]
    resource = {"resource_type": GROUP, "resource_name": group, "configs": configs}
    answer = client.ask("IncrementalAlterConfigs", 1, resources=[resource], validate_only=False).responses[0]
    return answer.error_code, answer.error_message


def described(client: Client, group: str, version: int = 4) -> dict[str, tuple]:
    """Value, source and synonyms of each setting."""
    resource = {"resource_type": GROUP, "resource_name": group, "configuration_keys": None}
    answer = client.ask("DescribeConfigs", version, resources=[resource], include_synonyms=True).results[0]
    assert answer.error_code == Error.NONE
    return {
        each.name: (each.value, each.config_source, [(s.name, s.value, s.source) for s in each.synonyms])
        for each in answer.configs
    }


def listed(client: Client) -> list[str]:
    """The groups that have settings."""
    answer = client.ask("ListConfigResources", 1, resource_types=[GROUP])
    assert all(each.resource_type == GROUP for each in answer.config_resources)
    return [each.resource_name for each in answer.config_resources]


@pytest.mark.parametrize("version", versions("DescribeConfigs"))
def test_what_is_not_set_is_the_brokers(client: Client, group: str, version: int) -> None:
    """Every setting is told, with the broker's that it stands for."""
    told = described(client, group, version)
    assert told[SESSION] == ("45000", DEFAULT, [("group.consumer.session.timeout.ms", "45000", DEFAULT)])
    assert told["share.isolation.level"][0] == "read_uncommitted"
    assert len(told) == 17
    assert group not in listed(client)


def test_a_setting_is_set_and_deleted(client: Client, group: str) -> None:
    """It is told and listed, until it is deleted."""
    assert alter(client, group, (SESSION, "50000", SET), (HEARTBEAT, "6000", SET)) == (Error.NONE, None)
    wait_until(lambda: described(client, group)[HEARTBEAT][0] == "6000", DEADLINE_S, "the settings hold")
    synonyms = [(SESSION, "50000", OF_GROUP), ("group.consumer.session.timeout.ms", "45000", DEFAULT)]
    assert described(client, group)[SESSION] == ("50000", OF_GROUP, synonyms)
    assert group in listed(client)
    assert alter(client, group, (SESSION, None, DELETE), (HEARTBEAT, None, DELETE)) == (Error.NONE, None)
    wait_until(lambda: group not in listed(client), DEADLINE_S, "the settings are gone")
    assert described(client, group)[SESSION][:2] == ("45000", DEFAULT)


@pytest.mark.parametrize("version", versions("AlterConfigs"))
def test_all_settings_are_replaced(client: Client, group: str, version: int) -> None:
    """By the older request, which names all that is to be."""
    for value in ("51000", "52000"):
        configs = [{"name": SESSION, "value": value}]
        resource = {"resource_type": GROUP, "resource_name": group, "configs": configs}
        answer = client.ask("AlterConfigs", version, resources=[resource], validate_only=False)
        assert answer.responses[0].error_code == Error.NONE
        wait_until(lambda value=value: described(client, group)[SESSION][0] == value, DEADLINE_S, f"it is {value}")


@pytest.mark.parametrize(
    ("name", "value", "operation", "message"),
    [
        (SESSION, "x", SET, "Invalid value x for configuration consumer.session.timeout.ms"),
        (SESSION, "0", SET, "Invalid value 0 for configuration consumer.session.timeout.ms"),
        (SESSION, "1000", SET, f"{SESSION} must be greater than or equal to group.consumer.min.session.timeout.ms"),
        (SESSION, "90000", SET, f"{SESSION} must be less than or equal to group.consumer.max.session.timeout.ms"),
        (HEARTBEAT, "1000", SET, f"{HEARTBEAT} must be greater than or equal to group.consumer.min.heartbeat.interval"),
        ("nonsense", "1", SET, "Unknown group config name: nonsense"),
        (SESSION, "1", APPEND, f"Can't APPEND to key {SESSION} because its type is not LIST."),
    ],
)
def test_settings_that_cannot_be(
    client: Client, group: str, name: str, value: str, operation: int, message: str
) -> None:
    """They are refused with Kafka's words."""
    code, told = alter(client, group, (name, value, operation))
    assert code == Error.INVALID_CONFIG
    assert told
    assert told.startswith(message)


def test_a_group_must_be_named(client: Client) -> None:
    """There are no settings for all groups but the broker's."""
    assert alter(client, "", (SESSION, "50000", SET)) == (
        Error.INVALID_REQUEST,
        "Default group resources are not allowed.",
    )
    resource = {"resource_type": GROUP, "resource_name": "", "configuration_keys": None}
    answer = client.ask("DescribeConfigs", 4, resources=[resource]).results[0]
    assert (answer.error_code, answer.error_message) == (Error.INVALID_REQUEST, "Group name must not be empty")
