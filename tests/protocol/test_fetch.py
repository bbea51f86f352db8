"""Fetch at every version: what is read, how much, how long it waits, and what a session says."""

import time
import uuid
from types import SimpleNamespace

import pytest

from broker_process import BrokerProcess
from protocol.client import MAX_BYTES, Client, Error, Topic, fetch_body, fetch_topic, indexes, produce_body
from protocol.records import batch, records_of
from protocol.schema import NO_ID, versions

LATEST = versions("Fetch")[-1]
WITH_SESSIONS = versions("Fetch", since=7)
LONG_MS = 60_000


@pytest.mark.parametrize("version", versions("Fetch"))
def test_read(client: Client, topic: str, version: int) -> None:
    """Records, and what else is said of the partition."""
    made = client.create(topic, 2)
    client.produce(made, batch(b"a", b"b", step_ms=3), 1)
    client.produce(made, batch(b"c"), 1)
    answer = client.ask("Fetch", version, **fetch_body(made, {1: {}, 0: {}}))
    assert (answer.error_code, answer.session_id, answer.throttle_time_ms) == (Error.NONE, 0, 0)
    (of_topic,) = answer.responses
    assert (of_topic.topic, of_topic.topic_id) == ((topic, NO_ID) if version < 13 else ("", made.id))
    full, empty = of_topic.partitions
    assert (full.partition_index, full.error_code, full.high_watermark, full.last_stable_offset) == (1, 0, 3, 3)
    assert full.log_start_offset == (0 if version >= 5 else -1)
    assert not full.aborted_transactions
    assert full.preferred_read_replica == -1
    found = [(record.offset, record.timestamp, record.value) for record in records_of(full.records)]
    assert found == [(0, 1_000_000, b"a"), (1, 1_000_003, b"b"), (2, 1_000_000, b"c")]
    assert (empty.partition_index, empty.error_code, empty.high_watermark, empty.records) == (0, 0, 0, b"")


@pytest.mark.parametrize("version", versions("Fetch"))
def test_read_from_the_middle(client: Client, topic: str, version: int) -> None:
    """Whole batches come, from the one that holds the offset on; at the end nothing; beyond it an error."""
    made = client.create(topic)
    for values in ((b"a", b"b"), (b"c", b"d")):
        client.produce(made, batch(*values))

    def offsets(offset: int) -> list[int]:
        found = client.fetch(made, offset, version=version)
        assert (found.error_code, found.high_watermark) == (Error.NONE, 4)
        return [record.offset for record in records_of(found.records)]

    assert [offsets(offset) for offset in range(5)] == [[0, 1, 2, 3], [0, 1, 2, 3], [2, 3], [2, 3], []]
    for offset in (-1, 5):
        found = client.fetch(made, offset, version=version)
        assert found.error_code == Error.OFFSET_OUT_OF_RANGE
        assert not found.records


@pytest.mark.parametrize("version", versions("Fetch"))
@pytest.mark.parametrize("isolation_level", [0, 1])
def test_isolation(client: Client, topic: str, version: int, isolation_level: int) -> None:
    """Without transactions both levels read the same."""
    made = client.create(topic)
    client.produce(made, batch(b"a"))
    found = client.fetch(made, version=version, isolation_level=isolation_level)
    assert (found.high_watermark, found.last_stable_offset) == (1, 1)
    assert [record.value for record in records_of(found.records)] == [b"a"]
    assert not found.aborted_transactions


@pytest.mark.parametrize("version", versions("Fetch"))
def test_unknown_topics(client: Client, topic: str, version: int) -> None:
    """A topic or partition that is not there, beside one that is."""
    made = client.create(topic)
    client.produce(made, batch(b"a"))
    unknown = fetch_topic(Topic(f"{topic}-unknown", uuid.uuid4()), {0: {}})
    body = fetch_body(made, {0: {}, 9: {}})
    body["topics"] = [unknown, *body["topics"]]
    answer = client.ask("Fetch", version, **body)
    no_topic = Error.UNKNOWN_TOPIC_ID if version >= 13 else Error.UNKNOWN_TOPIC_OR_PARTITION
    known = (topic, NO_ID) if version < 13 else ("", made.id)
    found = {
        ((each.topic, each.topic_id) == known, part.partition_index): part.error_code
        for each in answer.responses
        for part in each.partitions
    }
    assert found == {
        (False, 0): no_topic,
        (True, 0): Error.NONE,
        (True, 9): Error.UNKNOWN_TOPIC_OR_PARTITION,
    }


@pytest.mark.parametrize("version", versions("Fetch", since=9))
def test_leader_epochs(client: Client, topic: str, version: int) -> None:
    """A client that believes in another leader epoch is told so (KIP-320)."""
    made = client.create(topic)
    epoch = client.leader_epoch(made)
    client.produce(made, batch(b"a"))

    def code(current: int) -> int:
        (of_topic,) = client.ask("Fetch", version, **fetch_body(made, {0: {"current_leader_epoch": current}})).responses
        return of_topic.partitions[0].error_code

    assert [code(-1), code(epoch)] == [Error.NONE, Error.NONE]
    assert code(epoch + 1) == Error.UNKNOWN_LEADER_EPOCH
    if epoch > 0:
        assert code(epoch - 1) == Error.FENCED_LEADER_EPOCH


@pytest.mark.parametrize("version", versions("Fetch", since=12))
def test_diverging_logs(client: Client, topic: str, version: int) -> None:
    """A client whose last record is of an epoch that ended earlier is told where (KIP-595)."""
    made = client.create(topic)
    epoch = client.leader_epoch(made)
    client.produce(made, batch(b"a", b"b"))

    def ask(offset: int, last_epoch: int) -> SimpleNamespace:
        wanted = fetch_body(made, {0: {"fetch_offset": offset, "last_fetched_epoch": last_epoch}})
        (of_topic,) = client.ask("Fetch", version, **wanted).responses
        (found,) = of_topic.partitions
        return found

    same = ask(1, epoch)
    assert (same.error_code, same.diverging_epoch) == (Error.NONE, None)
    assert [record.offset for record in records_of(same.records)] == [0, 1]
    beyond = ask(5, epoch)
    assert (beyond.error_code, beyond.records) == (Error.NONE, b"")
    assert (beyond.diverging_epoch.epoch, beyond.diverging_epoch.end_offset) == (epoch, 2)


def test_max_bytes(client: Client, topic: str) -> None:
    """Bounds by partition and in all hold, but for the first batch, so that a large one can be passed (KIP-74)."""
    made = client.create(topic, 2)
    one = batch(bytes(1_000))
    for partition in (0, 1):
        for _ in range(5):
            client.produce(made, batch(bytes(1_000)), partition)

    def sizes(per_partition: int, in_all: int) -> list[int]:
        partitions = {index: {"partition_max_bytes": per_partition} for index in (0, 1)}
        body = fetch_body(made, partitions) | {"max_bytes": in_all}
        (of_topic,) = client.ask("Fetch", LATEST, **body).responses
        return [len(each.records) // len(one) for each in of_topic.partitions]

    assert sizes(MAX_BYTES, MAX_BYTES) == [5, 5]
    assert sizes(2 * len(one), MAX_BYTES) == [2, 2]
    assert sizes(MAX_BYTES, 3 * len(one)) == [3, 0]
    assert sizes(MAX_BYTES, 7 * len(one)) == [5, 2]
    assert sizes(1, 1) == [1, 0]
    # Kafka gives the first partition a batch in any case, and others only what fits.
    assert sizes(1, MAX_BYTES) == [1, 0]


@pytest.mark.parametrize("version", versions("Fetch"))
def test_a_wait_ends_with_data(client: Client, broker: BrokerProcess, topic: str, version: int) -> None:
    """A long poll is answered when the record comes."""
    made = client.create(topic, 2)
    begun = time.monotonic()
    sent = client.send("Fetch", version, **fetch_body(made, {0: {}, 1: {}}) | {"max_wait_ms": LONG_MS, "min_bytes": 1})
    with Client(broker.address) as other:
        other.produce(made, batch(b"a"), 1)
    answer = client.receive("Fetch", version)
    assert answer.correlation_id == sent
    assert time.monotonic() - begun < LONG_MS / 1_000 / 4
    (of_topic,) = answer.responses
    found = {each.partition_index: [r.value for r in records_of(each.records)] for each in of_topic.partitions}
    assert found == {0: [], 1: [b"a"]}


@pytest.mark.parametrize("version", versions("Fetch"))
def test_a_wait_ends_with_its_time(client: Client, topic: str, version: int) -> None:
    """Nothing comes: the answer is empty, and not early."""
    made = client.create(topic)
    begun = time.monotonic()
    found = client.fetch(made, version=version, max_wait_ms=150, min_bytes=1)
    assert 0.14 < time.monotonic() - begun < 10
    assert (found.error_code, found.records) == (Error.NONE, b"")


def test_a_wait_for_several_bytes(client: Client, broker: BrokerProcess, topic: str) -> None:
    """What is less than wanted wakes nobody; over partitions it adds up; at the end of the time what is there comes."""
    made = client.create(topic, 2)
    one = batch(bytes(1_000))
    wait = fetch_body(made, {0: {}, 1: {}}) | {"max_wait_ms": LONG_MS, "min_bytes": 2 * len(one)}
    client.send("Fetch", LATEST, **wait)
    with Client(broker.address) as other:
        other.produce(made, one, 0)
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(15)
        other.produce(made, one, 1)
    (of_topic,) = client.receive("Fetch", LATEST).responses
    assert [len(each.records) for each in of_topic.partitions] == [len(one), len(one)]
    found = client.fetch(made, max_wait_ms=150, min_bytes=MAX_BYTES)
    assert len(found.records) == len(one)


@pytest.mark.parametrize("version", versions("Fetch"))
def test_errors_do_not_wait(client: Client, topic: str, version: int) -> None:
    """Something wrong with one partition is said at once."""
    made = client.create(topic, 2)
    body = fetch_body(made, {0: {}, 1: {"fetch_offset": 77}}) | {"max_wait_ms": LONG_MS, "min_bytes": 1}
    (of_topic,) = client.ask("Fetch", version, **body).responses
    codes = {each.partition_index: each.error_code for each in of_topic.partitions}
    assert codes == {0: Error.NONE, 1: Error.OFFSET_OUT_OF_RANGE}


class Session:
    """A fetch session over some partitions of one topic (KIP-227)."""

    def __init__(self, client: Client, topic: Topic, version: int, offsets: dict[int, int]) -> None:
        """Opens it; `first` is the answer."""
        self.client, self.topic, self.version = client, topic, version
        self.epoch = 0
        self.id = 0
        self.first = self.ask(offsets)
        self.id = self.first.session_id

    def ask(
        self, offsets: dict[int, int] | None = None, forgotten: list[int] | None = None, **body: object
    ) -> SimpleNamespace:
        """The next fetch: `offsets` are new or changed partitions."""
        wanted = {index: {"fetch_offset": offset} for index, offset in (offsets or {}).items()}
        base = fetch_body(self.topic, wanted)
        if not offsets:
            base["topics"] = []
        if forgotten:
            gone = {"topic": self.topic.name, "topic_id": self.topic.id, "partitions": forgotten}
            base["forgotten_topics_data"] = [gone]
        base |= {"session_id": self.id, "session_epoch": self.epoch}
        answer = self.client.ask("Fetch", self.version, **base | body)
        if answer.error_code == Error.NONE:
            self.epoch += 1
        return answer


@pytest.mark.parametrize("version", WITH_SESSIONS)
def test_a_session_says_what_changed(client: Client, topic: str, version: int) -> None:
    """The first answer has every partition, later ones those with news alone."""
    made = client.create(topic, 3)
    client.produce(made, batch(b"a"), 1)
    session = Session(client, made, version, {0: 0, 1: 0, 2: 0})
    assert session.id > 0
    assert sorted(indexes(session.first)) == [0, 1, 2]
    # The client reads on: partition 1 has nothing new, and nobody else has.
    answer = session.ask({1: 1})
    assert (answer.error_code, answer.session_id, indexes(answer)) == (Error.NONE, session.id, [])
    client.produce(made, batch(b"b"), 2)
    answer = session.ask()
    assert indexes(answer) == [2]
    assert [record.value for record in records_of(answer.responses[0].partitions[0].records)] == [b"b"]
    # Who does not read on gets the same again.
    assert indexes(session.ask()) == [2]
    assert indexes(session.ask({2: 1})) == []


@pytest.mark.parametrize("version", WITH_SESSIONS)
def test_a_session_takes_and_forgets_partitions(client: Client, topic: str, version: int) -> None:
    """Partitions join and leave; an error stays news until it is gone."""
    made = client.create(topic, 3)
    session = Session(client, made, version, {0: 0})
    assert indexes(session.ask({1: 0, 2: 55})) == [1, 2]
    answer = session.ask()
    assert indexes(answer) == [2]
    assert answer.responses[0].partitions[0].error_code == Error.OFFSET_OUT_OF_RANGE
    for partition in range(3):
        client.produce(made, batch(b"a"), partition)
    answer = session.ask({2: 0}, forgotten=[0])
    assert sorted(indexes(answer)) == [1, 2]
    assert {each.error_code for each in answer.responses[0].partitions} == {Error.NONE}
    # A session of nothing ends.
    answer = session.ask(forgotten=[1, 2])
    assert (answer.error_code, answer.session_id, indexes(answer)) == (Error.NONE, 0, [])
    assert session.ask().error_code == Error.FETCH_SESSION_ID_NOT_FOUND


@pytest.mark.parametrize("version", WITH_SESSIONS)
def test_sessions_at_another_epoch(client: Client, topic: str, version: int) -> None:
    """An epoch that is not the next one is refused, and the session goes on; an unknown session is refused."""
    made = client.create(topic)
    session = Session(client, made, version, {0: 0})
    for epoch in (session.epoch + 1, session.epoch + 100):
        answer = session.ask(session_epoch=epoch)
        assert (answer.error_code, indexes(answer)) == (Error.INVALID_FETCH_SESSION_EPOCH, [])
    assert session.ask().error_code == Error.NONE
    # A request that is sent again is one epoch late.
    assert session.ask(session_epoch=session.epoch - 1).error_code == Error.INVALID_FETCH_SESSION_EPOCH
    assert session.ask(session_id=session.id ^ 1).error_code == Error.FETCH_SESSION_ID_NOT_FOUND
    assert session.ask().error_code == Error.NONE


@pytest.mark.parametrize("version", WITH_SESSIONS)
def test_a_session_is_closed(client: Client, topic: str, version: int) -> None:
    """Epoch -1 ends the session and is a full fetch; so does epoch 0, which opens another one."""
    made = client.create(topic, 2)
    client.produce(made, batch(b"a"))
    session = Session(client, made, version, {0: 0, 1: 0})
    answer = session.ask({0: 0}, session_epoch=-1)
    assert (answer.error_code, answer.session_id, indexes(answer)) == (Error.NONE, 0, [0])
    session.epoch = 1
    assert session.ask().error_code == Error.FETCH_SESSION_ID_NOT_FOUND
    # As clients close: nothing is asked for.
    session = Session(client, made, version, {0: 0})
    answer = session.ask(session_epoch=-1)
    assert (answer.error_code, answer.session_id, indexes(answer)) == (Error.NONE, 0, [])
    session = Session(client, made, version, {0: 0})
    answer = session.ask({1: 0}, session_epoch=0)
    assert answer.session_id not in (0, session.id)
    assert indexes(answer) == [1]
    session.epoch = 1
    assert session.ask().error_code == Error.FETCH_SESSION_ID_NOT_FOUND


def test_a_session_by_name_is_not_one_by_id(client: Client, topic: str) -> None:
    """A client that changes between names and ids must begin anew (KIP-516)."""
    made = client.create(topic)
    for first, then in ((12, LATEST), (LATEST, 12)):
        session = Session(client, made, first, {0: 0})
        session.version = then
        assert session.ask().error_code == Error.FETCH_SESSION_TOPIC_ID_ERROR


@pytest.mark.parametrize("version", WITH_SESSIONS)
def test_a_session_waits(client: Client, broker: BrokerProcess, topic: str, version: int) -> None:
    """A fetch of a session that names nothing waits for all of its partitions."""
    made = client.create(topic, 2)
    session = Session(client, made, version, {0: 0, 1: 0})
    body = fetch_body(made, {}) | {"topics": [], "session_id": session.id, "session_epoch": 1}
    client.send("Fetch", version, **body | {"max_wait_ms": LONG_MS, "min_bytes": 1})
    with Client(broker.address) as other:
        other.ask("Produce", 9, **produce_body(made, {1: batch(b"a")}))
    assert indexes(client.receive("Fetch", version)) == [1]
