"""Bytes that no client should send: they cost their own connection, never another client's, nor the broker's memory."""

import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from broker_process import BrokerProcess, is_reference, wait_until
from clients.librdkafka import create_topic
from wire import API_VERSIONS, FETCH, Connection, WireError

PRODUCE = 0
METADATA = 3

REQUEST_MAX_BYTES = 100 << 20
"""Kafka's default socket.request.max.bytes."""
MEMORY_GROWTH_MAX_BYTES = 64 << 20
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


def test_many_connections(bystander: Bystander) -> None:
    """500 idle connections, and one that is still served."""
    with ExitStack() as open_connections:
        connections = [open_connections.enter_context(Connection(bystander.broker.address)) for _ in range(500)]
        bystander.check()
        assert connections[-1].api_versions()


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
