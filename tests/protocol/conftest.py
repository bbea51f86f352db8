"""Fixtures: a client of the shared broker, and a broker whose groups keep no test waiting."""

from collections.abc import Callable, Iterator

import pytest

from broker_process import BrokerProcess
from protocol.client import Client
from protocol.groups import QUICK, Consumer, Member, await_coordinator

Join = Callable[..., Member]
Subscribe = Callable[..., Consumer]


@pytest.fixture
def client(broker: BrokerProcess) -> Iterator[Client]:
    """A connection of this test alone."""
    with Client(broker.address) as connection:
        yield connection


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker with short times for groups, which the tests of a session share; it must survive them all."""
    directory = tmp_path_factory.mktemp("quick")
    settings = [argument for key, value in QUICK.items() for argument in ("--set", f"{key}={value}")]
    process = BrokerProcess(directory / "data", directory / "broker.log", arguments=settings)
    process.start()
    yield process
    try:
        process.stop()
    finally:
        process.kill()


@pytest.fixture
def group(topic: str) -> str:
    """A group id of this test's own."""
    return f"group-of-{topic}"


@pytest.fixture
def admin(quick: BrokerProcess, group: str) -> Iterator[Client]:
    """A connection to the quick broker, whose coordinator is ready for this test's group."""
    with Client(quick.address) as connection:
        await_coordinator(connection, group)
        yield connection


@pytest.fixture
def member(quick: BrokerProcess, group: str) -> Iterator[Join]:
    """Makes members of this test's group, `member(instance=..., session_ms=...)`, that have not joined yet."""
    members: list[Member] = []

    def make(of_group: str = group, **options: object) -> Member:
        members.append(Member(quick.address, of_group, **options))
        return members[-1]

    yield make
    for each in members:
        each.socket.close()


@pytest.fixture
def consumer(quick: BrokerProcess, group: str) -> Iterator[Subscribe]:
    """Makes members of this test's group for the consumer protocol, `consumer(instance=...)`, not joined yet."""
    members: list[Consumer] = []

    def make(of_group: str = group, **options: object) -> Consumer:
        members.append(Consumer(quick.address, of_group, **options))
        return members[-1]

    yield make
    for each in members:
        each.socket.close()
