"""The topic that holds groups: made when a coordinator is first asked for, and written by coordinators alone."""

import pytest

from broker_process import wait_until
from protocol.client import DEADLINE_S, Client, Error, Topic
from protocol.records import batch
from protocol.schema import versions
from protocol.test_create_partitions import ask, partitions, wanted

OFFSETS = "__consumer_offsets"


@pytest.fixture
def offsets(client: Client) -> Topic:
    """The topic."""

    def is_there() -> bool:
        found = client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=["group"]).coordinators[0]
        return found.error_code == Error.NONE and client._is_led(OFFSETS, 50)

    wait_until(is_there, DEADLINE_S, "there is a coordinator")
    described = client.metadata(OFFSETS)
    assert described.is_internal
    return Topic(OFFSETS, described.topic_id)


@pytest.mark.parametrize("version", versions("Produce"))
def test_clients_do_not_write_it(client: Client, offsets: Topic, version: int) -> None:
    """What stands there is what coordinators believe."""
    assert client.produce(offsets, batch(b"x"), version=version).error_code == Error.INVALID_TOPIC_EXCEPTION
    assert client.metadata(OFFSETS).error_code == Error.NONE


@pytest.mark.parametrize("version", versions("DeleteRecords"))
def test_clients_delete_nothing_of_it(client: Client, offsets: Topic, version: int) -> None:
    """Groups that are served would lose at the next start what they have."""
    wanted = [{"name": offsets.name, "partitions": [{"partition_index": 0, "offset": -1}]}]
    (found,) = client.ask("DeleteRecords", version, topics=wanted, timeout_ms=10_000).topics
    (part,) = found.partitions
    assert (part.error_code, part.low_watermark) == (Error.INVALID_TOPIC_EXCEPTION, -1)


@pytest.mark.wiber_only("Kafka lets the groups lose their offsets")
@pytest.mark.parametrize("version", versions("CreatePartitions"))
def test_it_gets_no_more_partitions(client: Client, offsets: Topic, version: int) -> None:
    """They say where a group belongs."""
    assert ask(client, version, wanted(offsets.name, 51)) == {OFFSETS: Error.INVALID_PARTITIONS}
    assert len(partitions(client, OFFSETS)) == 50
