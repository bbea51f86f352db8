"""OffsetCommit, OffsetFetch and OffsetDelete at every version, by members and by others; and when offsets expire."""

import uuid

import pytest

from broker_process import wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error, Topic
from protocol.conftest import Join
from protocol.groups import (
    Member,
    await_coordinator,
    await_state,
    commit,
    committed,
    describe,
    latest,
    offset_of,
    rejoin,
    settle,
    subscription,
)
from protocol.schema import NO_ID, versions

LARGEST_METADATA = 4_096
NO_OFFSET = -1


@pytest.mark.parametrize("version", versions("OffsetCommit"))
def test_commit_without_a_group(admin: Client, group: str, topic: str, version: int) -> None:
    """Whoever assigns partitions by hand commits as nobody, in generation -1, to a group without members."""
    made = admin.create(topic, 2)
    errors = commit(admin, group, made, {0: 5, 1: 1 << 40}, version, metadata="mine", leader_epoch=3)
    assert errors == {0: Error.NONE, 1: Error.NONE}
    found = committed(admin, group, made, [0, 1])
    assert {index: each.committed_offset for index, each in found.items()} == {0: 5, 1: 1 << 40}
    assert {each.metadata for each in found.values()} == {"mine"}
    assert {each.committed_leader_epoch for each in found.values()} == {3 if version >= 6 else -1}
    described = describe(admin, group)
    assert (described.group_state, described.protocol_type) == ("Empty", "")
    assert commit(admin, group, made, {0: 2}, version, metadata=None) == {0: Error.NONE}
    again = committed(admin, group, made)[0]
    assert (again.committed_offset, again.metadata) == (2, "")


@pytest.mark.parametrize("version", versions("OffsetCommit"))
def test_what_cannot_be_committed(admin: Client, group: str, topic: str, version: int) -> None:
    """Partitions that do not exist and metadata that is too large are refused, and what is good beside them is not."""
    made = admin.create(topic, 2)
    unknown = Error.UNKNOWN_TOPIC_OR_PARTITION
    assert commit(admin, group, made, {0: 5, 2: 5}, version) == {0: Error.NONE, 2: unknown}
    nowhere = Topic(f"{topic}-nowhere", uuid.uuid4())
    error = Error.UNKNOWN_TOPIC_ID if version >= 10 else unknown
    assert commit(admin, group, nowhere, {0: 5}, version) == {0: error}
    for size, error in ((LARGEST_METADATA, Error.NONE), (LARGEST_METADATA + 1, Error.OFFSET_METADATA_TOO_LARGE)):
        assert commit(admin, group, made, {0: 7}, version, metadata="x" * size) == {0: error}
    assert offset_of(admin, group, made) == 7


@pytest.mark.parametrize("version", versions("OffsetCommit"))
def test_zombies_are_fenced(admin: Client, member: Join, group: str, topic: str, version: int) -> None:
    """While a group has members, only they commit, and only in its generation."""
    made = admin.create(topic)
    one, other = member(), member()
    no_group = Error.GROUP_ID_NOT_FOUND if version >= 9 else Error.ILLEGAL_GENERATION
    stranger = {"generation_id_or_member_epoch": 3, "member_id": "nobody"}
    assert one.commit(made, {0: 1}, version, **stranger) == {0: no_group}
    settle(one)
    assert one.commit(made, {0: 10}, version) == {0: Error.NONE}
    assert commit(admin, group, made, {0: 1}, version) == {0: Error.UNKNOWN_MEMBER_ID}
    assert one.commit(made, {0: 1}, version, member_id="nobody") == {0: Error.UNKNOWN_MEMBER_ID}
    for wrong in (one.generation + 1, one.generation - 1, -1):
        assert one.commit(made, {0: 1}, version, generation_id_or_member_epoch=wrong) == {0: Error.ILLEGAL_GENERATION}
    other.take_id()
    other.send_join()
    one.await_rebalance()
    assert one.commit(made, {0: 11}, version) == {0: Error.NONE}, "what it has read is committed before it joins again"
    one.send_join()
    assert one.joined().error_code == other.joined().error_code == Error.NONE
    assert one.commit(made, {0: 1}, version) == {0: Error.REBALANCE_IN_PROGRESS}
    assert offset_of(admin, group, made) == 11


@pytest.mark.parametrize("version", versions("OffsetFetch"))
def test_fetch(admin: Client, group: str, topic: str, version: int) -> None:
    """What was committed, and -1 for what was not, or of groups and partitions that do not exist."""
    made = admin.create(topic, 3)
    commit(admin, group, made, {1: 7}, metadata="kept", leader_epoch=5)
    found = committed(admin, group, made, [0, 1, 9], version)
    assert {index: each.error_code for index, each in found.items()} == {0: 0, 1: 0, 9: 0}
    assert {index: each.committed_offset for index, each in found.items()} == {0: -1, 1: 7, 9: -1}
    assert {index: each.metadata for index, each in found.items()} == {0: "", 1: "kept", 9: ""}
    epochs = {0: -1, 1: 5 if version >= 5 else -1, 9: -1}
    assert {index: each.committed_leader_epoch for index, each in found.items()} == epochs
    nobody = committed(admin, f"{group}-nobody", made, [1], version)[1]
    assert (nobody.committed_offset, nobody.metadata, nobody.error_code) == (NO_OFFSET, "", Error.NONE)
    nowhere = committed(admin, group, Topic(f"{topic}-nowhere", uuid.uuid4()), [0], version)[0]
    assert nowhere.committed_offset == NO_OFFSET
    assert nowhere.error_code == (Error.UNKNOWN_TOPIC_ID if version >= 10 else Error.NONE)


@pytest.mark.parametrize("version", versions("OffsetFetch", since=2))
def test_fetch_all(admin: Client, group: str, topic: str, version: int) -> None:
    """Null stands for every partition of which something is committed."""
    topics = [admin.create(f"{topic}-{number}", 2) for number in range(2)]
    for number, each in enumerate(topics):
        commit(admin, group, each, {number: 10 + number})
    for of_group, count in ((group, 2), (f"{group}-nobody", 0)):
        if version < 8:
            answer = admin.ask("OffsetFetch", version, group_id=of_group, topics=None)
        else:
            (answer,) = admin.ask("OffsetFetch", version, groups=[{"group_id": of_group, "topics": None}]).groups
        assert answer.error_code == Error.NONE
        assert len(answer.topics) == count
        got = {
            (each.topic_id if version >= 10 else each.name): [
                (at.partition_index, at.committed_offset) for at in each.partitions
            ]
            for each in answer.topics
        }
        names = [each.id if version >= 10 else each.name for each in topics]
        assert got == ({names[0]: [(0, 10)], names[1]: [(1, 11)]} if count else {})


@pytest.mark.parametrize("version", versions("OffsetFetch", since=8))
def test_fetch_many_groups(admin: Client, group: str, topic: str, version: int) -> None:
    """One request asks for many groups, each in its own way; the answers come in that order."""
    made = admin.create(topic, 2)
    groups = [f"{group}-{number}" for number in range(5)]
    for number, each in enumerate(groups):
        await_coordinator(admin, each)
        commit(admin, each, made, {0: number, 1: 100 + number})
    wanted = [{"name": topic, "topic_id": made.id, "partition_indexes": [0]}]
    asked = [{"group_id": each, "topics": None if number % 2 else wanted} for number, each in enumerate(groups)]
    answer = admin.ask("OffsetFetch", version, groups=[*asked, {"group_id": f"{group}-nobody", "topics": wanted}])
    assert {each.group_id for each in answer.groups} == {*groups, f"{group}-nobody"}
    for each in answer.groups:
        assert each.error_code == Error.NONE
        (of_topic,) = each.topics
        assert of_topic.topic_id == (made.id if version >= 10 else NO_ID)
        offsets = {at.partition_index: at.committed_offset for at in of_topic.partitions}
        if each.group_id not in groups:
            assert offsets == {0: NO_OFFSET}
            continue
        number = groups.index(each.group_id)
        assert offsets == ({0: number, 1: 100 + number} if number % 2 else {0: number})


@pytest.mark.parametrize("version", versions("OffsetFetch", since=7))
def test_require_stable(admin: Client, group: str, topic: str, version: int) -> None:
    """Without transactions every commit is stable (KIP-447)."""
    made = admin.create(topic)
    commit(admin, group, made, {0: 3})
    found = committed(admin, group, made, [0], version, require_stable=True)[0]
    assert (found.committed_offset, found.error_code) == (3, Error.NONE)


@pytest.mark.parametrize("version", versions("OffsetFetch", since=9))
def test_fetch_by_a_classic_member(admin: Client, member: Join, group: str, topic: str, version: int) -> None:
    """A classic group looks at no member id; it has no epochs."""
    made = admin.create(topic)
    one = member()
    settle(one)
    one.commit(made, {0: 3})
    for fields in ({"member_id": one.id, "member_epoch": one.generation}, {"member_id": "nobody", "member_epoch": 9}):
        assert committed(admin, group, made, [0], version, **fields)[0].committed_offset == 3


def test_a_topic_made_anew(admin: Client, group: str, topic: str) -> None:
    """What was committed of a topic that is deleted is forgotten with it."""
    made = admin.create(topic)
    commit(admin, group, made, {0: 3})
    (gone,) = admin.ask("DeleteTopics", 6, topics=[{"name": topic}], timeout_ms=10_000).responses
    assert gone.error_code == Error.NONE
    wait_until(lambda: admin.metadata(topic).error_code != Error.NONE, DEADLINE_S, "the topic is gone")

    def offset() -> int:
        return committed(admin, group, made, [0], 9)[0].committed_offset

    wait_until(lambda: offset() == NO_OFFSET, DEADLINE_S, "its offsets are forgotten")
    again = admin.create(topic)
    assert offset_of(admin, group, again) == NO_OFFSET


def delete(client: Client, group: str, topics: dict[str, list[int]]) -> dict[str, dict[int, int]] | int:
    """Deletes offsets: the errors by topic and partition, or the one of all."""
    named = [
        {"name": name, "partitions": [{"partition_index": each} for each in indexes]}
        for name, indexes in topics.items()
    ]
    answer = client.ask("OffsetDelete", 0, group_id=group, topics=named)
    if answer.error_code != Error.NONE:
        return answer.error_code
    return {each.name: {at.partition_index: at.error_code for at in each.partitions} for each in answer.topics}


def test_delete_offsets(admin: Client, member: Join, group: str, topic: str) -> None:
    """Those of topics that no member is subscribed to can be deleted, with members or without."""
    used, unused = admin.create(topic), admin.create(f"{topic}-unused", 2)
    assert delete(admin, f"{group}-nobody", {topic: [0]}) == Error.GROUP_ID_NOT_FOUND
    assert delete(admin, "", {topic: [0]}) == Error.INVALID_GROUP_ID
    one = member(protocols=[("range", subscription(topic))])
    settle(one)
    one.commit(used, {0: 1})
    one.commit(unused, {0: 2, 1: 3})
    answer = delete(admin, group, {topic: [0], unused.name: [0, 7], f"{topic}-nowhere": [0]})
    assert answer == {
        topic: {0: Error.GROUP_SUBSCRIBED_TO_TOPIC},
        unused.name: {0: Error.NONE, 7: Error.UNKNOWN_TOPIC_OR_PARTITION},
        f"{topic}-nowhere": {0: Error.UNKNOWN_TOPIC_OR_PARTITION},
    }
    assert [offset_of(admin, group, unused, each) for each in (0, 1)] == [NO_OFFSET, 3]
    assert offset_of(admin, group, used) == 1
    one.leave()
    assert delete(admin, group, {topic: [0]}) == {topic: {0: Error.NONE}}
    assert offset_of(admin, group, used) == NO_OFFSET
    assert delete(admin, group, {topic: [0]}) == {topic: {0: Error.NONE}}, "there is nothing left to delete"


def test_delete_offsets_of_another_type(admin: Client, member: Join, group: str, topic: str) -> None:
    """Of a group with members whose type is not a consumer's nobody knows the topics."""
    made = admin.create(topic)
    one = member(protocol_type="connect")
    settle(one)
    one.commit(made, {0: 1})
    assert delete(admin, group, {topic: [0]}) == Error.NON_EMPTY_GROUP
    one.leave()
    assert delete(admin, group, {topic: [0]}) == {topic: {0: Error.NONE}}


@pytest.mark.parametrize("version", versions("OffsetCommit")[:3])
def test_offsets_with_an_end(start_broker: StartBroker, group: str, topic: str, version: int) -> None:
    """Old requests say how long an offset is kept; a group without offsets and members is gone. Members keep theirs."""
    broker = start_broker(
        arguments=["--set", "offsets.retention.check.interval.ms=100", "--set", "group.initial.rebalance.delay.ms=0"]
    )
    one = Member(broker.address, group)
    made = one.create(topic, 2)
    assert commit(one, group, made, {0: 5}, version, retention_time_ms=1) == {0: Error.NONE}
    assert commit(one, group, made, {1: 6}, version, retention_time_ms=100_000) == {1: Error.NONE}
    wait_until(lambda: offset_of(one, group, made) == NO_OFFSET, DEADLINE_S, "the offset is expired")
    assert offset_of(one, group, made, 1) == 6
    assert describe(one, group).group_state == "Empty"
    assert commit(one, group, made, {1: 7}, version, retention_time_ms=1) == {1: Error.NONE}
    await_state(one, group, "Dead")
    one.socket.close()


def test_commits_outlive_the_broker(start_broker: StartBroker, group: str, topic: str) -> None:
    """What was acknowledged is there after kill -9, with its metadata; so is what was deleted not."""
    broker = start_broker()
    with Client(broker.address) as client:
        await_coordinator(client, group)
        made = client.create(topic, 100)
        for lap in range(3):
            offsets = {index: 1_000 * lap + index for index in range(100)}
            assert set(commit(client, group, made, offsets, metadata=f"lap {lap}").values()) == {Error.NONE}
        assert delete(client, group, {topic: [7]}) == {topic: {7: Error.NONE}}
    broker.kill()
    broker.start()
    with Client(broker.address) as client:
        await_coordinator(client, group)
        found = committed(client, group, made, range(100))
        expected = {index: 2_000 + index for index in range(100)} | {7: NO_OFFSET}
        assert {index: each.committed_offset for index, each in found.items()} == expected
        assert {each.metadata for index, each in found.items() if index != 7} == {"lap 2"}


def test_a_member_commits_while_others_join(member: Join, topic: str) -> None:
    """Offsets of a member hold for the next generation."""
    one, other = member(), member()
    made = one.create(topic)
    settle(one)
    one.commit(made, {0: 9})
    other.take_id()
    rejoin(other, one)
    assert offset_of(other, one.group, made) == 9
    assert latest("OffsetFetch") >= 10
