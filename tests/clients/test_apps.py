"""What is built on groups: Kafka Connect, whose workers and sinks are members of groups, and Kafka Streams."""

import json
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from broker_process import BrokerProcess, wait_until
from clients.conftest import HERE
from clients.librdkafka import Record, consumer, create_topic, produce_all, read_to_end
from kafka_jars import fetch_apps

DEADLINE_S = 60.0

pytestmark = pytest.mark.timeout(240)
JAVA = [
    "java",
    "-Xmx320m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
]


class App:
    """A program in a JVM of its own, which ends with its input or is killed."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        """Starts it."""
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *JAVA, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """Kills it."""
        self.process.kill()
        self.process.wait()

    def end(self, how: int | None = None) -> None:
        """Ends it in good order: by a signal, or by closing its input."""
        if how is None:
            self.process.communicate(timeout=DEADLINE_S)
        else:
            self.process.send_signal(how)
            self.process.wait(DEADLINE_S)

    def await_line(self, text: str) -> None:
        """Waits until it has printed something."""
        wait_until(lambda: text in self.log.read_text() or not self.runs(), DEADLINE_S, f"{text} is printed")
        assert self.runs(), self.log.read_text()[-4_000:]

    def runs(self) -> bool:
        """Whether it lives."""
        return self.process.poll() is None


@pytest.fixture(scope="module")
def class_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The apps' jars, and our word count."""
    directory = tmp_path_factory.mktemp("apps")
    jars = f"{fetch_apps()}/*"
    source = HERE / "java" / "apps" / "WordCount.java"
    subprocess.run(["javac", "-cp", jars, "-d", str(directory), str(source)], check=True, timeout=120)
    return f"{jars}:{directory}"


@pytest.fixture
def apps() -> Iterator[list[App]]:
    """Apps that are killed at the end of the test."""
    started: list[App] = []
    yield started
    for each in started:
        each.kill()


def values(address: str, topic: str, partitions: int = 1) -> list[tuple[str | None, str]]:
    """Keys and values of all records of a topic."""
    with consumer(address) as client:
        client.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in range(partitions)])
        records = read_to_end(client, partitions)
    return [(each.key().decode() if each.key() else None, each.value().decode()) for each in records]


def policy(address: str, topic: str) -> str:
    """How a topic is cleaned up."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": address})  # Held until the answer: without it, the call is cancelled.
    (done,) = admin.describe_configs([resource]).values()
    return done.result(20)["cleanup.policy"].value


def test_word_count(broker: BrokerProcess, class_path: str, apps: list[App], topic: str, tmp_path: Path) -> None:
    """Kafka Streams counts each word at least once, also when it is killed; its own topics are as it made them."""
    lines, counts = f"{topic}-lines", f"{topic}-counts"
    create_topic(broker.address, lines, partitions=2)
    create_topic(broker.address, counts, partitions=2)
    sent: Counter[str] = Counter()

    def say(number: int, partition: int) -> None:
        texts = [f"w{each % 7} w{each % 3} always" for each in range(number)]
        produce_all(broker.address, lines, [Record(text.encode()) for text in texts], partition=partition)
        sent.update(word for text in texts for word in text.split())

    def counted() -> dict[str, int]:
        found: dict[str, int] = {}
        for word, count in values(broker.address, counts, 2):
            found[word or ""] = int(count)
        return found

    def start() -> App:
        arguments = ["-cp", class_path, "WordCount", broker.address, topic, lines, counts]
        apps.append(App(arguments, tmp_path / f"words-{len(apps)}.log"))
        return apps[-1]

    def reached() -> bool:
        now = counted()
        return all(now.get(word, 0) >= count for word, count in sent.items())

    say(200, 0)
    say(100, 1)
    first = start()
    wait_until(lambda: counted() == sent, DEADLINE_S, "all words are counted, once where nothing failed", 0.2)
    # Another one shares the work; the first is killed while there is work.
    second = start()
    second.await_line("started")
    say(300, 1)
    first.kill()
    say(300, 0)
    wait_until(reached, DEADLINE_S, "no word is lost by a crash", 0.2)
    second.end()
    assert second.process.returncode == 0

    topics = AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=20).topics
    changelog, repartition = f"{topic}-counts-changelog", f"{topic}-words-repartition"
    assert len(topics[changelog].partitions) == len(topics[repartition].partitions) == 2
    assert (policy(broker.address, changelog), policy(broker.address, repartition)) == ("compact", "delete")
    # What was counted is in the changelog: it is what the second one went on from.
    assert set(sent) == {word for word, _ in keys(broker.address, changelog)}


def keys(address: str, topic: str) -> list[tuple[str, bytes]]:
    """Keys and raw values of a topic with two partitions."""
    with consumer(address) as client:
        client.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in range(2)])
        return [(each.key().decode(), each.value()) for each in read_to_end(client, 2)]


def properties(path: Path, **settings: object) -> str:
    """Writes a file of properties; names have `_` for `.`."""
    path.write_text("".join(f"{name.replace('_', '.')}={value}\n" for name, value in settings.items()))
    return str(path)


CONVERTERS = {
    "key_converter": "org.apache.kafka.connect.storage.StringConverter",
    "value_converter": "org.apache.kafka.connect.storage.StringConverter",
}
SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"
SINK = "org.apache.kafka.connect.file.FileStreamSinkConnector"


def test_connect_standalone(
    broker: BrokerProcess, class_path: str, apps: list[App], topic: str, tmp_path: Path
) -> None:
    """Lines of a file become records, and records lines of another; after a restart both go on where they were."""
    come, go = tmp_path / "in", tmp_path / "out"
    worker = properties(
        tmp_path / "worker.properties",
        bootstrap_servers=broker.address,
        listeners="http://127.0.0.1:0",
        offset_storage_file_filename=tmp_path / "offsets",
        offset_flush_interval_ms=300,
        **CONVERTERS,
    )
    source = properties(
        tmp_path / "source.properties", name="source", connector_class=SOURCE, tasks_max=1, file=come, topic=topic
    )
    sink = properties(
        tmp_path / "sink.properties", name="sink", connector_class=SINK, tasks_max=1, file=go, topics=topic
    )

    def start() -> App:
        arguments = ["-cp", class_path, "org.apache.kafka.connect.cli.ConnectStandalone", worker, source, sink]
        apps.append(App(arguments, tmp_path / f"connect-{len(apps)}.log"))
        return apps[-1]

    def arrived(lines: Sequence[str]) -> bool:
        return go.exists() and go.read_text().splitlines() == list(lines)

    create_topic(broker.address, topic)
    lines = [f"line {number}" for number in range(100)]
    come.write_text("\n".join(lines) + "\n")
    app = start()
    wait_until(lambda: arrived(lines) or not app.runs(), DEADLINE_S, "all lines have gone through", 0.1)
    assert app.runs(), app.log.read_text()[-4_000:]
    assert values(broker.address, topic) == [(None, line) for line in lines]
    app.end(15)
    lines.append("a late one")
    with come.open("a") as file:
        file.write("a late one\n")
    start()
    wait_until(lambda: arrived(lines), DEADLINE_S, "what is new has gone through, and only that", 0.1)


def test_connect_distributed(
    broker: BrokerProcess, class_path: str, apps: list[App], topic: str, tmp_path: Path
) -> None:
    """Two workers form a group of type `connect`, keep all they know in compacted topics, and replace each other."""
    come, go = tmp_path / "in", tmp_path / "out"
    lines = [f"line {number}" for number in range(50)]
    come.write_text("\n".join(lines) + "\n")
    create_topic(broker.address, topic)

    def start(number: int) -> App:
        worker = properties(
            tmp_path / f"worker-{number}.properties",
            bootstrap_servers=broker.address,
            listeners="http://127.0.0.1:0",
            group_id=f"{topic}-workers",
            config_storage_topic=f"{topic}-configs",
            offset_storage_topic=f"{topic}-offsets",
            status_storage_topic=f"{topic}-status",
            config_storage_replication_factor=1,
            offset_storage_replication_factor=1,
            status_storage_replication_factor=1,
            offset_storage_partitions=3,
            offset_flush_interval_ms=300,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=500,
            scheduled_rebalance_max_delay_ms=0,
            consumer_session_timeout_ms=6_000,
            consumer_heartbeat_interval_ms=500,
            **CONVERTERS,
        )
        options = ["-Dorg.slf4j.simpleLogger.log.org.apache.kafka.connect.runtime.rest=info"]
        arguments = [*options, "-cp", class_path, "org.apache.kafka.connect.cli.ConnectDistributed", worker]
        apps.append(App(arguments, tmp_path / f"distributed-{number}.log"))
        return apps[-1]

    first = start(0)
    first.await_line("REST resources initialized")
    wait_until(lambda: port_of(first) > 0, DEADLINE_S, "the worker's port is known", 0.1)
    for name, kind, extra in (
        ("source", SOURCE, {"file": str(come), "topic": topic}),
        ("sink", SINK, {"file": str(go), "topics": topic}),
    ):
        body = {"name": name, "config": {"connector.class": kind, "tasks.max": "1", **extra}}
        post(f"http://127.0.0.1:{port_of(first)}/connectors", body)
    wait_until(lambda: go.exists() and go.read_text().splitlines() == lines, DEADLINE_S, "all lines have gone", 0.1)
    described = AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=20).topics
    for name in ("configs", "offsets", "status"):
        assert policy(broker.address, f"{topic}-{name}") == "compact"
    assert len(described[f"{topic}-offsets"].partitions) == 3
    start(1).await_line("REST resources initialized")
    first.kill()
    with come.open("a") as file:
        file.write("a late one\n")
    wait_until(lambda: "a late one" in go.read_text().splitlines(), DEADLINE_S, "the other worker has taken over", 0.1)
    assert set(go.read_text().splitlines()) == {*lines, "a late one"}


def port_of(app: App) -> int:
    """The port that a worker listens on, which is in its log."""
    found = [line.rpartition("127.0.0.1:")[2] for line in app.log.read_text().splitlines() if "127.0.0.1:" in line]
    numbers = [int(digits) for each in found if (digits := each.split("/")[0].split("}")[0].split(",")[0]).isdigit()]
    return numbers[-1] if numbers else 0


def post(url: str, body: dict[str, object]) -> None:
    """Posts JSON, again while a worker is rebalancing."""
    end = time.monotonic() + DEADLINE_S
    data = json.dumps(body).encode()
    while True:
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except OSError:
            assert time.monotonic() < end, url
            time.sleep(0.2)
