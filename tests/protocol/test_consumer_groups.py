"""ConsumerGroupHeartbeat and ConsumerGroupDescribe (KIP-848): epochs, assignments, fencing, instances, patterns."""

import time

import pytest

from broker_process import wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error, Topic
from protocol.conftest import Subscribe
from protocol.groups import (
    QUICK,
    Consumer,
    await_coordinator,
    commit,
    committed,
    describe,
    describe_consumers,
    latest,
    reconcile,
    set_config,
)
from protocol.schema import versions

SHORT_MS = 400
SPARE_MS = 2_000
"""A timeout within which the test itself has something to do."""
HEARTBEAT_MS = 5_000
TWELVE = list(range(12))


def shares(topic: Topic, *members: Consumer) -> list[list[int]]:
    """The members' partitions, each of which must be one member's."""
    found = [each.partitions(topic) for each in members]
    together = [partition for each in found for partition in each]
    assert len(set(together)) == len(together), found
    return found


@pytest.mark.parametrize("version", versions("ConsumerGroupHeartbeat"))
def test_the_first_member_has_everything(consumer: Subscribe, topic: str, version: int) -> None:
    """It is in the group's epoch at once, is told when to speak again, and then only what is new."""
    one = consumer()
    made = one.create(topic, 12)
    if version == 0:
        one.id = ""
    answer = one.join(topic, version=version)
    assert (answer.error_code, answer.error_message) == (Error.NONE, None)
    epoch = describe_consumers(one, one.group).group_epoch
    assert (answer.member_epoch, answer.heartbeat_interval_ms) == (epoch, HEARTBEAT_MS)
    assert answer.member_id
    assert one.assigned == {made.id: TWELVE}
    answer = one.beat(version)
    assert (answer.error_code, answer.member_epoch, answer.assignment) == (Error.NONE, epoch, None)
    # Whoever says what it has, or what it wants, is told what it should have.
    one.comply()
    answer = one.beat(version, rebalance_timeout_ms=5_000, subscribed_topic_names=[topic], topic_partitions=[])
    assert answer.assignment is not None
    assert one.assigned == {made.id: TWELVE}


def test_partitions_change_hands(consumer: Subscribe, topic: str) -> None:
    """A partition is given to another only once it was let go of; who keeps what it has is not disturbed."""
    one, two = consumer(), consumer()
    made = one.create(topic, 12)
    one.join(topic)
    one.comply()
    assert one.partitions(made) == TWELVE
    epoch = one.epoch
    answer = two.join(topic)
    assert answer.error_code == Error.NONE
    assert two.assigned == {}
    # The first one is told to give up half; until it says so it stays in its epoch, and the other waits.
    answer = one.beat()
    assert answer.assignment is not None
    keeps = one.assigned[made.id]
    assert (len(keeps), one.epoch) == (6, epoch)
    assert two.comply().assignment is None
    assert describe_consumers(one, one.group).group_state == "Reconciling"
    one.comply()
    assert one.epoch == epoch + 1
    two.comply()
    assert (two.epoch, two.assigned) == (epoch + 1, {made.id: sorted(set(TWELVE) - set(keeps))})
    reconcile(one, two)
    assert shares(made, one, two) == [keeps, sorted(set(TWELVE) - set(keeps))]


def test_three_members_share(consumer: Subscribe, topic: str) -> None:
    """By the default assignor, `uniform`, each has four, and moves are few when one leaves."""
    members = [consumer() for _ in range(3)]
    made = members[0].create(topic, 12)
    for number, each in enumerate(members):
        each.join(topic)
        reconcile(*members[: number + 1])
    before = shares(made, *members)
    assert [len(each) for each in before] == [4, 4, 4]
    assert members[1].leave() == Error.NONE
    reconcile(members[0], members[2])
    after = shares(made, members[0], members[2])
    assert [len(each) for each in after] == [6, 6]
    assert set(before[0]) <= set(after[0])
    assert set(before[2]) <= set(after[1])
    assert members[1].beat().error_code == Error.UNKNOWN_MEMBER_ID


def test_range(consumer: Subscribe, topic: str) -> None:
    """By `range` each member has the same, adjoining partitions of each topic."""
    members = [consumer() for _ in range(3)]
    topics = [members[0].create(f"{topic}-{number}", 12) for number in range(2)]
    names = [each.name for each in topics]
    for each in members:
        each.join(*names, server_assignor="range")
    reconcile(*members)
    found = shares(topics[0], *members)
    assert sorted(found) == [TWELVE[:4], TWELVE[4:8], TWELVE[8:]]
    assert shares(topics[1], *members) == found
    assert describe_consumers(members[0], members[0].group).assignor_name == "range"


def test_most_members_decide_the_assignor(consumer: Subscribe, topic: str) -> None:
    """What most ask for counts; who asks for none has no vote."""
    one, two, three = (consumer() for _ in range(3))
    one.create(topic, 3)
    one.join(topic, server_assignor="range")
    two.join(topic, server_assignor="uniform")
    three.join(topic, server_assignor="uniform")
    reconcile(one, two, three)
    assert describe_consumers(one, one.group).assignor_name == "uniform"
    one.beat(server_assignor="range")
    two.beat(server_assignor="range")
    reconcile(one, two, three)
    assert describe_consumers(one, one.group).assignor_name == "range"


def test_a_subscription_changes(admin: Client, consumer: Subscribe, topic: str) -> None:
    """To other topics, to none, to one that is yet to come; and a topic grows."""
    one = consumer()
    first, second = one.create(topic, 2), one.create(f"{topic}-second", 1)
    one.join(topic)
    reconcile(one)
    assert one.owned == {first.id: [0, 1]}
    one.beat(subscribed_topic_names=[topic, second.name])
    reconcile(one)
    assert one.owned == {first.id: [0, 1], second.id: [0]}
    one.beat(subscribed_topic_names=[])
    reconcile(one)
    assert one.owned == {}
    late = f"{topic}-late"
    one.beat(subscribed_topic_names=[late])
    reconcile(one)
    made = admin.create(late, 1)

    def has(count: int) -> bool:
        one.comply()
        return one.owned == {made.id: list(range(count))}

    wait_until(lambda: has(1), DEADLINE_S, "the new topic is assigned")
    grown = [{"name": late, "count": 3, "assignments": None}]
    (done,) = admin.ask("CreatePartitions", 3, topics=grown, timeout_ms=10_000).results
    assert done.error_code == Error.NONE
    wait_until(lambda: has(3), DEADLINE_S, "its new partitions are assigned")


@pytest.mark.parametrize("version", versions("ConsumerGroupHeartbeat", since=1))
def test_patterns(consumer: Subscribe, topic: str, version: int) -> None:
    """A subscription may be a pattern, which the broker matches against whole names, beside names (KIP-848, RE2)."""
    one, two = consumer(), consumer()
    made = {name: one.create(f"{topic}-{name}", 1) for name in ("a1", "a2", "b", "xa1")}
    one.join(version=version, subscribed_topic_names=None, subscribed_topic_regex=f"{topic}-a\\d+")

    def has(each: Consumer, *names: str) -> bool:
        assert each.comply().error_code == Error.NONE
        return each.owned == {made[name].id: [0] for name in names}

    wait_until(lambda: has(one, "a1", "a2"), DEADLINE_S, "what matches is assigned")
    described = describe_consumers(one, one.group).members[0]
    assert (described.subscribed_topic_regex, described.subscribed_topic_names) == (f"{topic}-a\\d+", [])
    one.beat(version, subscribed_topic_names=[f"{topic}-b"])
    wait_until(lambda: has(one, "a1", "a2", "b"), DEADLINE_S, "names count beside it")
    one.beat(version, subscribed_topic_regex="", subscribed_topic_names=[f"{topic}-b"])
    wait_until(lambda: has(one, "b"), DEADLINE_S, "an empty pattern is none")
    for wrong in ("(", "a{2,1}", "[z-a]"):
        answer = two.join(version=version, subscribed_topic_regex=wrong)
        assert answer.error_code == Error.INVALID_REGULAR_EXPRESSION
        assert answer.error_message
    assert len(describe_consumers(one, one.group).members) == 1


def test_a_pattern_is_looked_up_after_the_heartbeat_that_brings_it(consumer: Subscribe, topic: str) -> None:
    """The topics that a member names are assigned first, those that its pattern comes to with a later heartbeat."""
    one, two = consumer(), consumer()
    made = {name: one.create(f"{topic}-{name}", 1) for name in ("a1", "b")}
    answer = one.join(version=1, subscribed_topic_names=[f"{topic}-b"], subscribed_topic_regex=f"{topic}-a\\d")
    named = [(part.topic_id, part.partitions) for part in answer.assignment.topic_partitions]
    assert (answer.member_epoch, named) == (2, [(made["b"].id, [0])])

    def has_both() -> bool:
        assert one.comply().error_code == Error.NONE
        return one.owned == {made["a1"].id: [0], made["b"].id: [0]}

    wait_until(has_both, DEADLINE_S, "what matches is assigned, too")
    assert one.epoch == 3
    # Nothing is to be assigned yet to who is alone and brings a pattern only: that is no reason for an epoch.
    alone = consumer(f"{topic}-alone")
    answer = alone.join(version=1, subscribed_topic_names=None, subscribed_topic_regex=f"{topic}-a\\d")
    assert (answer.member_epoch, answer.assignment.topic_partitions) == (1, [])
    # One that others have brought before is known.
    answer = two.join(version=1, subscribed_topic_names=None, subscribed_topic_regex=f"{topic}-a\\d")
    assert answer.member_epoch == 4


@pytest.mark.parametrize("version", versions("ConsumerGroupHeartbeat"))
def test_what_is_no_heartbeat(consumer: Subscribe, topic: str, version: int) -> None:
    """What must be there, and what must not; assignors that there are not; members that nobody knows."""
    one = consumer()
    one.create(topic)

    def refused(error: Error, **fields: object) -> None:
        one.id = "some-member"
        answer = one.join(topic, version=version, **fields)
        assert (answer.error_code, bool(answer.error_message)) == (error, True), fields

    for fields in (
        {"group_id": ""},
        {"instance_id": ""},
        {"rack_id": ""},
        {"rebalance_timeout_ms": -1},
        {"subscribed_topic_names": None},
        {"topic_partitions": None},
        {"member_epoch": -3},
        {"member_epoch": -2},
    ):
        refused(Error.INVALID_REQUEST, **fields)
    for assignor in ("round and round", ""):
        refused(Error.UNSUPPORTED_ASSIGNOR, server_assignor=assignor)
    if version >= 1:
        refused(Error.INVALID_REQUEST, member_id="")
    for epoch in (1, -1):
        one.id = "some-member"
        answer = one.beat(version, member_epoch=epoch)
        assert (answer.error_code, bool(answer.error_message)) == (Error.GROUP_ID_NOT_FOUND, True)
    two = consumer()
    two.join(topic)
    for epoch in (1, -1):
        assert one.beat(version, member_epoch=epoch).error_code == Error.UNKNOWN_MEMBER_ID
    assert two.beat(version).error_code == Error.NONE


@pytest.mark.wiber_only("Kafka's INVALID_REQUEST ends librdkafka's members (docs/adr/0014)")
@pytest.mark.parametrize("version", versions("ConsumerGroupHeartbeat"))
def test_a_member_that_lost_its_epoch_joins(consumer: Subscribe, topic: str, version: int) -> None:
    """librdkafka at times goes on with an ordinary heartbeat where it has to join; it is told to, and does."""
    one = consumer()
    one.create(topic, 2)
    one.join(topic)
    one.comply()
    one.beat(version, member_epoch=-1)
    answer = one.beat(version, member_epoch=0, subscribed_topic_names=[topic])
    assert (answer.error_code, bool(answer.error_message)) == (Error.FENCED_MEMBER_EPOCH, True)
    one.join(topic, version=version)
    assert one.beat(version).error_code == Error.NONE


def test_epochs_fence(consumer: Subscribe, topic: str) -> None:
    """A member with another epoch than its own must begin again; one that missed an answer need not."""
    one, two = consumer(), consumer()
    made = one.create(topic, 2)
    one.join(topic)
    one.comply()
    assert one.beat(member_epoch=one.epoch + 1).error_code == Error.FENCED_MEMBER_EPOCH
    two.join(topic)
    reconcile(one, two)
    assert one.epoch > 1
    # The answer with the new epoch may be lost: the one before is good for whoever has nothing but what it should have.
    lost = [{"topic_id": made.id, "partitions": one.partitions(made)}]
    answer = one.ask(
        "ConsumerGroupHeartbeat",
        1,
        group_id=one.group,
        member_id=one.id,
        member_epoch=one.epoch - 1,
        topic_partitions=lost,
    )
    assert (answer.error_code, answer.member_epoch) == (Error.NONE, one.epoch)
    everything = [{"topic_id": made.id, "partitions": [0, 1]}]
    answer = one.beat(member_epoch=one.epoch - 1, topic_partitions=everything)
    assert answer.error_code == Error.FENCED_MEMBER_EPOCH
    answer = one.join(topic)
    assert (answer.error_code, answer.member_epoch) == (Error.NONE, two.epoch), "it is the same member still"
    reconcile(one, two)
    assert [len(each) for each in shares(made, one, two)] == [1, 1]


def test_a_silent_member_is_removed(admin: Client, consumer: Subscribe, group: str, topic: str) -> None:
    """By the session timeout of its group, which can be set while it lives."""
    made = admin.create(topic, 2)
    settings = {"consumer_session_timeout_ms": str(SHORT_MS), "consumer_heartbeat_interval_ms": "50"}
    assert set_config(admin, group, **settings) == [Error.NONE]
    silent, other = consumer(), consumer()
    begun = 0.0

    def in_force() -> bool:
        nonlocal begun
        begun = time.monotonic()
        return silent.join(topic).heartbeat_interval_ms == 50

    wait_until(in_force, DEADLINE_S, "the group's settings are in force")
    other.join(topic)

    def alone() -> bool:
        if other.comply().error_code == Error.UNKNOWN_MEMBER_ID:
            # Its own session has ended: a busy machine.
            other.join(topic)
        return other.partitions(made) == [0, 1]

    wait_until(alone, DEADLINE_S, "the other has everything")
    assert time.monotonic() - begun > SHORT_MS / 1000 * 0.95
    assert silent.beat().error_code == Error.UNKNOWN_MEMBER_ID


def test_who_does_not_let_go_is_removed(consumer: Subscribe, topic: str) -> None:
    """Within its rebalance timeout, while its session goes on."""
    stubborn, other = consumer(), consumer()
    made = stubborn.create(topic, 2)
    stubborn.join(topic, rebalance_timeout_ms=SPARE_MS)
    stubborn.comply()
    other.join(topic)
    assert stubborn.beat().assignment is not None

    def removed() -> bool:
        return stubborn.beat(member_epoch=1).error_code == Error.UNKNOWN_MEMBER_ID

    wait_until(removed, DEADLINE_S, "the stubborn member is removed")
    reconcile(other)
    assert other.partitions(made) == [0, 1]


def test_static_members(consumer: Subscribe, topic: str) -> None:
    """One that leaves for a while keeps its share; nobody takes its name while it is there."""
    static, other = consumer(instance="i"), consumer()
    made = static.create(topic, 4)
    static.join(topic)
    other.join(topic)
    reconcile(static, other)
    share, epoch = static.partitions(made), other.epoch
    taken = consumer(instance="i")
    assert taken.join(topic).error_code == Error.UNRELEASED_INSTANCE_ID
    assert taken.beat(member_epoch=epoch).error_code in (Error.UNKNOWN_MEMBER_ID, Error.FENCED_INSTANCE_ID)
    answer = static.beat(member_epoch=-2)
    assert (answer.error_code, answer.member_epoch) == (Error.NONE, -2)
    assert other.beat().assignment is None
    back = consumer(instance="i")
    assert back.join(topic).error_code == Error.NONE
    assert back.assigned == {made.id: share}
    reconcile(back, other)
    assert other.epoch == epoch, "nothing had to be assigned anew"
    assert static.beat(member_epoch=epoch).error_code in (Error.UNKNOWN_MEMBER_ID, Error.FENCED_INSTANCE_ID)
    described = {each.member_id: each.instance_id for each in describe_consumers(back, back.group).members}
    assert described == {back.id: "i", other.id: None}
    assert back.leave() == Error.NONE
    reconcile(other)
    assert other.partitions(made) == [0, 1, 2, 3]


def test_a_group_is_full(consumer: Subscribe, topic: str) -> None:
    """The member too many is refused; members that are there go on."""
    members = [consumer() for _ in range(int(QUICK["group.consumer.max.size"]))]
    members[0].create(topic)
    for each in members:
        assert each.join(topic).error_code == Error.NONE
    assert consumer().join(topic).error_code == Error.GROUP_MAX_SIZE_REACHED
    assert {each.beat().error_code for each in members} == {Error.NONE}
    members[0].leave()
    assert consumer().join(topic).error_code == Error.NONE


@pytest.mark.parametrize("version", versions("OffsetCommit"))
def test_commits_by_epoch(admin: Client, consumer: Subscribe, group: str, topic: str, version: int) -> None:
    """Members commit in their epoch; in an older one, or as a stranger, they are fenced. Old requests have none."""
    made = admin.create(topic, 2)
    one, two = consumer(), consumer()
    one.join(topic)
    two.join(topic)
    reconcile(one, two)

    def by(member_id: str, epoch: int, number: int) -> int:
        who = {"member_id": member_id, "generation_id_or_member_epoch": epoch}
        return commit(admin, group, made, {0: number}, version, **who)[0]

    if version < 9:
        assert by(one.id, one.epoch, 1) == Error.UNSUPPORTED_VERSION
        return
    assert by(one.id, one.epoch, 5) == Error.NONE
    assert by("nobody", one.epoch, 1) == Error.UNKNOWN_MEMBER_ID
    assert by(one.id, one.epoch + 1, 1) == Error.STALE_MEMBER_EPOCH
    assert by("", -1, 1) == Error.UNKNOWN_MEMBER_ID
    assert committed(admin, group, made)[0].committed_offset == 5
    for each in (one, two):
        each.leave()
    assert by("", -1, 6) == Error.NONE
    assert committed(admin, group, made)[0].committed_offset == 6


@pytest.mark.parametrize("version", versions("OffsetFetch", since=9))
def test_fetches_by_epoch(admin: Client, consumer: Subscribe, group: str, topic: str, version: int) -> None:
    """Whoever says that it is a member must be one, in its epoch; an administrator says nothing."""
    made = admin.create(topic)
    one = consumer()
    one.join(topic)
    commit(admin, group, made, {0: 5}, member_id=one.id, generation_id_or_member_epoch=one.epoch)

    def error(member_id: str | None, epoch: int) -> int:
        wanted = [{"name": topic, "topic_id": made.id, "partition_indexes": [0]}]
        asked = {"group_id": group, "member_id": member_id, "member_epoch": epoch, "topics": wanted}
        (answer,) = admin.ask("OffsetFetch", version, groups=[asked]).groups
        return answer.error_code

    assert error(one.id, one.epoch) == Error.NONE
    assert error(None, -1) == Error.NONE
    assert error("nobody", one.epoch) == Error.UNKNOWN_MEMBER_ID
    assert error(one.id, one.epoch + 1) == Error.STALE_MEMBER_EPOCH
    assert committed(admin, group, made, [0], version)[0].committed_offset == 5


@pytest.mark.parametrize("version", versions("ConsumerGroupDescribe"))
def test_describe(admin: Client, consumer: Subscribe, group: str, topic: str, version: int) -> None:
    """Epochs, members, what they have and should have; groups of another type are not found."""
    made = admin.create(topic, 3)
    one, two = consumer(instance="i"), consumer()
    one.join(topic, rack_id="r")
    two.join(topic)
    reconcile(one, two)
    found = describe_consumers(admin, group, version)
    assert (found.error_code, found.error_message, found.group_id) == (Error.NONE, None, group)
    assert (found.group_state, found.assignor_name) == ("Stable", "uniform")
    assert found.group_epoch == found.assignment_epoch == one.epoch
    members = {each.member_id: each for each in found.members}
    assert set(members) == {one.id, two.id}
    for each in (one, two):
        told = members[each.id]
        assert (told.instance_id, told.rack_id) == (("i", "r") if each is one else (None, None))
        assert (told.member_epoch, told.client_id, told.client_host) == (each.epoch, "schema", "/127.0.0.1")
        assert (told.subscribed_topic_names, told.subscribed_topic_regex) == ([topic], "")
        assert told.member_type == (1 if version >= 1 else -1)
        for assignment in (told.assignment, told.target_assignment):
            (part,) = assignment.topic_partitions
            assert (part.topic_id, part.topic_name, sorted(part.partitions)) == (made.id, topic, each.partitions(made))
    with_operations = describe_consumers(admin, group, version, include_authorized_operations=True)
    assert with_operations.authorized_operations > 0 > found.authorized_operations
    missing = describe_consumers(admin, f"{group}-nobody", version)
    assert (missing.error_code, missing.group_state, missing.members) == (Error.GROUP_ID_NOT_FOUND, "", [])
    simple = f"{group}-simple"
    await_coordinator(admin, simple)
    commit(admin, simple, made, {0: 1})
    assert describe_consumers(admin, simple, version).error_code == Error.GROUP_ID_NOT_FOUND
    assert describe(admin, group).error_code == Error.GROUP_ID_NOT_FOUND


def test_list_and_delete(admin: Client, consumer: Subscribe, group: str, topic: str) -> None:
    """A group of the consumer protocol is listed as such, and can be deleted once it is empty."""
    admin.create(topic)
    one = consumer()
    one.join(topic)
    reconcile(one)

    def listed(**fields: object) -> list[tuple[str, str, str]]:
        found = admin.ask("ListGroups", latest("ListGroups"), **fields).groups
        return [(each.protocol_type, each.group_state, each.group_type) for each in found if each.group_id == group]

    def delete() -> int:
        (result,) = admin.ask("DeleteGroups", latest("DeleteGroups"), groups_names=[group]).results
        return result.error_code

    assert listed() == listed(types_filter=["consumer"]) == [("consumer", "Stable", "consumer")]
    assert listed(types_filter=["classic"]) == listed(states_filter=["Empty"]) == []
    assert delete() == Error.NON_EMPTY_GROUP
    one.leave()
    assert listed() == [("consumer", "Empty", "consumer")]
    assert delete() == Error.NONE
    assert listed() == []
    assert describe_consumers(admin, group).error_code == Error.GROUP_ID_NOT_FOUND


def test_groups_outlive_the_broker(start_broker: StartBroker, group: str, topic: str) -> None:
    """After kill -9 members go on in their epochs, with what they have."""
    broker = start_broker(arguments=["--set", "group.consumer.assignment.interval.ms=0"])
    one, two = Consumer(broker.address, group), Consumer(broker.address, group, instance="i")
    made = one.create(topic, 12)
    one.join(topic)
    two.join(topic)
    reconcile(one, two)
    assert commit(one, group, made, {3: 33}, member_id=one.id, generation_id_or_member_epoch=one.epoch)[3] == Error.NONE
    broker.kill()
    broker.start()
    back = [Consumer(broker.address, group, instance=each.instance) for each in (one, two)]
    for old, new in zip((one, two), back, strict=True):
        new.id, new.epoch, new.owned, new.assigned = old.id, old.epoch, old.owned, dict(old.owned)
        answer = new.beat()
        assert (answer.error_code, answer.member_epoch, answer.assignment) == (Error.NONE, old.epoch, None)
    reconcile(*back)
    assert shares(made, *back) == shares(made, one, two)
    assert committed(back[0], group, made, [3])[3].committed_offset == 33
    for each in (one, two, *back):
        each.socket.close()
