"""Kafka's own command line tools, with the arguments, input and output that they have in a shell."""

import json
import random
import re
from pathlib import Path

import pytest

from broker_process import BrokerProcess, is_reference, wait_until
from clients.kafka_tools import Tool
from clients.librdkafka import DEADLINE_S, Record, consume_all, create_topic, produce_all
from wire import Connection

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def test_topics(run: Tool, broker: BrokerProcess, topic: str) -> None:
    """A topic is created, listed, described, extended and deleted; what exists or does not is an error."""
    create = ("--create", "--topic", topic, "--partitions", "3", "--replication-factor", "1")
    assert f"Created topic {topic}." in run("kafka-topics", *create, "--config", "retention.ms=1234567").out
    assert "already exists" in run("kafka-topics", *create, code=1).out
    wait_until(lambda: topic in run("kafka-topics", "--list").out.split(), DEADLINE_S, "the topic is listed")

    head, *rows = run("kafka-topics", "--describe", "--topic", topic).out.strip().split("\n")
    assert re.search(
        rf"Topic: {topic}\s+TopicId: \S{{22}}\s+PartitionCount: 3\s+ReplicationFactor: 1\s+Configs: ", head
    )
    assert "retention.ms=1234567" in head.rpartition("Configs: ")[2].split(",")
    described = [re.findall(r"(\w+): (\S*)", row) for row in rows]
    (node,) = {dict(each)["Leader"] for each in described}
    expected = {"Topic": topic, "Leader": node, "Replicas": node, "Isr": node}
    assert [{name: dict(each)[name] for name in expected} for each in described] == [expected] * 3
    assert [dict(each)["Partition"] for each in described] == ["0", "1", "2"]
    assert run("kafka-topics", "--describe", "--topic", topic, "--under-replicated-partitions").out == ""
    assert run("kafka-topics", "--describe", "--topic", topic, "--unavailable-partitions").out == ""
    overridden = run("kafka-topics", "--describe", "--topics-with-overrides").out
    assert re.search(rf"^Topic: {topic}\s", overridden, re.MULTILINE)

    run("kafka-topics", "--alter", "--topic", topic, "--partitions", "5")
    wait_until(
        lambda: "PartitionCount: 5" in run("kafka-topics", "--describe", "--topic", topic).out,
        DEADLINE_S,
        "the topic has five partitions",
    )
    assert "partition" in run("kafka-topics", "--alter", "--topic", topic, "--partitions", "2", code=1).out
    assert produce_all(broker.address, topic, [Record(b"x")], partition=4) == [0]
    run("kafka-topics", "--create", "--if-not-exists", "--topic", topic)
    run("kafka-topics", "--delete", "--topic", topic)
    wait_until(lambda: topic not in run("kafka-topics", "--list").out.split(), DEADLINE_S, "the topic is gone")
    assert "does not exist" in run("kafka-topics", "--describe", "--topic", topic, code=1).out


def test_configs_of_a_topic(run: Tool, broker: BrokerProcess, topic: str) -> None:
    """A topic's settings are described, added and deleted; a bad value and a bad name are refused with their reason."""
    create_topic(broker.address, topic, retention_ms="1234567")
    of_topic = ("--entity-type", "topics", "--entity-name", topic)

    def own() -> dict[str, str]:
        lines = run("kafka-configs", "--describe", *of_topic).out.strip().split("\n")
        assert lines[0] == f"Dynamic configs for topic {topic} are:"
        return dict(line.split()[0].split("=", 1) for line in lines[1:])

    assert own() == {"retention.ms": "1234567"}
    assert "DYNAMIC_TOPIC_CONFIG:retention.ms=1234567" in run("kafka-configs", "--describe", *of_topic).out
    done = run("kafka-configs", "--alter", *of_topic, "--add-config", "segment.bytes=2000000,max.message.bytes=2097152")
    assert f"Completed updating config for topic {topic}." in done.out
    expected = {"retention.ms": "1234567", "segment.bytes": "2000000", "max.message.bytes": "2097152"}
    wait_until(lambda: own() == expected, DEADLINE_S, "the settings are told")
    run("kafka-configs", "--alter", *of_topic, "--delete-config", "retention.ms,segment.bytes")
    wait_until(lambda: own() == {"max.message.bytes": "2097152"}, DEADLINE_S, "the settings are gone")
    every = run("kafka-configs", "--describe", "--all", *of_topic).out
    assert re.search(r"^  segment\.bytes=1073741824 sensitive=false synonyms=\{DEFAULT_CONFIG:log", every, re.MULTILINE)
    assert re.search(r"^  compression\.type=producer sensitive=false", every, re.MULTILINE)

    assert (
        "segment.bytes" in run("kafka-configs", "--alter", *of_topic, "--add-config", "segment.bytes=many", code=1).err
    )
    run("kafka-configs", "--alter", *of_topic, "--add-config", "no.such.setting=1", code=1)
    assert own() == {"max.message.bytes": "2097152"}


def test_configs_of_the_broker(run: Tool, broker: BrokerProcess) -> None:
    """All settings of the broker are described."""
    with_node = run("kafka-topics", "--describe", "--topic", create_and_name(broker)).out
    (node,) = set(re.findall(r"Leader: (\d+)", with_node))
    out = run("kafka-configs", "--describe", "--all", "--entity-type", "brokers", "--entity-name", node).out
    assert out.startswith(f"All configs for broker {node} are:")
    assert re.search(r"^  num\.partitions=1 sensitive=false", out, re.MULTILINE)


def create_and_name(broker: BrokerProcess) -> str:
    """A topic whose partitions tell of the broker."""
    create_topic(broker.address, "of-the-broker")
    return "of-the-broker"


@pytest.mark.parametrize("codec", CODECS)
def test_console_producer_and_consumer(run: Tool, broker: BrokerProcess, topic: str, codec: str) -> None:
    """Lines go in and come out, by partition, from an offset; in the codec that was asked for."""
    create_topic(broker.address, topic, partitions=2)
    lines = [f"line {number} of {codec}, {'x' * (number % 50)}" for number in range(400)]
    produced = run(
        "kafka-console-producer", "--topic", topic, "--compression-codec", codec, stdin="\n".join(lines) + "\n"
    )
    assert "rror" not in produced.err

    got: list[list[str]] = []
    with Connection(broker.address) as connection:
        for partition in range(2):
            fetched = connection.fetch(topic, partition, 0)
            count = fetched.high_watermark
            assert {batch.codec for batch in fetched.batches()} <= {codec}
            assert all(batch.producer_id >= 0 for batch in fetched.batches())
            here = ("--topic", topic, "--partition", str(partition))
            ran = run("kafka-console-consumer", *here, "--offset", "earliest", "--max-messages", str(count))
            assert f"Processed a total of {count} messages" in ran.err
            got.append(ran.out.splitlines())
            for offset in {0, count // 2, count - 1} & set(range(count)):
                some = run(
                    "kafka-console-consumer", *here, "--offset", str(offset), "--max-messages", str(count - offset)
                )
                assert some.out.splitlines() == got[partition][offset:]
    # The producer chooses the partitions; within each the order is that of sending.
    assert sorted(got[0] + got[1]) == sorted(lines)
    place = {line: number for number, line in enumerate(lines)}
    assert all(own == sorted(own, key=place.__getitem__) for own in got)


def test_console_keys_headers_and_times(run: Tool, broker: BrokerProcess, topic: str) -> None:
    """Keys, headers of equal names and nulls, as the consumer prints them."""
    create_topic(broker.address, topic)
    reader = ["parse.key=true", "parse.headers=true", "null.marker=NULL"]
    properties = [argument for each in reader for argument in ("--reader-property", each)]
    run(
        "kafka-console-producer",
        "--topic",
        topic,
        *properties,
        stdin="a:1,b:2,a:3\tkey\tvalue\nc:\tNULL\t\nNULL\tk\tNULL\n",
    )
    printed = ["print.key", "print.headers", "print.offset", "print.partition"]
    shown = [argument for each in printed for argument in ("--formatter-property", f"{each}=true")]
    here = ("--topic", topic, "--partition", "0", "--offset", "earliest")
    out = run("kafka-console-consumer", *here, "--max-messages", "3", *shown).out
    assert out == (
        "Partition:0\tOffset:0\ta:1,b:2,a:3\tkey\tvalue\n"
        "Partition:0\tOffset:1\tc:\tnull\t\n"
        "Partition:0\tOffset:2\tNO_HEADERS\tk\tnull\n"
    )
    got = [(message.key(), message.value()) for message in consume_all(broker.address, topic)]
    assert got == [(b"key", b"value"), (None, b""), (b"k", None)]


def test_console_consumer_at_the_end(run: Tool, broker: BrokerProcess, topic: str) -> None:
    """From the end nothing comes, and the consumer's own time limit ends it."""
    produce_all(broker.address, topic, [Record(b"old")])
    ran = run(
        "kafka-console-consumer", "--topic", topic, "--partition", "0", "--offset", "latest", "--timeout-ms", "1500"
    )
    assert ran.out == ""
    assert "Processed a total of 0 messages" in ran.err


@pytest.mark.parametrize("codec", CODECS)
def test_producer_perf_test(run: Tool, broker: BrokerProcess, topic: str, codec: str, tmp_path: Path) -> None:
    """All of its messages are acknowledged, and lie in the log, in order where there is an order."""
    create_topic(broker.address, topic)
    properties = [f"bootstrap.servers={broker.address}", f"compression.type={codec}", "acks=all"]
    common = ("--topic", topic, "--throughput", "-1", "--producer-props", *properties)
    out = run("kafka-producer-perf-test", "--num-records", "5000", "--payload-monotonic", *common).out
    assert re.search(r"^5000 records sent, ", out, re.MULTILINE)
    assert [int(message.value()) for message in consume_all(broker.address, topic)] == list(range(5_000))
    payloads = tmp_path / "payloads"
    payloads.write_text("".join(f"{random.Random(9).randbytes(500).hex()} {number}\n" for number in range(10)))
    run("kafka-producer-perf-test", "--num-records", "500", "--payload-file", str(payloads), *common)
    later = [message.value().decode() for message in consume_all(broker.address, topic, offset=5_000)]
    assert len(later) == 500
    assert set(later) <= set(payloads.read_text().splitlines())
    with Connection(broker.address) as connection:
        assert {batch.codec for batch in connection.fetch(topic, 0, 0).batches()} == {codec}


def test_get_offsets_and_delete_records(run: Tool, broker: BrokerProcess, topic: str, tmp_path: Path) -> None:
    """Offsets of beginning, end and times, before and after records were deleted."""
    create_topic(broker.address, topic, partitions=3)
    for partition, count in [(0, 10), (1, 25)]:
        for number in range(count):
            stamp = 1_700_000_000_000 + 1_000 * number
            produce_all(
                broker.address, topic, [Record(b"%d" % number)], partition=partition, timestamp_ms=stamp, linger_ms=0
            )

    def offsets(time: str, *more: str) -> dict[int, str]:
        lines = run("kafka-get-offsets", "--topic", topic, "--time", time, *more).out.split()
        rows = [re.fullmatch(rf"{topic}:(\d+):(\d*)", line) for line in lines]
        return {int(row[1]): row[2] for row in rows if row}

    assert offsets("latest") == offsets("-1") == {0: "10", 1: "25", 2: "0"}
    assert offsets("earliest") == {0: "0", 1: "0", 2: "0"}
    assert offsets("latest", "--partitions", "1,2") == {1: "25", 2: "0"}
    assert offsets("1700000004500", "--partitions", "0,1") == {0: "5", 1: "5"}
    assert offsets("1700000015000") == {1: "15"}
    assert offsets("max-timestamp", "--partitions", "0,1") == {0: "9", 1: "24"}

    wanted = tmp_path / "offsets.json"
    rows = [{"topic": topic, "partition": 0, "offset": 7}, {"topic": topic, "partition": 1, "offset": -1}]
    wanted.write_text(json.dumps({"partitions": rows, "version": 1}))
    out = run("kafka-delete-records", "--offset-json-file", str(wanted)).out
    assert re.search(rf"partition: {topic}-0\s+low_watermark: 7$", out, re.MULTILINE)
    assert re.search(rf"partition: {topic}-1\s+low_watermark: 25$", out, re.MULTILINE)
    assert offsets("earliest") == {0: "7", 1: "25", 2: "0"}
    assert offsets("latest") == {0: "10", 1: "25", 2: "0"}
    assert [message.value() for message in consume_all(broker.address, topic)] == [b"7", b"8", b"9"]
    rows = [{"topic": topic, "partition": 0, "offset": 11}]
    wanted.write_text(json.dumps({"partitions": rows, "version": 1}))
    assert "OffsetOutOfRange" in run("kafka-delete-records", "--offset-json-file", str(wanted)).out


def test_log_dirs(run: Tool, broker: BrokerProcess, topic: str) -> None:
    """The broker's directory with the sizes of a topic's partitions, which grow by what is written."""
    create_topic(broker.address, topic, partitions=2)

    def sizes() -> dict[str, int]:
        out = run("kafka-log-dirs", "--describe", "--topic-list", topic).out
        (described,) = json.loads(out.splitlines()[-1])["brokers"]
        assert f"Received log directory information from brokers {described['broker']}" in out
        (directory,) = described["logDirs"]
        assert directory["error"] is None
        assert Path(directory["logDir"]).samefile(broker.data_dir / ("logs" if is_reference() else "."))
        assert all((each["offsetLag"], each["isFuture"]) == (0, False) for each in directory["partitions"])
        return {each["partition"]: each["size"] for each in directory["partitions"]}

    assert sizes() == {f"{topic}-0": 0, f"{topic}-1": 0}
    values = [Record(random.Random(3).randbytes(1_000)) for _ in range(300)]
    produce_all(broker.address, topic, values, partition=1)
    after = sizes()
    assert after[f"{topic}-0"] == 0
    assert 300_000 < after[f"{topic}-1"] < 330_000
    assert "do not exist" in run("kafka-log-dirs", "--describe", "--broker-list", "4711", code=1).err
