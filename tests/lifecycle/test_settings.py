"""Settings from a file, variables and flags: which one holds, where it is told to come from, and what is refused."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from broker_process import BrokerProcess, binary, wait_until
from conftest import StartBroker
from protocol.client import Client, Error
from protocol.records import batch

pytestmark = pytest.mark.wiber_only("the sources of settings are ours")

TOPIC, BROKER = 2, 4
FROM_TOPIC, FROM_FILE, FROM_DEFAULT = 1, 4, 5
DEADLINE_S = 60


def check(*arguments: object, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `wiber config check` with these variables alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WIBER_")} | variables
    command = [str(binary()), "config", "check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=environment)
    assert done.returncode == code, done
    assert "panicked" not in done.stderr
    return done


def told(client: Client, kind: int, name: str) -> dict[str, tuple[str | None, int]]:
    """The settings of a resource, with where each comes from."""
    wanted = [{"resource_type": kind, "resource_name": name, "configuration_keys": None}]
    (found,) = client.ask("DescribeConfigs", 4, resources=wanted).results
    assert found.error_code == Error.NONE
    return {config.name: (config.value, config.config_source) for config in found.configs}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A path for a file of settings."""
    return tmp_path / "wiber.toml"


def test_errors_name_file_line_key_and_what_is_legal(file: Path) -> None:
    """Everything that is wrong is told, each in a line."""
    file.write_text(
        "# a comment\n\nnum.partitions = 'many'\nnum.partition = 1\n[log]\nretention.hours = 1.5\nbroker.rack =\n"
        "segment = { bytes = 5 }\n"
    )
    done = check("--config", file, "--set", "auto.create.topics.enable=perhaps", code=1)
    assert done.stdout == ""
    assert all(line.startswith("wiber: ") for line in done.stderr.splitlines())
    lines = [line.removeprefix("wiber: ") for line in done.stderr.splitlines()]
    assert lines[0].startswith(f"{file}:7: ")
    assert lines[1:] == [
        f'{file}:3: num.partitions = "many": a whole number from 1 to 2147483647 is wanted',
        f"{file}:4: num.partition: there is no such setting; did you mean num.partitions?",
        f'{file}:6: log.retention.hours = "1.5": a whole number from -1 to 2147483647 is wanted',
        f'{file}:8: log.segment.bytes = "5": a whole number from 1048576 to 2147483647 is wanted',
        '--set: auto.create.topics.enable = "perhaps": true or false is wanted',
    ]
    as_json = json.loads(check("--config", file, "--output", "json", code=1).stdout)
    assert as_json["valid"] is False
    assert as_json["errors"] == lines[:5]


def test_a_broker_does_not_start_with_what_check_refuses(file: Path, tmp_path: Path) -> None:
    """The same lines, and no directory is made."""
    file.write_text("num.partitions = 0\nlisteners = 'SSL://127.0.0.1:0'\n")
    data = tmp_path / "data"
    command = [str(binary()), "serve", "--config", str(file), "--data-dir", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1
    assert [line.removeprefix(f"wiber: {file}:")[:2] for line in done.stderr.splitlines()] == ["1:", "2:"]
    assert not data.exists()


def test_the_stronger_source_holds(file: Path) -> None:
    """A flag before a variable, that before the file, and the one that holds is named."""
    file.write_text("num.partitions = 1\nlog.retention.hours = 2\nbroker.rack = 'file'\n")
    variables = {"WIBER_BROKER_RACK": "variable", "WIBER_NUM_PARTITIONS": "2", "WIBER_CONFIG": str(file)}
    flags = ("--set", "num.partitions=3", "--output", "json")
    found = json.loads(check(*flags, **variables).stdout)
    assert found["valid"]
    settings = {setting["name"]: setting for setting in found["settings"]}
    assert settings["num.partitions"] == {"name": "num.partitions", "value": "3", "source": "flag", "flag": "--set"}
    assert settings["broker.rack"]["variable"] == "WIBER_BROKER_RACK"
    hours = settings["log.retention.hours"]
    assert (hours["source"], hours["file"], hours["line"]) == ("file", str(file), 2)


def test_a_variable_that_is_nearly_a_setting_is_refused() -> None:
    """What is misspelt is told; other variables of ours are left alone."""
    done = check(WIBER_NUM_PARTITION="3", WIBER_CACHE="somewhere", code=1)
    assert done.stderr == "wiber: WIBER_NUM_PARTITION: there is no such setting; did you mean WIBER_NUM_PARTITIONS?\n"


def test_a_variable_that_is_no_setting_is_a_warning() -> None:
    """It is named; those of the tests and of other commands are not."""
    done = check(WIBER_QUUX="1", WIBER_BOOTSTRAP="localhost:9092", WIBER_BIN="somewhere")
    warnings = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    assert warnings == ["warning: WIBER_QUUX: there is no such setting, so the variable has no effect"]


def test_kafka_s_other_settings_are_warnings(file: Path, start_broker: StartBroker) -> None:
    """A file as Kafka's own is taken; what it has no effect of is named in the log."""
    file.write_text(
        "process.roles = 'broker,controller'\nnode.id = 7\ncontroller.listener.names = 'CONTROLLER'\n"
        "num.network.threads = 3\nsocket.send.buffer.bytes = 102400\nnum.partitions = 2\n"
        "offsets.topic.replication.factor = 1\nssl.key.password = 'secret'\nlog.retention.hours = 168\n"
    )
    warned = check("--config", file).stdout
    assert warned.count("warning: ") == 4
    assert "secret" not in warned
    broker = start_broker(arguments=("--config", str(file)))
    assert broker.log().count("has no effect in Wiber") == 4
    with Client(broker.address) as client:
        assert client.ask("Metadata", 12, topics=[]).brokers[0].node_id == 7
        found = told(client, BROKER, "7")
        assert found["num.network.threads"] == ("3", FROM_FILE)
        assert found["ssl.key.password"] == (None, FROM_FILE)
        assert found["log.retention.hours"] == ("168", FROM_FILE)
    assert "secret" not in broker.log()


def test_a_broker_is_what_its_settings_say(file: Path, start_broker: StartBroker, topic: str) -> None:
    """New topics, the rack, deletions: as set; and DescribeConfigs tells where each comes from."""
    file.write_text(
        "num.partitions = 3\nbroker.rack = 'r1'\ndelete.topic.enable = false\nmax.request.partition.size.limit = 2\n"
    )
    broker = start_broker(arguments=("--config", str(file)))
    with Client(broker.address) as client:
        asked = {"topics": [{"name": topic}], "allow_auto_topic_creation": True}
        wait_until(
            lambda: client.ask("Metadata", 9, **asked).topics[0].error_code == Error.NONE,
            DEADLINE_S,
            f"{topic} is made",
        )
        answer = client.ask("Metadata", 9, **asked)
        assert len(answer.topics[0].partitions) == 3
        assert answer.brokers[0].rack == "r1"
        found = told(client, BROKER, "1")
        assert found["num.partitions"] == ("3", FROM_FILE)
        assert found["delete.topic.enable"] == ("false", FROM_FILE)
        assert found["auto.create.topics.enable"] == ("true", FROM_DEFAULT)
        for version, error in ((1, Error.INVALID_REQUEST), (5, Error.TOPIC_DELETION_DISABLED)):
            answer = client.ask("DeleteTopics", version, topic_names=[topic], timeout_ms=1000)
            assert [each.error_code for each in answer.responses] == [error]
        page = client.ask("DescribeTopicPartitions", 0, topics=[{"name": topic}], response_partition_limit=99)
        assert len(page.topics[0].partitions) == 2


def synonyms(client: Client, kind: int, name: str, key: str) -> list[tuple[str, str, int]]:
    """Where a setting has a value, the strongest first."""
    wanted = [{"resource_type": kind, "resource_name": name, "configuration_keys": [key]}]
    (found,) = client.ask("DescribeConfigs", 4, resources=wanted, include_synonyms=True).results
    return [(each.name, each.value, each.source) for each in found.configs[0].synonyms]


def test_topics_get_what_the_broker_sets(start_broker: StartBroker, topic: str) -> None:
    """A topic that sets nothing has the broker's settings, and they hold for what it takes."""
    settings = ("message.max.bytes=1000", "log.retention.minutes=2", "log.message.timestamp.type=LogAppendTime")
    broker = start_broker(arguments=[word for setting in settings for word in ("--set", setting)])
    with Client(broker.address) as client:
        plain = client.create(topic)
        own = client.create(f"{topic}-own", max_message_bytes="5000")
        found = told(client, TOPIC, topic)
        assert found["max.message.bytes"] == ("1000", FROM_FILE)
        # As in Kafka, the source of what log.retention.minutes sets is not told.
        assert found["retention.ms"] == ("120000", FROM_DEFAULT)
        assert found["message.timestamp.type"] == ("LogAppendTime", FROM_FILE)
        assert synonyms(client, TOPIC, f"{topic}-own", "max.message.bytes") == [
            ("max.message.bytes", "5000", FROM_TOPIC),
            ("message.max.bytes", "1000", FROM_FILE),
            ("message.max.bytes", "1048588", FROM_DEFAULT),
        ]
        large = batch(b"x" * 2000)
        assert client.produce(plain, large).error_code == Error.MESSAGE_TOO_LARGE
        assert client.produce(own, large).error_code == Error.NONE
        small = client.produce(plain, batch(b"x"))
        assert small.log_append_time_ms > 0


def test_one_directory_by_any_of_its_names(start_broker: StartBroker, tmp_path: Path, file: Path) -> None:
    """log.dirs of the file is what --data-dir is."""
    file.write_text(f"log.dirs = '{tmp_path / 'elsewhere'}'\n")
    assert f"log.dirs = {tmp_path / 'elsewhere'}" in check("--config", file).stdout
    two = check("--set", "log.dirs=/a,/b", code=1).stderr
    assert two == 'wiber: --set: log.dirs = "/a,/b": one directory is wanted: a broker keeps its data on one disk\n'
    broker: BrokerProcess = start_broker(arguments=("--config", str(file)))
    # The flag is the stronger one.
    assert (tmp_path / "data").exists()
    assert not (tmp_path / "elsewhere").exists()
    broker.stop()
