"""What clients may take: connections, requests, time, memory. Who is beyond is cut off, with a line that says why."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from broker_process import BrokerProcess, wait_until
from conftest import StartBroker
from protocol.client import Client
from protocol.records import batch
from wire import Connection

pytestmark = pytest.mark.wiber_only("Kafka's log has other lines, and it lets clients wait where we refuse them")

DEADLINE_S = 20.0


def settings(*each: str) -> list[str]:
    """Flags that set them."""
    return [word for setting in each for word in ("--set", setting)]


@contextmanager
def served(address: str, source: str = "127.0.0.1") -> Iterator[Connection]:
    """A client that was served once, from an address of its own."""
    connection = Connection.__new__(Connection)
    host, _, port = address.rpartition(":")
    connection.socket = socket.create_connection((host, int(port)), DEADLINE_S, source_address=(source, 0))
    connection._correlation_id = 0
    with connection:
        connection.api_versions()
        yield connection


def is_refused(address: str, source: str = "127.0.0.1") -> bool:
    """Whether the broker closes a new connection at once."""
    try:
        with served(address, source):
            return False
    except (ConnectionError, AssertionError):
        return True


def refusals(broker: BrokerProcess) -> list[str]:
    """The lines about clients that were refused."""
    return [line for line in broker.log().splitlines() if "refused a client" in line]


def closings(broker: BrokerProcess) -> list[str]:
    """The lines about connections that were closed."""
    return [line for line in broker.log().splitlines() if "closed a connection" in line]


def is_closed(connection: Connection) -> bool:
    """Whether the broker closes the connection."""
    try:
        while connection.socket.recv(65_536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def test_connections_in_all(start_broker: StartBroker) -> None:
    """The third of two is refused, with one line; when one leaves, the next is served."""
    broker = start_broker(arguments=settings("max.connections=2"))
    with served(broker.address), ExitStack() as stack:
        stack.enter_context(served(broker.address))
        assert is_refused(broker.address)
        (line,) = refusals(broker)
        assert "127.0.0.1:" in line
        assert "there are 2 connections, and max.connections is 2" in line
        stack.close()
        wait_until(lambda: not is_refused(broker.address), DEADLINE_S, "there is room again")


def test_connections_of_an_address(start_broker: StartBroker) -> None:
    """Each address has its own count, and some have another limit."""
    broker = start_broker(
        arguments=settings("max.connections.per.ip=1", "max.connections.per.ip.overrides=127.0.0.9:2,127.0.0.8:0")
    )
    with ExitStack() as stack:
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.9", "127.0.0.9"):
            stack.enter_context(served(broker.address, source))
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.9", "127.0.0.8"):
            assert is_refused(broker.address, source)
        lines = refusals(broker)
        assert [line.count("max.connections.per.ip is 1") for line in lines] == [1, 1, 0, 0]
        assert [line.count("max.connections.per.ip.overrides of it") for line in lines] == [0, 0, 1, 1]
        assert ["127.0.0.2:" in line for line in lines] == [False, True, False, False]
    wait_until(lambda: not is_refused(broker.address, "127.0.0.2"), DEADLINE_S, "there is room again")


def test_connections_of_a_listener(start_broker: StartBroker) -> None:
    """One listener is full, the other is not."""
    flags = settings(
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT", "listener.name.out.max.connections=1"
    )
    broker = start_broker(arguments=["--listen", "OUT://127.0.0.1:0", *flags])
    (ready,) = (line for line in broker.log().splitlines() if "with its data in" in line)
    out = ready.split(", ")[1].split(" ")[0]
    with served(out), served(broker.address), served(broker.address):
        assert is_refused(out)
        assert "listener OUT has 1 connections, and listener.name.out.max.connections is 1" in refusals(broker)[0]


def test_connections_in_a_second(start_broker: StartBroker) -> None:
    """What comes faster waits, and is served."""
    broker = start_broker(arguments=settings("max.connection.creation.rate=20"))
    begun = time.monotonic()
    for _ in range(60):
        assert not is_refused(broker.address)
    # 20 at once, and 40 at 20 a second.
    assert time.monotonic() - begun > 1.5
    assert refusals(broker) == []


def test_large_requests(start_broker: StartBroker, topic: str) -> None:
    """A request of the largest size is served; one that announces a byte more ends its connection."""
    broker = start_broker(arguments=settings("socket.request.max.bytes=100000"))
    with Client(broker.address) as client, Connection(broker.address) as large:
        made = client.create(topic)
        request = client.request("Produce", 11, **produce_body(made.name, 90_000))
        assert len(request) < 100_000
        client.socket.sendall(request)
        assert client.receive("Produce", 11).responses[0].partition_responses[0].error_code == 0
        large.socket.sendall(struct.pack(">i", 100_001))
        assert is_closed(large)
        (line,) = closings(broker)
        assert "127.0.0.1:" in line
        assert "100001 bytes was announced, and socket.request.max.bytes is 100000" in line
        client.api_versions()


def produce_body(topic: str, size: int) -> dict[str, object]:
    """The body of a Produce of one large record."""
    data = [{"index": 0, "records": batch(b"x" * size)}]
    return {"acks": -1, "timeout_ms": 10_000, "topic_data": [{"name": topic, "partition_data": data}]}


def test_idle_clients(start_broker: StartBroker) -> None:
    """One that is idle is disconnected; one that waits for its answer is not."""
    broker = start_broker(arguments=settings("connections.max.idle.ms=300"))
    with Connection(broker.address) as idle, Client(broker.address) as waiting:
        idle.api_versions()
        made = waiting.create("idle")
        fetch = {"topic": made.name, "topic_id": made.id, "partitions": [{"partition": 0, "partition_max_bytes": 1000}]}
        sent = waiting.send("Fetch", 13, replica_id=-1, max_wait_ms=1500, min_bytes=1, max_bytes=1000, topics=[fetch])
        assert is_closed(idle)
        assert "idle, and connections.max.idle.ms is 300" in closings(broker)[0]
        assert waiting.receive("Fetch", 13).correlation_id == sent


def test_stalled_requests(start_broker: StartBroker) -> None:
    """Half a request does not wait for ever."""
    broker = start_broker(arguments=settings("wiber.request.stall.ms=1000"))
    with Connection(broker.address) as half, Connection(broker.address) as other:
        half.socket.sendall(struct.pack(">i", 1000) + b"x" * 10)
        assert is_closed(half)
        (line,) = closings(broker)
        assert "half a request" in line
        assert "wiber.request.stall.ms is 1000" in line
        other.api_versions()


def test_memory_of_requests(start_broker: StartBroker, topic: str) -> None:
    """With hardly any memory allowed, forty large requests at once are served, one after the other."""
    broker = start_broker(arguments=settings("queued.max.request.bytes=100000"))
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(broker.address)) for _ in range(40)]
        made = clients[0].create(topic)
        for client in clients:
            client.send("Produce", 11, **produce_body(made.name, 500_000))
        for client in clients:
            answer = client.receive("Produce", 11)
            assert answer.responses[0].partition_responses[0].error_code == 0
        assert closings(broker) == []


def test_requests_of_one_connection(start_broker: StartBroker) -> None:
    """With one request at a time, those that were sent together are answered all the same, in order."""
    broker = start_broker(arguments=settings("wiber.connection.max.requests=1"))
    with Client(broker.address) as client:
        sent = [client.send("ApiVersions", 3, client_software_name="x", client_software_version="1") for _ in range(50)]
        assert [client.receive("ApiVersions", 3).correlation_id for _ in sent] == sent


def test_socket_buffers_and_backlog(start_broker: StartBroker, topic: str) -> None:
    """Small buffers carry large requests, in small pieces."""
    broker = start_broker(
        arguments=settings(
            "socket.send.buffer.bytes=4096", "socket.receive.buffer.bytes=4096", "socket.listen.backlog.size=1"
        )
    )
    with Client(broker.address) as client:
        made = client.create(topic)
        client.send("Produce", 11, **produce_body(made.name, 700_000))
        assert client.receive("Produce", 11).responses[0].partition_responses[0].error_code == 0
        assert client.values(made) == [b"x" * 700_000]
