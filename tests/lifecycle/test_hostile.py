"""Bytes that no client should send: they cost their own connection, never another client's, nor the broker's memory."""

import random
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from broker_process import BrokerProcess, is_reference, wait_until
from clients.librdkafka import create_topic
from conftest import StartBroker
from protocol.records import altered, batch
from wire import API_VERSIONS, FETCH, Connection, WireError

PRODUCE = 0
METADATA = 3

REQUEST_MAX_BYTES = 100 << 20
"""Kafka's default socket.request.max.bytes."""
MEMORY_GROWTH_MAX_BYTES = 64 << 20
CONNECTIONS = 10_000
CONNECTION_BYTES_MAX = 8 << 10
"""What an idle connection may cost the broker."""
UNSUPPORTED_VERSION = 35
DEADLINE_S = 20.0


class Bystander:
    """A well-behaved producer and consumer, which must never lose their connections."""

    def __init__(self, broker: BrokerProcess, topic: str) -> None:
        """Connects both and moves a first record."""
        self.broker = broker
        self.topic = topic
        self.disconnects: list[KafkaError] = []
        common = {
            "bootstrap.servers": broker.address,
            "error_cb": self.disconnects.append,
            "connections.max.idle.ms": 0,
        }
        create_topic(broker.address, topic)
        self.producer = Producer(common | {"enable.idempotence": True, "linger.ms": 0})
        self.consumer = Consumer(common | {"group.id": "unused", "enable.auto.commit": False, "fetch.wait.max.ms": 100})
        self.consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        self.moved = 0
        self.check()

    def check(self) -> None:
        """One record goes through, on the connections of before."""
        assert self.broker.running(), f"the broker died\n{self.broker.log_tail()}"
        self.producer.produce(self.topic, b"%d" % self.moved, partition=0)
        assert self.producer.flush(DEADLINE_S) == 0
        message = self.consumer.poll(DEADLINE_S)
        assert message is not None
        assert message.error() is None
        assert message.value() == b"%d" % self.moved
        assert self.disconnects == []
        self.moved += 1

    def memory_bytes(self) -> int:
        """What the broker keeps in memory."""
        status = Path(f"/proc/{self.broker.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


@pytest.fixture
def bystander(broker: BrokerProcess, topic: str) -> Iterator[Bystander]:
    """A bystander that is checked once more at the end."""
    watching = Bystander(broker, topic)
    yield watching
    watching.check()
    watching.consumer.close()


def is_closed(connection: Connection) -> bool:
    """Whether the broker closes the connection, whatever it says before."""
    try:
        while connection.socket.recv(65_536):
            pass
    except ConnectionError:
        return True
    return True


CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(194)
GARBAGE = {
    "zero bytes": bytes(64),
    "random": random.Random(5).randbytes(4_096),
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": CLIENT_HELLO,
    "negative length": struct.pack(">i", -1),
    "one byte more than the limit": struct.pack(">i", REQUEST_MAX_BYTES + 1),
    "the largest length": struct.pack(">i", 2**31 - 1),
    "an empty frame": struct.pack(">i", 0),
    "half a header": struct.pack(">ih", 2, PRODUCE),
    "unknown API": struct.pack(">ihhih", 10, 32_000, 0, 1, -1),
    "unsupported version": struct.pack(">ihhih", 10, METADATA, 32_000, 1, -1),
    "a client id beyond the frame": struct.pack(">ihhih", 10, METADATA, 1, 1, 32_000),
    "an array of two billion": struct.pack(">ihhihi", 14, METADATA, 1, 1, -1, 2**31 - 1),
    "a negative array": struct.pack(">ihhihi", 14, METADATA, 1, 1, -1, -5),
    "a string beyond the frame": struct.pack(">ihhihih", 16, METADATA, 1, 1, -1, 1, 32_000),
    "a compact array of four billion": struct.pack(">ihhihb", 16, METADATA, 12, 1, -1, 0) + b"\xff\xff\xff\xff\x0f",
    "a varint without end": struct.pack(">ihhihb", 31, METADATA, 12, 1, -1, 0) + b"\xff" * 20,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_closes_its_connection(bystander: Bystander, kind: str) -> None:
    """The connection is closed, and memory does not grow by what was declared."""
    before = bystander.memory_bytes()
    for _ in range(20):
        with Connection(bystander.broker.address, DEADLINE_S) as connection:
            with suppress(OSError):
                connection.socket.sendall(GARBAGE[kind])
                connection.socket.shutdown(socket.SHUT_WR)
            assert is_closed(connection)
    bystander.check()
    if not is_reference():
        assert bystander.memory_bytes() - before < MEMORY_GROWTH_MAX_BYTES


REASONS = {
    "zero bytes": "the request header cannot be read",
    "http": "socket.request.max.bytes",
    "tls": "socket.request.max.bytes",
    "negative length": "socket.request.max.bytes",
    "one byte more than the limit": "socket.request.max.bytes",
    "the largest length": "socket.request.max.bytes",
    "an empty frame": "the request header cannot be read",
    "unknown API": "32000",
    "unsupported version": "RequestHeader",
    "a client id beyond the frame": "client_id",
    "an array of two billion": "topics",
    "a string beyond the frame": "name",
    "a compact array of four billion": "topics",
}


@pytest.mark.wiber_only("Kafka's log has other lines")
@pytest.mark.parametrize("kind", REASONS)
def test_the_log_names_the_offender_and_the_reason(broker: BrokerProcess, kind: str) -> None:
    """A line: whose connection was closed, and why. Of a crowd, as before this test, not all are named: others come."""

    def offender() -> str:
        with Connection(broker.address, DEADLINE_S) as connection:
            host, port = connection.socket.getsockname()
            with suppress(OSError):
                connection.socket.sendall(GARBAGE[kind])
                connection.socket.shutdown(socket.SHUT_WR)
            assert is_closed(connection)
        return f"{host}:{port}"

    offenders: set[str] = set()
    # What an earlier test's connection from the same port was closed for is not asked.
    begin = len(broker.log())

    def lines() -> list[str]:
        offenders.add(offender())
        closings = (line for line in broker.log()[begin:].splitlines() if "closed a connection" in line)
        return [line for line in closings if any(f"peer={each} " in line for each in offenders)]

    wait_until(lines, DEADLINE_S, "the log names a connection", interval_s=0.2)
    assert all(REASONS[kind] in line for line in lines())


@pytest.mark.parametrize(
    "kind", ["negative length", "one byte more than the limit", "the largest length", "unknown API", "http", "tls"]
)
def test_hopeless_connections_are_closed_at_once(bystander: Bystander, kind: str) -> None:
    """Where nothing sensible can follow, the broker does not wait for the client to go."""
    with Connection(bystander.broker.address, DEADLINE_S) as connection:
        connection.socket.sendall(GARBAGE[kind])
        assert is_closed(connection)


def test_stalled_frames(bystander: Bystander) -> None:
    """Half frames that stall, also ones that declare the largest size, hold up nobody and take no memory."""
    before = bystander.memory_bytes()
    with ExitStack() as open_connections:
        for _ in range(50):
            connection = open_connections.enter_context(Connection(bystander.broker.address))
            connection.socket.sendall(struct.pack(">ihhih", REQUEST_MAX_BYTES // 8, PRODUCE, 9, 1, -1) + bytes(100))
        for cut in (1, 3, 4, 5, 9):
            connection = open_connections.enter_context(Connection(bystander.broker.address))
            connection.socket.sendall(connection.frame(API_VERSIONS, 0, b"")[:cut])
        for _ in range(10):
            bystander.check()
        if not is_reference():
            assert bystander.memory_bytes() - before < MEMORY_GROWTH_MAX_BYTES


def test_a_frame_in_pieces(broker: BrokerProcess) -> None:
    """A request that comes byte by byte is answered."""
    with Connection(broker.address) as connection:
        for byte in connection.frame(API_VERSIONS, 0, b""):
            connection.socket.sendall(bytes([byte]))
        correlation_id, _ = connection.response()
        assert correlation_id == 1


def test_resets_in_the_middle(bystander: Bystander) -> None:
    """Connections that are reset in the middle of a frame or of a long poll leave no trace."""
    for _ in range(50):
        for frame_cut in (10, None):
            connection = Connection(bystander.broker.address)
            linger_reset = struct.pack("ii", 1, 0)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_reset)
            body = struct.pack(">iiiibi", -1, 30_000, 1, 1_000, 0, 0)
            connection.socket.sendall(connection.frame(FETCH, 4, body)[:frame_cut])
            connection.socket.close()
    bystander.check()


@pytest.mark.wiber_only("the broker gets a setting, and Kafka's memory is the virtual machine's")
def test_ten_thousand_connections(start_broker: StartBroker, topic: str) -> None:
    """Ten thousand clients that were served once stay connected: others are served on, and memory is in proportion."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        broker = start_broker(arguments=["--set", f"max.connections={CONNECTIONS + 100}"])
        bystander = Bystander(broker, topic)
        before = bystander.memory_bytes()
        with ExitStack() as open_connections:
            for number in range(CONNECTIONS):
                connection = open_connections.enter_context(Connection(broker.address, DEADLINE_S))
                assert connection.api_versions()
                if number % 1000 == 0:
                    bystander.check()
            assert bystander.memory_bytes() - before < CONNECTIONS * CONNECTION_BYTES_MAX
            bystander.check()
            assert connection.api_versions()
        bystander.check()
        bystander.consumer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def zstd_bomb(unfolded_bytes: int) -> bytes:
    """A zstd frame of one record whose value is all zeros: four bytes of it unfold to 128 KiB."""
    block_bytes = 128 << 10
    value_bytes = unfolded_bytes - 64
    body = bytes([0, 0, 0, 1]) + _varint(value_bytes)  # Attributes, both deltas, no key, the value's length.
    head = _varint(len(body) + value_bytes + 1) + body
    blocks = struct.pack("<I", len(head) << 3)[:3] + head
    run = struct.pack("<I", block_bytes << 3 | 1 << 1)[:3] + b"\0"
    blocks += run * (unfolded_bytes // block_bytes) + struct.pack("<I", 1)[:3]
    return bytes.fromhex("28b52ffd0038") + blocks


def _varint(value: int) -> bytes:
    """As Kafka writes a length that is not negative: zigzag."""
    value, encoded = value << 1, b""
    while value >= 0x80:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


@pytest.mark.wiber_only("Kafka unfolds them all")
def test_decompression_bombs(bystander: Bystander) -> None:
    """Batches of 40 KB that unfold to more than a gigabyte are refused, in little memory, while others are served."""
    bomb = altered(batch(b"bomb"), payload=zstd_bomb(1200 << 20), attributes=4)
    assert len(bomb) < 50_000
    name = bystander.topic.encode()
    body = struct.pack(">hhi", -1, -1, 30_000) + struct.pack(">ih", 1, len(name)) + name
    body += struct.pack(">iii", 1, 0, len(bomb)) + bomb
    before = bystander.memory_bytes()
    with ExitStack() as open_connections:
        connections = [open_connections.enter_context(Connection(bystander.broker.address, 60)) for _ in range(8)]
        for connection in connections:
            connection.socket.sendall(connection.frame(PRODUCE, 7, body))
        for _ in range(5):
            bystander.check()
        assert bystander.memory_bytes() - before < MEMORY_GROWTH_MAX_BYTES
        for connection in connections:
            _, answer = connection.response()
            (error_code,) = struct.unpack_from(">h", answer, 4 + 2 + len(name) + 4 + 4)
            assert error_code != 0
    bystander.check()


LIES = {
    "one record more than there are": ("record_count", 4),
    "one record fewer": ("record_count", 2),
    "two billion records": ("record_count", 2**31 - 1),
    "no record": ("record_count", 0),
    "a negative count": ("record_count", -3),
    "a last offset beyond the records": ("last_offset_delta", 1_000),
    "a last offset of all": ("last_offset_delta", 2**31 - 1),
    "a negative last offset": ("last_offset_delta", -1),
    "a compression that is none": ("attributes", 7),
    "a control batch": ("attributes", 32),
    "format 0": ("magic", 0),
    "format 9": ("magic", 9),
    "a length of nothing": ("length", 0),
    "a negative length": ("length", -1),
    "a length beyond the request": ("length", 1 << 20),
    "a wrong checksum": ("crc", 0x12345678),
}


@pytest.mark.parametrize("kind", LIES)
def test_lying_batch_headers(bystander: Bystander, kind: str) -> None:
    """A batch whose header lies is refused or ends its connection, and nothing of it is stored."""
    field, value = LIES[kind]
    lie = altered(batch(b"one", b"two", b"three"), **{field: value})
    name = bystander.topic.encode()
    body = struct.pack(">hhi", -1, -1, 5_000) + struct.pack(">ih", 1, len(name)) + name
    body += struct.pack(">iii", 1, 0, len(lie)) + lie
    with Connection(bystander.broker.address, DEADLINE_S) as connection:
        connection.socket.sendall(connection.frame(PRODUCE, 7, body))
        with suppress(WireError, ConnectionError):
            _, answer = connection.response()
            (error_code,) = struct.unpack_from(">h", answer, 4 + 2 + len(name) + 4 + 4)
            assert error_code != 0
    # The bystander reads what it wrote itself, and nothing else.
    bystander.check()


def test_unsupported_version_of_api_versions(broker: BrokerProcess) -> None:
    """It is answered in version 0, with the error and the ranges, as clients count on."""
    with Connection(broker.address) as connection:
        # A header and a body as every flexible version has them: no tags, client name, client version, no tags.
        body = connection.call(API_VERSIONS, 32_000, b"\0\x05wire\x021\0")
        error_code, count = struct.unpack_from(">hi", body)
        assert error_code == UNSUPPORTED_VERSION
        ranges = [struct.unpack_from(">hhh", body, 6 + 6 * index) for index in range(count)]
        assert API_VERSIONS in {key for key, _, _ in ranges}
        assert connection.api_versions()


def test_pipelined_requests_are_answered_in_order(broker: BrokerProcess, topic: str) -> None:
    """A long poll first and quick requests behind it: the answers keep the order of the requests."""
    create_topic(broker.address, topic)
    name = topic.encode()
    wait = struct.pack(">iiiib", -1, 300, 1, 1 << 20, 0)
    wait += struct.pack(">ih", 1, len(name)) + name + struct.pack(">iiqi", 1, 0, 0, 1 << 20)
    with Connection(broker.address) as connection:
        frames = [connection.frame(*request) for request in 3 * [(FETCH, 4, wait), (API_VERSIONS, 0, b"")]]
        connection.socket.sendall(b"".join(frames))
        assert [connection.response()[0] for _ in range(6)] == list(range(1, 7))


def test_a_client_that_never_reads(bystander: Bystander) -> None:
    """Requests for far more than the sockets hold, and no reading: the broker's memory stays bounded."""
    payload = random.Random(9).randbytes(500_000)
    for _ in range(20):
        bystander.producer.produce(bystander.topic, payload, partition=0)
    assert bystander.producer.flush(DEADLINE_S) == 0
    first = bystander.moved
    for _ in range(20):
        message = bystander.consumer.poll(DEADLINE_S)
        assert message is not None
        assert message.value() == payload
    before = bystander.memory_bytes()
    name = bystander.topic.encode()
    body = struct.pack(">iiiib", -1, 0, 1, 16 << 20, 0)
    body += struct.pack(">ih", 1, len(name)) + name + struct.pack(">iiqi", 1, 0, first, 16 << 20)
    with Connection(bystander.broker.address) as connection:
        connection.socket.setblocking(False)
        for _ in range(500):
            try:
                connection.socket.sendall(connection.frame(FETCH, 4, body))
            except BlockingIOError:
                break
        for _ in range(20):
            bystander.check()
        if not is_reference():
            assert bystander.memory_bytes() - before < 2 * MEMORY_GROWTH_MAX_BYTES


def test_random_bodies(bystander: Bystander) -> None:
    """Every advertised API and version with random bodies: an answer or a closed connection, and the broker lives."""
    source = random.Random(13)
    with Connection(bystander.broker.address) as connection:
        ranges = connection.api_versions()
    for api_key, (lowest, highest) in ranges.items():
        for version in range(max(lowest, 0), highest + 1):
            body = source.randbytes(source.randrange(200))
            with Connection(bystander.broker.address, 5) as connection:
                connection.socket.sendall(connection.frame(api_key, version, body))
                connection.socket.shutdown(socket.SHUT_WR)
                with suppress(WireError, ConnectionError, TimeoutError):
                    connection.response()
    wait_until(bystander.broker.running, 1, "the broker lives")
    bystander.check()
