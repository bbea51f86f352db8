"""JoinGroup, SyncGroup, Heartbeat and LeaveGroup at every version: what is answered, and what is refused."""

import pytest

from broker_process import BrokerProcess
from protocol.client import Client, Error
from protocol.conftest import Join
from protocol.groups import NO_TOPICS, QUICK, describe, latest, rejoin, settle, subscription
from protocol.schema import versions

CLIENT_ID = "schema"
MAX_SESSION_MS = 1_800_000
OTHER = subscription("a", "b", user_data=b"mine")


@pytest.mark.parametrize("version", versions("JoinGroup"))
def test_the_first_member_leads(member: Join, version: int) -> None:
    """Alone in its group, it leads generation 1, and gets its own metadata; its id begins with the client's."""
    one = member()
    one.send_join(version)
    answer = one.joined()
    assert answer.member_id.startswith(f"{CLIENT_ID}-")
    if version >= 4:
        # It first gets an id, so that a repeated request makes no second member (KIP-394).
        assert (answer.error_code, answer.generation_id, answer.leader) == (Error.MEMBER_ID_REQUIRED, -1, "")
        assert answer.protocol_name == (None if version >= 7 else "")
        assert answer.members == []
        given = answer.member_id
        one.send_join(version)
        answer = one.joined()
        assert answer.member_id == given
    assert (answer.error_code, answer.generation_id, answer.protocol_name) == (Error.NONE, 1, "range")
    assert answer.leader == answer.member_id
    assert answer.protocol_type == ("consumer" if version >= 7 else None)
    assert answer.skip_assignment is False
    (own,) = answer.members
    assert (own.member_id, own.group_instance_id, own.metadata) == (answer.member_id, None, NO_TOPICS)


@pytest.mark.parametrize("version", versions("JoinGroup"))
def test_a_second_member_follows(member: Join, version: int) -> None:
    """The next generation has both; only the leader is told of the members, which it keeps being."""
    first, second = member(), member(protocols=[("range", OTHER)])
    first.join(version)
    assert first.sync({first.id: b"all"}).assignment == b"all"
    if version >= 4:
        second.take_id()
    second.send_join(version)
    first.await_rebalance()
    first.send_join(version)
    led, followed = first.joined(), second.joined()
    assert (led.error_code, followed.error_code) == (Error.NONE, Error.NONE)
    assert led.generation_id == followed.generation_id == 2
    assert led.leader == followed.leader == first.id
    assert followed.members == []
    told = {each.member_id: each.metadata for each in led.members}
    assert told == {first.id: NO_TOPICS, second.id: OTHER}


@pytest.mark.parametrize("version", versions("JoinGroup"))
def test_join_is_refused(admin: Client, member: Join, group: str, version: int) -> None:
    """Group ids that are none, sessions outside of the bounds, members that nobody knows, protocols that do not fit."""
    one = member()

    def refused(error: Error, **fields: object) -> None:
        one.send_join(version, **fields)
        answer = one.joined()
        assert (answer.error_code, answer.generation_id, answer.leader) == (error, -1, "")
        assert answer.protocol_type is None
        assert answer.protocol_name == (None if version >= 7 else "")

    refused(Error.INVALID_GROUP_ID, group_id="")
    for session_ms in (int(QUICK["group.min.session.timeout.ms"]) - 1, MAX_SESSION_MS + 1):
        refused(Error.INVALID_SESSION_TIMEOUT, session_timeout_ms=session_ms)
    refused(Error.UNKNOWN_MEMBER_ID, member_id="nobody")
    refused(Error.INCONSISTENT_GROUP_PROTOCOL, protocol_type="")
    refused(Error.INCONSISTENT_GROUP_PROTOCOL, protocols=[])
    assert describe(admin, group).members == []

    settle(one)
    other = member()
    for fields in (
        {"protocol_type": "connect"},
        {"protocols": [{"name": "roundrobin", "metadata": b""}]},
        {"protocols": []},
    ):
        other.send_join(version, **fields)
        assert other.joined().error_code == Error.INCONSISTENT_GROUP_PROTOCOL
    other.send_join(version, member_id="nobody")
    assert other.joined().error_code == Error.UNKNOWN_MEMBER_ID
    assert one.heartbeat() == Error.NONE


@pytest.mark.parametrize("version", versions("JoinGroup"))
def test_a_member_changes_what_it_speaks(member: Join, version: int) -> None:
    """One thing that it says must be what the group spoke before, also where it is alone."""
    one = member()
    one.join(version)
    one.sync({one.id: b""})
    one.protocols = [("sticky", OTHER)]
    assert one.join(version).error_code == Error.INCONSISTENT_GROUP_PROTOCOL
    one.protocols = [("sticky", OTHER), ("range", NO_TOPICS)]
    answer = one.join(version)
    assert (answer.error_code, answer.generation_id, answer.protocol_name) == (Error.NONE, 2, "sticky")
    assert answer.members[0].metadata == OTHER


@pytest.mark.parametrize("version", versions("SyncGroup"))
def test_assignments_come_from_the_leader(member: Join, version: int) -> None:
    """Followers wait for the leader; who was not named gets nothing; later the same is answered again."""
    leader, follower, left_out = member(), member(), member()
    settle(leader, follower, left_out)
    rejoin(leader, follower, left_out)
    follower.send_sync({follower.id: b"what followers say is ignored"}, version)
    left_out.send_sync(None, version)
    leader.send_sync({leader.id: b"\0\1", follower.id: b"two"}, version)
    for each, assigned in ((leader, b"\0\1"), (follower, b"two"), (left_out, b"")):
        answer = each.synced(version)
        assert (answer.error_code, answer.assignment) == (Error.NONE, assigned)
        assert (answer.protocol_type, answer.protocol_name) == (("consumer", "range") if version >= 5 else (None, None))
    assert follower.sync(None, version).assignment == b"two"
    assert leader.sync({follower.id: b"too late"}, version).assignment == b"\0\1"


@pytest.mark.parametrize("version", versions("SyncGroup"))
def test_sync_is_refused(member: Join, group: str, version: int) -> None:
    """By a group that is not there, for a generation that is not the group's, for a member or protocols of others."""
    one, other = member(), member()

    def refused(error: Error, **fields: object) -> None:
        answer = one.sync(None, version, **fields)
        assert (answer.error_code, answer.assignment) == (error, b"")

    refused(Error.UNKNOWN_MEMBER_ID, member_id="nobody")
    refused(Error.INVALID_GROUP_ID, group_id="")
    settle(one)
    refused(Error.UNKNOWN_MEMBER_ID, member_id="nobody")
    refused(Error.ILLEGAL_GENERATION, generation_id=one.generation + 1)
    refused(Error.ILLEGAL_GENERATION, generation_id=one.generation - 1)
    if version >= 5:
        for wrong in ("roundrobin", None):
            refused(Error.INCONSISTENT_GROUP_PROTOCOL, protocol_name=wrong)
        for wrong in ("connect", None):
            refused(Error.INCONSISTENT_GROUP_PROTOCOL, protocol_type=wrong)
    other.take_id()
    other.send_join()
    one.await_rebalance()
    refused(Error.REBALANCE_IN_PROGRESS)


@pytest.mark.parametrize("version", versions("Heartbeat"))
def test_heartbeats(member: Join, version: int) -> None:
    """They are answered by what the member should do next."""
    one, other = member(), member()
    assert one.heartbeat(version, member_id="nobody") == Error.UNKNOWN_MEMBER_ID
    assert one.heartbeat(version, group_id="", generation_id=0) == Error.INVALID_GROUP_ID
    one.join()
    assert one.heartbeat(version) == Error.NONE, "before its assignment"
    one.sync({one.id: b""})
    assert one.heartbeat(version) == Error.NONE
    assert one.heartbeat(version, generation_id=one.generation + 1) == Error.ILLEGAL_GENERATION
    assert one.heartbeat(version, generation_id=one.generation - 1) == Error.ILLEGAL_GENERATION
    assert one.heartbeat(version, member_id="nobody") == Error.UNKNOWN_MEMBER_ID
    other.take_id()
    other.send_join()
    one.await_rebalance()
    assert one.heartbeat(version) == Error.REBALANCE_IN_PROGRESS
    assert one.heartbeat(version, generation_id=one.generation + 1) == Error.ILLEGAL_GENERATION
    one.join()
    assert other.joined().error_code == Error.NONE
    assert one.heartbeat(version) == Error.NONE


@pytest.mark.parametrize("version", versions("LeaveGroup"))
def test_leaving(admin: Client, member: Join, group: str, version: int) -> None:
    """Those who stay are told to join again, and the last one leaves the group empty."""
    one, other = member(), member()
    settle(one, other)
    assert one.leave(version) == Error.NONE
    assert one.heartbeat() == Error.UNKNOWN_MEMBER_ID
    assert one.leave(version) == Error.UNKNOWN_MEMBER_ID
    other.await_rebalance()
    answer = other.join()
    assert (answer.error_code, answer.leader, answer.generation_id) == (Error.NONE, other.id, 4 - 1)
    assert other.leave(version) == Error.NONE
    assert describe(admin, group).group_state == "Empty"
    for wrong in ("", f"{group}-of-nobody"):
        if version < 3:
            answer = admin.ask("LeaveGroup", version, group_id=wrong, member_id=one.id)
            assert answer.error_code == (Error.UNKNOWN_MEMBER_ID if wrong else Error.INVALID_GROUP_ID)
        else:
            answer = admin.ask("LeaveGroup", version, group_id=wrong, members=[{"member_id": one.id}])
            assert answer.error_code == (Error.NONE if wrong else Error.INVALID_GROUP_ID)
            assert [each.error_code for each in answer.members] == ([Error.UNKNOWN_MEMBER_ID] if wrong else [])


@pytest.mark.parametrize("version", versions("LeaveGroup", since=3))
def test_many_leave_at_once(admin: Client, member: Join, group: str, version: int) -> None:
    """Each is answered for itself; a static member is named by its instance, with or without its member id."""
    dynamic, static, with_id, stays = member(), member(instance="a"), member(instance="b"), member()
    settle(dynamic, static, with_id, stays)
    leaving = [
        {"member_id": dynamic.id},
        {"member_id": "", "group_instance_id": "a"},
        {"member_id": "wrong", "group_instance_id": "b"},
        {"member_id": with_id.id, "group_instance_id": "b"},
        {"member_id": "nobody"},
        {"member_id": "", "group_instance_id": "no such instance"},
    ]
    answer = admin.ask("LeaveGroup", version, group_id=group, members=leaving)
    assert answer.error_code == Error.NONE
    assert [(each.member_id, each.group_instance_id, each.error_code) for each in answer.members] == [
        (dynamic.id, None, Error.NONE),
        ("", "a", Error.NONE),
        ("wrong", "b", Error.FENCED_INSTANCE_ID),
        (with_id.id, "b", Error.NONE),
        ("nobody", None, Error.UNKNOWN_MEMBER_ID),
        ("", "no such instance", Error.UNKNOWN_MEMBER_ID),
    ]
    stays.await_rebalance()
    assert [each.member_id for each in stays.join().members] == [stays.id]


def test_a_group_is_full(member: Join) -> None:
    """The member too many is refused, also where it has a member id; when one leaves there is room."""
    size = int(QUICK["group.max.size"])
    members = [member() for _ in range(size)]
    settle(*members)
    late = member()
    assert late.join().error_code == Error.GROUP_MAX_SIZE_REACHED
    assert {each.heartbeat() for each in members} == {Error.NONE}
    late.id = ""
    assert members[0].leave() == Error.NONE
    late.take_id()
    rejoin(late, *members[1:])


@pytest.mark.parametrize("protocol_type", ["connect", "sr", "anything at all"])
def test_any_protocol_type(admin: Client, member: Join, group: str, protocol_type: str) -> None:
    """Groups are not for consumers alone: Connect's workers and Schema Registry's nodes have theirs."""
    protocols = [("sessioned", b"\0\xff"), ("compatible", b"")]
    one, other = (member(protocol_type=protocol_type, protocols=protocols) for _ in range(2))
    settle(one, other)
    found = describe(admin, group)
    assert (found.group_state, found.protocol_type, found.protocol_data) == ("Stable", protocol_type, "sessioned")
    assert {each.member_id: each.member_assignment for each in found.members} == {one.id: b"0", other.id: b"1"}
    assert {each.member_metadata for each in found.members} == {b"\0\xff"}


def test_versions_mix(quick: BrokerProcess, member: Join) -> None:
    """Members of the oldest and of the newest version share a group."""
    old, new = member(), member()
    old.join(0)
    assert old.sync({old.id: b""}, 0).error_code == Error.NONE
    new.take_id()
    new.send_join(latest("JoinGroup"))
    old.await_rebalance()
    old.send_join(0)
    assert (old.joined().generation_id, new.joined().generation_id) == (2, 2)
    new.send_sync()
    assert old.sync({old.id: b"o", new.id: b"n"}, 0).assignment == b"o"
    assert new.synced().assignment == b"n"
