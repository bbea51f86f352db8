"""FindCoordinator, ListGroups, DescribeGroups and DeleteGroups at every version; the settings of groups."""

import pytest

from broker_process import BrokerProcess
from conftest import StartBroker
from protocol.client import Client, Error
from protocol.conftest import Join
from protocol.groups import (
    GROUP,
    NO_TOPICS,
    Member,
    await_coordinator,
    await_state,
    commit,
    describe,
    latest,
    offset_of,
    settle,
    subscription,
)
from protocol.schema import versions

NO_OPERATIONS = -(1 << 31)
OPERATIONS_ON_GROUPS = {3, 6, 8, 10, 11}
"""READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS."""


@pytest.mark.parametrize("version", versions("FindCoordinator"))
def test_find_the_coordinator(admin: Client, quick: BrokerProcess, group: str, version: int) -> None:
    """The one broker coordinates all groups, whether they exist or not."""
    (broker,) = admin.ask("Metadata", 12, topics=[]).brokers
    host, port = quick.address.split(":")
    if version < 4:
        fields = {"key_type": GROUP} if version else {}
        found = [admin.ask("FindCoordinator", version, key=group, **fields)]
    else:
        groups = [f"{group}-{number}" for number in range(3)]
        for each in groups:
            await_coordinator(admin, each)
        found = admin.ask("FindCoordinator", version, key_type=GROUP, coordinator_keys=groups).coordinators
        assert [each.key for each in found] == groups
    for each in found:
        assert each.error_code == Error.NONE, each.error_message
        assert (each.node_id, each.host, each.port) == (broker.node_id, host, int(port))


@pytest.mark.parametrize("version", versions("FindCoordinator", since=1))
def test_coordinators_of_unknown_kinds(admin: Client, group: str, version: int) -> None:
    """There is no such kind of key."""
    if version < 4:
        found = admin.ask("FindCoordinator", version, key=group, key_type=9)
    else:
        (found,) = admin.ask("FindCoordinator", version, key_type=9, coordinator_keys=[group]).coordinators
    assert (found.error_code, found.node_id) == (Error.INVALID_REQUEST, -1)


@pytest.mark.parametrize("version", versions("DescribeGroups"))
def test_describe(admin: Client, member: Join, group: str, version: int) -> None:
    """State, protocol and members with what they said of themselves, and their assignments where all have one."""
    a, b = subscription("a"), subscription("b", user_data=b"mine")
    one, static = member(protocols=[("range", a), ("other", b)]), member(instance="i", protocols=[("range", b)])
    settle(one, static)
    nobody = f"{group}-nobody"
    await_coordinator(admin, nobody)
    described = admin.ask("DescribeGroups", version, groups=[group, nobody]).groups
    found, missing = sorted(described, key=lambda each: each.group_id)
    assert [found.group_id, missing.group_id] == [group, nobody]
    assert (found.error_code, found.group_state) == (Error.NONE, "Stable")
    assert (found.protocol_type, found.protocol_data) == ("consumer", "range")
    assert found.authorized_operations == NO_OPERATIONS
    members = {each.member_id: each for each in found.members}
    assert set(members) == {one.id, static.id}
    assert {each.client_id for each in found.members} == {"schema"}
    assert {each.client_host for each in found.members} == {"/127.0.0.1"}
    for each, metadata, assignment in ((one, a, b"0"), (static, b, b"1")):
        told = members[each.id]
        assert (told.member_metadata, told.member_assignment) == (metadata, assignment)
        assert told.group_instance_id == (each.instance if version >= 4 else None)
    assert missing.error_code == (Error.GROUP_ID_NOT_FOUND if version >= 6 else Error.NONE)
    assert (missing.group_state, missing.protocol_type, missing.protocol_data) == ("Dead", "", "")
    assert missing.members == []
    if version >= 6:
        assert missing.error_message


@pytest.mark.parametrize("version", versions("DescribeGroups", since=3))
def test_authorized_operations(admin: Client, group: str, topic: str, version: int) -> None:
    """Without an authorizer everybody may do everything that can be done to a group."""
    commit(admin, group, admin.create(topic), {0: 1})
    (found,) = admin.ask("DescribeGroups", version, groups=[group], include_authorized_operations=True).groups
    assert {bit for bit in range(32) if found.authorized_operations >> bit & 1} == OPERATIONS_ON_GROUPS


def test_states(admin: Client, member: Join, group: str, topic: str) -> None:
    """A group goes through its states, which are told as they are."""
    made = admin.create(topic)
    commit(admin, group, made, {0: 1})
    assert describe(admin, group).group_state == "Empty"
    one, other = member(), member()
    one.join()
    found = describe(admin, group)
    assert (found.group_state, found.protocol_type, found.protocol_data) == ("CompletingRebalance", "consumer", "")
    (told,) = found.members
    assert (told.member_metadata, told.member_assignment) == (b"", b"")
    one.sync({one.id: b"x"})
    assert describe(admin, group).group_state == "Stable"
    other.take_id()
    other.send_join()
    one.await_rebalance()
    found = describe(admin, group)
    assert (found.group_state, found.protocol_data) == ("PreparingRebalance", "")
    one.send_join()
    for each in (one, other):
        each.joined()
    one.leave()
    other.await_rebalance()
    other.leave()
    found = describe(admin, group)
    assert (found.group_state, found.protocol_type, found.members) == ("Empty", "consumer", [])


@pytest.mark.parametrize("version", versions("ListGroups"))
def test_list(admin: Client, member: Join, group: str, topic: str, version: int) -> None:
    """All groups, or those in some states, or of some types; case does not matter."""
    simple, other = f"{group}-simple", f"{group}-other"
    for each in (simple, other):
        await_coordinator(admin, each)
    commit(admin, simple, admin.create(topic), {0: 1})
    settle(member())
    settle(member(other, protocol_type="connect"))

    def listed(**fields: object) -> set[str]:
        answer = admin.ask("ListGroups", version, **fields)
        assert answer.error_code == Error.NONE
        own = {each.group_id: each for each in answer.groups if each.group_id in (group, simple, other)}
        for each in own.values():
            expected = {group: "consumer", simple: "", other: "connect"}
            assert each.protocol_type == expected[each.group_id]
            state = "Empty" if each.group_id == simple else "Stable"
            assert each.group_state == (state if version >= 4 else "")
            assert each.group_type == ("classic" if version >= 5 else "")
        return set(own)

    assert listed() == {group, simple, other}
    if version >= 4:
        assert listed(states_filter=["Stable"]) == {group, other}
        assert listed(states_filter=["stable", "eMPTY"]) == {group, simple, other}
        assert listed(states_filter=["Dead"]) == set()
        assert listed(states_filter=["no such state"]) == set()
    if version >= 5:
        assert listed(types_filter=["Classic"]) == {group, simple, other}
        assert listed(types_filter=["consumer"]) == set()
        assert listed(types_filter=["consumer", "classic"], states_filter=["Empty"]) == {simple}
        assert listed(types_filter=["no such type"]) == set()


@pytest.mark.parametrize("version", versions("DeleteGroups"))
def test_delete(admin: Client, member: Join, group: str, topic: str, version: int) -> None:
    """Groups without members go, with their offsets; others stay; each is answered for itself."""
    made = admin.create(topic)
    empty, nobody = f"{group}-empty", f"{group}-nobody"
    for each in (empty, nobody):
        await_coordinator(admin, each)
    commit(admin, empty, made, {0: 7})
    one = member()
    settle(one)
    one.commit(made, {0: 8})
    results = admin.ask("DeleteGroups", version, groups_names=[group, empty, nobody, ""]).results
    assert {each.group_id: each.error_code for each in results} == {
        group: Error.NON_EMPTY_GROUP,
        empty: Error.NONE,
        nobody: Error.GROUP_ID_NOT_FOUND,
        "": Error.GROUP_ID_NOT_FOUND,
    }
    assert describe(admin, empty).group_state == "Dead"
    assert offset_of(admin, empty, made) == -1
    assert offset_of(admin, group, made) == 8
    one.leave()
    (result,) = admin.ask("DeleteGroups", version, groups_names=[group]).results
    assert result.error_code == Error.NONE
    assert describe(admin, group).group_state == "Dead"
    assert group not in {each.group_id for each in admin.ask("ListGroups", version).groups}


def test_what_was_deleted_stays_deleted(start_broker: StartBroker, group: str, topic: str) -> None:
    """Also after kill -9; and the id is free for a new group, which begins at generation 1."""
    broker = start_broker(arguments=["--set", "group.initial.rebalance.delay.ms=0"])
    one = Member(broker.address, group)
    made = one.create(topic)
    settle(one)
    one.commit(made, {0: 7})
    one.leave()
    (result,) = one.ask("DeleteGroups", latest("DeleteGroups"), groups_names=[group]).results
    assert result.error_code == Error.NONE
    one.socket.close()
    broker.kill()
    broker.start()
    again = Member(broker.address, group)
    assert describe(again, group).group_state == "Dead"
    assert offset_of(again, group, made) == -1
    assert again.join().generation_id == 1
    again.socket.close()


def test_long_and_odd_ids(admin: Client, member: Join, topic: str) -> None:
    """A group's id may be any text."""
    made = admin.create(topic)
    for odd in ("a group with spaces", "\N{SNOWMAN}/..\n", "x" * 5_000, " "):
        one = member(odd, protocols=[("range", NO_TOPICS)])
        settle(one)
        assert one.commit(made, {0: 5}) == {0: Error.NONE}
        assert offset_of(admin, odd, made) == 5
        one.leave()
        await_state(admin, odd, "Empty")
        (result,) = admin.ask("DeleteGroups", latest("DeleteGroups"), groups_names=[odd]).results
        assert result.error_code == Error.NONE
