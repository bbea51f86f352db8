"""`wiber cluster`, `wiber config`, completions and help; and what is said where no broker is."""

import shutil
import socket
import subprocess
import threading

import pytest

from broker_process import BrokerProcess, is_reference
from cli.conftest import Cli


def test_the_cluster_is_described(cli: Cli, broker: BrokerProcess) -> None:
    """In both forms."""
    [described] = cli("cluster", "describe", "-o", "json").objects
    assert described["controller"] == 1
    assert described["brokers"] == [{"id": 1, "host": "127.0.0.1", "port": broker.port, "rack": None}]
    assert described["features"]["metadata.version"] > 0
    shown = cli("cluster", "describe").out.splitlines()
    assert shown[0] == f"Cluster {described['cluster_id']}, controller 1"
    assert [line.split() for line in shown[1:3]] == [["BROKER", "ADDRESS", "RACK"], ["1", broker.address, "-"]]


def test_settings_of_a_topic(cli: Cli, topic: str) -> None:
    """Described, changed, and back to the default."""
    cli("topic", "create", topic)
    told = cli("config", "alter", "topic", topic, "--set", "retention.ms=7", "--set", "segment.bytes=1048576").out
    assert told == f"topic {topic}: altered\n"
    cli.shows("retention.ms", "config", "describe", "topic", topic)
    rows = [row.split() for row in cli("config", "describe", "topic", topic).out.splitlines()]
    assert ["retention.ms", "7", "topic"] in rows
    cli("config", "alter", "topic", topic, "--delete", "retention.ms", "-o", "json")
    cli.shows("retention.ms", "config", "describe", "topic", topic, shown=False)
    settings = {it["key"]: it for it in cli("config", "describe", "topic", topic, "--all", "-o", "json").objects}
    assert settings["retention.ms"] == {
        "resource": "topic",
        "name": topic,
        "key": "retention.ms",
        "value": "604800000",
        "source": "default",
        "default": True,
        "read_only": False,
        "sensitive": False,
    }
    assert settings["segment.bytes"]["value"] == "1048576"


def test_changes_are_all_or_nothing_and_may_be_tried(cli: Cli, topic: str) -> None:
    """A dry run changes nothing, and neither does a change with an error in it."""
    cli("topic", "create", topic)
    assert "could be altered" in cli("config", "alter", "topic", topic, "--set", "retention.ms=7", "--dry-run").out
    error = cli.fails("config", "alter", "topic", topic, "--set", "retention.ms=7", "--set", "segment.bytes=x")
    assert "INVALID_CONFIG" in error
    assert "INVALID_CONFIG" in cli.fails("config", "alter", "topic", topic, "--set", "no.such=7")
    assert "retention.ms" not in cli("config", "describe", "topic", topic).out
    assert "nothing to change" in cli.fails("config", "alter", "topic", topic, code=2)
    assert "there is no topic 'nosuch'" in cli.fails("config", "describe", "topic", "nosuch")


def test_settings_of_a_broker(cli: Cli) -> None:
    """Of one or of each; --all shows more."""
    some = cli("config", "describe", "broker", 1, "-o", "json").objects
    assert {it["name"] for it in some} == {"1"}
    assert not any(it["default"] for it in some)
    every = cli("config", "describe", "broker", "--all", "-o", "json").objects
    assert len(every) > len(some)
    assert "broker 7 is not known to the cluster" in cli.fails("config", "describe", "broker", 7)


def test_settings_of_all_brokers(cli: Cli) -> None:
    """Those that were set for all are shown as such, and only while they are."""
    if not is_reference():  # Kafka sets one itself.
        assert cli("config", "describe", "broker", "default").out == "nothing is set for all brokers\n"
    cli("config", "alter", "broker", "default", "--set", "log.retention.ms=86400001")
    cli.shows("86400001", "config", "describe", "broker", "default")
    told = {it["key"]: it for it in cli("config", "describe", "broker", "default", "-o", "json").objects}
    retention = told["log.retention.ms"]
    assert (retention["name"], retention["value"], retention["source"]) == ("", "86400001", "all brokers, dynamic")
    cli("config", "alter", "broker", "default", "--delete", "log.retention.ms")
    cli.shows("86400001", "config", "describe", "broker", "default", shown=False)


def test_examples_of_help_work(cli: Cli, topic: str) -> None:
    """Those of settings, which brokers may refuse."""
    cli("topic", "create", topic)
    shown = [line.split("  #")[0].split() for line in cli("config", "alter", "--help").out.splitlines()]
    examples = [words for words in shown if words[:3] == ["wiber", "config", "alter"]]
    assert len(examples) == 4
    for example in examples:
        cli(*(topic if word == "chat" else word for word in example[1:]))
    cli("config", "alter", "broker", "default", "--delete", "log.retention.ms")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("topic", "create", "t", "--partitions", "-1"), "a whole number from 1 to 2147483647 is wanted"),
        (("topic", "create", "t", "--partitions", "many"), "a whole number from 1 to 2147483647 is wanted"),
        (("topic", "create", "t", "--replication-factor", "0"), "a whole number from 1 to 32767 is wanted"),
        (("topic", "alter", "t", "--partitions", "-1"), "a whole number from 1 to 2147483647 is wanted"),
        (("produce", "t", "x", "-p", "-1"), "a whole number from 0 to 2147483647 is wanted"),
        (("produce", "t", "x", "--acks", "-2"), "0, 1, all or -1, which is all, is wanted"),
        (("consume", "t", "-p", "-1"), "a whole number from 0 to 2147483647 is wanted"),
        (("consume", "t", "--history", "-1"), "a whole number from 1 to 100000 is wanted"),
        (("consume", "t", "-n", "-1"), "a whole number from 1 to 18446744073709551615 is wanted"),
        (("consume", "t", "--offset", "x"), "a whole number is wanted"),
        (("config", "describe", "broker", "-1"), "a broker's id, from 0 on, or default is wanted"),
        (("config", "alter", "broker", "all", "--set", "a=b"), "a broker's id, from 0 on, or default is wanted"),
        (("topic", "list", "--timeout", "-5s"), "a duration"),
    ],
    ids=str,
)
def test_a_number_that_is_not_legal_is_told_what_is(cli: Cli, arguments: tuple[str, ...], told: str) -> None:
    """Also one that is negative, which is no flag."""
    ended = cli.run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert "tip:" not in ended.err
    assert "invalid digit" not in ended.err


def test_an_address_that_is_empty_counts_as_not_set(cli: Cli, broker: BrokerProcess) -> None:
    """A comma too many, or a variable without a value."""
    cli("topic", "list", "-b", f"{broker.address},")
    # Whoever may be at the default address, the command line is taken.
    assert Cli("").run("topic", "list", "--timeout", "1s").code != 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("topic", "list"),
        ("topic", "create", "t"),
        ("topic", "describe"),
        ("topic", "alter", "t", "--partitions", "2"),
        ("topic", "delete", "t", "--yes"),
        ("produce", "t", "v"),
        ("consume", "t"),
        ("config", "describe", "topic", "t"),
        ("config", "alter", "topic", "t", "--set", "retention.ms=1"),
        ("cluster", "describe"),
    ],
    ids=" ".join,
)
def test_no_broker_there(arguments: tuple[str, ...]) -> None:
    """Every command says so in one line, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = Cli(f"127.0.0.1:{port}").fails(*arguments)
    assert error == (
        f"cannot reach 127.0.0.1:{port}: connection refused; is a broker running there? "
        "Start one with `wiber serve`, or name another with --bootstrap"
    )


def test_the_second_address_does_if_the_first_does_not(broker: BrokerProcess) -> None:
    """Any of several addresses is enough."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    Cli(f"127.0.0.1:{port},{broker.address}")("topic", "list")


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Kafka broker answers there"),
        (b"", "it closes the connection"),
        (None, "within 1 s"),
    ],
    ids=["http", "closed", "silent"],
)
def test_no_kafka_there(says: bytes | None, told: str) -> None:
    """Whoever answers otherwise than Kafka, or not at all, is told from a broker."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                if says is None:
                    ended.wait()
                else:
                    connection.sendall(says)

        thread = threading.Thread(target=serve)
        thread.start()
        error = Cli(f"127.0.0.1:{server.getsockname()[1]}").fails("topic", "list", "--timeout", "1s")
        ended.set()
        thread.join()
    assert told in error


def test_shells_take_their_completions(cli: Cli) -> None:
    """Bash reads its own, which offers what there is."""
    for shell in ("bash", "zsh", "fish"):
        script = cli("completions", shell).out
        assert "consume" in script
    bash = shutil.which("bash")
    script = cli("completions", "bash").out
    ask = 'COMP_WORDS=(wiber topic cr); COMP_CWORD=2; _wiber wiber cr topic; echo "${COMPREPLY[@]}"'
    offered = subprocess.run([bash, "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    assert offered.stdout.split() == ["create"]


def test_every_command_has_help_with_examples(cli: Cli) -> None:
    """What a newcomer reads first."""
    for arguments in (["produce"], ["consume"], ["topic", "create"], ["config", "describe"], ["config", "alter"]):
        assert "Examples:" in cli(*arguments, "--help").out
    assert "wiber serve\n  wiber produce chat 'Hello'" in cli("--help").out
    assert "WIBER_BOOTSTRAP" in cli("topic", "list", "--help").out
