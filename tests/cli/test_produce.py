"""`wiber produce`: what was sent arrives, and what was not is told."""

import json
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from broker_process import BrokerProcess, is_reference, restart_port
from cli.conftest import DEADLINE_S, Cli, Terminal
from cli.cutting_proxy import CuttingProxy
from conftest import StartBroker

LINES = 200_000
"""More than all buffers on the way hold."""


def messages(address: str, topic: str, count: int, partitions: int = 1) -> list[Message]:
    """The first records of a topic, as another client reads them."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, it, OFFSET_BEGINNING) for it in range(partitions)])
    found: list[Message] = []
    while len(found) < count:
        batch = consumer.consume(count - len(found), timeout=DEADLINE_S)
        assert batch, f"{len(found)} records of {count}"
        found += batch
    consumer.close()
    return found


def test_a_value_with_key_and_headers(cli: Cli, broker: BrokerProcess, topic: str) -> None:
    """Equal header keys are kept, in order."""
    cli("topic", "create", topic, "--partitions", 2)
    cli("produce", topic, "Hello", "-k", "alice", "-H", "a=1", "-H", "b=", "-H", "a=2", "--partition", 1)
    [message] = messages(broker.address, topic, 1, partitions=2)
    assert (message.key(), message.value(), message.partition()) == (b"alice", b"Hello", 1)
    assert message.headers() == [("a", b"1"), ("b", b""), ("a", b"2")]


def test_a_topic_is_made_by_the_first_record(cli: Cli, topic: str) -> None:
    """As with other clients."""
    told = cli("produce", topic, "Hello", "-o", "json").objects
    partitions = [{"partition": 0, "records": 1, "first_offset": 0, "last_offset": 0}]
    assert told == [{"topic": topic, "delivered": 1, "failed": 0, "partitions": partitions}]


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_each_compression(cli: Cli, broker: BrokerProcess, topic: str, compression: str) -> None:
    """Another client reads it, and so does ours."""
    lines = [f"line {number % 7} and again {number % 7}" for number in range(2_000)]
    cli("topic", "create", topic)
    cli("produce", topic, "-z", compression, stdin="\n".join(lines))
    assert [it.value().decode() for it in messages(broker.address, topic, len(lines))] == lines
    assert cli("consume", topic, "--from-beginning", "--exit").out.splitlines() == lines


@pytest.mark.parametrize("acks", ["0", "1", "all", "-1"])
def test_each_acks(cli: Cli, topic: str, acks: str) -> None:
    """Also records that nobody acknowledges have left when the command ends."""
    cli("topic", "create", topic)
    cli("produce", topic, "--acks", acks, stdin="a\nb\n")
    assert cli("consume", topic, "--from-beginning", "-n", 2).out == "a\nb\n"


def test_nothing_is_lost_on_the_way_where_nobody_acknowledges(cli: Cli, topic: str) -> None:
    """Many partitions share a connection: it is waited for at the end, and keeps the order."""
    partitions, count = 64, 6_400
    cli("topic", "create", topic, "--partitions", partitions)
    lines = [json.dumps({"value": str(number), "partition": number % partitions}) for number in range(count)]
    cli("produce", topic, "--acks", 0, "-f", "json", "--keep-partitions", stdin="\n".join(lines))
    found = cli("consume", topic, "--from-beginning", "-n", count, "-f", "json").objects
    for partition in range(partitions):
        values = [int(it["value"]) for it in found if it["partition"] == partition]
        assert values == list(range(partition, count, partitions))


def test_bytes_are_left_as_they_are(cli: Cli, topic: str) -> None:
    """Empty lines are records, and a last line needs no end; that of Windows is one."""
    stdin = b"a\rb\n\n\xff\x00\xfe\r\nlast"
    cli("produce", topic, stdin=stdin)
    out = cli("consume", topic, "--from-beginning", "--exit").out
    assert out.encode(errors="surrogateescape") == stdin.replace(b"\r\n", b"\n") + b"\n"


def test_keys_of_lines_choose_partitions_as_in_kafka(cli: Cli, topic: str) -> None:
    """The hashes are those that Kafka's `UtilsTest` gives for its murmur2."""
    cli("topic", "create", topic, "--partitions", 3)
    keys = ["21", "foobar", "a-little-bit-long-string", "a-little-bit-longer-string", "abc"]
    cli("produce", topic, "-K", "::", stdin="".join(f"{key}::v::{key}\n" for key in keys))
    found = {it["key"]: it for it in cli("consume", topic, "--from-beginning", "--exit", "-f", "json").objects}
    assert {key: it["value"] for key, it in found.items()} == {key: f"v::{key}" for key in keys}
    hashes = [-973932308, -790332482, -985981536, -1486304829, 479470107]
    assert [found[key]["partition"] for key in keys] == [(it & 0x7FFFFFFF) % 3 for it in hashes]


def test_a_topic_is_copied_through_json(cli: Cli, topic: str) -> None:
    """Nulls, bytes that are no text, equal header keys, timestamps and partitions included."""
    copy = f"{topic}-copy"
    for name in (topic, copy):
        cli("topic", "create", name, "--partitions", 2)
    lines = [
        {"key": None, "value": None, "headers": [], "timestamp": 1795000000000, "partition": 0},
        {"key": "", "value": "", "headers": [{"key": "a", "value": "1"}, {"key": "a", "value": None}], "partition": 1},
        {
            "key_base64": "/wA=",
            "value_base64": "//4=",
            "headers": [{"key": "", "value_base64": "gA=="}],
            "partition": 1,
        },
        {"value": "x" * 100_000, "key": "ü\n\u0000"},
    ]
    cli("produce", topic, "-f", "json", "--keep-partitions", stdin="\n".join(map(json.dumps, lines)))
    original = cli("consume", topic, "--from-beginning", "--exit", "-f", "json")
    cli("produce", copy, "-f", "json", "--keep-partitions", stdin=original.out)
    copied = cli("consume", copy, "--from-beginning", "--exit", "-f", "json")

    def by_place(objects: list[dict[str, object]]) -> list[dict[str, object]]:
        for it in objects:
            del it["topic"]
        return sorted(objects, key=lambda it: (it["partition"], it["offset"]))

    assert by_place(copied.objects) == by_place(original.objects)
    assert len(copied.objects) == len(lines)
    null = next(it for it in copied.objects if it["partition"] == 0 and it["timestamp"] == 1795000000000)
    assert (null["key"], null["value"]) == (None, None)


def test_a_copy_may_be_divided_otherwise(cli: Cli, topic: str) -> None:
    """Then keys choose where records go, unless the partitions are to be kept."""
    narrow, wide = f"{topic}-narrow", f"{topic}-wide"
    for name, partitions in ((topic, 3), (narrow, 1), (wide, 5)):
        cli("topic", "create", name, "--partitions", partitions)
    cli("produce", topic, "-K", ":", stdin="".join(f"{key}:v\n" for key in range(20)))
    original = cli("consume", topic, "--from-beginning", "--exit", "-f", "json")
    for name in (narrow, wide):
        cli("produce", name, "-f", "json", stdin=original.out)
        copied = cli("consume", name, "--from-beginning", "--exit", "-f", "json").objects
        assert sorted(int(it["key"]) for it in copied) == list(range(20))
    assert len({it["partition"] for it in copied}) > len({it["partition"] for it in original.objects})
    kept = cli.run("produce", narrow, "-f", "json", "--keep-partitions", stdin=original.out)
    assert kept.code == 1
    assert "there is no partition 1" in kept.err
    assert "--format json" in cli.fails("produce", topic, "x", "--keep-partitions", code=2)


def test_a_topic_that_nobody_makes_is_missed_at_once(start_broker: StartBroker) -> None:
    """Where the broker makes none by itself; and what makes one is named."""
    broker = start_broker(arguments=("--set", "auto.create.topics.enable=false"))
    cli = Cli(broker.address)
    begun = time.monotonic()
    told = cli.fails("produce", "t", "x", "--timeout", "120s")
    assert time.monotonic() - begun < 60
    assert told == "there is no topic 't', and the broker does not make one by itself; `wiber topic create t` does"


def test_many_lines_keep_their_order(cli: Cli, topic: str) -> None:
    """Streamed through both commands."""
    cli("topic", "create", topic)
    lines = "".join(f"{number}\n" for number in range(LINES))
    [told] = cli("produce", topic, "-z", "lz4", "-o", "json", stdin=lines).objects
    assert (told["delivered"], told["failed"]) == (LINES, 0)
    assert cli("consume", topic, "--from-beginning", "--exit").out == lines


def test_a_broken_line_is_named_and_the_others_arrive(cli: Cli, topic: str) -> None:
    """By number and reason, and the exit code is 1."""
    cli("topic", "create", topic)
    ended = cli.run("produce", topic, "-K", ":", stdin="a:1\nb\nc:3\n")
    assert ended.code == 1
    assert ended.err.splitlines() == [
        "wiber: line 2: it has no ':' after a key",
        f"wiber: 1 record not delivered, 2 delivered to {topic}",
    ]
    ended = cli.run("produce", topic, "-f", "json", "-o", "json", stdin='{"value":"4"}\n{"value":5}\n{}\n')
    assert (ended.code, ended.objects[0]["delivered"], ended.objects[0]["failed"]) == (1, 1, 2)
    assert "line 2: column 10: expected a string, found the number 5, at '{\"value\":5}'" in ended.err
    assert "line 3: it has no value" in ended.err
    assert cli("consume", topic, "--from-beginning", "--exit").out == "1\n3\n4\n"
    stdin = '{"value":"5","timestamp":-2}\n{"value":"6","timestamp":-1}\n'
    ended = cli.run("produce", topic, "-f", "json", stdin=stdin)
    assert (ended.code, ended.err.splitlines()[0]) == (1, "wiber: line 1: timestamp: -2 is before 1970; -1 is none")


def test_a_reader_that_is_gone_hides_no_failure(cli: Cli, topic: str) -> None:
    """The exit code is that of what was done, whether anybody reads the results or not."""
    cli("topic", "create", topic)
    for arguments, code in [
        (("produce", topic, "x"), 0),
        (("produce", topic, "x", "--format", "json"), 1),
        (("topic", "create", topic), 1),
        (("topic", "alter", "nosuch", "--partitions", 2), 1),
        (("topic", "delete", "nosuch", "--yes"), 1),
        (("topic", "delete", "nosuch", topic, "--yes"), 1),
    ]:
        process = cli.start(*arguments, "--output", "json")
        process.stdout.close()
        assert process.wait(DEADLINE_S) == code, arguments
        process.stderr.close()
    cli.shows(topic, "topic", "list", shown=False)


def test_what_is_no_object_is_told_in_plain_words(cli: Cli, topic: str) -> None:
    """With its line; an empty line is none, whoever ends lines how."""
    cli("topic", "create", topic)
    lines = ['{"value":"1"}', "", " \r", '{"value":"2"}\r', "Hello", '["a"]', '{"value":"a","vlaue":1}', '{"value":"a']
    ended = cli.run("produce", topic, "-f", "json", stdin="\n".join(lines))
    assert ended.code == 1
    assert ended.err.splitlines() == [
        'wiber: line 5: column 1: expected an object, such as {"value":"Hello"}, at \'Hello\'',
        'wiber: line 6: column 1: expected an object, such as {"value":"Hello"}, at \'["a"]\'',
        "wiber: line 7: column 20: there is no field 'vlaue'; there are key, key_base64, value, value_base64, headers, "
        'partition, timestamp, topic, offset, at \'{"value":"a","vlaue":1}\'',
        'wiber: line 8: column 11: expected more: the line ends before the object does, at \'{"value":"a\'',
        f"wiber: 4 records not delivered, 2 delivered to {topic}",
    ]
    assert cli("consume", topic, "--from-beginning", "--exit").out == "1\n2\n"
    assert "the value is empty" in cli.fails("produce", topic, "", "-f", "json", code=2)


def test_what_the_broker_refuses_is_told_by_line(cli: Cli, topic: str) -> None:
    """A record that is too large does not take its batch with it."""
    cli("topic", "create", topic, "--config", "max.message.bytes=1000")
    ended = cli.run("produce", topic, stdin="small\n" + "x" * 5_000 + "\n" + "small too\n")
    assert ended.code == 1
    assert "line 2 for partition 0: " in ended.err
    assert "MESSAGE_TOO_LARGE" in ended.err
    assert cli("consume", topic, "--from-beginning", "--exit").out == "small\nsmall too\n"
    assert "there is no partition 3" in cli.fails("produce", topic, "x", "--partition", 3)


def test_wrong_usage_is_exit_code_2(cli: Cli, topic: str) -> None:
    """What contradicts itself is not tried."""
    assert "--acks all" in cli.fails("produce", topic, "x", "--acks", 1, "--idempotent", code=2)
    assert "--key-separator" in cli.fails("produce", topic, "-f", "json", "-K", ":", code=2)
    assert cli.run("produce", topic, "x", "--acks", 2).code == 2
    for duration in ("600h", "2562047788015h"):
        ended = cli.run("produce", topic, "x", "--timeout", duration)
        assert ended.code == 2
        assert "at most 24h" in ended.err
    assert cli.run("produce").code == 2


def test_a_terminal_is_asked_line_by_line(cli: Cli, topic: str, terminal: Callable[..., Terminal]) -> None:
    """Each line is there before the next is asked for; Ctrl-D ends."""
    cli("topic", "create", topic)
    shown = terminal("produce", topic)
    shown.read_until("Ctrl-D ends.")
    shown.read_until("> ")
    for line in ("Hello", "again"):
        shown.type(f"{line}\n")
        shown.read_until("> ")
        assert cli("consume", topic, "--history", 1, "--exit").out == f"{line}\n"
    shown.type("\x04")
    shown.read_until(f"2 records delivered to {topic}.")
    assert shown.wait() == 0


def test_one_value_on_a_terminal_says_where_it_went(cli: Cli, topic: str, terminal: Callable[..., Terminal]) -> None:
    """Partition and offset."""
    cli("topic", "create", topic)
    shown = terminal("produce", topic, "Hello")
    shown.read_until(f"Delivered to {topic}, partition 0, offset 0.")
    assert shown.wait() == 0


def test_a_broker_that_goes_and_comes_back_costs_nothing(start_broker: StartBroker) -> None:
    """An idempotent producer sends again what it does not know of: nothing is lost, doubled or reordered."""
    broker = start_broker(listen=f"127.0.0.1:{restart_port()}")
    cli = Cli(broker.address)
    cli("topic", "create", "t", "--partitions", 2)
    producer = cli.start("produce", "t", "-o", "json", stdin=subprocess.PIPE)
    lines = [f"{number}\n".encode() for number in range(60_000)]
    producer.stdin.writelines(lines[:20_000])
    producer.stdin.flush()
    broker.kill()
    producer.stdin.writelines(lines[20_000:40_000])
    broker.start()
    producer.stdin.writelines(lines[40_000:])
    out, err = producer.communicate(timeout=DEADLINE_S)
    assert producer.returncode == 0, err
    assert json.loads(out)["delivered"] == len(lines)
    found = cli("consume", "t", "--from-beginning", "--exit", "-f", "json").objects
    assert sorted(int(it["value"]) for it in found) == list(range(len(lines)))
    for partition in (0, 1):
        values = [int(it["value"]) for it in found if it["partition"] == partition]
        assert values == sorted(values)


def behind(proxy: CuttingProxy, start_broker: StartBroker) -> Cli:
    """The command, with a broker that advertises the proxy."""
    advertised = f"127.0.0.1:{proxy.port}"
    if is_reference():
        arguments = ("--set", f"advertised.listeners=PLAINTEXT://{advertised}")
    else:
        arguments = ("--advertise", advertised)
    proxy.broker_port = start_broker(arguments=arguments).port
    return Cli(advertised)


@pytest.mark.parametrize("idempotent", [True, False])
def test_answers_that_are_lost_double_nothing(start_broker: StartBroker, *, idempotent: bool) -> None:
    """The same batch is sent again under the same sequence; without idempotence it is stored again."""
    with CuttingProxy(cuts=5) as proxy:
        cli = behind(proxy, start_broker)
        cli("topic", "create", "t", "--partitions", 2)
        lines = "".join(f"{number}\n" for number in range(50_000))
        [told] = cli("produce", "t", "-o", "json", f"--idempotent={str(idempotent).lower()}", stdin=lines).objects
        assert (told["delivered"], told["failed"], proxy.cuts) == (50_000, 0, 0)
        found = cli("consume", "t", "--from-beginning", "--exit", "-f", "json").objects
    assert {int(it["value"]) for it in found} == set(range(50_000))
    assert (len(found) == 50_000) is idempotent
    for partition in (0, 1) if idempotent else ():
        values = [int(it["value"]) for it in found if it["partition"] == partition]
        assert values == sorted(values)


def test_a_batch_that_was_given_up_takes_its_sequence_along(start_broker: StartBroker) -> None:
    """Else the broker would take the next one for the same again, and the command would call it delivered."""
    # So many attempts fit into the time limit; where a machine is slow, the second record is not delivered either.
    with CuttingProxy(cuts=5) as proxy:
        cli = behind(proxy, start_broker)
        cli("topic", "create", "t")
        producer = cli.start("produce", "t", "--timeout", "1s", "-o", "json", stdin=subprocess.PIPE)
        producer.stdin.write(b"first\n")
        producer.stdin.flush()
        assert cli("consume", "t", "--from-beginning", "-n", 1).out == "first\n"
        out, err = producer.communicate(b"second\n", timeout=DEADLINE_S)
        assert producer.returncode == 1
        assert b"line 1 for partition 0: not delivered within 1 s" in err
        assert b"(it may have been stored all the same)" in err
        stored = cli("consume", "t", "--from-beginning", "--exit").out.split()
    assert stored.count("first") == 1
    if json.loads(out)["delivered"] == 1:
        assert stored == ["first", "second"]


def test_a_broker_that_stays_away_ends_it(start_broker: StartBroker) -> None:
    """What is not known to be stored is told, and no more is read."""
    broker = start_broker()
    cli = Cli(broker.address)
    cli("topic", "create", "t")
    producer = cli.start("produce", "t", "--timeout", "1s", stdin=subprocess.PIPE)
    producer.stdin.write(b"first\n")
    producer.stdin.flush()
    follow = cli("consume", "t", "--from-beginning", "-n", 1)
    assert follow.out == "first\n"
    broker.kill()
    out, err = producer.communicate(b"second\n", timeout=DEADLINE_S)
    assert (producer.returncode, out) == (1, b"")
    assert "line 2 for partition 0: not delivered within 1 s" in err.decode()
    assert "1 record not delivered, 1 delivered to t" in err.decode()


def test_an_interruption_delivers_what_was_taken(cli: Cli, topic: str) -> None:
    """And says how much that was."""
    cli("topic", "create", topic)
    producer = cli.start("produce", topic, stdin=subprocess.PIPE)
    producer.stdin.write(b"first\n")
    producer.stdin.flush()
    assert cli("consume", topic, "--from-beginning", "-n", 1).out == "first\n"
    producer.send_signal(signal.SIGINT)
    assert producer.wait(DEADLINE_S) == 1
    assert producer.stdout.read() == b""
    assert producer.stderr.read() == b"wiber: interrupted; 1 record delivered before\n"


def test_a_second_interruption_ends_it_at_once(start_broker: StartBroker) -> None:
    """Where the broker is away, and the first one would wait for it."""
    broker = start_broker()
    cli = Cli(broker.address)
    cli("topic", "create", "t")
    producer = cli.start("produce", "t", "--timeout", "50s", stdin=subprocess.PIPE)
    producer.stdin.write(b"first\n")
    producer.stdin.flush()
    assert cli("consume", "t", "--from-beginning", "-n", 1).out == "first\n"
    broker.kill()
    producer.stdin.write(b"second\n")
    producer.stdin.flush()
    end = time.monotonic() + DEADLINE_S
    while producer.poll() is None:
        assert time.monotonic() < end
        producer.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert producer.returncode == 1
    assert b"interrupted" in producer.stderr.read()


def test_progress_is_shown_on_a_terminal(cli: Cli, topic: str, terminal: Callable[..., Terminal]) -> None:
    """While lines come from a pipe; it makes room for the result."""
    cli("topic", "create", topic)
    shown = terminal("produce", topic, stdin=subprocess.PIPE)
    end = time.monotonic() + DEADLINE_S
    while not shown.shows(" delivered\x1b[K"):
        assert time.monotonic() < end
        shown.process.stdin.write(b"line\n")
        shown.process.stdin.flush()
        time.sleep(0.001)
    shown.process.stdin.close()
    assert "\r\x1b[K" in shown.read_until(f"delivered to {topic}.")
    assert shown.wait() == 0
