"""`wiber topic`: creates, lists, describes, alters and deletes."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from broker_process import is_reference, wait_until
from cli.conftest import DEADLINE_S, Cli, Terminal
from conftest import StartBroker
from protocol.client import Client


def test_a_topic_lives_as_the_commands_say(cli: Cli, topic: str) -> None:
    """From creation to deletion, in text."""
    told = cli("topic", "create", topic, "--partitions", 3, "--config", "retention.ms=1000000").out
    assert told == f"{topic}: created with 3 partitions, replication factor 1\n"
    assert topic in cli("topic", "list").out.splitlines()
    cli("produce", topic, "Hello", "--partition", 1)
    shown = cli("topic", "describe", topic).out.splitlines()
    assert shown[0].startswith(f"Topic {topic}: 3 partitions, replication factor 1, id ")
    assert "retention.ms=1000000" in shown[1]
    assert shown[2].split() == ["PARTITION", "LEADER", "REPLICAS", "IN", "SYNC", "START", "END", "SIZE"]
    assert [row.split()[:6] for row in shown[3:]] == [[n, "1", "1", "1", "0", "1" if n == "1" else "0"] for n in "012"]
    assert (
        cli("topic", "alter", topic, "--partitions", 4, "--delete-config", "retention.ms").out == f"{topic}: altered\n"
    )
    cli.shows("retention.ms", "topic", "describe", topic, shown=False)
    assert cli("topic", "delete", topic, "--yes").out == f"{topic}: deleted\n"
    cli.shows(f"{topic}\n", "topic", "list", shown=False)


def test_programs_get_objects(cli: Cli, topic: str) -> None:
    """The same, in JSON."""
    [created] = cli("topic", "create", topic, "--partitions", 2, "--config", "retention.ms=5", "-o", "json").objects
    assert created == {
        "topic": topic,
        "created": True,
        "id": created["id"],
        "partitions": 2,
        "replication_factor": 1,
        "dry_run": False,
    }
    [listed] = [it for it in cli("topic", "list", "-o", "json").objects if it["name"] == topic]
    assert listed["id"] == created["id"]
    assert (listed["partitions"], listed["replication_factor"], listed["internal"]) == (2, 1, False)
    cli("produce", topic, "Hello", "--partition", 1)
    [described] = cli("topic", "describe", topic, "-o", "json").objects
    assert described["configs"]["retention.ms"] == "5"
    partition = described["partitions"][1]
    assert partition["size_bytes"] > 0
    assert {name: partition[name] for name in partition if name != "size_bytes"} == {
        "partition": 1,
        "leader": 1,
        "leader_epoch": 0,
        "replicas": [1],
        "isr": [1],
        "offline": [],
        "start_offset": 0,
        "end_offset": 1,
    }
    assert cli("topic", "alter", topic, "--partitions", 3, "-o", "json").objects == [
        {"topic": topic, "altered": True, "dry_run": False}
    ]
    assert cli("topic", "delete", topic, "--yes", "-o", "json").objects == [{"topic": topic, "deleted": True}]
    gone = cli.run("topic", "delete", topic, "--yes", "-o", "json")
    assert (gone.code, gone.objects[0]["deleted"], gone.objects[0]["error"]) == (1, False, "UNKNOWN_TOPIC_OR_PARTITION")
    assert gone.err.startswith(f"wiber: there is no topic '{topic}'")


@pytest.mark.parametrize(
    "arguments",
    [
        ("topic", "create", "{}", "--partitions", "1"),
        ("topic", "alter", "{}", "--partitions", "1"),
        ("topic", "alter", "{}", "--config", "retention.ms=never"),
        ("topic", "alter", "{}", "--partitions", "1", "--config", "retention.ms=5"),
        ("config", "alter", "topic", "{}", "--set", "retention.ms=never"),
        ("topic", "delete", "{}-nosuch", "--yes"),
    ],
    ids=" ".join,
)
def test_programs_and_people_are_told_of_failures(cli: Cli, topic: str, arguments: tuple[str, ...]) -> None:
    """An object on standard output, a line on standard error; and nothing has changed."""
    cli("topic", "create", topic, "--partitions", 2)
    ended = cli.run(*(it.format(topic) for it in arguments), "-o", "json")
    assert ended.code == 1
    [told] = ended.objects
    assert told["error"]
    assert told["message"]
    assert [told[it] for it in ("created", "altered", "deleted") if it in told] == [False]
    [line] = ended.err.splitlines()
    assert line.startswith("wiber: ")
    assert "retention.ms" not in cli("topic", "describe", topic).out


def test_a_second_creation_fails_or_does_not_matter(cli: Cli, topic: str) -> None:
    """Without and with --if-not-exists; and --if-exists at the end."""
    cli("topic", "create", topic)
    told = cli.fails("topic", "create", topic)
    assert told == f"there is a topic '{topic}' already (TOPIC_ALREADY_EXISTS); with --if-not-exists that is no failure"
    assert cli("topic", "create", topic, "--if-not-exists").out == f"{topic}: is there already\n"
    cli("topic", "delete", topic, "--yes")
    assert "there is no topic" in cli.fails("topic", "delete", topic, "--yes")
    assert cli("topic", "delete", topic, "--yes", "--if-exists").out == f"{topic}: there is no such topic\n"


def test_a_dry_run_changes_nothing(cli: Cli, topic: str) -> None:
    """Of create and of alter; what would fail fails."""
    assert cli("topic", "create", topic, "--dry-run", "--partitions", 2).out.startswith(f"{topic}: could be created")
    assert topic not in cli("topic", "list").out.splitlines()
    assert "INVALID_CONFIG" in cli.fails("topic", "create", topic, "--dry-run", "--config", "retention.ms=never")
    failed = cli.run("topic", "create", topic, "--dry-run", "--config", "retention.ms=never", "-o", "json")
    assert (failed.code, failed.objects[0]["dry_run"], failed.objects[0]["error"]) == (1, True, "INVALID_CONFIG")
    cli("topic", "create", topic)
    assert cli("topic", "alter", topic, "--partitions", 2, "--dry-run").out == f"{topic}: could be altered\n"
    for change in (
        ("topic", "alter", topic, "--partitions", 2),
        ("config", "alter", "topic", topic, "--set", "retention.ms=5"),
    ):
        [told] = cli(*change, "--dry-run", "-o", "json").objects
        assert (told["dry_run"], told["altered"]) == (True, False)
    [told] = cli("topic", "create", f"{topic}-x", "--dry-run", "-o", "json").objects
    assert (told["dry_run"], told["created"]) == (True, False)
    [described] = cli("topic", "describe", topic, "-o", "json").objects
    assert len(described["partitions"]) == 1


def test_a_leader_that_cannot_be_reached_is_told(start_broker: StartBroker) -> None:
    """What is known is shown, and the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
    if is_reference():
        broker = start_broker(arguments=("--set", f"advertised.listeners=PLAINTEXT://{nobody}"))
    else:
        broker = start_broker(arguments=("--advertise", nobody))
    with Client(broker.address) as client:

        def is_there() -> bool:
            [found] = client.ask("Metadata", 9, topics=[{"name": "t"}], allow_auto_topic_creation=True).topics
            return found.error_code == 0

        wait_until(is_there, DEADLINE_S, "the topic")
    ended = Cli(broker.address).run("topic", "describe", "t", "-o", "json", "--timeout", "1s")
    assert (ended.code, ended.objects[0]["partitions"][0]["end_offset"]) == (1, None)
    [line] = ended.err.splitlines()
    assert line.startswith("wiber: t: where all its partitions begin and end is not known: broker 1 is said to be at ")


@pytest.mark.parametrize("by_pipe", [False, True], ids=["file", "pipe"])
def test_a_file_creates_many(cli: Cli, topic: str, tmp_path: Path, *, by_pipe: bool) -> None:
    """An array of topics, from a file or standard input."""
    text = json.dumps(
        [
            {"name": f"{topic}-a", "partitions": 2, "configs": {"retention.ms": 7, "cleanup.policy": "delete"}},
            {"name": f"{topic}-b", "replication_factor": 1},
        ]
    )
    path = tmp_path / "topics.json"
    path.write_text(text)
    told = cli("topic", "create", "--file", "-" if by_pipe else path, stdin=text).out.splitlines()
    assert told == [
        f"{topic}-a: created with 2 partitions, replication factor 1",
        f"{topic}-b: created with 1 partition, replication factor 1",
    ]
    [described] = cli("topic", "describe", f"{topic}-a", "-o", "json").objects
    assert described["configs"]["retention.ms"] == "7"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"name": "x"}, {"name": "y", "partitions": -1}]', 'entry 2 ("y"): partitions: -1'),
        ('[{"name": "x", "partition": 1}]', 'entry 1 ("x"): partition: no such field'),
        ('[{"partitions": 1}]', "entry 1: name: is missing"),
        ('[{"name": "x"}', "at line 1 column 14"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_entry_and_field(cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    """And nothing is created."""
    path = tmp_path / "topics.json"
    path.write_text(text)
    before = cli("topic", "list").out
    error = cli.fails("topic", "create", "--file", path)
    assert error.startswith(f"{path}: ")
    assert told in error
    assert cli("topic", "list").out == before


def test_one_bad_topic_of_a_file_does_not_hide_the_good(cli: Cli, topic: str) -> None:
    """The broker's word on each is told."""
    text = json.dumps([{"name": f"{topic}-a"}, {"name": "not a name"}])
    ended = cli.run("topic", "create", "--file", "-", stdin=text)
    assert ended.code == 1
    assert ended.out.startswith(f"{topic}-a: created")
    assert "not a name" in ended.err
    assert "INVALID_TOPIC_EXCEPTION" in ended.err


def test_names_that_collide_are_told_from_bad_ones(cli: Cli, topic: str) -> None:
    """In the broker's words."""
    cli("topic", "create", f"{topic}.x")
    told = cli.fails("topic", "create", f"{topic}_x")
    assert "collides" in told
    assert f"{topic}.x" in told


def test_what_the_broker_refuses_is_told(cli: Cli, topic: str) -> None:
    """With its words and its code."""
    cli("topic", "create", topic, "--partitions", 2)
    assert "INVALID_PARTITIONS" in cli.fails("topic", "alter", topic, "--partitions", 1)
    assert "INVALID_CONFIG" in cli.fails("topic", "alter", topic, "--config", "retention.ms=never")
    assert "there is no topic 'nosuch'" in cli.fails("topic", "alter", "nosuch", "--partitions", 2)
    assert "there is no topic 'nosuch'" in cli.fails("topic", "describe", "nosuch")
    assert "INVALID_REPLICATION_FACTOR" in cli.fails("topic", "create", f"{topic}-x", "--replication-factor", 3)


def test_deletion_asks_on_a_terminal(cli: Cli, topic: str, terminal: Callable[..., Terminal]) -> None:
    """And takes only yes for yes; where nobody can be asked it wants --yes."""
    cli("topic", "create", topic)
    assert "--yes" in cli.fails("topic", "delete", topic, code=2)
    no = terminal("topic", "delete", topic)
    no.read_until("[y/N] ")
    no.type("\n")
    no.read_until("nothing was deleted")
    assert no.wait() == 1
    assert topic in cli("topic", "list").out.splitlines()
    yes = terminal("topic", "delete", topic)
    yes.read_until("[y/N] ")
    yes.type("y\n")
    yes.read_until(f"{topic}: deleted")
    assert yes.wait() == 0
    cli.shows(f"{topic}\n", "topic", "list", shown=False)


def test_a_terminal_gets_a_table(cli: Cli, topic: str, terminal: Callable[..., Terminal]) -> None:
    """With names above the columns, which are bold."""
    cli("topic", "create", topic, "--partitions", 2)
    shown = terminal("topic", "list")
    assert "\x1b[1mTOPIC" in shown.read_until("REPLICATION")
    row = shown.read_until(topic) + shown.read_until("\n")
    assert row.rsplit(topic)[-1].split() == ["2", "1"]
    assert shown.wait() == 0
