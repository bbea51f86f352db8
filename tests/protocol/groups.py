"""Members of groups, one connection each, that do only what the test has them do."""

import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from uuid import UUID, uuid4

from broker_process import wait_until
from protocol.client import DEADLINE_S, Client, Error, Topic
from protocol.schema import message, versions

LONG_MS = 60_000
"""A timeout that no test waits for."""

QUICK = {
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "100",
    "group.max.size": "4",
    "group.consumer.max.size": "4",
    "group.consumer.min.session.timeout.ms": "300",
    "group.consumer.min.heartbeat.interval.ms": "50",
    "group.consumer.assignment.interval.ms": "0",
    "offsets.topic.num.partitions": "4",
}
"""Settings of a broker whose groups keep no test waiting."""

GROUP = 0
"""The kind of a coordinator's key."""
GROUP_RESOURCE = 32
"""The kind of a resource with settings."""

Protocols = Sequence[tuple[str, bytes]]


def latest(api: str) -> int:
    """The newest stable version of an API."""
    return versions(api)[-1]


def coordinator_is_ready(client: Client, group: str) -> bool:
    """Whether the broker takes this group's requests: Kafka makes the internal topic when it is first asked."""
    found = client.ask("FindCoordinator", 3, key=group, key_type=GROUP)
    if found.error_code == Error.COORDINATOR_NOT_AVAILABLE:
        return False
    assert found.error_code == Error.NONE, found.error_message
    (described,) = client.ask("DescribeGroups", 5, groups=[group]).groups
    return described.error_code == Error.NONE


def await_coordinator(client: Client, group: str) -> None:
    """Waits until the broker takes this group's requests."""
    wait_until(lambda: coordinator_is_ready(client, group), DEADLINE_S, "the group's coordinator is ready")


def subscription(*topics: str, user_data: bytes | None = None, version: int = 0) -> bytes:
    """What a consumer says of itself when it joins. Kafka's coordinator reads it, for the topics."""
    body = {"topics": list(topics), "user_data": user_data}
    return version.to_bytes(2) + message("ConsumerProtocolSubscription").write(version, body)


NO_TOPICS = subscription()


class Member(Client):
    """A member of a classic group."""

    def __init__(
        self,
        address: str,
        group: str,
        *,
        instance: str | None = None,
        protocols: Protocols = (("range", NO_TOPICS),),
        protocol_type: str = "consumer",
        session_ms: int = LONG_MS,
        rebalance_ms: int = LONG_MS,
    ) -> None:
        """Connects, and waits for the group's coordinator; joins nothing yet."""
        super().__init__(address)
        self.address = address
        self.group = group
        self.instance = instance
        self.protocols = protocols
        self.protocol_type = protocol_type
        self.session_ms = session_ms
        self.rebalance_ms = rebalance_ms
        self.id = ""
        self.generation = -1
        self.protocol: str | None = None
        self._join_version = latest("JoinGroup")
        await_coordinator(self, group)

    def _identity(self) -> dict[str, object]:
        named = {} if self.instance is None else {"group_instance_id": self.instance}
        return {"group_id": self.group, "member_id": self.id} | named

    def send_join(self, version: int = latest("JoinGroup"), **fields: object) -> None:
        """Asks to join; `joined` takes the answer."""
        protocols = [{"name": name, "metadata": metadata} for name, metadata in self.protocols]
        body = self._identity() | {
            "session_timeout_ms": self.session_ms,
            "rebalance_timeout_ms": self.rebalance_ms,
            "protocol_type": self.protocol_type,
            "protocols": protocols,
        }
        self._join_version = version
        self.send("JoinGroup", version, **(body | fields))

    def joined(self) -> SimpleNamespace:
        """The answer of the last `send_join`."""
        answer = self.receive("JoinGroup", self._join_version)
        if answer.error_code in (Error.NONE, Error.MEMBER_ID_REQUIRED):
            self.id = answer.member_id
        if answer.error_code == Error.NONE:
            self.generation = answer.generation_id
            self.protocol = answer.protocol_name
        return answer

    def take_id(self) -> None:
        """Gets a member id, where it has none, and joins nothing yet (KIP-394)."""
        if not self.id and self.instance is None:
            self.send_join()
            assert self.joined().error_code == Error.MEMBER_ID_REQUIRED

    def join(self, version: int = latest("JoinGroup"), **fields: object) -> SimpleNamespace:
        """Joins, which takes two requests where the broker gives an id first: the last answer."""
        self.send_join(version, **fields)
        answer = self.joined()
        if answer.error_code == Error.MEMBER_ID_REQUIRED:
            self.send_join(version, **fields)
            answer = self.joined()
        return answer

    def send_sync(
        self, assignments: Mapping[str, bytes] | None = None, version: int = latest("SyncGroup"), **fields: object
    ) -> None:
        """Asks for its assignment; a leader gives those of all, by member id."""
        given = [{"member_id": each, "assignment": data} for each, data in (assignments or {}).items()]
        body = self._identity() | {
            "generation_id": self.generation,
            "protocol_type": self.protocol_type,
            "protocol_name": self.protocol or self.protocols[0][0],
            "assignments": given,
        }
        self.send("SyncGroup", version, **(body | fields))

    def synced(self, version: int = latest("SyncGroup")) -> SimpleNamespace:
        """The answer of the last `send_sync`."""
        return self.receive("SyncGroup", version)

    def sync(
        self, assignments: Mapping[str, bytes] | None = None, version: int = latest("SyncGroup"), **fields: object
    ) -> SimpleNamespace:
        """Asks for its assignment, and waits for it."""
        self.send_sync(assignments, version, **fields)
        return self.synced(version)

    def heartbeat(self, version: int = latest("Heartbeat"), **fields: object) -> int:
        """Sends a heartbeat: its error."""
        body = self._identity() | {"generation_id": self.generation}
        return self.ask("Heartbeat", version, **(body | fields)).error_code

    def await_rebalance(self) -> None:
        """Heartbeats until it is told to join again."""
        wait_until(lambda: self.heartbeat() == Error.REBALANCE_IN_PROGRESS, DEADLINE_S, "a rebalance is told")

    def leave(self, version: int = latest("LeaveGroup")) -> int:
        """Leaves: the error, of the member where there is one."""
        if version < 3:
            return self.ask("LeaveGroup", version, group_id=self.group, member_id=self.id).error_code
        identity = {"member_id": self.id, "group_instance_id": self.instance}
        answer = self.ask("LeaveGroup", version, group_id=self.group, members=[identity])
        if answer.error_code != Error.NONE:
            return answer.error_code
        (left,) = answer.members
        assert (left.member_id, left.group_instance_id) == (self.id, self.instance)
        return left.error_code

    def commit(
        self, topic: Topic, offsets: Mapping[int, int], version: int = latest("OffsetCommit"), **fields: object
    ) -> dict[int, int]:
        """Commits offsets of a topic's partitions: the error of each."""
        body = self._identity() | {"generation_id_or_member_epoch": self.generation}
        return commit(self, self.group, topic, offsets, version, **(body | fields))


def commit(
    client: Client,
    group: str,
    topic: Topic,
    offsets: Mapping[int, int],
    version: int = latest("OffsetCommit"),
    *,
    metadata: str | None = "",
    leader_epoch: int = -1,
    **fields: object,
) -> dict[int, int]:
    """Commits offsets, as no member unless `fields` say who: the error by partition."""
    partitions = [
        {
            "partition_index": index,
            "committed_offset": offset,
            "committed_metadata": metadata,
            "committed_leader_epoch": leader_epoch,
        }
        for index, offset in offsets.items()
    ]
    topics = [{"name": topic.name, "topic_id": topic.id, "partitions": partitions}]
    body = {"group_id": group, "topics": topics} | fields
    (of_topic,) = client.ask("OffsetCommit", version, **body).topics
    assert of_topic.name == (topic.name if version < 10 else "")
    if version >= 10:
        assert of_topic.topic_id == topic.id
    return {each.partition_index: each.error_code for each in of_topic.partitions}


def committed(
    client: Client,
    group: str,
    topic: Topic,
    partitions: Sequence[int] = (0,),
    version: int = latest("OffsetFetch"),
    **fields: object,
) -> dict[int, SimpleNamespace]:
    """What is committed of a topic's partitions."""
    wanted = [{"name": topic.name, "partition_indexes": list(partitions)}]
    if version < 8:
        answer = client.ask("OffsetFetch", version, group_id=group, topics=wanted, **fields)
    else:
        of_group: dict[str, object] = {"group_id": group, "topics": [each | {"topic_id": topic.id} for each in wanted]}
        of_group |= {name: fields.pop(name) for name in ("member_id", "member_epoch") if name in fields}
        (answer,) = client.ask("OffsetFetch", version, groups=[of_group], **fields).groups
        assert answer.group_id == group
    if version >= 2:
        assert answer.error_code == Error.NONE
    (of_topic,) = answer.topics
    return {each.partition_index: each for each in of_topic.partitions}


def offset_of(client: Client, group: str, topic: Topic, partition: int = 0) -> int:
    """The committed offset, or -1."""
    return committed(client, group, topic, [partition])[partition].committed_offset


def settle(*members: Member) -> None:
    """Brings members, those first that are in the group, into one generation in which each has its assignment.

    The first is the leader where the group had none; the assignment of a member is its number in text.
    """
    for number, newcomer in enumerate(members):
        if newcomer.generation >= 0:
            continue
        newcomer.take_id()
        answers = rejoin(newcomer, *members[:number])
        sync_all(*members[: number + 1], leader=answers[0].leader)


def rejoin(first: Member, *others: Member) -> list[SimpleNamespace]:
    """Has a newcomer or a leader join, whereupon the others do: the answers, which are all of one generation."""
    first.send_join()
    for each in others:
        each.await_rebalance()
        each.send_join()
    answers = [each.joined() for each in (first, *others)]
    assert [answer.error_code for answer in answers] == [Error.NONE] * len(answers)
    assert len({answer.generation_id for answer in answers}) == 1
    return answers


def sync_all(*members: Member, leader: str) -> None:
    """Has members, all of a generation, get their assignments."""
    given = {each.id: b"%d" % number for number, each in enumerate(members)}
    for each in members:
        each.send_sync(given if each.id == leader else None)
    for each in members:
        answer = each.synced()
        assert (answer.error_code, answer.assignment) == (Error.NONE, given[each.id])


def describe(client: Client, group: str) -> SimpleNamespace:
    """A group as DescribeGroups has it."""
    (found,) = client.ask("DescribeGroups", latest("DescribeGroups"), groups=[group]).groups
    return found


def await_state(client: Client, group: str, state: str, deadline_s: float = DEADLINE_S) -> float:
    """Waits until a group is in a state, and returns the seconds that it took."""
    begun = time.monotonic()
    wait_until(lambda: describe(client, group).group_state == state, deadline_s, f"{group} is {state}")
    return time.monotonic() - begun


class Consumer(Client):
    """A member of a group of the consumer protocol (KIP-848), whose assignments the broker makes."""

    def __init__(self, address: str, group: str, *, instance: str | None = None) -> None:
        """Connects, and waits for the group's coordinator; joins nothing yet."""
        super().__init__(address)
        self.group = group
        self.instance = instance
        self.id = str(uuid4())
        self.epoch = 0
        self.owned: dict[UUID, list[int]] = {}
        self.assigned: dict[UUID, list[int]] = {}
        await_coordinator(self, group)

    def beat(self, version: int = latest("ConsumerGroupHeartbeat"), **fields: object) -> SimpleNamespace:
        """Sends a heartbeat with nothing but what must be in it, and `fields`; takes from its answer what is new."""
        body = {"group_id": self.group, "member_id": self.id, "member_epoch": self.epoch, "instance_id": self.instance}
        answer = self.ask("ConsumerGroupHeartbeat", version, **(body | fields))
        if answer.error_code == Error.NONE:
            self.epoch = answer.member_epoch
            self.id = answer.member_id or self.id
            if answer.assignment is not None:
                parts = answer.assignment.topic_partitions
                self.assigned = {each.topic_id: sorted(each.partitions) for each in parts}
        return answer

    def join(self, *topics: str, version: int = latest("ConsumerGroupHeartbeat"), **fields: object) -> SimpleNamespace:
        """Joins, with a subscription to topics."""
        self.epoch, self.owned, self.assigned = 0, {}, {}
        body = {"rebalance_timeout_ms": LONG_MS, "subscribed_topic_names": list(topics), "topic_partitions": []}
        return self.beat(version, **(body | fields))

    def comply(self) -> SimpleNamespace:
        """Takes what it was assigned, lets go of what it was not, and says what it now has."""
        self.owned = dict(self.assigned)
        parts = [{"topic_id": topic, "partitions": partitions} for topic, partitions in self.owned.items()]
        return self.beat(topic_partitions=parts)

    def partitions(self, topic: Topic) -> list[int]:
        """Which of a topic's partitions it has."""
        return self.owned.get(topic.id, [])

    def leave(self) -> int:
        """Leaves for good: the error."""
        return self.beat(member_epoch=-1).error_code


def reconcile(*members: Consumer) -> None:
    """Has members comply until all are of the newest epoch, and nobody is told anything new."""

    def settled() -> bool:
        answers = [each.comply() for each in members]
        assert {answer.error_code for answer in answers} == {Error.NONE}
        return (
            len({each.epoch for each in members}) == 1
            and all(each.owned == each.assigned for each in members)
            and describe_consumers(members[0], members[0].group).group_state == "Stable"
        )

    wait_until(settled, DEADLINE_S, "the group is stable")


def describe_consumers(
    client: Client, group: str, version: int = latest("ConsumerGroupDescribe"), **fields: object
) -> SimpleNamespace:
    """A group as ConsumerGroupDescribe has it."""
    (found,) = client.ask("ConsumerGroupDescribe", version, group_ids=[group], **fields).groups
    return found


def set_config(client: Client, group: str, **settings: str) -> list[int]:
    """Sets settings of a group: the errors. Names have `_` for `.`."""
    configs = [{"name": name.replace("_", "."), "config_operation": 0, "value": it} for name, it in settings.items()]
    resources = [{"resource_type": GROUP_RESOURCE, "resource_name": group, "configs": configs}]
    answer = client.ask("IncrementalAlterConfigs", latest("IncrementalAlterConfigs"), resources=resources)
    return [each.error_code for each in answer.responses]
