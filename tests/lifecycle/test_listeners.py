"""Listeners: several, named, advertised; and that each client is told where it can come back to."""

import re
import socket
import subprocess
from pathlib import Path

import pytest

from broker_process import BrokerProcess, binary
from conftest import StartBroker
from protocol.client import Client

pytestmark = pytest.mark.wiber_only("the command line is ours")

LISTENING = re.compile(r"(\S+:\d+) \((\w+)\)")
DEADLINE_S = 60


def told(address: str, topic: str | None = None) -> tuple[str, int]:
    """Where a client that came by an address is told to go on, by every API that tells it."""
    with Client(address) as client:
        (of_metadata,) = client.ask("Metadata", 12, topics=[]).brokers
        (of_cluster,) = client.ask("DescribeCluster", 1, endpoint_type=1).brokers
        assert (of_cluster.host, of_cluster.port) == (of_metadata.host, of_metadata.port)
        (of_old_metadata,) = client.ask("Metadata", 0, topics=[{"name": topic}] if topic else []).brokers
        assert (of_old_metadata.host, of_old_metadata.port) == (of_metadata.host, of_metadata.port)
        return of_metadata.host, of_metadata.port


def split(address: str) -> tuple[str, int]:
    """Host and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def addresses(broker: BrokerProcess) -> dict[str, list[str]]:
    """The addresses of the ready line, by the names of listeners."""
    (ready,) = (line for line in broker.log().splitlines() if "with its data in" in line)
    found: dict[str, list[str]] = {}
    for address, name in LISTENING.findall(ready):
        found.setdefault(name, []).append(address)
    return found


def refused(*settings: str) -> str:
    """What `wiber config check` says of settings that do not go together."""
    flags = [word for setting in settings for word in ("--set", setting)]
    command = [str(binary()), "config", "check", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1, done
    return done.stderr


def test_a_client_is_told_what_its_listener_advertises(start_broker: StartBroker) -> None:
    """By one listener this, by another that; by one that advertises nothing, the address that it reached."""
    settings = (
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT,NEAR:PLAINTEXT",
        "advertised.listeners=OUT://broker.example.org:19092,NEAR://[2001:db8::7]:1",
    )
    flags = [word for setting in settings for word in ("--set", setting)]
    broker = start_broker(
        arguments=["--listen", "OUT://127.0.0.1:0", "--listen", "near://127.0.0.1:0", *flags],
    )
    found = addresses(broker)
    assert list(found) == ["PLAINTEXT", "OUT", "NEAR"]
    assert len({address for each in found.values() for address in each}) == 3
    assert all(split(address)[1] > 0 for each in found.values() for address in each)
    assert told(found["PLAINTEXT"][0]) == split(found["PLAINTEXT"][0])
    assert told(found["OUT"][0]) == ("broker.example.org", 19092)
    assert told(found["NEAR"][0]) == ("2001:db8::7", 1)
    # The controller is reached by each of them.
    metadata_log = {"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}
    for name in found:
        with Client(found[name][0]) as client:
            (node,) = client.ask("DescribeQuorum", 2, topics=[metadata_log]).nodes
        assert [(each.name, (each.host, each.port)) for each in node.listeners] == [(name, told(found[name][0]))]


def loopbacks() -> list[str]:
    """Addresses of this machine: of IPv6 too where it has that."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return ["127.0.0.1", "127.0.0.2"]
    return ["127.0.0.1", "127.0.0.2", "::1"]


def test_all_addresses(start_broker: StartBroker) -> None:
    """A listener without a host is reached by every address, and each client is told the one that it took."""
    broker = start_broker(arguments=["--listen", "PLAINTEXT://:0", "--log-level", "debug"])
    _, everywhere = addresses(broker)["PLAINTEXT"]
    port = split(everywhere)[1]
    for host in loopbacks():
        assert told(f"{host}:{port}") == (host, port)
    # A client that came by IPv4 is named so.
    assert "::ffff:" not in broker.log()


@pytest.mark.parametrize("host", loopbacks()[1:])
def test_one_address(start_broker: StartBroker, host: str) -> None:
    """A listener of one address; an IPv6 one stands in brackets."""
    named = f"[{host}]" if ":" in host else host
    broker = start_broker(arguments=["--listen", f"{named}:0"])
    address = addresses(broker)["PLAINTEXT"][1]
    assert address.startswith(f"{named}:")
    assert split(address)[0] == host
    assert told(f"{host}:{split(address)[1]}") == split(address)


def test_advertise(start_broker: StartBroker) -> None:
    """The flag advertises the plain listener."""
    broker = start_broker(arguments=["--advertise", "broker.example.org:7"])
    assert told(broker.address) == ("broker.example.org", 7)


def test_a_controller_s_listener_is_not_opened(start_broker: StartBroker) -> None:
    """As in a configuration of Kafka's own: the listener for controllers stays shut, and a line says so."""
    flags = ["--set", "controller.listener.names=CONTROLLER", "--listen", "CONTROLLER://127.0.0.1:0"]
    broker = start_broker(arguments=flags)
    assert addresses(broker) == {}
    assert "controller.listener.names is taken and has no effect" in broker.log()


def test_what_cannot_be_listened_on_is_refused() -> None:
    """Other protocols, names without one, and what clients could not reach: each with a line that names it."""
    assert "listener SSL is to speak SSL, and only PLAINTEXT is served yet" in refused("listeners=SSL://:9092")
    protocols = "listener.security.protocol.map=IN:SASL_SSL"
    assert "IN is to speak SASL_SSL" in refused("listeners=IN://:9092", protocols)
    assert "add IN:PLAINTEXT to listener.security.protocol.map" in refused("listeners=IN://:9092")
    assert "stands there twice" in refused("listeners=PLAINTEXT://:9092,plaintext://:9092")
    assert "host that clients can reach" in refused("advertised.listeners=PLAINTEXT://0.0.0.0:9092")
    assert "port that clients reach" in refused("advertised.listeners=PLAINTEXT://host:0")
    assert "no listener of that name" in refused("advertised.listeners=OUT://host:1")
    assert "listener a.b has a dot" in refused("listeners=a.b://:9092")
    assert "there is no such setting" in refused("listener.name.a.b.max.connections=5")
    assert "one of the listeners' names is wanted" in refused("inter.broker.listener.name=OUT")


def test_a_taken_port_of_a_second_listener(tmp_path: Path) -> None:
    """The line names the listener."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"PLAINTEXT://127.0.0.1:{taken.getsockname()[1]}"
        command = [str(binary()), "serve", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--listen"]
        done = subprocess.run([*command, address], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1
    assert f"cannot listen on {address}" in done.stderr
