"""A broker's settings change while it runs (KIP-226): for it alone or for all, and it holds at once."""

import re

import pytest

from broker_process import ROOT, BrokerProcess, is_reference, wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error
from protocol.records import batch
from protocol.schema import versions
from wire import WireError

TOPIC, BROKER = 2, 4
SET, DELETE, APPEND, SUBTRACT = range(4)
FROM_BROKER, FROM_ALL, FROM_FILE, FROM_DEFAULT = 2, 3, 4, 5
ALL = ""

Edit = tuple[str, int, str | None]
Told = tuple[str | None, int, list[tuple[str, str | None, int]]]


def alter(
    client: Client,
    name: str,
    *configs: Edit,
    version: int = versions("IncrementalAlterConfigs")[-1],
    validate_only: bool = False,
) -> tuple[int, str | None]:
    """Changes single settings of a broker, or of all: the error and its message."""
    named = [{"name": key, "config_operation": operation, "value": value} for key, operation, value in configs]
    resources = [{"resource_type": BROKER, "resource_name": name, "configs": named}]
    (answer,) = client.ask(
        "IncrementalAlterConfigs", version, resources=resources, validate_only=validate_only
    ).responses
    assert (answer.resource_type, answer.resource_name) == (BROKER, name)
    return answer.error_code, answer.error_message


def change(client: Client, name: str, *configs: Edit) -> None:
    """Changes settings, which must be possible."""
    code, message = alter(client, name, *configs)
    assert code == Error.NONE, message


def replace(client: Client, name: str, version: int = 2, **configs: str) -> int:
    """Replaces all settings that a broker, or all, were given: the error."""
    named = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
    resources = [{"resource_type": BROKER, "resource_name": name, "configs": named}]
    (answer,) = client.ask("AlterConfigs", version, resources=resources).responses
    return answer.error_code


def told(client: Client, kind: int, name: str, key: str) -> Told | None:
    """A setting: its value, its source, and where else it is set."""
    wanted = [{"resource_type": kind, "resource_name": name, "configuration_keys": [key]}]
    (found,) = client.ask("DescribeConfigs", 4, resources=wanted, include_synonyms=True).results
    assert found.error_code == Error.NONE
    if not found.configs:
        return None
    (config,) = found.configs
    synonyms = [(each.name, each.value, each.source) for each in config.synonyms]
    return config.value, config.config_source, synonyms


def becomes(client: Client, kind: int, name: str, key: str, wanted: Told | None) -> None:
    """Waits until a setting is told so: Kafka's broker lags behind its controller."""
    wait_until(
        lambda: told(client, kind, name, key) == wanted,
        DEADLINE_S,
        f"{key} is {wanted}, and not {told(client, kind, name, key)}",
    )


def restarted(broker: BrokerProcess) -> Client:
    """A client of the broker after a stop and a start."""
    broker.stop()
    broker.start()
    return Client(broker.address)


def test_one_and_all(start_broker: StartBroker) -> None:
    """What one broker was given comes before what all were given, that before the default; each is told."""
    key, default = "message.max.bytes", "1048588"
    broker = start_broker()
    with Client(broker.address) as client:
        change(client, ALL, (key, SET, "2000000"))
        for_all = [(key, "2000000", FROM_ALL), (key, default, FROM_DEFAULT)]
        becomes(client, BROKER, "1", key, ("2000000", FROM_ALL, for_all))
        becomes(client, BROKER, ALL, key, ("2000000", FROM_ALL, for_all[:1]))
        change(client, "1", (key, SET, " 3000000 "))
        for_one = [(key, "3000000", FROM_BROKER), *for_all]
        wait_until(lambda: told(client, BROKER, "1", key)[1] == FROM_BROKER, DEADLINE_S, "it is told")
        value, _, synonyms = told(client, BROKER, "1", key)
        assert value == "3000000"
        assert [(each[0], each[1].strip(), each[2]) for each in synonyms] == for_one
        becomes(client, BROKER, ALL, key, ("2000000", FROM_ALL, for_all[:1]))
    with restarted(broker) as client:
        wait_until(lambda: told(client, BROKER, "1", key)[0] == "3000000", DEADLINE_S, "it is still told")
        change(client, "1", (key, DELETE, None))
        becomes(client, BROKER, "1", key, ("2000000", FROM_ALL, for_all))
        change(client, ALL, (key, DELETE, None))
        becomes(client, BROKER, "1", key, (default, FROM_DEFAULT, for_all[1:]))
        assert told(client, BROKER, ALL, key) is None
    broker.stop()


def test_topics_have_it_at_once(start_broker: StartBroker, topic: str) -> None:
    """A topic that sets nothing changes with the broker, also after a restart; one that sets it does not."""
    broker = start_broker()
    large = batch(b"x" * 3000)
    with Client(broker.address) as client:
        plain = client.create(topic)
        own = client.create(f"{topic}-own", max_message_bytes="100000")
        change(client, "1", ("message.max.bytes", SET, "1000"))
        synonyms = [("message.max.bytes", "1000", FROM_BROKER), ("message.max.bytes", "1048588", FROM_DEFAULT)]
        becomes(client, TOPIC, topic, "max.message.bytes", ("1000", FROM_BROKER, synonyms))
        assert client.produce(plain, large).error_code == Error.MESSAGE_TOO_LARGE
        assert client.produce(own, large).error_code == Error.NONE
    with restarted(broker) as client:
        becomes(client, TOPIC, topic, "max.message.bytes", ("1000", FROM_BROKER, synonyms))
        assert client.produce(plain, large).error_code == Error.MESSAGE_TOO_LARGE
        change(client, "1", ("message.max.bytes", DELETE, None))
        becomes(client, TOPIC, topic, "max.message.bytes", ("1048588", FROM_DEFAULT, synonyms[1:]))
        assert client.produce(plain, large).error_code == Error.NONE
    broker.stop()


def test_retention_in_milliseconds_comes_first(start_broker: StartBroker, topic: str) -> None:
    """log.retention.ms stands in for log.retention.hours; topics are told what it comes to."""
    broker = start_broker()
    with Client(broker.address) as client:
        client.create(topic)
        hours = ("log.retention.hours", "168", FROM_DEFAULT)
        assert told(client, TOPIC, topic, "retention.ms") == ("604800000", FROM_DEFAULT, [])
        assert told(client, BROKER, "1", "log.retention.ms") == (None, FROM_DEFAULT, [])
        change(client, ALL, ("log.retention.ms", SET, "5000000"))
        synonyms = [("log.retention.ms", "5000000", FROM_ALL), hours]
        becomes(client, TOPIC, topic, "retention.ms", ("5000000", FROM_ALL, synonyms))
        assert told(client, BROKER, "1", "log.retention.hours") == ("168", FROM_DEFAULT, [hours])


def test_retention_in_hours(start_broker: StartBroker, topic: str) -> None:
    """What a broker is started with in hours, its topics have in milliseconds; where from, only the broker tells."""
    broker = start_broker(arguments=["--set", "log.retention.hours=1", "--set", "log.roll.hours=2"])
    with Client(broker.address) as client:
        client.create(topic)
        assert told(client, TOPIC, topic, "retention.ms") == ("3600000", FROM_DEFAULT, [])
        assert told(client, TOPIC, topic, "segment.ms") == ("7200000", FROM_DEFAULT, [])
        synonyms = [("log.retention.hours", "1", FROM_FILE), ("log.retention.hours", "168", FROM_DEFAULT)]
        assert told(client, BROKER, "1", "log.retention.hours") == ("1", FROM_FILE, synonyms)


@pytest.mark.parametrize("version", versions("IncrementalAlterConfigs"))
def test_refused(client: Client, version: int) -> None:
    """What cannot change while a broker runs, what a setting cannot be, and brokers that are others."""
    node = str(client.ask("Metadata", 12, topics=[]).controller_id)
    refused: list[tuple[str, Edit, Error]] = [
        (node, ("num.partitions", SET, "3"), Error.INVALID_REQUEST),
        (node, ("auto.create.topics.enable", SET, "false"), Error.INVALID_REQUEST),
        (ALL, ("log.retention.hours", SET, "1"), Error.INVALID_REQUEST),
        (node, ("message.max.bytes", SET, "many"), Error.INVALID_REQUEST),
        (ALL, ("message.max.bytes", SET, "-1"), Error.INVALID_REQUEST),
        (node, ("message.max.bytes", APPEND, "1"), Error.INVALID_CONFIG),
        (ALL, ("message.max.bytes", SUBTRACT, "1"), Error.INVALID_CONFIG),
        (ALL, ("principal.builder.class", SET, "x"), Error.INVALID_REQUEST),
        (node, ("ssl.keystore.type", SET, "PEM"), Error.INVALID_REQUEST),
        (node, ("max.connections.per.ip.overrides", SET, "nonsense"), Error.INVALID_REQUEST),
        # Nobody could take these back.
        (ALL, ("max.connections", SET, "0"), Error.INVALID_REQUEST),
        (node, ("max.connection.creation.rate", SET, "0"), Error.INVALID_REQUEST),
        (ALL, ("listener.name.plaintext.max.connections", SET, "0"), Error.INVALID_REQUEST),
        (node, ("listener.name.plaintext.max.connection.creation.rate", SET, "0"), Error.INVALID_REQUEST),
        (ALL, ("max.connections.per.ip", SET, "0"), Error.INVALID_REQUEST),
        (node, ("message.max.bytes", SET, None), Error.INVALID_REQUEST),
        ("98765", ("message.max.bytes", SET, "5"), Error.INVALID_REQUEST),
        ("soon", ("message.max.bytes", SET, "5"), Error.INVALID_REQUEST),
    ]
    for name, edit, error in refused:
        code, message = alter(client, name, edit, version=version)
        assert (code, bool(message)) == (error, True), (name, edit, message)
    assert alter(client, ALL, ("message.max.bytes", SET, "77"), version=version, validate_only=True)[0] == Error.NONE
    assert told(client, BROKER, ALL, "message.max.bytes") is None


def test_settings_of_authentication_change(start_broker: StartBroker) -> None:
    """Of the settings of TLS and SASL only keys and certificates want a listener to be named."""
    with Client(start_broker().address) as client:
        for key, value, default in (
            ("sasl.kerberos.min.time.before.relogin", "58000", "60000"),
            ("ssl.client.auth", "requested", "none"),
        ):
            change(client, "1", (key, SET, value))
            synonyms = [(key, value, FROM_BROKER), (key, default, FROM_DEFAULT)]
            becomes(client, BROKER, "1", key, (value, FROM_BROKER, synonyms))


@pytest.mark.parametrize("version", versions("AlterConfigs"))
def test_replace(start_broker: StartBroker, version: int) -> None:
    """The older request replaces everything that was given."""
    broker = start_broker()
    with Client(broker.address) as client:
        # Not for all: Kafka keeps min.insync.replicas among those from being taken away.
        keys = ("log.roll.ms", "log.retention.bytes")
        source = {key: lambda key=key: told(client, BROKER, "1", key)[1] for key in keys}
        assert replace(client, "1", version, log_roll_ms="5000", log_retention_bytes="7") == Error.NONE
        wait_until(lambda: source["log.roll.ms"]() == FROM_BROKER, DEADLINE_S, "it is told")
        assert replace(client, "1", version, log_retention_bytes="8") == Error.NONE
        wait_until(lambda: source["log.roll.ms"]() == FROM_DEFAULT, DEADLINE_S, "it is gone")
        assert told(client, BROKER, "1", "log.retention.bytes")[0] == "8"
        assert replace(client, "1", version, num_partitions="3") == Error.INVALID_REQUEST
        assert replace(client, "1", version) == Error.NONE
        wait_until(lambda: source["log.retention.bytes"]() == FROM_DEFAULT, DEADLINE_S, "nothing is set")


def test_lists_grow_and_shrink(start_broker: StartBroker) -> None:
    """Elements join and leave a list; it begins as what was given, or else as the default."""
    key = "log.cleanup.policy"
    broker = start_broker()
    with Client(broker.address) as client:
        change(client, "1", (key, SUBTRACT, "delete"))
        wait_until(lambda: told(client, BROKER, "1", key)[:2] == ("", FROM_BROKER), DEADLINE_S, "it is empty")
        change(client, "1", (key, APPEND, "delete"))
        wait_until(lambda: told(client, BROKER, "1", key)[:2] == ("delete", FROM_BROKER), DEADLINE_S, "it is back")


OWN_DEFAULTS = {
    "listeners",
    "log.cleaner.io.max.bytes.per.second",
    "log.dir",
    "max.connections.per.ip.overrides",
    "node.id",
    "socket.listen.backlog.size",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
}
"""Settings whose default differs from Kafka's, as docs/config.md says, or is the largest number, or nothing."""


def documented() -> dict[str, tuple[str | None, bool]]:
    """The settings of a broker in docs/config.md: the default, and whether it can be altered."""
    text = (ROOT / "docs" / "config.md").read_text()
    found: dict[str, tuple[str | None, bool]] = {}
    for part in re.split("^## ", text, flags=re.MULTILINE):
        if part.startswith("Settings of a broker"):
            for name, default, altered in re.findall(r"^\| `(.+?)` \| (.+?) \| .+? \| (yes|no) \|", part, re.MULTILINE):
                shown = None if default == "—" else "" if default == "empty" else default.strip("`")
                found[name] = (shown, altered == "yes")
    return found


KEPT_BACK = {
    "controller.performance.always.log.threshold.ms",
    "controller.performance.sample.period.ms",
    "group.share.initialize.retry.interval.ms",
    "group.share.persister.class.name",
    "internal.metadata.delete.delay.millis",
    "internal.metadata.log.segment.bytes",
    "internal.metadata.max.batch.size.in.bytes",
    "log.initial.task.delay.ms",
    "producer.id.expiration.check.interval.ms",
    "remote.log.index.file.cache.ttl.ms",
    "remote.log.manager.task.retry.backoff.max.ms",
    "remote.log.manager.task.retry.backoff.ms",
    "remote.log.manager.task.retry.jitter",
    "server.max.startup.time.ms",
    "share.coordinator.cold.partition.snapshot.interval.ms",
    "share.coordinator.state.topic.prune.interval.ms",
    "unclean.leader.election.interval.ms",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
}
"""Settings that no broker tells of until they are set."""


def test_every_setting_is_documented(client: Client) -> None:
    """The broker tells of each setting that docs/config.md lists, also without effect, with its default."""
    node = str(client.ask("Metadata", 12, topics=[]).controller_id)
    wanted = [{"resource_type": BROKER, "resource_name": node, "configuration_keys": None}]
    (answer,) = client.ask("DescribeConfigs", 4, resources=wanted, include_synonyms=True).results
    listed = documented()
    assert len(listed) > 300
    told_of = {config.name for config in answer.configs}
    assert told_of - set(listed) == set()
    only_ours = {name for name in listed if name.startswith("wiber.")} | {"group.consumer.regex.refresh.interval.ms"}
    assert set(listed) - told_of == KEPT_BACK | (only_ours if is_reference() else set())
    differ = {}
    for config in answer.configs:
        defaults = [each.value for each in config.synonyms if (each.name, each.source) == (config.name, FROM_DEFAULT)]
        default, altered = listed[config.name]
        if [default or ""] != (defaults or [""]) and not config.is_sensitive and config.name not in OWN_DEFAULTS:
            differ[config.name] = (default, defaults)
        # Listeners are not opened and closed while a broker of ours runs.
        assert altered != config.read_only or config.name in ("listeners", "listener.security.protocol.map")
    assert differ == {}


@pytest.mark.wiber_only("Kafka lets clients lock themselves out")
def test_nobody_locks_themselves_out(start_broker: StartBroker) -> None:
    """Addresses may be kept out, but not that of the client that asks for it."""
    broker = start_broker()
    nobody = ("max.connections.per.ip", SET, "0")
    overrides = "max.connections.per.ip.overrides"
    with Client(broker.address) as client:
        for others in ("192.0.2.1:3", "127.0.0.1:0,192.0.2.1:3", "192.0.2.1:0"):
            for name in (ALL, "1"):
                code, message = alter(client, name, nobody, (overrides, SET, others))
                assert (code, bool(message)) == (Error.INVALID_REQUEST, True), others
        change(client, ALL, nobody, (overrides, SET, "127.0.0.1:2"))
        assert alter(client, ALL, (overrides, SET, "192.0.2.1:3"))[0] == Error.INVALID_REQUEST
        with Client(broker.address) as second:
            second.api_versions()


@pytest.mark.wiber_only("Kafka lets clients wait where we refuse them")
def test_connections(start_broker: StartBroker) -> None:
    """The limit of connections changes at once, and is still that after a restart."""
    broker = start_broker(arguments=["--set", "max.connections=100"])
    with Client(broker.address) as client:
        change(client, ALL, ("max.connections", SET, "1"))
        with pytest.raises((WireError, ConnectionError)), Client(broker.address) as second:
            second.api_versions()
        change(client, "1", ("max.connections", SET, "2"))
        with Client(broker.address) as second:
            second.api_versions()
        synonyms = [(value, source) for _, value, source in told(client, BROKER, "1", "max.connections")[2]]
        assert synonyms == [("2", FROM_BROKER), ("1", FROM_ALL), ("100", FROM_FILE), ("2147483647", FROM_DEFAULT)]
        change(client, "1", ("max.connections", DELETE, None))
    with restarted(broker) as client:
        client.api_versions()
        with pytest.raises((WireError, ConnectionError)), Client(broker.address) as second:
            second.api_versions()
        change(client, ALL, ("max.connections.per.ip", SET, "5"), ("max.connections", DELETE, None))
        with Client(broker.address) as second:
            second.api_versions()
    broker.stop()


@pytest.mark.wiber_only("all settings of Kafka's have an effect in Kafka")
def test_what_has_no_effect_says_so(client: Client) -> None:
    """A setting without effect is told of by its name too; its documentation says why it has none."""
    keys = ["num.io.threads", "log.flush.interval.messages", "num.partitions"]
    wanted = [{"resource_type": BROKER, "resource_name": "1", "configuration_keys": keys}]
    (answer,) = client.ask("DescribeConfigs", 4, resources=wanted, include_documentation=True).results
    configs = {config.name: config for config in answer.configs}
    assert sorted(configs) == sorted(keys)
    for name, value, documentation in (
        ("num.io.threads", "8", "It has no effect in Wiber: `wiber.shards` says"),
        ("log.flush.interval.messages", str(2**63 - 1), "It has no effect in Wiber: the topic's setting has none."),
    ):
        assert (configs[name].value, configs[name].config_source) == (value, FROM_DEFAULT)
        assert configs[name].documentation.startswith(documentation)
    assert "no effect" not in configs["num.partitions"].documentation


@pytest.mark.wiber_only("Kafka takes what it does not know, for classes that it may load")
def test_unknown_settings_and_those_without_effect(start_broker: StartBroker) -> None:
    """What nobody knows is refused; what has no effect is taken with a line that says so."""
    broker = start_broker()
    with Client(broker.address) as client:
        assert alter(client, ALL, ("no.such.setting", SET, "1"))[0] == Error.INVALID_REQUEST
        change(client, ALL, ("num.io.threads", SET, "9"))
        assert told(client, BROKER, "1", "num.io.threads")[:2] == ("9", FROM_ALL)
        assert "num.io.threads=9 is taken and has no effect" in broker.log()
    assert not is_reference()
