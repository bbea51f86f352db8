"""From the classic protocol to the consumer protocol and back, with members and without (KIP-848)."""

import pytest

from broker_process import wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error
from protocol.conftest import Join, Subscribe
from protocol.groups import (
    Consumer,
    Member,
    commit,
    describe,
    describe_consumers,
    latest,
    offset_of,
    reconcile,
    settle,
    subscription,
)
from protocol.schema import Reader, message


def type_of(client: Client, group: str) -> str | None:
    """The type of a group, as listed."""
    found = client.ask("ListGroups", latest("ListGroups")).groups
    return next((each.group_type for each in found if each.group_id == group), None)


def partitions_in(assignment: bytes) -> dict[str, list[int]]:
    """What a classic consumer reads of its assignment."""
    reader = Reader(assignment)
    version = reader.number("int16")
    found = message("ConsumerProtocolAssignment").read(version, reader)
    return {each.topic: sorted(each.partitions) for each in found.assigned_partitions}


def test_empty_groups_change_by_whoever_joins(
    admin: Client, member: Join, consumer: Subscribe, group: str, topic: str
) -> None:
    """A group without members becomes what the next member speaks, and keeps its offsets."""
    made = admin.create(topic)
    commit(admin, group, made, {0: 5})
    assert type_of(admin, group) == "classic"
    one = consumer()
    assert one.join(topic).error_code == Error.NONE
    assert type_of(admin, group) == "consumer"
    assert offset_of(admin, group, made) == 5
    one.leave()
    classic = member(protocols=[("range", subscription(topic))])
    assert classic.join().error_code == Error.NONE
    assert type_of(admin, group) == "classic"
    assert classic.sync({classic.id: b"x"}).assignment == b"x"
    assert offset_of(admin, group, made) == 5
    assert describe_consumers(admin, group).error_code == Error.GROUP_ID_NOT_FOUND


def test_members_of_other_types_stay_apart(member: Join, consumer: Subscribe, group: str, topic: str) -> None:
    """A group of Connect's workers takes no consumers; nor is it changed by their trying."""
    worker, one = member(protocol_type="connect"), consumer()
    one.create(topic)
    settle(worker)
    assert one.join(topic).error_code == Error.GROUP_ID_NOT_FOUND
    assert worker.heartbeat() == Error.NONE
    assert describe(one, group).protocol_type == "connect"


def test_upgrade_and_downgrade(admin: Client, member: Join, consumer: Subscribe, group: str, topic: str) -> None:
    """Members of both protocols share a group; with the last consumer gone it is a classic one again."""
    made = admin.create(topic, 4)
    classic = member(protocols=[("range", subscription(topic, version=3))])
    answer = classic.join()
    assert answer.error_code == Error.NONE
    whole = message("ConsumerProtocolAssignment").write(
        3, {"assigned_partitions": [{"topic": topic, "partitions": [0, 1, 2, 3]}]}
    )
    classic.sync({classic.id: (3).to_bytes(2) + whole})
    classic.commit(made, {0: 10})

    new = consumer()
    answer = new.join(topic)
    assert answer.error_code == Error.NONE, answer.error_message
    assert type_of(admin, group) == "consumer"
    described = {each.member_id: each.member_type for each in describe_consumers(admin, group).members}
    assert described == {classic.id: 0, new.id: 1}

    # The classic member is led by its own means: a rebalance, and an assignment that the broker made.
    classic.await_rebalance()
    eager = subscription(topic, version=3)
    classic.protocols = [("range", eager)]
    answer = classic.join()
    assert (answer.error_code, answer.members) == (Error.NONE, [])

    def shared() -> bool:
        synced = classic.sync()
        if synced.error_code == Error.REBALANCE_IN_PROGRESS:
            classic.join()
            return False
        assert synced.error_code == Error.NONE
        new.comply()
        mine, its = new.partitions(made), partitions_in(synced.assignment).get(topic, [])
        if classic.heartbeat() == Error.REBALANCE_IN_PROGRESS:
            classic.join()
            return False
        return sorted([*mine, *its]) == [0, 1, 2, 3] and len(mine) == 2

    wait_until(shared, DEADLINE_S, "both have two partitions")
    assert classic.commit(made, {0: 11}) == {0: Error.NONE}
    assert offset_of(admin, group, made) == 11

    assert new.leave() == Error.NONE
    assert type_of(admin, group) == "classic"
    classic.await_rebalance()
    answer = classic.join()
    assert (answer.error_code, answer.leader) == (Error.NONE, classic.id)
    assert [each.member_id for each in answer.members] == [classic.id]
    assert classic.sync({classic.id: b"all"}).assignment == b"all"
    assert describe(admin, group).group_state == "Stable"


def test_a_classic_member_joins_consumers(member: Join, consumer: Subscribe, group: str, topic: str) -> None:
    """It is told its share without a leader, in the form of the protocol that it speaks."""
    one = consumer()
    made = one.create(topic, 4)
    one.join(topic)
    reconcile(one)
    classic = member(protocols=[("range", subscription(topic, version=1))])
    classic.take_id()
    classic.send_join()
    answer = classic.joined()
    assert (answer.error_code, answer.protocol_name, answer.members) == (Error.NONE, "range", [])

    def shared() -> bool:
        one.comply()
        synced = classic.sync()
        if synced.error_code == Error.REBALANCE_IN_PROGRESS or classic.heartbeat() == Error.REBALANCE_IN_PROGRESS:
            classic.join()
            return False
        mine, its = one.partitions(made), partitions_in(synced.assignment).get(topic, [])
        return sorted([*mine, *its]) == [0, 1, 2, 3] and len(mine) == 2

    wait_until(shared, DEADLINE_S, "both have two partitions")
    # Whoever cannot be understood by the broker cannot be assigned anything by it.
    odd = member(protocol_type="connect")
    assert odd.join().error_code == Error.INCONSISTENT_GROUP_PROTOCOL
    assert classic.leave() == Error.NONE
    reconcile(one)
    assert one.partitions(made) == [0, 1, 2, 3]


@pytest.mark.parametrize("policy", ["disabled", "upgrade", "downgrade"])
def test_migration_policies(start_broker: StartBroker, group: str, topic: str, policy: str) -> None:
    """`group.consumer.migration.policy` says which ways are open while there are members."""
    broker = start_broker(
        arguments=[
            "--set",
            f"group.consumer.migration.policy={policy}",
            "--set",
            "group.initial.rebalance.delay.ms=0",
            "--set",
            "group.consumer.assignment.interval.ms=0",
        ]
    )
    classic = Member(broker.address, group, protocols=[("range", subscription(topic))])
    classic.create(topic, 2)
    classic.join()
    classic.sync({classic.id: b"\0\0" + message("ConsumerProtocolAssignment").write(0, {"user_data": None})})
    new = Consumer(broker.address, group)
    answer = new.join(topic)
    if policy == "upgrade":
        assert answer.error_code == Error.NONE
        assert type_of(new, group) == "consumer"
        new.leave()
        assert type_of(new, group) == "consumer", "there is no way back"
    else:
        assert answer.error_code == Error.GROUP_ID_NOT_FOUND
        assert classic.heartbeat() == Error.NONE
        assert type_of(new, group) == "classic"
    for each in (classic, new):
        each.socket.close()
