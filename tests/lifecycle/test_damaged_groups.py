"""Groups of which the disk has lost something: not served, unless whoever runs the broker wants them without (D8)."""

from collections.abc import Callable

import pytest

from broker_process import BrokerProcess, wait_until
from clients.librdkafka import delete_topic
from conftest import StartBroker
from lifecycle.test_log_command import flip, log_command, told
from protocol.client import DEADLINE_S, Client, Error, Topic
from protocol.groups import QUICK, await_coordinator, commit, committed, coordinator_is_ready
from protocol.test_alter_configs import SET, TOPIC, alter, edits

pytestmark = pytest.mark.wiber_only("Kafka's groups come back when somebody deletes files of its log")

OFFSETS = "__consumer_offsets"
CLEAN, LATE, OTHER = "a", "c", "b"
"""Groups: `CLEAN` and `LATE` are kept in partition 1 of two, `OTHER` in partition 0."""
COMMITS = [(CLEAN, 1), (LATE, 1), (LATE, 2), (CLEAN, 2)]
"""What partition 1 holds, each in a batch of its own."""
LOST = 2
"""Which of them is lost: `LATE` goes back to its first commit."""
UNCLEAN = "unclean.leader.election.enable"


def commit_all(client: Client, topic: str) -> Topic:
    """Makes the topic and commits what the tests find again."""
    made = client.create(topic)
    for group in (CLEAN, LATE, OTHER):
        await_coordinator(client, group)
    for group, offset in [*COMMITS, (OTHER, 7)]:
        assert commit(client, group, made, {0: offset}) == {0: Error.NONE}
    return made


def damage_segment(broker: BrokerProcess) -> None:
    """Flips a bit of the batch in the partition's segment."""
    broker.stop()
    found = told(log_command("inspect", "--data-dir", broker.data_dir, "--batches", "--output", "json"))
    at = next(i for i, it in enumerate(found) if it.get("topic") == OFFSETS and it.get("partition") == 1)
    batches = [it for it in found[at:] if it["found"] == "batch"][: len(COMMITS)]
    assert [it["base_offset"] for it in batches] == list(range(len(COMMITS)))
    (file,) = (it for it in broker.data_dir.rglob("*.log") if it.stat().st_size > batches[-1]["byte"])
    flip(file, batches[LOST]["byte"] + batches[LOST]["bytes"] - 1)


def damage_write_ahead_log(broker: BrokerProcess) -> None:
    """Flips a bit of the batch's group in the write-ahead log."""
    broker.kill()
    found = told(log_command("inspect", "--data-dir", broker.data_dir, "--output", "json"))
    at = [i for i, it in enumerate(found) if "batch for" in str(it.get("frame"))]
    assert len(at) == len(COMMITS) + 1, "each commit is a batch"
    group = next(it for it in reversed(found[: at[LOST]]) if it["found"] == "group")
    (file,) = (broker.data_dir / "wal").glob(f"*{group['extent']}.wal")
    text = file.read_bytes()
    flip(file, group["byte"] + len(text[group["byte"] :][:4096].rstrip(b"\0")) - 1)


@pytest.fixture(params=[damage_segment, damage_write_ahead_log])
def damage(request: pytest.FixtureRequest) -> Callable[[BrokerProcess], None]:
    """Stops a broker and damages a batch of its groups."""
    return request.param


def arguments(**settings: str) -> list[str]:
    """Of a broker with two partitions of groups."""
    wanted = QUICK | {"offsets.topic.num.partitions": "2"} | {k.replace("_", "."): v for k, v in settings.items()}
    return [argument for key, value in wanted.items() for argument in ("--set", f"{key}={value}")]


def offset_of(client: Client, group: str, topic: Topic) -> int:
    """What the group has committed."""
    (found,) = committed(client, group, topic).values()
    assert found.error_code == Error.NONE
    return found.committed_offset


def ready(client: Client) -> bool:
    """Whether the groups of the damaged partition are served."""
    return coordinator_is_ready(client, CLEAN)


def lines_of(broker: BrokerProcess, words: str) -> list[str]:
    """What the broker has logged with these words in it."""
    return [line for line in broker.log().splitlines() if words in line]


def test_groups_wait_until_somebody_wants_them_without(
    start_broker: StartBroker, topic: str, damage: Callable[[BrokerProcess], None]
) -> None:
    """The log says what is lost and what to do; a setting changes it at once, and for later starts."""
    broker = start_broker(arguments=arguments())
    with Client(broker.address) as client:
        made = commit_all(client, topic)
    damage(broker)
    broker.start()
    with Client(broker.address) as client:
        await_coordinator(client, OTHER)
        assert offset_of(client, OTHER, made) == 7
        wait_until(lambda: bool(lines_of(broker, "not served")), DEADLINE_S, "the damage is found")
        (line,) = lines_of(broker, "not served")
        for named in ("ERROR", OFFSETS, "partition=1", f"offset={LOST}", f"{UNCLEAN}=true"):
            assert named in line, line
        (described,) = client.ask("DescribeGroups", 5, groups=[CLEAN]).groups
        assert described.error_code == Error.COORDINATOR_NOT_AVAILABLE
        assert commit(client, CLEAN, made, {0: 3}) == {0: Error.COORDINATOR_NOT_AVAILABLE}

        # Another setting of the topic makes no difference, this one does.
        assert alter(client, edits(TOPIC, OFFSETS, ("segment.ms", SET, "1000000"))) == [Error.NONE]
        assert not ready(client)
        assert alter(client, edits(TOPIC, OFFSETS, (UNCLEAN, SET, "true"))) == [Error.NONE]
        wait_until(lambda: ready(client), DEADLINE_S, "the groups are served")
        (line,) = lines_of(broker, "are served without")
        for named in ("ERROR", "partition=1", f"offsets {LOST} to {LOST + 1}"):
            assert named in line, line
        assert [offset_of(client, group, made) for group in (CLEAN, LATE)] == [2, 1]
        assert commit(client, LATE, made, {0: 5}) == {0: Error.NONE}
    broker.kill()
    broker.start()
    with Client(broker.address) as client:
        await_coordinator(client, CLEAN)
        assert [offset_of(client, group, made) for group in (CLEAN, LATE, OTHER)] == [2, 5, 7]
    broker.stop()


def test_a_broker_that_was_told_so_before(
    start_broker: StartBroker, topic: str, damage: Callable[[BrokerProcess], None]
) -> None:
    """The broker's own setting holds for the topic of groups as for others."""
    broker = start_broker(arguments=arguments(unclean_leader_election_enable="true"))
    with Client(broker.address) as client:
        made = commit_all(client, topic)
    damage(broker)
    broker.start()
    with Client(broker.address) as client:
        await_coordinator(client, CLEAN)
        assert len(lines_of(broker, "are served without")) == 1
        assert [offset_of(client, group, made) for group in (CLEAN, LATE, OTHER)] == [2, 1, 7]
    broker.stop()


def test_a_log_whose_end_is_unknown(start_broker: StartBroker, topic: str) -> None:
    """A newest segment is gone: nothing can be stored behind it, and groups begin anew with another topic."""
    broker = start_broker(arguments=arguments(unclean_leader_election_enable="true"))
    with Client(broker.address) as client:
        made = commit_all(client, topic)
    broker.stop()
    (gone,) = (file for file in broker.data_dir.rglob("*.log") if file.stat().st_size > 300)
    gone.unlink()
    broker.start()
    with Client(broker.address) as client:
        await_coordinator(client, CLEAN)
        assert [offset_of(client, group, made) for group in (CLEAN, LATE, OTHER)] == [-1, -1, 7]
        (line,) = lines_of(broker, "are served without")
        assert f"offsets 0 to {len(COMMITS)}" in line, line
    broker.kill()
    broker.start()
    with Client(broker.address) as client:
        await_coordinator(client, OTHER)
        wait_until(lambda: bool(lines_of(broker, "are not served")), DEADLINE_S, "the damage is found")
        (line,) = lines_of(broker, "are not served")
        for named in ("ERROR", "partition=1", "delete the topic"):
            assert named in line, line
        assert commit(client, CLEAN, made, {0: 9}) == {0: Error.COORDINATOR_NOT_AVAILABLE}
        delete_topic(broker.address, OFFSETS)
        await_coordinator(client, CLEAN)
        assert commit(client, CLEAN, made, {0: 9}) == {0: Error.NONE}
        assert offset_of(client, CLEAN, made) == 9
    broker.stop()
