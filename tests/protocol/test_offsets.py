"""ListOffsets and OffsetForLeaderEpoch at every version."""

import uuid
from types import SimpleNamespace

import pytest

from conftest import StartBroker
from protocol.client import Client, Error, Topic
from protocol.records import batch
from protocol.schema import versions

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING_UPLOAD = -1, -2, -3, -4, -5, -6
"""The special timestamps."""
SINCE = {LATEST: 1, EARLIEST: 1, MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9, EARLIEST_PENDING_UPLOAD: 11}
"""The versions that they came with."""


def list_offset(client: Client, version: int, topic: Topic, timestamp: int, **fields: object) -> SimpleNamespace:
    """One offset of partition 0."""
    wanted = {"partition_index": 0, "timestamp": timestamp} | fields
    body = {"replica_id": -1, "topics": [{"name": topic.name, "partitions": [wanted]}]}
    (of_topic,) = client.ask("ListOffsets", version, **body).topics
    assert of_topic.name == topic.name
    (found,) = of_topic.partitions
    return found


def filled(client: Client, name: str) -> Topic:
    """A topic with records 0 to 5 at times 1000, 1010, 3000, 3010, 2000, 2010."""
    topic = client.create(name, message_timestamp_before_max_ms=str(2**63 - 1))
    for start in (1_000, 3_000, 2_000):
        client.produce(topic, batch(b"a", b"b", timestamp=start, step_ms=10))
    return topic


def answer_of(found: SimpleNamespace) -> tuple[int, int, int]:
    """What is asserted of most answers."""
    return found.error_code, found.offset, found.timestamp


@pytest.mark.parametrize("version", versions("ListOffsets"))
def test_offsets_for_times(client: Client, topic: str, version: int) -> None:
    """The first record at or after a time, with its own timestamp; nothing beyond the last one."""
    made = filled(client, topic)
    epoch = client.leader_epoch(made) if version >= 4 else -1
    for timestamp, offset, found_at in (
        (0, 0, 1_000),
        (1_000, 0, 1_000),
        (1_001, 1, 1_010),
        (1_011, 2, 3_000),
        (2_000, 2, 3_000),
        (3_001, 3, 3_010),
    ):
        found = list_offset(client, version, made, timestamp)
        assert (*answer_of(found), found.leader_epoch) == (Error.NONE, offset, found_at, epoch)
    found = list_offset(client, version, made, 3_011)
    assert (*answer_of(found), found.leader_epoch) == (Error.NONE, -1, -1, -1)


@pytest.mark.parametrize("version", versions("ListOffsets"))
@pytest.mark.parametrize("special", SINCE)
def test_special_timestamps(client: Client, topic: str, version: int, special: int) -> None:
    """Each since the version that it came with; before that it is refused."""
    made = filled(client, topic)
    expected = {
        LATEST: (Error.NONE, 6, -1),
        EARLIEST: (Error.NONE, 0, -1),
        MAX_TIMESTAMP: (Error.NONE, 3, 3_010),
        EARLIEST_LOCAL: (Error.NONE, 0, -1),
        LATEST_TIERED: (Error.NONE, -1, -1),
        EARLIEST_PENDING_UPLOAD: (Error.NONE, -1, -1),
    }
    found = list_offset(client, version, made, special)
    if version >= SINCE[special]:
        assert answer_of(found) == expected[special]
    else:
        assert answer_of(found) == (Error.UNSUPPORTED_VERSION, -1, -1)


@pytest.mark.parametrize("version", versions("ListOffsets"))
def test_an_empty_partition(client: Client, topic: str, version: int) -> None:
    """Begin and end are 0, and no time is found."""
    made = client.create(topic)
    assert answer_of(list_offset(client, version, made, LATEST)) == (Error.NONE, 0, -1)
    assert answer_of(list_offset(client, version, made, EARLIEST)) == (Error.NONE, 0, -1)
    assert answer_of(list_offset(client, version, made, 0)) == (Error.NONE, -1, -1)
    if version >= SINCE[MAX_TIMESTAMP]:
        assert answer_of(list_offset(client, version, made, MAX_TIMESTAMP)) == (Error.NONE, -1, -1)


@pytest.mark.parametrize("version", versions("ListOffsets", since=2))
@pytest.mark.parametrize("isolation_level", [0, 1])
def test_isolation(client: Client, topic: str, version: int, isolation_level: int) -> None:
    """Without transactions the end is the same for both levels."""
    made = filled(client, topic)
    wanted = {"partition_index": 0, "timestamp": LATEST}
    body = {"isolation_level": isolation_level, "topics": [{"name": made.name, "partitions": [wanted]}]}
    answer = client.ask("ListOffsets", version, replica_id=-1, **body)
    assert answer.topics[0].partitions[0].offset == 6


@pytest.mark.parametrize("version", versions("ListOffsets"))
def test_what_has_no_offsets(client: Client, topic: str, version: int) -> None:
    """A partition or a topic that is not there; several are answered in one request."""
    made = filled(client, topic)
    partitions = [{"partition_index": index, "timestamp": LATEST} for index in (0, 4)]
    topics = [{"name": name, "partitions": partitions} for name in (made.name, f"{topic}-unknown")]
    answer = client.ask("ListOffsets", version, replica_id=-1, topics=topics)
    found = {(t.name, p.partition_index): (p.error_code, p.offset) for t in answer.topics for p in t.partitions}
    unknown = (Error.UNKNOWN_TOPIC_OR_PARTITION, -1)
    assert found == {
        (made.name, 0): (Error.NONE, 6),
        (made.name, 4): unknown,
        (f"{topic}-unknown", 0): unknown,
        (f"{topic}-unknown", 4): unknown,
    }


@pytest.mark.parametrize("version", versions("ListOffsets", since=4))
def test_leader_epochs(client: Client, topic: str, version: int) -> None:
    """A client that believes in another leader epoch is told so."""
    made = filled(client, topic)
    epoch = client.leader_epoch(made)
    assert list_offset(client, version, made, LATEST, current_leader_epoch=epoch).leader_epoch == epoch
    ahead = list_offset(client, version, made, LATEST, current_leader_epoch=epoch + 1)
    assert answer_of(ahead) == (Error.UNKNOWN_LEADER_EPOCH, -1, -1)
    if epoch > 0:
        behind = list_offset(client, version, made, LATEST, current_leader_epoch=epoch - 1)
        assert answer_of(behind) == (Error.FENCED_LEADER_EPOCH, -1, -1)


def epoch_end(client: Client, version: int, topic: Topic, epoch: int, current: int = -1) -> SimpleNamespace:
    """Where an epoch of partition 0 ended."""
    wanted = {"partition": 0, "leader_epoch": epoch, "current_leader_epoch": current}
    body = {"topics": [{"topic": topic.name, "partitions": [wanted]}]}
    replica = {"replica_id": -1} if version >= 3 else {}
    (of_topic,) = client.ask("OffsetForLeaderEpoch", version, **body, **replica).topics
    assert of_topic.topic == topic.name
    (found,) = of_topic.partitions
    assert found.partition == 0
    return found


@pytest.mark.parametrize("version", versions("OffsetForLeaderEpoch"))
def test_the_epoch_that_lasts(client: Client, topic: str, version: int) -> None:
    """It ends, for now, with the log; of epochs to come nothing is known."""
    made = client.create(topic)
    epoch = client.leader_epoch(made)
    client.produce(made, batch(b"a", b"b", b"c"))
    found = epoch_end(client, version, made, epoch, epoch)
    assert (found.error_code, found.leader_epoch, found.end_offset) == (Error.NONE, epoch, 3)
    found = epoch_end(client, version, made, epoch + 1)
    assert (found.error_code, found.leader_epoch, found.end_offset) == (Error.NONE, -1, -1)
    assert epoch_end(client, version, made, epoch, epoch + 1).error_code == Error.UNKNOWN_LEADER_EPOCH
    unknown = epoch_end(client, version, Topic(f"{topic}-unknown", uuid.uuid4()), epoch)
    assert (unknown.error_code, unknown.end_offset) == (Error.UNKNOWN_TOPIC_OR_PARTITION, -1)


def test_epochs_that_ended(start_broker: StartBroker, topic: str) -> None:
    """Each start is a new epoch; the old ones end where the next one with records begins, and are fenced."""
    broker = start_broker()
    epochs = []
    for number in range(3):
        with Client(broker.address) as client:
            made = client.create(topic) if number == 0 else Topic(topic, client.metadata(topic).topic_id)
            epochs.append(client.leader_epoch(made))
            assert client.produce(made, batch(b"a", b"b")).base_offset == 2 * number
            if number < 2:
                broker.stop()
                broker.start()
                continue
            for version in versions("OffsetForLeaderEpoch"):
                ends = [epoch_end(client, version, made, epoch) for epoch in epochs]
                assert [(end.leader_epoch, end.end_offset) for end in ends] == list(zip(epochs, (2, 4, 6), strict=True))
                fenced = epoch_end(client, version, made, epochs[0], epochs[1])
                assert (fenced.error_code, fenced.end_offset) == (Error.FENCED_LEADER_EPOCH, -1)
            written_in = [record.leader_epoch for record in client.records(made)]
            assert written_in == [epoch for epoch in epochs for _ in range(2)]
            for version in versions("Fetch", since=9):
                wanted = {"topic": topic, "topic_id": made.id, "partitions": [_stale(epochs[0])]}
                (found,) = client.ask("Fetch", version, replica_id=-1, topics=[wanted]).responses
                assert found.partitions[0].error_code == Error.FENCED_LEADER_EPOCH
                if version >= 16:
                    assert found.partitions[0].current_leader.leader_epoch == epochs[-1]
            for version in versions("ListOffsets", since=4):
                found = list_offset(client, version, made, LATEST, current_leader_epoch=epochs[0])
                assert found.error_code == Error.FENCED_LEADER_EPOCH
    broker.stop()


def _stale(epoch: int) -> dict[str, object]:
    return {"partition": 0, "current_leader_epoch": epoch, "fetch_offset": 0, "partition_max_bytes": 1_000}
