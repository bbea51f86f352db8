"""`wiber consume --group-protocol consumer`: members to which the broker assigns (KIP-848)."""

import signal
from collections.abc import Callable

import pytest

from broker_process import BrokerProcess, restart_port, wait_until
from cli.conftest import DEADLINE_S, Cli, Following
from cli.test_group import committed, described, member, settled
from conftest import StartBroker
from protocol.client import Client
from protocol.groups import await_coordinator

CONSUMER = ("--group-protocol", "consumer", "--from-beginning")
TEN = {str(number) for number in range(10)}

Follow = Callable[..., Following]


@pytest.fixture
def quick(start_broker: StartBroker) -> BrokerProcess:
    """A broker whose members are heard of often, and are soon taken for dead."""
    settings = {
        "group.initial.rebalance.delay.ms": 0,
        "group.consumer.min.heartbeat.interval.ms": 100,
        "group.consumer.heartbeat.interval.ms": 100,
        "group.consumer.min.session.timeout.ms": 2000,
        "group.consumer.session.timeout.ms": 2000,
        "group.consumer.assignment.interval.ms": 0,
    }
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    broker = start_broker(arguments=arguments, listen=f"127.0.0.1:{restart_port()}")
    with Client(broker.address) as client:
        await_coordinator(client, "any")
    return broker


@pytest.fixture
def cli(quick: BrokerProcess) -> Cli:
    """The command, with that broker."""
    return Cli(quick.address)


@pytest.fixture
def four(cli: Cli, topic: str) -> str:
    """A topic of four partitions with records 0 to 9."""
    cli("topic", "create", topic, "--partitions", 4)
    cli("produce", topic, stdin="".join(f"{number}\n" for number in range(10)))
    return topic


def shares(cli: Cli, group: str, topic: str) -> list[list[int]]:
    """The partitions of each member."""
    return sorted(it["assignment"].get(topic, []) for it in described(cli, group)["members"])


def shared(cli: Cli, group: str, topic: str, sizes: list[int]) -> None:
    """Waits until members have so many partitions each."""
    settled(cli, group, len(sizes))
    wait_until(lambda: [*map(len, shares(cli, group, topic))] == sizes, DEADLINE_S, f"members have {sizes}", 0.1)


@pytest.mark.parametrize("assignor", ["uniform", "range", None])
def test_members_share_and_nothing_is_lost_or_shown_twice(
    cli: Cli, four: str, group: str, following: Follow, assignor: str | None
) -> None:
    """While a second one comes and goes in good order."""
    chosen = CONSUMER if assignor is None else (*CONSUMER, "--assignor", assignor)
    first = following(four, group, *chosen)
    shown = first.next(10)
    shared(cli, group, four, [4])
    second = following(four, group, *chosen)
    shared(cli, group, four, [2, 2])
    assert sorted(it for some in shares(cli, group, four) for it in some) == [0, 1, 2, 3]
    it = described(cli, group)
    assert (it["type"], it["assignor"]) == ("consumer", assignor or "uniform")
    for partition in range(4):
        cli("produce", four, "-p", partition, str(10 + partition))
    wait_until(lambda: described(cli, group)["lag"] == 0, DEADLINE_S, "all is committed", 0.1)
    shown += second.end()
    shared(cli, group, four, [4])
    for partition in range(4):
        cli("produce", four, "-p", partition, str(14 + partition))
    wait_until(lambda: described(cli, group)["lag"] == 0, DEADLINE_S, "all is committed", 0.1)
    shown += first.end(signal.SIGTERM)
    assert sorted(map(int, shown)) == list(range(18))
    settled(cli, group, 0, "Empty")


def test_what_a_killed_member_had_goes_to_the_others(cli: Cli, four: str, group: str, following: Follow) -> None:
    """Once its session has ended; what it had not committed is shown again."""
    first, second = (following(four, group, *CONSUMER) for _ in range(2))
    shared(cli, group, four, [2, 2])
    second.process.kill()
    second.process.wait()
    shared(cli, group, four, [4])
    for partition in range(4):
        cli("produce", four, "-p", partition, f"new {partition}")
    wait_until(lambda: described(cli, group)["lag"] == 0, DEADLINE_S, "all is committed", 0.1)
    shown = first.end()
    assert {f"new {partition}" for partition in range(4)} <= set(shown)
    assert set(shown) | set(second.lines) >= TEN


def test_a_static_member_is_away_for_a_while(cli: Cli, four: str, group: str, following: Follow) -> None:
    """Its partitions stay its own until it is back; while it is there nobody else has its id."""
    static = (*CONSUMER, "--group-instance-id", "one")
    first, other = following(four, group, *static), following(four, group, *CONSUMER)
    shared(cli, group, four, [2, 2])
    had = {it["instance"]: it["assignment"] for it in described(cli, group)["members"]}["one"]
    refused = following(four, group, *static)
    assert refused.process.wait(DEADLINE_S) == 1
    assert "UNRELEASED_INSTANCE_ID" in refused.process.stderr.read().decode()
    first.end()
    again = following(four, group, *static)
    shared(cli, group, four, [2, 2])
    assert {it["instance"]: it["assignment"] for it in described(cli, group)["members"]}["one"] == had
    again.end()
    # It does not come back: the other one has all once its session has ended.
    shared(cli, group, four, [4])
    other.end()


@pytest.mark.parametrize("theirs", ["consumer", "classic"])
def test_members_of_other_makes_share_with_ours(
    cli: Cli, four: str, group: str, following: Follow, theirs: str
) -> None:
    """Also those of the classic protocol, whose group becomes one of the consumer protocol."""
    with member(cli, group, four, **{"group.protocol": theirs}) as their:
        ours = following(four, group, *CONSUMER)

        def both() -> bool:
            their.poll(0.1)
            return [*map(len, shares(cli, group, four))] == [2, 2] and len(their.assignment()) == 2

        wait_until(both, DEADLINE_S, "each has two partitions")
    shared(cli, group, four, [4])
    for partition in range(4):
        cli("produce", four, "-p", partition, f"new {partition}")
    wait_until(lambda: described(cli, group)["lag"] == 0, DEADLINE_S, "all is committed", 0.1)
    assert TEN | {f"new {partition}" for partition in range(4)} == set(ours.end())


def test_a_broker_that_goes_and_comes_back_is_followed(
    quick: BrokerProcess, cli: Cli, four: str, group: str, following: Follow
) -> None:
    """The membership goes on, or begins anew where the session has ended meanwhile."""
    it = following(four, group, *CONSUMER)
    assert set(it.next(10)) == TEN
    quick.kill()
    quick.start()
    cli("produce", four, "more")
    while it.next(1) != ["more"]:
        pass
    shared(cli, group, four, [4])
    wait_until(lambda: described(cli, group)["lag"] == 0, DEADLINE_S, "it is committed", 0.1)
    it.process.send_signal(signal.SIGINT)
    assert it.process.wait(DEADLINE_S) == 0
    told = it.process.stderr.read().decode().splitlines()
    assert told[0].endswith("; trying again")


def test_the_end_is_found(cli: Cli, four: str, group: str, following: Follow) -> None:
    """With --exit: where this member's share ends, also where that is nothing; the next run goes on there."""
    consume = ("consume", four, "--group", group, *CONSUMER, "--exit")
    assert set(cli(*consume).out.split()) == TEN
    assert sum(committed(cli, group).values()) == 10
    assert cli(*consume).out == ""
    cli("produce", four, "more")
    assert cli(*consume).out == "more\n"
    members = [following(four, group, *CONSUMER) for _ in range(4)]
    shared(cli, group, four, [1, 1, 1, 1])
    assert cli(*consume).out == ""
    for it in members:
        assert it.end() == []


def test_wrong_usage_is_exit_code_2(cli: Cli, four: str) -> None:
    """A way to assign that the protocol does not have, and a protocol without a group."""
    told = cli.fails("consume", four, "-g", "g", *CONSUMER, "--assignor", "cooperative-sticky", code=2)
    assert "uniform and range" in told
    told = cli.fails("consume", four, "-g", "g", "--assignor", "uniform", code=2)
    assert "range and cooperative-sticky" in told
    assert cli.run("consume", four, "--group-protocol", "consumer").code == 2
