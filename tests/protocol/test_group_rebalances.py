"""What moves a group from generation to generation: time, votes, static members; and who is left behind."""

import time
from collections.abc import Callable

import pytest

from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error
from protocol.conftest import Join
from protocol.groups import NO_TOPICS, Member, await_state, describe, rejoin, settle, subscription, sync_all
from protocol.schema import versions

SHORT_MS = 400
SPARE_MS = 2_000
"""A timeout within which the test itself has something to do."""


def seconds(milliseconds: int) -> float:
    """Milliseconds as seconds."""
    return milliseconds / 1000


def test_a_silent_member_is_removed(admin: Client, member: Join, group: str) -> None:
    """Its session ends, and the others share its work; what it says later is that of a stranger."""
    silent, other = member(session_ms=SPARE_MS), member()
    settle(silent)
    other.take_id()
    other.send_join()
    silent.await_rebalance()
    silent.join()
    assert other.joined().error_code == Error.NONE
    sync_all(silent, other, leader=silent.id)
    begun = time.monotonic()
    silent.heartbeat()
    other.await_rebalance()
    assert time.monotonic() - begun > seconds(SPARE_MS) * 0.95
    answer = other.join()
    assert (answer.leader, [each.member_id for each in answer.members]) == (other.id, [other.id])
    assert silent.heartbeat() == Error.UNKNOWN_MEMBER_ID
    assert silent.sync().error_code == Error.UNKNOWN_MEMBER_ID
    assert silent.join().error_code == Error.UNKNOWN_MEMBER_ID
    assert other.heartbeat() == Error.NONE


def test_heartbeats_keep_a_session(admin: Client, member: Join, group: str) -> None:
    """Each one begins the session's time anew; so does a commit. The last one over, the group is empty."""
    topic = admin.create(group)

    def outlives_its_session(one: Member, ask: Callable[[], object], good: object) -> bool:
        end = time.monotonic() + 2 * seconds(one.session_ms)
        while time.monotonic() < end:
            if ask() != good:
                return False
            time.sleep(seconds(one.session_ms) / 4)
        return True

    # A machine that does not keep up with a short session is given a longer one.
    for session_ms in (SHORT_MS, 5 * SHORT_MS, 25 * SHORT_MS):
        one = member(session_ms=session_ms)
        settle(one)
        kept = outlives_its_session(one, one.heartbeat, Error.NONE)
        kept &= outlives_its_session(one, lambda one=one: one.commit(topic, {0: 1}), {0: Error.NONE})
        begun = time.monotonic()
        if kept and one.heartbeat() == Error.NONE:
            break
    else:
        pytest.fail(f"no session was kept, not even one of {session_ms} ms")
    await_state(admin, group, "Empty")
    assert time.monotonic() - begun > seconds(session_ms) * 0.95
    assert one.heartbeat() == Error.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("version", versions("JoinGroup", since=1))
def test_who_does_not_join_again_is_left_behind(member: Join, version: int) -> None:
    """A rebalance waits for its timeout, the longest of the members'; a member's session does not end for it."""
    absent, other = member(rebalance_ms=SHORT_MS), member(rebalance_ms=SHORT_MS // 2)
    settle(absent)
    other.take_id()
    begun = time.monotonic()
    other.send_join(version)
    absent.await_rebalance()
    answer = other.joined()
    assert seconds(SHORT_MS) * 0.9 < time.monotonic() - begun < seconds(SHORT_MS) + DEADLINE_S
    assert (answer.error_code, answer.leader, answer.generation_id) == (Error.NONE, other.id, 2)
    assert absent.heartbeat() == Error.UNKNOWN_MEMBER_ID


def test_without_a_rebalance_timeout_the_session_s_counts(member: Join) -> None:
    """Version 0 has one timeout for both."""
    absent, other = member(session_ms=SHORT_MS), member()
    absent.join(0)
    absent.sync({absent.id: b""}, 0)
    other.take_id()
    begun = time.monotonic()
    other.send_join(0, session_timeout_ms=SHORT_MS)
    assert other.joined().error_code == Error.NONE
    assert time.monotonic() - begun < seconds(SHORT_MS) + DEADLINE_S
    assert absent.heartbeat() == Error.UNKNOWN_MEMBER_ID


def test_a_leader_that_assigns_nothing(member: Join) -> None:
    """Who does not ask for its assignment in the time of a rebalance is removed (KAFKA-13435)."""
    leader, follower = member(rebalance_ms=SPARE_MS), member(rebalance_ms=SPARE_MS)
    settle(leader, follower)
    rejoin(leader, follower)
    follower.send_sync()
    assert follower.synced().error_code == Error.REBALANCE_IN_PROGRESS
    answer = follower.join()
    assert (answer.error_code, answer.leader) == (Error.NONE, follower.id)
    assert [each.member_id for each in answer.members] == [follower.id]


def test_ids_that_are_not_used(member: Join) -> None:
    """An id that was given, and not used within the session's time, is nobody's; until then rebalances wait for it."""
    undecided, other = member(session_ms=SHORT_MS), member()
    settle(other)
    begun = time.monotonic()
    undecided.take_id()
    assert other.join().error_code == Error.NONE
    assert time.monotonic() - begun > seconds(SHORT_MS) * 0.95
    assert time.monotonic() - begun < seconds(SHORT_MS) + DEADLINE_S
    undecided.send_join()
    assert undecided.joined().error_code == Error.UNKNOWN_MEMBER_ID


def test_votes_decide_the_protocol(member: Join) -> None:
    """Of what all can speak each member votes for what it names first; ties go to none in particular."""
    names = {name: (name, NO_TOPICS) for name in ("range", "roundrobin", "sticky", "own")}
    one = member(protocols=[names["own"], names["range"], names["sticky"]])
    two = member(protocols=[names["sticky"], names["range"], names["roundrobin"]])
    three = member(protocols=[names["roundrobin"], names["sticky"], names["range"]])
    settle(one)
    assert one.protocol == "own"
    two.take_id()
    assert rejoin(two, one)[0].protocol_name in ("range", "sticky")
    sync_all(one, two, leader=one.id)
    three.take_id()
    assert {answer.protocol_name for answer in rejoin(three, one, two)} == {"sticky"}
    foreign = member(protocols=[names["own"]])
    foreign.send_join()
    assert foreign.joined().error_code == Error.INCONSISTENT_GROUP_PROTOCOL


def test_the_leader_gets_the_metadata_of_the_chosen_protocol(member: Join) -> None:
    """Members say something of each protocol; the one that was chosen is what counts."""
    a, b = subscription("a"), subscription("b", user_data=b"mine")
    one = member(protocols=[("cooperative", a), ("eager", b)])
    two = member(protocols=[("eager", a)])
    settle(one)
    two.take_id()
    _, led = rejoin(two, one)
    assert (led.protocol_name, led.leader) == ("eager", one.id)
    assert {each.member_id: each.metadata for each in led.members} == {one.id: b, two.id: a}


def test_a_follower_joins_again(member: Join) -> None:
    """As it was, it gets what it had; with other metadata it causes a rebalance. A leader always does."""
    leader, follower = member(), member()
    settle(leader, follower)
    generation = follower.generation
    answer = follower.join()
    assert (answer.error_code, answer.generation_id, answer.leader) == (Error.NONE, generation, leader.id)
    assert answer.members == []
    assert follower.sync().assignment == b"1"
    assert leader.heartbeat() == Error.NONE
    follower.protocols = [("range", subscription("more"))]
    assert rejoin(follower, leader)[0].generation_id == generation + 1
    sync_all(leader, follower, leader=leader.id)
    assert rejoin(leader, follower)[0].generation_id == generation + 2


def test_the_leader_leaves(member: Join) -> None:
    """Another one leads the next generation, and is given the members."""
    leader, *others = (member() for _ in range(3))
    settle(leader, *others)
    assert leader.leave() == Error.NONE
    for each in others:
        each.await_rebalance()
        each.send_join()
    answers = [each.joined() for each in others]
    (led,) = [each for each in answers if each.members]
    assert led.leader in {each.id for each in others}
    assert {each.member_id for each in led.members} == {each.id for each in others}
    sync_all(*others, leader=led.leader)


def test_a_rebalance_in_the_middle_of_another(member: Join) -> None:
    """Who waits for an assignment is told to join again when somebody comes, as its generation is over."""
    leader, follower, late = member(), member(), member()
    settle(leader, follower)
    rejoin(leader, follower)
    follower.send_sync()
    late.take_id()
    late.send_join()
    assert follower.synced().error_code == Error.REBALANCE_IN_PROGRESS
    assert leader.sync({leader.id: b"too late"}).error_code == Error.REBALANCE_IN_PROGRESS
    for each in (leader, follower):
        each.send_join()
    assert {each.joined().generation_id for each in (leader, follower, late)} == {leader.generation}


def test_the_first_rebalance_waits_for_more(start_broker: StartBroker, group: str) -> None:
    """`group.initial.rebalance.delay.ms`: who comes in the meantime is in generation 1, and begins the time anew."""
    broker = start_broker(arguments=["--set", f"group.initial.rebalance.delay.ms={SPARE_MS}"])
    one, two = (Member(broker.address, group) for _ in range(2))
    one.take_id()
    two.take_id()
    begun = time.monotonic()
    one.send_join()
    time.sleep(seconds(SHORT_MS))
    two.send_join()
    answers = [one.joined(), two.joined()]
    assert time.monotonic() - begun > 2 * seconds(SPARE_MS) * 0.95
    assert [answer.generation_id for answer in answers] == [1, 1]
    assert sorted(len(answer.members) for answer in answers) == [0, 2]
    for each in (one, two):
        each.socket.close()


@pytest.mark.parametrize("version", versions("JoinGroup", since=5))
def test_a_static_member_comes_back(admin: Client, member: Join, group: str, version: int) -> None:
    """It gets what it had, under a new member id, and nobody notices; who has the old id is fenced (KIP-345)."""
    leader, static = member(), member(instance="i")
    settle(leader, static)
    assert static.id.startswith("i-")
    generation = static.generation
    again = member(instance="i")
    answer = again.join(version)
    assert (answer.error_code, answer.generation_id) == (Error.NONE, generation)
    assert answer.member_id.startswith("i-")
    assert answer.member_id != static.id
    assert again.sync().assignment == b"1"
    assert leader.heartbeat() == again.heartbeat() == Error.NONE
    assert static.heartbeat() == Error.FENCED_INSTANCE_ID
    assert static.sync().error_code == Error.FENCED_INSTANCE_ID
    static.send_join(version)
    assert static.joined().error_code == Error.FENCED_INSTANCE_ID
    topic = admin.create(f"{group}-{version}")
    assert static.commit(topic, {0: 1}) == {0: Error.FENCED_INSTANCE_ID}
    assert again.commit(topic, {0: 1}) == {0: Error.NONE}
    instances = {each.member_id: each.group_instance_id for each in describe(admin, group).members}
    assert instances == {leader.id: None, again.id: "i"}


@pytest.mark.parametrize("version", versions("JoinGroup", since=5))
def test_a_static_leader_comes_back(member: Join, version: int) -> None:
    """It leads still; from version 9 on it is told the members, and not to assign again (KIP-814)."""
    leader, follower = member(instance="l"), member(instance="f")
    settle(leader, follower)
    again = member(instance="l")
    answer = again.join(version)
    assert (answer.error_code, answer.generation_id) == (Error.NONE, follower.generation)
    if version >= 9:
        assert (answer.leader, answer.skip_assignment) == (again.id, True)
        assert {each.group_instance_id for each in answer.members} == {"l", "f"}
    else:
        # It would assign anew if it knew that it leads.
        assert (answer.leader, answer.members) == (leader.id, [])
    assert again.sync().assignment == b"0"
    assert follower.heartbeat() == again.heartbeat() == Error.NONE


def test_a_static_member_with_other_wishes(member: Join) -> None:
    """Where what it speaks would change the group's choice, its coming back is a rebalance."""
    both = [("range", NO_TOPICS), ("sticky", NO_TOPICS)]
    leader, static = member(protocols=both), member(instance="i", protocols=both)
    settle(leader, static)
    assert static.protocol == "range"
    same = member(instance="i", protocols=[("range", subscription("other")), both[1]])
    assert same.join().generation_id == static.generation
    assert leader.heartbeat() == Error.NONE
    changed = member(instance="i", protocols=[("sticky", NO_TOPICS)])
    changed.send_join()
    leader.await_rebalance()
    leader.send_join()
    answers = [leader.joined(), changed.joined()]
    assert [(each.generation_id, each.protocol_name) for each in answers] == [(static.generation + 1, "sticky")] * 2


def test_a_static_member_leaves_only_in_time(admin: Client, member: Join, group: str) -> None:
    """It stays a member until its session ends, and then is gone, with its instance id."""
    static = member(instance="i", session_ms=SPARE_MS)
    settle(static)
    static.socket.close()
    assert [each.group_instance_id for each in describe(admin, group).members] == ["i"]
    await_state(admin, group, "Empty")
    again = member(instance="i")
    answer = again.join()
    assert (answer.error_code, answer.generation_id) == (Error.NONE, 3)


def test_groups_outlive_the_broker(start_broker: StartBroker, group: str) -> None:
    """After kill -9 a settled group goes on: its generation, its members and their assignments are in the log."""
    broker = start_broker(arguments=["--set", "group.initial.rebalance.delay.ms=0"])
    one, two = Member(broker.address, group), Member(broker.address, group, instance="i")
    settle(one, two)
    generation = one.generation
    topic = one.create(group)
    assert one.commit(topic, {0: 42}, metadata="kept") == {0: Error.NONE}
    broker.kill()
    broker.start()
    back = [Member(broker.address, group, instance=each.instance) for each in (one, two)]
    for old, new in zip((one, two), back, strict=True):
        new.id, new.generation, new.protocol = old.id, old.generation, old.protocol
    assert [each.heartbeat() for each in back] == [Error.NONE, Error.NONE]
    assert [each.sync().assignment for each in back] == [b"0", b"1"]
    found = describe(back[0], group)
    assert (found.group_state, found.protocol_data, len(found.members)) == ("Stable", "range", 2)
    assert rejoin(back[0], back[1])[0].generation_id == generation + 1
    for each in (one, two, *back):
        each.socket.close()
