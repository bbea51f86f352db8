"""`__consumer_offsets`: an internal topic like others, whose records are Kafka's own, by Kafka's own schemas."""

import time
from types import SimpleNamespace

from broker_process import BrokerProcess
from protocol.client import Client, Error, Topic
from protocol.conftest import Join, Subscribe
from protocol.groups import (
    NO_TOPICS,
    QUICK,
    await_coordinator,
    commit,
    describe_consumers,
    latest,
    reconcile,
    settle,
    subscription,
)
from protocol.records import Record
from protocol.schema import Message, Reader, coordinator_records

NAME = "__consumer_offsets"

Told = tuple[str, SimpleNamespace, SimpleNamespace | None]
"""The kind of a record, its key, and its value or, for a tombstone, none."""


def read(kind: Message, data: bytes, version: int) -> SimpleNamespace:
    """A key or a value; nothing may be left of it."""
    reader = Reader(data)
    found = kind.read(version, reader)
    assert reader.at == len(data)
    return found


def decoded(record: Record) -> Told:
    """A record of the topic, by Kafka's schemas: the first two bytes say which."""
    assert record.key is not None
    number = int.from_bytes(record.key[:2])
    name, key, value = coordinator_records()[number]
    told = read(key, record.key[2:], 0)
    if record.value is None:
        return name, told, None
    version = int.from_bytes(record.value[:2])
    assert version in range(value.versions.first, value.versions.last + 1)
    found = read(value, record.value[2:], version)
    found.version = version
    return name, told, found


def group_of(key: SimpleNamespace) -> str:
    """The group that a record is about."""
    return key.group if hasattr(key, "group") else key.group_id


def partition_of(group: str) -> int:
    """Where the records of a group are: by Java's hash of its id."""
    value = 0
    for unit in memoryview(group.encode("utf-16-le")).cast("H"):
        value = (31 * value + unit) & 0xFFFFFFFF
    signed = value - (value >> 31 << 32)
    # The least number has no counterpart: it counts as 0.
    positive = 0 if signed == -(1 << 31) else abs(signed)
    return positive % int(QUICK["offsets.topic.num.partitions"])


def records_of_group(client: Client, group: str) -> list[Told]:
    """What the topic says of a group, in order."""
    made = Topic(NAME, client.metadata(NAME).topic_id)
    told = [decoded(each) for each in client.records(made, partition_of(group))]
    return [each for each in told if group_of(each[1]) == group]


def test_the_topic(admin: Client) -> None:
    """It is internal, has as many partitions as was said, and is compacted; nobody may write to it as a user would."""
    found = admin.metadata(NAME)
    assert (found.error_code, found.is_internal) == (Error.NONE, True)
    assert len(found.partitions) == int(QUICK["offsets.topic.num.partitions"])
    wanted = [{"resource_type": 2, "resource_name": NAME, "configuration_keys": None}]
    (described,) = admin.ask("DescribeConfigs", 4, resources=wanted).results
    own = {each.name: each.value for each in described.configs if each.config_source == 1}
    assert own == {"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}


def test_records_of_offsets(admin: Client, group: str, topic: str) -> None:
    """A commit is a record with what was committed, a deletion is its tombstone."""
    made = admin.create(topic, 2)
    before = time.time() * 1000
    commit(admin, group, made, {0: 42}, metadata="mine", leader_epoch=3)
    commit(admin, group, made, {1: 1 << 40}, version=5)
    commit(admin, group, made, {0: 43}, version=4, retention_time_ms=1_000_000)
    topics = [{"name": topic, "partitions": [{"partition_index": 1}]}]
    assert admin.ask("OffsetDelete", 0, group_id=group, topics=topics).error_code == Error.NONE
    told = [each for each in records_of_group(admin, group) if each[0] == "OffsetCommit"]
    assert [(key.topic, key.partition) for _, key, _ in told] == [(topic, 0), (topic, 1), (topic, 0), (topic, 1)]
    first, second, third = (value for _, _, value in told[:3])
    assert told[3][2] is None
    assert (first.offset, first.metadata, first.leader_epoch) == (42, "mine", 3)
    assert (second.offset, second.metadata, second.leader_epoch) == (1 << 40, "", -1)
    for each in (first, second, third):
        assert before - 1_000 <= each.commit_timestamp <= time.time() * 1000 + 1_000
    # An end of its own has a place only in version 1 of the value.
    assert [each.version for each in (first, third)] == [4 if first.topic_id else 3, 1]
    assert (third.offset, third.expire_timestamp) == (43, third.commit_timestamp + 1_000_000)
    assert {each.expire_timestamp for each in (first, second)} == {-1}


def test_records_of_a_classic_group(admin: Client, member: Join, group: str) -> None:
    """One record for each generation that is settled, with all that a new coordinator must know."""
    wish = subscription("a", user_data=b"\0\xff")
    one, two = member(protocols=[("range", wish), ("other", NO_TOPICS)]), member(instance="i")
    settle(one, two)
    for each in (one, two):
        each.leave()
    (result,) = admin.ask("DeleteGroups", latest("DeleteGroups"), groups_names=[group]).results
    assert result.error_code == Error.NONE
    told = records_of_group(admin, group)
    assert {name for name, _, _ in told} == {"GroupMetadata"}
    values = [value for _, _, value in told]
    assert values[-1] is None
    settled = next(each for each in values if each and len(each.members) == 2 and each.members[0].assignment)
    assert (settled.protocol_type, settled.generation, settled.protocol) == ("consumer", 2, "range")
    assert settled.leader == one.id
    members = {each.member_id: each for each in settled.members}
    assert set(members) == {one.id, two.id}
    for each, subscribed, assigned in ((one, wish, b"0"), (two, NO_TOPICS, b"1")):
        found = members[each.id]
        assert (found.group_instance_id, found.client_id, found.client_host) == (each.instance, "schema", "/127.0.0.1")
        assert (found.session_timeout, found.rebalance_timeout) == (each.session_ms, each.rebalance_ms)
        assert (found.subscription, found.assignment) == (subscribed, assigned)
    empty = values[-2]
    assert empty is not None
    assert (empty.protocol_type, empty.protocol, empty.leader, empty.members) == ("consumer", None, None, [])
    assert empty.current_state_timestamp > 0


def test_records_of_a_consumer_group(admin: Client, consumer: Subscribe, group: str, topic: str) -> None:
    """Each member's wishes, its target and what it has; the group's epochs; tombstones for all once it is deleted."""
    made = admin.create(topic, 4)
    one, two = consumer(instance="i"), consumer()
    one.join(topic, rack_id="r", server_assignor="range", rebalance_timeout_ms=12_345)
    two.join(topic)
    reconcile(one, two)
    described = describe_consumers(admin, group)
    last: dict[tuple[str, str], SimpleNamespace | None] = {}
    for name, key, value in records_of_group(admin, group):
        last[name, getattr(key, "member_id", "")] = value
    prefix = "ConsumerGroup"
    assert last[f"{prefix}Metadata", ""].epoch == described.group_epoch
    assert last[f"{prefix}TargetAssignmentMetadata", ""].assignment_epoch == described.assignment_epoch
    wishes = last[f"{prefix}MemberMetadata", one.id]
    assert (wishes.instance_id, wishes.rack_id, wishes.client_id, wishes.client_host) == (
        "i",
        "r",
        "schema",
        "/127.0.0.1",
    )
    assert (wishes.subscribed_topic_names, wishes.subscribed_topic_regex or "") == ([topic], "")
    assert (wishes.rebalance_timeout_ms, wishes.server_assignor) == (12_345, "range")
    assert wishes.classic_member_metadata is None
    for each in (one, two):
        (target,) = last[f"{prefix}TargetAssignmentMember", each.id].topic_partitions
        assert (target.topic_id, sorted(target.partitions)) == (made.id, each.partitions(made))
        current = last[f"{prefix}CurrentMemberAssignment", each.id]
        assert (current.member_epoch, current.state, current.partitions_pending_revocation) == (each.epoch, 0, [])
        (has,) = current.assigned_partitions
        assert (has.topic_id, sorted(has.partitions)) == (made.id, each.partitions(made))
    for each in (one, two):
        each.leave()
    admin.ask("DeleteGroups", latest("DeleteGroups"), groups_names=[group])
    last = {}
    for name, key, value in records_of_group(admin, group):
        last[name, getattr(key, "member_id", "")] = value
    assert set(last.values()) == {None}


def test_a_group_has_its_partition(quick: BrokerProcess, admin: Client, group: str, topic: str) -> None:
    """All that is said of a group is in the partition of its id's hash, in Java's way, whatever the id is."""
    made = admin.create(topic)
    found = Topic(NAME, admin.metadata(NAME).topic_id)
    for name in (group, "\N{SNOWMAN}", "\U0001f600 odd", "polygenelubricants"):
        await_coordinator(admin, name)
        commit(admin, name, made, {0: 1})
        holders = [
            index
            for index in range(int(QUICK["offsets.topic.num.partitions"]))
            if any(group_of(decoded(each)[1]) == name for each in admin.records(found, index))
        ]
        assert holders == [partition_of(name)]
