"""Fixtures: a client of the shared broker."""

from collections.abc import Iterator

import pytest

from broker_process import BrokerProcess
from protocol.client import Client


@pytest.fixture
def client(broker: BrokerProcess) -> Iterator[Client]:
    """A connection of this test alone."""
    with Client(broker.address) as connection:
        yield connection
