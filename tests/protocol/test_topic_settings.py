"""What a topic's settings do to what is produced: codecs, times, sizes; and how it is refused."""

import time

import pytest

from protocol.client import Client, Error, Topic
from protocol.records import Record, batch, codecs_of
from protocol.schema import versions
from protocol.test_produce import producer_id

TYPES = {"gzip": "gzip", "snappy": "snappy", "lz4": "lz4", "zstd": "zstd", "uncompressed": "none"}
"""Each `compression.type` with the codec that batches then have."""
HEADERS = [(b"same", b"first"), (b"other", None), (b"same", b"second"), (b"same", b"first"), (b"", b"")]
WORDS = [b"word %d %s" % (number % 13, b"x" * (number % 57)) for number in range(400)]
HOUR_MS = 3_600_000
FOREVER_MS = 2**63 - 1


def now_ms() -> int:
    """The time, on this machine's clock."""
    return time.time_ns() // 1_000_000


def stored(client: Client, topic: Topic) -> bytes:
    """The first batch as it lies in the log."""
    found = client.fetch(topic)
    assert found.error_code == Error.NONE
    return found.records


def put(client: Client, topic: Topic, data: bytes) -> None:
    """Produces a batch, which must be taken."""
    placed = client.produce(topic, data)
    assert placed.error_code == Error.NONE, placed.error_message


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("source", TYPES)
def test_codecs(client: Client, topic: str, source: str, kind: str) -> None:
    """A batch lies in the log in the topic's codec, whichever it came in; its records stay what they were."""
    came = client.create(f"{topic}-came", compression_type=source)
    kept = client.create(f"{topic}-kept", compression_type=kind)
    plain = client.create(f"{topic}-plain", compression_type="uncompressed")
    put(client, came, batch(*WORDS, step_ms=3, headers=HEADERS))
    compressed = stored(client, came)
    assert codecs_of(compressed) == [TYPES[source]]
    put(client, kept, compressed)
    assert codecs_of(stored(client, kept)) == [TYPES[kind]]
    put(client, plain, stored(client, kept))
    found = [(record.value, record.timestamp, list(record.headers)) for record in client.records(plain)]
    assert found == [(word, 1_000_000 + 3 * number, HEADERS) for number, word in enumerate(WORDS)]


def test_codec_of_the_producer(client: Client, topic: str) -> None:
    """It is the default, and the bytes stay those that came."""
    kept = client.create(topic)
    for kind, codec in TYPES.items():
        came = client.create(f"{topic}-{kind}", compression_type=kind)
        put(client, came, batch(*WORDS))
        compressed = stored(client, came)
        placed = client.produce(kept, compressed)
        assert placed.error_code == Error.NONE
        found = client.fetch(kept, placed.base_offset).records
        assert codecs_of(found) == [codec]
        # All but the offset, and the leader's epoch.
        assert found[16:] == compressed[16:]


@pytest.mark.parametrize(("codec", "low", "high"), [("gzip", "1", "9"), ("zstd", "-50", "19")])
def test_levels(client: Client, topic: str, codec: str, low: str, high: str) -> None:
    """A codec that tries harder makes batches smaller."""
    size = {}
    for level in (low, high):
        configs = {"compression_type": codec, f"compression_{codec}_level": level}
        made = client.create(f"{topic}{level}", **configs)
        put(client, made, batch(*WORDS))
        size[level] = len(stored(client, made))
    assert size[high] < size[low]


def test_idempotent_batches_are_recognised(client: Client, topic: str) -> None:
    """What was compressed by the broker keeps the producer's numbers: sent again it is stored once."""
    made = client.create(topic, compression_type="lz4")
    names = {"producer_id": producer_id(client, 4), "producer_epoch": 0}
    for sequence in (0, 1, 0, 1):
        placed = client.produce(made, batch(b"x" * 100, base_sequence=sequence, **names))
        assert (placed.error_code, placed.base_offset) == (Error.NONE, sequence)


@pytest.mark.parametrize("version", versions("Fetch"))
def test_zstd_is_for_every_version(client: Client, topic: str, version: int) -> None:
    """A client of before zstd gets what is there, as Kafka gives it."""
    made = client.create(topic, compression_type="zstd")
    put(client, made, batch(*WORDS))
    found = client.fetch(made, version=version)
    assert (found.error_code, codecs_of(found.records)) == (Error.NONE, ["zstd"])


@pytest.mark.parametrize("version", versions("Produce"))
def test_sizes(client: Client, topic: str, version: int) -> None:
    """A batch may be as large as `max.message.bytes` when it comes, and when it lies in the log."""
    data = batch(*WORDS)
    packed = client.create(f"{topic}-packed", compression_type="gzip")
    put(client, packed, data)
    small = stored(client, packed)
    assert len(small) < len(data)
    for limit, kind, sent, code in [
        (len(data), "producer", data, Error.NONE),
        (len(data) - 1, "producer", data, Error.MESSAGE_TOO_LARGE),
        (len(small), "producer", small, Error.NONE),
        (len(small) - 1, "producer", small, Error.MESSAGE_TOO_LARGE),
        (len(data), "uncompressed", small, Error.NONE),
        (len(data) - 1, "uncompressed", small, Error.MESSAGE_TOO_LARGE),
        # It would fit once it is compressed, and does not as it comes.
        (len(data) - 1, "gzip", data, Error.MESSAGE_TOO_LARGE),
    ]:
        made = client.create(f"{topic}-{limit}-{kind}-{len(sent)}", max_message_bytes=str(limit), compression_type=kind)
        placed = client.produce(made, sent, version=version)
        assert placed.error_code == code, (limit, kind, len(sent))


@pytest.mark.parametrize("version", versions("Produce"))
def test_times(client: Client, topic: str, version: int) -> None:
    """Records of before and behind what is allowed are refused, each by its place; a record without a time never is."""
    made = client.create(
        topic, message_timestamp_before_max_ms=str(HOUR_MS), message_timestamp_after_max_ms=str(HOUR_MS)
    )
    minute, now = 60_000, now_ms()
    fates = {
        "now": (now, Error.NONE),
        "nearly an hour ago": (now - HOUR_MS + minute, Error.NONE),
        "within an hour": (now + HOUR_MS - minute, Error.NONE),
        "without a time": (-1, Error.NONE),
        "more than an hour ago": (now - HOUR_MS - minute, Error.INVALID_TIMESTAMP),
        "in more than an hour": (now + HOUR_MS + minute, Error.INVALID_TIMESTAMP),
    }
    for kind, (stamp, code) in fates.items():
        placed = client.produce(made, batch(b"a", timestamp=stamp), version=version)
        assert placed.error_code == code, kind
        if version >= 8:
            assert [each.batch_index for each in placed.record_errors] == ([] if code == Error.NONE else [0]), kind
    # The first two of three are in time.
    late = client.produce(made, batch(b"a", b"b", b"c", timestamp=now, step_ms=HOUR_MS // 2 + minute), version=version)
    assert late.error_code == Error.INVALID_TIMESTAMP
    if version >= 8:
        assert [each.batch_index for each in late.record_errors] == [2]
        assert late.error_message
    assert len(client.values(made)) == 4


@pytest.mark.parametrize("version", versions("Produce"))
def test_default_times(client: Client, topic: str, version: int) -> None:
    """Unless the topic says otherwise the past has no bound, and the future is an hour."""
    made = client.create(topic)
    for stamp, code in [(0, Error.NONE), (now_ms() + 2 * HOUR_MS, Error.INVALID_TIMESTAMP)]:
        assert client.produce(made, batch(b"a", timestamp=stamp), version=version).error_code == code
    free = client.create(f"{topic}-free", message_timestamp_after_max_ms=str(FOREVER_MS))
    far = now_ms() + 1000 * HOUR_MS
    assert client.produce(free, batch(b"a", timestamp=far), version=version).error_code == Error.NONE
    assert [record.timestamp for record in client.records(free)] == [far]


@pytest.mark.parametrize("version", versions("Produce"))
def test_times_of_the_log_have_no_bounds(client: Client, topic: str, version: int) -> None:
    """Where the broker sets the times, what the producer says is of no interest."""
    bounds = {"message_timestamp_before_max_ms": "0", "message_timestamp_after_max_ms": "0"}
    made = client.create(topic, message_timestamp_type="LogAppendTime", **bounds)
    for stamp in (0, -1, now_ms() + 1000 * HOUR_MS):
        before = now_ms()
        placed = client.produce(made, batch(b"a", b"b", timestamp=stamp, step_ms=7), version=version)
        assert placed.error_code == Error.NONE
        assert before - 1000 <= placed.log_append_time_ms <= now_ms() + 1000
        found = [r.timestamp for r in client.records(made) if r.offset >= placed.base_offset]
        assert found == [placed.log_append_time_ms] * 2


@pytest.mark.parametrize("kind", ["CreateTime", "LogAppendTime"])
def test_who_says_that_the_log_set_its_times(client: Client, topic: str, kind: str) -> None:
    """A producer's batch with the attribute for LogAppendTime."""
    made = client.create(topic, message_timestamp_type=kind)
    placed = client.produce(made, batch(b"a", timestamp=now_ms() + 2 * HOUR_MS, attributes=1 << 3))
    assert placed.error_code == Error.INVALID_TIMESTAMP


@pytest.mark.parametrize("kind", ["producer", "zstd"])
def test_headers(client: Client, topic: str, kind: str) -> None:
    """Headers with equal names stay, each at its place."""
    made = client.create(topic, compression_type=kind)
    put(client, made, batch(b"a", b"b", headers=HEADERS))
    plain = client.create(f"{topic}-plain", compression_type="uncompressed")
    put(client, plain, stored(client, made))
    found = client.records(plain)
    assert [(record.value, list(record.headers)) for record in found] == [(b"a", HEADERS), (b"b", HEADERS)]
    assert isinstance(found[0], Record)


TAKEN = {
    "preallocate": "true",
    "flush.messages": "1",
    "flush.ms": "0",
    "file.delete.delay.ms": "1",
    "segment.jitter.ms": "5",
    "segment.index.bytes": "5000",
    "unclean.leader.election.enable": "true",
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "5",
    "leader.replication.throttled.replicas": "0:1",
    "follower.replication.throttled.replicas": "*",
    "compression.lz4.level": "17",
    "remote.log.copy.disable": "true",
}


def test_settings_that_are_taken(client: Client, topic: str) -> None:
    """A topic with any valid setting of Kafka works."""
    made = client.create(topic, **TAKEN)
    put(client, made, batch(b"a"))
    assert client.values(made) == [b"a"]
