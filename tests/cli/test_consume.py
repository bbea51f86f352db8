"""`wiber consume`: from where, how far, how shown; and how it ends."""

import json
import select
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from broker_process import restart_port
from cli.conftest import DEADLINE_S, Cli, Terminal, lines_of
from conftest import StartBroker


@pytest.fixture
def ten(cli: Cli, topic: str) -> str:
    """Records 0 to 9, each a second younger than the one before, the even ones in partition 0, the odd ones in 1."""
    cli("topic", "create", topic, "--partitions", 2)
    records = (f'{{"value":"{n}","partition":{n % 2},"timestamp":{1795000000000 + 1000 * n}}}' for n in range(10))
    cli("produce", topic, "-f", "json", "--keep-partitions", stdin="\n".join(records))
    return topic


def test_history_is_of_the_topic(cli: Cli, ten: str) -> None:
    """The last records over all partitions, oldest first; no more than there are."""
    assert cli("consume", ten, "--history", 5, "--exit").out.split() == ["5", "6", "7", "8", "9"]
    assert cli("consume", ten, "--history", 2, "--exit", "-p", 0).out.split() == ["6", "8"]
    assert cli("consume", ten, "--history", 100, "--exit").out.split() == [str(n) for n in range(10)]


def test_history_goes_on_with_what_comes(cli: Cli, ten: str, terminal: Callable[..., Terminal]) -> None:
    """On a terminal, until Ctrl-C, which is a good end."""
    shown = terminal("consume", ten, "--history", 5)
    assert shown.read_until("9\r\n").split() == ["5", "6", "7", "8", "9"]
    cli("produce", ten, "ten")
    assert shown.read_until("\n").split() == ["ten"]
    cli("produce", ten, "eleven")
    assert shown.read_until("\n").split() == ["eleven"]
    shown.interrupt()
    assert shown.wait() == 0


def test_without_a_start_it_shows_what_comes(cli: Cli, ten: str) -> None:
    """And nothing of what was there."""
    follower = cli.start("consume", ten)
    shown = lines_of(follower)
    # When it has begun cannot be seen, so one is sent until one is seen.
    prober = cli.start("produce", ten, stdin=subprocess.PIPE)
    end = time.monotonic() + DEADLINE_S
    sent = 0
    while not select.select([follower.stdout], [], [], 0.05)[0]:
        assert time.monotonic() < end
        prober.stdin.write(f"probe {sent}\n".encode())
        prober.stdin.flush()
        sent += 1
    assert next(shown).startswith("probe ")
    follower.send_signal(signal.SIGINT)
    assert follower.wait(DEADLINE_S) == 0
    prober.stdin.close()
    assert prober.wait(DEADLINE_S) == 0


def test_places_to_start(cli: Cli, ten: str) -> None:
    """Offsets, from either end, and times; each in every partition."""

    def shown(*arguments: object) -> list[str]:
        return sorted(cli("consume", ten, "--exit", *arguments).out.split())

    assert shown("--from-beginning") == [str(n) for n in range(10)]
    assert shown("--offset", 4) == ["8", "9"]
    assert shown("--offset", 4, "-p", 1) == ["9"]
    assert shown("--offset", -2) == ["6", "7", "8", "9"]
    assert shown("--offset", -100, "-p", "0") == ["0", "2", "4", "6", "8"]
    assert shown("--since", 1795000007000) == ["7", "8", "9"]
    assert shown("--since", "2026-11-18T11:06:48Z") == ["8", "9"]
    assert shown("--since", "2026-11-18 11:06:49") == ["9"]
    assert shown("--since", "2026-11-18") == [str(n) for n in range(10)]
    assert shown("--since", "1969-12-31T23:59:59.999Z") == [str(n) for n in range(10)]
    assert shown("--since", "1s") == []


def test_an_offset_beyond_the_end_is_told(cli: Cli, ten: str) -> None:
    """With where the end is; and nothing is shown before that offset comes."""
    told = cli.fails("consume", ten, "--exit", "--offset", 6, "-p", 0)
    assert told == f"{ten}: partition 0 ends at offset 5: there is nothing at offset 6 yet"
    follower = cli.start("consume", ten, "--offset", 6)
    ends = "partition 0 ends at offset 5, partition 1 ends at offset 5"
    assert follower.stderr.readline().decode() == f"wiber: {ten}: {ends}: nothing before offset 6 is shown\n"
    cli("produce", ten, "-p", 0, stdin="five\nsix\n")
    assert follower.stdout.readline() == b"six\n"
    follower.send_signal(signal.SIGINT)
    assert follower.wait(DEADLINE_S) == 0
    assert follower.stderr.read() == b""


def test_enough_is_enough(cli: Cli, ten: str) -> None:
    """--max-messages, which may be fewer than there are."""
    assert cli("consume", ten, "--from-beginning", "-n", 1, "-p", 1).out == "1\n"
    assert cli("consume", ten, "--history", 5, "-n", 2).out == "5\n6\n"


def test_what_a_record_has_is_shown(cli: Cli, topic: str) -> None:
    """By --show, in an order of its own, or all of it in JSON."""
    headers = [{"key": "a", "value": "1"}, {"key": "a", "value": None}]
    record = json.dumps({"key": "k", "value": None, "headers": headers, "timestamp": 1795000000001})
    cli("produce", topic, "-f", "json", stdin=record)
    start = ("consume", topic, "--from-beginning", "--exit")
    assert cli(*start, "--show", "key,offset").out == "0\tk\tnull\n"
    assert cli(*start, "-s", "all").out == "0\t0\t2026-11-18T11:06:40.001Z\ta=1,a=null\tk\tnull\n"
    assert cli(*start, "-f", "json").objects == [
        {
            "topic": topic,
            "partition": 0,
            "offset": 0,
            "timestamp": 1795000000001,
            "key": "k",
            "value": None,
            "headers": headers,
        }
    ]


def test_a_terminal_is_sent_no_commands(cli: Cli, topic: str, terminal: Callable[..., Terminal]) -> None:
    """Control characters and broken text are spelled out."""
    cli("produce", topic, stdin=b"a\x1b[2J\xff\n")
    shown = terminal("consume", topic, "--from-beginning", "--exit")
    assert shown.read_until("\n") == "a\\u{1b}[2J\\xff\r\n"
    assert shown.wait() == 0


def test_a_closed_pipe_ends_it(cli: Cli, ten: str) -> None:
    """Also while it waits for what comes: nothing is said, and the exit code is good."""
    follower = cli.start("consume", ten, "--history", 1)
    assert follower.stdout.readline() == b"9\n"
    follower.stdout.close()
    assert follower.wait(DEADLINE_S) == 0
    assert follower.stderr.read() == b""


@pytest.mark.parametrize(
    "arguments", [("topic", "list"), ("consume", "{}", "--from-beginning"), ("completions", "bash")]
)
def test_nobody_reads_at_all(cli: Cli, ten: str, arguments: tuple[str, ...]) -> None:
    """No panic on the first write."""
    process = cli.start(*(it.format(ten) for it in arguments))
    process.stdout.close()
    assert process.wait(DEADLINE_S) == 0
    assert process.stderr.read() == b""


@pytest.mark.parametrize(
    "arguments",
    [
        ("topic", "list"),
        ("topic", "describe"),
        ("consume", "{}", "--from-beginning"),
        ("consume", "{}", "--group", "g"),
        ("group", "describe", "--watch"),
        ("config", "check"),
        ("log", "verify"),
        ("completions", "bash"),
    ],
)
def test_no_output_at_all_is_a_failure(cli: Cli, ten: str, arguments: tuple[str, ...]) -> None:
    """Where standard output is closed from the start, what is printed would be lost."""
    line = cli.line(*(it.format(ten) for it in arguments))
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *line],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=cli.environment,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"wiber: cannot write the output: standard output is closed\n")


def test_what_is_not_there_is_told(cli: Cli, ten: str) -> None:
    """Topics are not made by reading them."""
    assert cli.fails("consume", "nosuch") == "there is no topic 'nosuch'; `wiber topic list` shows those that there are"
    assert "nosuch" not in cli("topic", "list").out.split()
    assert "there is no partition 2" in cli.fails("consume", ten, "-p", 2)


def test_wrong_usage_is_exit_code_2(cli: Cli, ten: str) -> None:
    """What contradicts itself, or shows nothing."""
    assert "add --from-beginning" in cli.fails("consume", ten, "--exit", code=2)
    assert "--show" in cli.fails("consume", ten, "-f", "json", "--show", "key", code=2)
    assert cli.run("consume", ten, "--offset", 1, "--history", 1).code == 2
    soon = cli.run("consume", ten, "--since", "soon")
    assert soon.code == 2
    assert "how long ago, such as 10m" in soon.err
    latest = cli.run("consume", ten, "--since=-1")
    assert (latest.code, "not negative" in latest.err) == (2, True)


def test_new_partitions_are_followed(cli: Cli, topic: str) -> None:
    """A topic that grows is followed as a whole."""
    cli("topic", "create", topic)
    cli("produce", topic, "old")
    follower = cli.start("consume", topic, "--history", 1)
    shown = lines_of(follower)
    assert next(shown) == "old"
    cli("topic", "alter", topic, "--partitions", 2)
    cli("produce", topic, "new", "--partition", 1)
    assert next(shown) == "new"
    follower.send_signal(signal.SIGINT)
    assert follower.wait(DEADLINE_S) == 0


def test_a_broker_that_goes_and_comes_back_is_followed(start_broker: StartBroker) -> None:
    """It is said that something is wrong, and when it goes on, once each; nothing is shown twice or left out."""
    broker = start_broker(listen=f"127.0.0.1:{restart_port()}")
    cli = Cli(broker.address)
    cli("produce", "t", "one")
    follower = cli.start("consume", "t", "--from-beginning")
    shown = lines_of(follower)
    assert next(shown) == "one"
    broker.kill()
    broker.start()
    cli("produce", "t", "two")
    assert next(shown) == "two"
    follower.send_signal(signal.SIGINT)
    assert follower.wait(DEADLINE_S) == 0
    trouble, resumed = follower.stderr.read().decode().splitlines()
    assert trouble.startswith("wiber: t: ")
    assert trouble.endswith("; trying again")
    assert resumed == "wiber: t: goes on again"


@pytest.mark.wiber_only("Kafka's files are laid out otherwise")
@pytest.mark.parametrize("start", ["--from-beginning", "--history=9"])
def test_damage_is_told_with_its_place(start_broker: StartBroker, start: str) -> None:
    """At once, with what to do; what is behind it can be read."""
    broker = start_broker()
    cli = Cli(broker.address)
    cli("produce", "t", "one")
    cli("produce", "t", "damage me")
    cli("produce", "t", "three")
    broker.stop()
    [log] = [path for path in broker.data_dir.rglob("*.log") if b"damage me" in path.read_bytes()]
    log.write_bytes(log.read_bytes().replace(b"damage me", b"damage ME"))
    broker.start()
    cli = Cli(broker.address)
    ended = cli.run("consume", "t", start, "--exit")
    assert ended.code == 1
    assert ended.err.startswith("wiber: t: partition 0 at offset 1 cannot be read: ")
    assert "`wiber log verify`" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert cli("consume", "t", "--partition", 0, "--offset", 2, "--exit").out == "three\n"


def test_a_topic_that_is_deleted_ends_it(cli: Cli, ten: str) -> None:
    """Rather than wait for one that may never come."""
    follower = cli.start("consume", ten, "--history", 1)
    assert follower.stdout.readline() == b"9\n"
    cli("topic", "delete", ten, "--yes")
    assert follower.wait(DEADLINE_S) == 1
    assert f"there is no topic '{ten}'" in follower.stderr.read().decode()


def test_little_patience_is_enough(cli: Cli, ten: str) -> None:
    """A time limit that is shorter than a broker's long poll."""
    assert cli("consume", ten, "--history", 1, "--exit", "--timeout", "300ms").out == "9\n"
    follower = cli.start("consume", ten, "--history", 1, "--timeout", "300ms")
    assert follower.stdout.readline() == b"9\n"
    cli("produce", ten, "ten")
    assert follower.stdout.readline() == b"ten\n"
    follower.send_signal(signal.SIGINT)
    assert follower.wait(DEADLINE_S) == 0
    assert follower.stderr.read() == b""


def test_a_terminal_that_shows_nothing_says_why(cli: Cli, ten: str, terminal: Callable[..., Terminal]) -> None:
    """And how to see more."""
    shown = terminal("consume", ten)
    shown.read_until(f"Waiting for what comes to {ten}; --history 5 shows the last records too. Ctrl-C ends.")
    shown.interrupt()
    assert shown.wait() == 0
