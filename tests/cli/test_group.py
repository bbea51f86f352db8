"""`wiber group` and `wiber consume --group`: who is in a group, how far it is, and how it is moved."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from broker_process import restart_port, wait_until
from cli.conftest import DEADLINE_S, Cli, Ended, Following, Terminal, lines_of
from conftest import StartBroker


@pytest.fixture
def ten(cli: Cli, topic: str) -> str:
    """Records 0 to 9, each a second younger than the last, even ones in partition 0, odd ones in 1."""
    cli("topic", "create", topic, "--partitions", 3)
    records = (f'{{"value":"{n}","partition":{n % 2},"timestamp":{1795000000000 + 1000 * n}}}' for n in range(10))
    cli("produce", topic, "-f", "json", "--keep-partitions", stdin="\n".join(records))
    return topic


def described(cli: Cli, group: str) -> dict[str, object]:
    """The one group."""
    [it] = cli("group", "describe", group, "-o", "json").objects
    return it


def committed(cli: Cli, group: str) -> dict[int, int]:
    """What it has committed for its topic."""
    return {it["partition"]: it["committed"] for it in described(cli, group)["partitions"]}


def set_to(cli: Cli, group: str, *to: object) -> Ended:
    """Moves its offsets, and makes it."""
    return cli("group", "reset-offsets", group, *to, "--create", "--execute")


def settled(cli: Cli, group: str, members: int | None, state: str = "Stable") -> None:
    """Waits until it has that many members, if that is known, and is stable, or what `state` says."""

    def holds() -> bool:
        ended = cli.run("group", "describe", group, "-o", "json")
        it = json.loads(ended.out) if ended.out else {"state": "", "members": []}
        return it["state"] == state and members in (None, len(it["members"]))

    wait_until(holds, DEADLINE_S, f"{group} has {members} members and is {state}", 0.1)


@contextmanager
def member(cli: Cli, group: str, topic: str, **settings: object) -> Iterator[Consumer]:
    """A member of another make, which has its share."""
    consumer = Consumer(
        {
            "bootstrap.servers": cli.environment["WIBER_BOOTSTRAP"],
            "group.id": group,
            "client.id": "theirs",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **settings,
        }
    )
    try:
        consumer.subscribe([topic])
        wait_until(lambda: consumer.poll(0.1) is None and bool(consumer.assignment()), DEADLINE_S, "it has a share")
        yield consumer
    finally:
        consumer.close()


def test_a_group_without_members_is_described(cli: Cli, ten: str, group: str) -> None:
    """Where it is, and how far behind; to people and to programs."""
    set_to(cli, group, "--topic", f"{ten}:0,1", "--to-offset", 3)
    shown = cli("group", "describe", group).out.splitlines()
    assert shown[0] == f"Group {group}: Empty, classic, 0 members, lag 4, coordinator 1"
    assert shown[1].split() == ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "CLIENT", "HOST", "MEMBER"]
    assert [row.split() for row in shown[2:]] == [[ten, n, "3", "5", "2", "-", "-", "-"] for n in "01"]
    it = described(cli, group)
    partition = {"topic": ten, "leader_epoch": None, "metadata": None, "committed": 3, "end": 5, "lag": 2}
    nobody = {"member": None, "client": None, "host": None}
    assert it == {
        "group": group,
        "state": "Empty",
        "type": "classic",
        "protocol_type": "",
        "assignor": "",
        "epoch": None,
        "coordinator": 1,
        "lag": 4,
        "members": [],
        "partitions": [{**partition, **nobody, "partition": n} for n in (0, 1)],
    }


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_members_of_either_protocol_are_shown(cli: Cli, ten: str, group: str, protocol: str) -> None:
    """With what they read, and what they have committed with it."""
    with member(cli, group, ten, **{"group.protocol": protocol}) as consumer:
        at = TopicPartition(ten, 1, 4, metadata="a note")
        consumer.commit(offsets=[at], asynchronous=False)
        settled(cli, group, 1)
        it = described(cli, group)
        assert (it["type"], it["protocol_type"], it["lag"]) == (protocol, "consumer", 1)
        [only] = it["members"]
        assert (only["client"], only["host"], only["assignment"]) == ("theirs", "127.0.0.1", {ten: [0, 1, 2]})
        assert only["target"] == ({ten: [0, 1, 2]} if protocol == "consumer" else None)
        assert [row["committed"] for row in it["partitions"]] == [None, 4, None]
        assert {row["member"] for row in it["partitions"]} == {only["member"]}
        # The library counts the end of its string.
        assert it["partitions"][1]["metadata"].rstrip("\0") == "a note"
        members = cli("group", "describe", group, "--members").out.splitlines()
        assert members[1].split() == ["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"]
        assert members[2].split() == [only["member"], "-", "theirs", "127.0.0.1", f"{ten}:", "0-2"]
        rows = [row.split() for row in cli("group", "describe", group).out.splitlines()[2:]]
        assert rows[1] == [ten, "1", "4", "5", "1", "theirs", "127.0.0.1", only["member"]]


def test_groups_are_listed(cli: Cli, ten: str, group: str, terminal: Callable[..., Terminal]) -> None:
    """By state and type; names alone in a pipe."""
    set_to(cli, group, "--topic", ten, "--to-latest")
    other = f"{group}-with-a-member"
    with member(cli, other, ten):
        settled(cli, other, 1)
        assert {group, other} <= set(cli("group", "list").out.splitlines())
        assert other not in cli("group", "list", "--state", "empty,dead").out.splitlines()
        assert group not in cli("group", "list", "--state", "STABLE", "--type", "Classic").out.splitlines()
        listed = {it["group"]: it for it in cli("group", "list", "-o", "json").objects}
        assert listed[other] == {"group": other, "state": "Stable", "type": "classic", "protocol_type": "consumer"}
        assert (listed[group]["state"], listed[group]["protocol_type"]) == ("Empty", "")
        shown = terminal("group", "list")
        assert "STATE" in shown.read_until(other)
        assert shown.read_until("\n").split() == ["Stable", "classic", "consumer"]
        assert shown.wait() == 0
        everything = {it["group"] for it in cli("group", "describe", "-o", "json").objects}
        assert {group, other} <= everything


def test_what_is_not_there_is_told(cli: Cli, ten: str, group: str) -> None:
    """And nothing is made by asking."""
    told = f"there is no group '{group}'; `wiber group list` shows those that there are"
    assert cli.fails("group", "describe", group) == told
    assert cli.fails("group", "delete", group, "--yes") == told
    assert cli.fails("group", "delete", group, "--topic", ten, "--yes") == told
    assert cli("group", "delete", group, "--yes", "--if-exists").out == f"{group}: there is no such group\n"
    move = ("group", "reset-offsets", group, "--to-earliest", "--execute")
    assert cli.fails(*move, "--topic", ten) == f"there is no group '{group}'; with --create it is made"
    assert group not in cli("group", "list").out.splitlines()
    set_to(cli, group, "--topic", ten, "--to-latest")
    assert "there is no topic 'nosuch'" in cli.fails(*move, "--topic", "nosuch")
    assert "there is no partition 9" in cli.fails(*move, "--topic", f"{ten}:9")


def test_offsets_go_where_they_are_told(cli: Cli, ten: str, group: str) -> None:
    """In every way; and nowhere without --execute."""
    set_to(cli, group, "--topic", ten, "--to-latest")

    def moved(*to: object) -> dict[int, int]:
        before = committed(cli, group)
        plan = cli("group", "reset-offsets", group, "--topic", ten, *to, "-o", "json").objects
        assert {it["partition"]: it["committed"] for it in plan} == before
        assert {(it["dry_run"], it["reset"]) for it in plan} == {(True, False)}
        assert committed(cli, group) == before
        done = cli("group", "reset-offsets", group, "--topic", ten, *to, "-o", "json", "--execute").objects
        assert {(it["dry_run"], it["reset"]) for it in done} == {(False, True)}
        assert [it["offset"] for it in plan] == [it["offset"] for it in done]
        assert {it["partition"]: it["offset"] for it in done} == committed(cli, group)
        return committed(cli, group)

    assert moved("--to-earliest") == {0: 0, 1: 0, 2: 0}
    assert moved("--to-offset", 3) == {0: 3, 1: 3, 2: 0}
    assert moved("--shift-by", -1) == {0: 2, 1: 2, 2: 0}
    assert moved("--shift-by", 2) == {0: 4, 1: 4, 2: 0}
    assert moved("--to-datetime", "2026-11-18T11:06:48Z") == {0: 4, 1: 4, 2: 0}
    assert moved("--to-datetime", 1795000003000) == {0: 2, 1: 1, 2: 0}
    assert moved("--to-datetime", "1s") == {0: 5, 1: 5, 2: 0}
    assert moved("--by-duration", "P300D") == {0: 0, 1: 0, 2: 0}
    assert moved("--to-latest") == {0: 5, 1: 5, 2: 0}
    assert moved("--to-current") == {0: 5, 1: 5, 2: 0}
    some = cli("group", "reset-offsets", group, "--topic", f"{ten}:1", "--to-offset", 1, "--execute").out.splitlines()
    assert some[0] == f"Group {group} goes on at these offsets now:"
    assert some[2].split() == [ten, "1", "5", "1", "5", "4"]
    assert committed(cli, group) == {0: 5, 1: 1, 2: 0}
    dry = cli("group", "reset-offsets", group, "--all-topics", "--shift-by", 3, "--dry-run").out.splitlines()
    assert dry[0] == f"Group {group} would go on at these offsets; nothing was changed, --execute does it:"
    assert dry[2].split() == [ten, "0", "5", "5", "5", "0", "there", "is", "no", "offset", "8"]


def test_a_shift_needs_something_to_shift(cli: Cli, ten: str, group: str) -> None:
    """What was never committed has no place from which to go."""
    set_to(cli, group, "--topic", f"{ten}:0", "--to-offset", 2)
    told = cli.fails("group", "reset-offsets", group, "--topic", ten, "--shift-by", 1)
    assert told.startswith(f"{ten}: partition 1: nothing is committed that could be shifted")


def test_offsets_are_saved_and_brought_back(cli: Cli, ten: str, group: str, tmp_path: Path) -> None:
    """As lines that Kafka's own tool reads and writes."""
    set_to(cli, group, "--topic", ten, "--to-offset", 3)
    saved = cli("group", "reset-offsets", group, "--all-topics", "--to-current", "--export").out
    assert saved == f"{ten},0,3\n{ten},1,3\n{ten},2,0\n"
    file = tmp_path / "saved.csv"
    file.write_text(saved)
    other = f"{group}-2"
    set_to(cli, other, "--from-file", file)
    assert committed(cli, other) == {0: 3, 1: 3, 2: 0}
    both = cli("group", "reset-offsets", other, group, "--all-topics", "--to-latest", "--export").out.splitlines()
    assert both[:2] == [f"{group},{ten},0,5", f"{group},{ten},1,5"]
    assert both[3:5] == [f"{other},{ten},0,5", f"{other},{ten},1,5"]
    cli("group", "reset-offsets", group, other, "--from-file", "-", "--execute", stdin="\n".join(both))
    assert committed(cli, group) == committed(cli, other) == {0: 5, 1: 5, 2: 0}
    wrong = ("group", "reset-offsets", group, "--execute", "--from-file")
    assert cli.fails(*wrong, "-", stdin=f"{ten},0,1\n{ten},x,1") == "-: line 2: 'x' is no partition"
    assert "line 1: it is for group 'else'" in cli.fails(*wrong, "-", stdin=f"else,{ten},0,1")
    assert "there is no partition 7" in cli.fails(*wrong, "-", stdin=f"{ten},7,1")
    assert cli.fails(*wrong, tmp_path / "nosuch").startswith(f"cannot read {tmp_path}/nosuch: ")
    assert committed(cli, group) == {0: 5, 1: 5, 2: 0}


def test_a_group_with_members_is_left_alone(cli: Cli, ten: str, group: str) -> None:
    """Its members are named; its offsets can be saved all the same."""
    with member(cli, group, ten) as consumer:
        consumer.commit(offsets=[TopicPartition(ten, 0, 2)], asynchronous=False)
        settled(cli, group, 1)
        has = f"group {group} has 1 member, and can only be {{}} when it has none: stop theirs at 127.0.0.1 first"
        move = ("group", "reset-offsets", group, "--topic", f"{ten}:0", "--to-earliest")
        assert cli.fails(*move, "--execute") == has.format("moved")
        tried = cli.run(*move)
        assert (tried.code, tried.err) == (1, f"wiber: {has.format('moved')}\n")
        assert f"{ten}" in tried.out
        assert cli("group", "reset-offsets", group, "--all-topics", "--to-current", "--export").out == f"{ten},0,2\n"
        assert cli.fails("group", "delete", group, "--yes") == has.format("deleted")
        told = cli.run("group", "delete", group, "--yes", "-o", "json")
        assert (told.objects[0]["deleted"], told.objects[0]["error"]) == (False, "NON_EMPTY_GROUP")
        reads = cli.fails("group", "delete", group, "--topic", ten, "--yes")
        assert reads.startswith(f"group {group} reads {ten} now, and what it committed for partition 0 was not deleted")
        assert committed(cli, group)[0] == 2


def test_groups_and_offsets_are_deleted(cli: Cli, ten: str, group: str, terminal: Callable[..., Terminal]) -> None:
    """Each is told of; on a terminal it is asked first."""
    set_to(cli, group, "--topic", ten, "--to-latest")
    assert cli("group", "delete", group, "--topic", f"{ten}:0", "--yes").out == f"{group}: 1 committed offset deleted\n"
    assert set(committed(cli, group)) == {1, 2}
    nothing = cli("group", "delete", group, "--topic", f"{ten}:0", "--yes").out
    assert nothing == f"{group}: nothing is committed there\n"
    objects = cli("group", "delete", group, "--topic", ten, "--yes", "-o", "json").objects
    assert objects == [{"group": group, "topic": ten, "partition": n, "deleted": True} for n in (1, 2)]
    set_to(cli, group, "--topic", ten, "--to-latest")
    assert cli.fails("group", "delete", group, code=2).endswith("say --yes")
    asked = terminal("group", "delete", group)
    asked.read_until(f"Delete {group} and all that they have committed? [y/N] ")
    asked.type("n\n")
    assert asked.wait() == 1
    assert group in cli("group", "list").out.splitlines()
    ended = cli.run("group", "delete", group, "nosuch", "--yes", "-o", "json")
    assert ended.code == 1
    assert [(it["group"], it["deleted"]) for it in ended.objects] == [(group, True), ("nosuch", False)]
    cli.shows(f"{group}\n", "group", "list", shown=False)


def test_a_topic_that_is_gone_is_shown_as_far_as_it_is_known(cli: Cli, ten: str, group: str) -> None:
    """Its offsets stay for a while, or go with it."""
    set_to(cli, group, "--topic", f"{ten}:0", "--to-offset", 3)
    other = f"{ten}-2"
    cli("topic", "create", other)
    cli("group", "reset-offsets", group, "--topic", other, "--to-latest", "--execute")
    cli("topic", "delete", ten, "--yes")
    cli.shows(f"{ten}\n", "topic", "list", shown=False)
    rows = described(cli, group)["partitions"]
    assert {it["end"] for it in rows if it["topic"] == ten} <= {None}
    assert [it["end"] for it in rows if it["topic"] == other] == [0]


def test_a_group_goes_on_where_it_left_off(cli: Cli, ten: str, group: str) -> None:
    """Each record once, over many runs; --from-beginning only counts where there is nothing yet."""
    consume = ("consume", ten, "--group", group, "--exit", "--from-beginning")
    assert sorted(cli(*consume).out.split()) == [str(n) for n in range(10)]
    assert committed(cli, group) == {0: 5, 1: 5, 2: 0}
    assert cli(*consume).out == ""
    cli("produce", ten, "-p", 2, "ten")
    assert cli(*consume).out == "ten\n"
    cli("group", "reset-offsets", group, "--topic", ten, "--shift-by", -1, "--execute")
    shown = cli(*consume, "-f", "json").objects
    assert sorted(it["value"] for it in shown) == ["8", "9", "ten"]


def test_a_group_begins_with_what_comes(cli: Cli, ten: str, group: str) -> None:
    """From its first run on, also in partitions that had nothing then."""
    assert cli("consume", ten, "-g", group, "--exit").out == ""
    assert committed(cli, group) == {0: 5, 1: 5, 2: 0}
    cli("produce", ten, "-p", 2, "new")
    assert cli("consume", ten, "-g", group, "--exit").out == "new\n"


def test_enough_is_committed_to_the_record(cli: Cli, ten: str, group: str) -> None:
    """-n ends within a batch; the next run goes on there."""
    consume = ("consume", ten, "--group", group, "--exit", "--from-beginning", "-n", 3)
    shown = [cli(*consume).out.split() for _ in range(4)]
    assert [len(it) for it in shown] == [3, 3, 3, 1]
    assert sorted(it for some in shown for it in some) == [str(n) for n in range(10)]


@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
def test_members_share_and_nothing_is_lost_or_shown_twice(
    cli: Cli, topic: str, group: str, following: Callable[..., Following], assignor: str
) -> None:
    """While a second one comes and goes in good order."""
    cli("topic", "create", topic, "--partitions", 4)
    first = following(topic, group, "--from-beginning", "--assignor", assignor)
    settled(cli, group, 1)
    feed = cli.start("produce", topic, stdin=subprocess.PIPE)
    shown: list[str] = []
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        feed.stdin.write("".join(f"{n}\n" for n in range(sent, sent + count)).encode())
        feed.stdin.flush()
        sent += count

    send(100)
    shown += first.next(100)
    second = following(topic, group, "--from-beginning", "--assignor", assignor)
    send(100)
    settled(cli, group, 2)

    def shares() -> tuple[str, list[int]]:
        it = described(cli, group)
        return it["assignor"], sorted(len(each["assignment"].get(topic, [])) for each in it["members"])

    # A cooperative group rebalances twice, and says nothing of its assignor meanwhile.
    wait_until(lambda: shares() == (assignor, [2, 2]), DEADLINE_S, "each has two partitions", 0.1)
    for partition in range(4):
        cli("produce", topic, "-p", partition, stdin=f"{sent}\n{sent + 1}\n")
        sent += 2
    wait_until(lambda: described(cli, group)["lag"] == 0, DEADLINE_S, "all is committed", 0.1)
    shown += second.end()
    settled(cli, group, 1)
    send(100)
    feed.stdin.close()
    assert feed.wait(DEADLINE_S) == 0
    wait_until(lambda: described(cli, group)["lag"] == 0, DEADLINE_S, "all is committed", 0.1)
    shown += first.end(signal.SIGTERM)
    assert sorted(map(int, shown)) == list(range(sent))
    settled(cli, group, 0, "Empty")


def test_members_of_other_makes_share_with_ours(
    cli: Cli, ten: str, group: str, following: Callable[..., Following]
) -> None:
    """Whoever leads."""
    ours = following(ten, group, "--from-beginning")
    settled(cli, group, 1)
    with member(cli, group, ten, **{"partition.assignment.strategy": "range"}) as theirs:
        settled(cli, group, 2)
        shares = {it["client"]: it["assignment"][ten] for it in described(cli, group)["members"]}
        assert sorted(it for some in shares.values() for it in some) == [0, 1, 2]
        assert sorted(it.partition for it in theirs.assignment()) == shares["theirs"]
        ours.end()
        wait_until(
            lambda: theirs.poll(0.1) is None and len(theirs.assignment()) == 3, DEADLINE_S, "they have all of it"
        )
        more = following(ten, group, "--assignor", "range")
        wait_until(lambda: theirs.poll(0.1) is None and len(theirs.assignment()) in (1, 2), DEADLINE_S, "ours has some")
    settled(cli, group, 1)
    wait_until(
        lambda: described(cli, group)["members"][0]["assignment"] == {ten: [0, 1, 2]}, DEADLINE_S, "ours has all", 0.1
    )
    more.end()


def test_what_was_not_committed_is_shown_again(
    cli: Cli, ten: str, group: str, following: Callable[..., Following]
) -> None:
    """After a kill; never less than once. A static member that is back at once has its partitions at once."""
    static = ("--group-instance-id", "one", "--from-beginning")
    killed = following(ten, group, *static)
    assert sorted(killed.next(10)) == [str(n) for n in range(10)]
    killed.process.kill()
    killed.process.wait()
    again = following(ten, group, *static)
    cli("produce", ten, "-p", 0, "ten")
    seen = set()
    while "ten" not in seen:
        seen |= set(again.next(1))
    assert seen <= {"ten", *map(str, range(10))}
    again.end()
    # It is still a member: its partitions wait for it.
    [it] = described(cli, group)["members"]
    assert it["instance"] == "one"


def test_a_second_member_of_the_same_instance_puts_the_first_out(
    cli: Cli, ten: str, group: str, following: Callable[..., Following]
) -> None:
    """Which says so."""
    first = following(ten, group, "--group-instance-id", "one")
    settled(cli, group, 1)
    second = following(ten, group, "--group-instance-id", "one")
    assert first.process.wait(DEADLINE_S) == 1
    told = first.process.stderr.read().decode()
    assert told.startswith(f"wiber: group {group}: another member has come with the same instance id")
    settled(cli, group, 1)
    second.end()


def test_a_reader_that_is_gone_ends_it(cli: Cli, ten: str, group: str, following: Callable[..., Following]) -> None:
    """What it took is committed at most, the group is left, and nothing is said."""
    reader = following(ten, group, "--from-beginning")
    assert len(reader.next(1)) == 1
    reader.process.stdout.close()
    assert reader.process.wait(DEADLINE_S) == 0
    assert reader.process.stderr.read() == b""
    settled(cli, group, 0, "Empty")


def test_a_reader_that_does_not_read_keeps_its_membership(
    cli: Cli, topic: str, group: str, following: Callable[..., Following]
) -> None:
    """Its output is full, and nothing is committed that is not in it; a second member gets a share once it goes on."""
    cli("topic", "create", topic, "--partitions", 2)
    lines = 40_000
    cli("produce", topic, "-p", 0, stdin="".join(f"{n:099}\n" for n in range(lines)))
    slow = following(topic, group, "--from-beginning")
    settled(cli, group, 1)
    second = following(topic, group, "--from-beginning")
    # It must give way before the second one has anything, and cannot, but is heard of.
    settled(cli, group, None, "PreparingRebalance")
    at = committed(cli, group)
    assert at.get(0) in (None, 0)
    assert int(slow.next(1)[0]) == 0
    shown = [0] + [int(it) for it in slow.next(lines - 1)]
    assert shown == list(range(lines))
    settled(cli, group, 2)
    wait_until(lambda: committed(cli, group) == {0: lines, 1: 0}, DEADLINE_S, "it is committed", 0.1)
    assert slow.end() == second.end() == []


def test_a_broker_that_goes_and_comes_back_is_followed(start_broker: StartBroker) -> None:
    """It is said once, and when it goes on; nothing is left out."""
    broker = start_broker(listen=f"127.0.0.1:{restart_port()}")
    cli = Cli(broker.address)
    cli("topic", "create", "t", "--partitions", 2)
    cli("produce", "t", "one")
    member = cli.start("consume", "t", "--group", "g", "--from-beginning")
    shown = lines_of(member)
    assert next(shown) == "one"
    broker.kill()
    broker.start()
    cli("produce", "t", "two")
    while next(shown) != "two":
        pass
    settled(cli, "g", 1)
    wait_until(lambda: described(cli, "g")["lag"] == 0, DEADLINE_S, "it is committed", 0.1)
    member.send_signal(signal.SIGINT)
    assert member.wait(DEADLINE_S) == 0
    told = member.stderr.read().decode().splitlines()
    assert told[0].endswith("; trying again")
    assert told[1] == "wiber: t: goes on again"


def test_new_partitions_are_shared(cli: Cli, topic: str, group: str, following: Callable[..., Following]) -> None:
    """A topic that grows is read as a whole."""
    cli("topic", "create", topic)
    it = following(topic, group)
    settled(cli, group, 1)
    cli("topic", "alter", topic, "--partitions", 2)
    cli("produce", topic, "-p", 1, "new")
    wait_until(
        lambda: described(cli, group)["members"][0]["assignment"] == {topic: [0, 1]}, DEADLINE_S, "it has both", 0.1
    )
    cli("produce", topic, "-p", 1, "newer")
    while it.next(1) != ["newer"]:
        pass
    it.end()


def test_a_terminal_says_what_it_got(cli: Cli, ten: str, group: str, terminal: Callable[..., Terminal]) -> None:
    """And Ctrl-C is a good end."""
    shown = terminal("consume", ten, "--group", group)
    shown.read_until(f"Group {group} gives this member 3 partitions of {ten}. Ctrl-C ends.")
    shown.interrupt()
    assert shown.wait() == 0
    settled(cli, group, 0, "Empty")


def test_wrong_usage_is_exit_code_2(cli: Cli, ten: str) -> None:
    """What contradicts itself, or says too little."""
    for wrong in ("--history=5", "--offset=1", "--since=1h", "-p=0"):
        assert cli.run("consume", ten, "--group", "g", wrong).code == 2
    assert cli.run("consume", ten, "--group-instance-id", "i").code == 2
    assert "--all-topics" in cli.fails("group", "reset-offsets", "g", "--to-earliest", code=2)
    assert cli.run("group", "reset-offsets", "g", "--topic", ten).code == 2
    assert cli.run("group", "reset-offsets", "g", "--topic", ten, "--to-earliest", "--to-latest").code == 2
    assert cli.run("group", "reset-offsets", "g", "--topic", f"{ten}:x", "--to-earliest").code == 2
    assert cli.run("group", "reset-offsets", "g", "--topic", ten, "--to-latest", "--execute", "--dry-run").code == 2
    assert cli.fails("consume", ten, "--group", "") == "'' cannot be a group's name"


def test_a_group_is_watched(cli: Cli, ten: str, group: str, terminal: Callable[..., Terminal]) -> None:
    """On a terminal it is drawn again; until Ctrl-C, which is a good end."""
    set_to(cli, group, "--topic", ten, "--to-earliest")
    shown = terminal("group", "describe", group, "--watch=200ms")
    assert shown.read_until("lag 10").startswith("\x1b[H")
    shown.read_until("0.0/s consumed, 0.0/s produced")
    set_to(cli, group, "--topic", ten, "--to-latest")
    shown.read_until("lag 0")
    cli("group", "delete", group, "--yes")
    shown.read_until(f"there is no group '{group}'")
    set_to(cli, group, "--topic", ten, "--to-latest")
    shown.read_until("Empty, classic, 0 members, lag 0")
    shown.interrupt()
    assert shown.wait() == 0


def test_a_program_watches_a_group(cli: Cli, ten: str, group: str) -> None:
    """An object each time, until it has seen enough."""
    set_to(cli, group, "--topic", ten, "--to-earliest")
    watch = cli.start("group", "describe", group, "--watch=100ms")
    objects = (json.loads(it) for it in lines_of(watch))
    first = next(objects)
    assert (first["lag"], first["consumed_per_s"], first["produced_per_s"]) == (10, None, None)
    set_to(cli, group, "--topic", ten, "--to-latest")
    moved = next(it for it in objects if it["consumed_per_s"] != 0)
    assert (moved["lag"], moved["produced_per_s"]) == (0, 0)
    assert moved["consumed_per_s"] > 0
    assert moved["time"] > first["time"]
    watch.stdout.close()
    assert watch.wait(DEADLINE_S) == 0
    assert watch.stderr.read() == b""
    told = f"there is no group '{group}-2'; `wiber group list` shows those that there are"
    assert cli.fails("group", "describe", f"{group}-2", "--watch") == told
