"""DescribeQuorum, ElectLeaders, ListPartitionReassignments at every version: one node leads all, and moves nothing."""

import time
from types import SimpleNamespace

import pytest

from broker_process import BrokerProcess, wait_until
from conftest import StartBroker
from protocol.client import DEADLINE_S, Client, Error
from protocol.schema import NO_ID, versions

METADATA = "__cluster_metadata"
PREFERRED, UNCLEAN = 0, 1
CLOCK_SLACK_MS = 60_000
NEVER = -1


def describe(client: Client, version: int, *topics: tuple[str, list[int]]) -> SimpleNamespace:
    """What is said of the quorum."""
    wanted = [{"topic_name": name, "partitions": [{"partition_index": i} for i in parts]} for name, parts in topics]
    answer = client.ask("DescribeQuorum", version, topics=wanted)
    assert answer.error_code == Error.NONE
    return answer


def metadata_log(client: Client, version: int = versions("DescribeQuorum")[-1]) -> SimpleNamespace:
    """What is said of the metadata log."""
    (topic,) = describe(client, version, (METADATA, [0])).topics
    (partition,) = topic.partitions
    assert (topic.topic_name, partition.partition_index, partition.error_code) == (METADATA, 0, Error.NONE)
    return partition


@pytest.mark.parametrize("version", versions("DescribeQuorum"))
def test_quorum(client: Client, version: int) -> None:
    """The node leads itself, and is where its log ends."""
    log = metadata_log(client, version)
    (voter,) = log.current_voters
    assert (log.leader_id, voter.replica_id, log.observers) == (1, 1, [])
    assert log.leader_epoch >= 1
    assert 0 < log.high_watermark <= voter.log_end_offset
    now = time.time_ns() // 1_000_000
    for stamp in (voter.last_fetch_timestamp, voter.last_caught_up_timestamp):
        assert stamp == NEVER if version < 1 else abs(stamp - now) < CLOCK_SLACK_MS
    nodes = describe(client, version, (METADATA, [0])).nodes
    if version < 2:
        assert (voter.replica_directory_id, nodes) == (NO_ID, [])
        return
    assert voter.replica_directory_id != NO_ID
    assert [node.node_id for node in nodes] == [1]
    assert all(each.name and each.host and each.port for each in nodes[0].listeners)


@pytest.mark.wiber_only("Kafka's controller has a listener of its own")
def test_controller_is_reached_through_the_broker(client: Client, broker: BrokerProcess) -> None:
    """Where a client is told to find the controller is where it found the broker."""
    (node,) = describe(client, 2, (METADATA, [0])).nodes
    assert [f"{each.host}:{each.port}" for each in node.listeners] == [broker.address]


@pytest.mark.parametrize("version", versions("DescribeQuorum"))
def test_quorum_of_others(client: Client, topic: str, version: int) -> None:
    """Where anything but the metadata log alone is asked for, nothing of it is known."""
    client.create(topic)
    for wanted in (
        [(topic, [0])],
        [("", [0])],
        [(METADATA, [1])],
        [(METADATA, [0, 1])],
        [(METADATA, [0, 0])],
        [(METADATA, [0]), (topic, [0])],
        [(METADATA, [])],
        [],
    ):
        answer = describe(client, version, *wanted)
        said = [
            (each.topic_name, part.partition_index, part.error_code, part.leader_id, part.current_voters)
            for each in answer.topics
            for part in each.partitions
        ]
        unknown = (Error.UNKNOWN_TOPIC_OR_PARTITION, 0, [])
        assert said == [(name, index, *unknown) for name, parts in wanted for index in parts]
        assert [each.topic_name for each in answer.topics] == [name for name, _ in wanted]
        assert answer.nodes == []


def test_metadata_log_grows(start_broker: StartBroker, topic: str) -> None:
    """With each change, and a start is a new term."""
    broker = start_broker()
    with Client(broker.address) as client:
        before = metadata_log(client)
        client.create(topic)
        wait_until(lambda: metadata_log(client).high_watermark > before.high_watermark, DEADLINE_S, "the log has grown")
        after = metadata_log(client)
        assert after.leader_epoch == before.leader_epoch
    broker.stop()
    broker.start()
    with Client(broker.address) as client:
        again = metadata_log(client)
        assert again.leader_epoch > after.leader_epoch
        assert again.high_watermark > after.high_watermark
        assert again.current_voters[0].replica_directory_id == after.current_voters[0].replica_directory_id
    broker.stop()


def elect(
    client: Client, version: int, topics: list[tuple[str, list[int]]] | None, kind: int = PREFERRED, **body: object
) -> tuple[int, list[tuple[str, list[tuple[int, int, bool]]]]]:
    """The error of all, and each partition's with whether it is put into words."""
    wanted = None if topics is None else [{"topic": name, "partitions": parts} for name, parts in topics]
    fields = {"topic_partitions": wanted, "timeout_ms": 10_000} | ({"election_type": kind} if version > 0 else {})
    answer = client.ask("ElectLeaders", version, **fields | body)
    results = [
        (each.topic, [(p.partition_id, p.error_code, p.error_message is not None) for p in each.partition_result])
        for each in answer.replica_election_results
    ]
    return answer.error_code, results


@pytest.mark.parametrize("kind", [PREFERRED, UNCLEAN])
@pytest.mark.parametrize("version", versions("ElectLeaders"))
def test_elections(client: Client, topic: str, version: int, kind: int) -> None:
    """None is needed where the only replica leads; what is not there is told so, each time that it is named."""
    client.create(topic, 2)
    unknown, needless = Error.UNKNOWN_TOPIC_OR_PARTITION, Error.ELECTION_NOT_NEEDED
    wanted = [(topic, [0, 7, 0, -1]), (f"{topic}-unknown", [0]), ("no/such name", [0]), (topic, [1]), (topic, [])]
    assert elect(client, version, wanted, kind) == (
        Error.NONE,
        [
            (topic, [(0, needless, True), (7, unknown, True), (0, needless, True), (-1, unknown, True)]),
            (f"{topic}-unknown", [(0, unknown, True)]),
            ("no/such name", [(0, unknown, True)]),
            (topic, [(1, needless, True)]),
            (topic, []),
        ],
    )
    error, every = elect(client, version, None, kind)
    assert (error, dict(every)[topic]) == (Error.NONE, [])
    assert all(not partitions for _, partitions in every)
    assert elect(client, version, [], kind) == (Error.NONE, [])


@pytest.mark.parametrize("version", [v for v in versions("ElectLeaders") if v > 0])
def test_elections_of_another_kind(client: Client, topic: str, version: int) -> None:
    """They are refused, unless of nothing."""
    client.create(topic)
    refused = Error.INVALID_REQUEST
    for kind in (-1, 2):
        assert elect(client, version, [(topic, [0])], kind) == (refused, [(topic, [(0, refused, True)])])
        assert elect(client, version, None, kind) == (refused, [])
        assert elect(client, version, [], kind) == (Error.NONE, [])


@pytest.mark.parametrize("version", versions("ElectLeaders"))
def test_elections_without_time(client: Client, topic: str, version: int) -> None:
    """Where there is no time for them they come too late."""
    client.create(topic)
    late = Error.REQUEST_TIMED_OUT
    for timeout_ms in (0, -1):
        of_all = late if version > 0 else Error.NONE
        assert elect(client, version, [(topic, [0])], timeout_ms=timeout_ms) == (of_all, [(topic, [(0, late, False)])])
        assert elect(client, version, [], timeout_ms=timeout_ms) == (Error.NONE, [])


@pytest.mark.parametrize("version", versions("ListPartitionReassignments"))
def test_nothing_moves(client: Client, topic: str, version: int) -> None:
    """Whatever is asked for, whether it exists or not."""
    client.create(topic)
    for topics in (None, [], [(topic, [0])], [(topic, [0, 7, -1]), (f"{topic}-unknown", [0]), ("", [0])]):
        wanted = None if topics is None else [{"name": name, "partition_indexes": parts} for name, parts in topics]
        answer = client.ask("ListPartitionReassignments", version, topics=wanted, timeout_ms=10_000)
        assert (answer.error_code, answer.error_message, answer.topics) == (Error.NONE, None, [])


TOO_MANY = 200_001


@pytest.mark.wiber_only("Kafka takes them all")
def test_more_partitions_than_there_can_be(broker: BrokerProcess) -> None:
    """A request whose answer would be out of proportion closes the connection, and that of nobody else."""
    names = list(range(TOO_MANY))
    requests = {
        "ElectLeaders": {"topic_partitions": [{"topic": "t", "partitions": names}]},
        "DescribeProducers": {"topics": [{"name": "t", "partition_indexes": names}]},
        "DescribeLogDirs": {"topics": [{"topic": "t", "partitions": names}]},
        "DescribeQuorum": {"topics": [{"topic_name": "t", "partitions": [{"partition_index": i} for i in names]}]},
        "OffsetCommit": {"group_id": "g", "topics": [{"partitions": [{"partition_index": i} for i in names]}]},
        "OffsetDelete": {
            "group_id": "g",
            "topics": [{"name": "t", "partitions": [{"partition_index": i} for i in names]}],
        },
    }
    for api, body in requests.items():
        with Client(broker.address) as client, Client(broker.address) as other:
            client.send(api, versions(api)[-1], **body)
            assert client.is_closed(), api
            assert metadata_log(other).leader_id == 1


OFTEN = 200


@pytest.mark.wiber_only("Kafka takes them all")
def test_the_same_over_and_over(broker: BrokerProcess) -> None:
    """What a group has stored may be large: it is not told as often as somebody cares to name the group."""
    groups = ["g"] * OFTEN
    topics = [{"name": "t", "partition_indexes": [0] * OFTEN}]
    requests = [
        ("DescribeGroups", {"groups": groups}),
        ("ConsumerGroupDescribe", {"group_ids": groups}),
        ("OffsetFetch", {"groups": [{"group_id": group, "topics": None} for group in groups]}),
        ("OffsetFetch", {"groups": [{"group_id": "g", "topics": topics}]}),
    ]
    for api, body in requests:
        with Client(broker.address) as client, Client(broker.address) as other:
            version = 9 if api == "OffsetFetch" else versions(api)[-1]
            client.send(api, version, **body)
            assert client.is_closed(), (api, body)
            assert metadata_log(other).leader_id == 1
