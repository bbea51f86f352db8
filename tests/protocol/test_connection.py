"""What holds for every request: versions, unknown APIs, the order of answers."""

import struct

import pytest

from broker_process import is_reference, wait_until
from protocol.client import DEADLINE_S, Client, Error, fetch_body, produce_body
from protocol.records import batch
from protocol.schema import message, versions

SERVED = (
    "Produce",
    "Fetch",
    "ListOffsets",
    "Metadata",
    "OffsetCommit",
    "OffsetFetch",
    "FindCoordinator",
    "JoinGroup",
    "Heartbeat",
    "LeaveGroup",
    "SyncGroup",
    "DescribeGroups",
    "ListGroups",
    "ApiVersions",
    "CreateTopics",
    "DeleteTopics",
    "DeleteRecords",
    "InitProducerId",
    "OffsetForLeaderEpoch",
    "DescribeConfigs",
    "AlterConfigs",
    "CreatePartitions",
    "DeleteGroups",
    "OffsetDelete",
    "ConsumerGroupHeartbeat",
    "ConsumerGroupDescribe",
    "IncrementalAlterConfigs",
    "DescribeCluster",
    "ListConfigResources",
    "DescribeTopicPartitions",
    "DescribeProducers",
    "DescribeLogDirs",
    "DescribeQuorum",
    "ElectLeaders",
    "ListPartitionReassignments",
    "AlterPartitionReassignments",
    "AlterReplicaLogDirs",
)
SOFTWARE = {"client_software_name": "schema", "client_software_version": "1.0"}
UNKNOWN_API = 32_000
FEATURES_VERSION = 3
METADATA_LEVEL = 30
"""4.3-IV0."""


@pytest.mark.parametrize("version", versions("ApiVersions"))
def test_api_versions(client: Client, version: int) -> None:
    """Every stable version of every API that is served, and nothing else, is advertised; Produce from 0 on."""
    answer = client.ask("ApiVersions", version, **SOFTWARE)
    assert answer.error_code == Error.NONE
    told = {each.api_key: (each.min_version, each.max_version) for each in answer.api_keys}
    for api in SERVED:
        stable = versions(api)
        assert told[message(f"{api}Request").api_key] == (0 if api == "Produce" else stable[0], stable[-1]), api
    if not is_reference():
        assert len(told) == len(answer.api_keys) == len(SERVED)


@pytest.mark.parametrize("version", [v for v in versions("ApiVersions") if v >= FEATURES_VERSION])
def test_features(client: Client, topic: str, version: int) -> None:
    """The metadata's version is that of Kafka 4.3, and the epoch moves with the metadata."""
    before = client.ask("ApiVersions", version, **SOFTWARE)
    client.create(topic)
    wait_until(lambda: features_epoch(client) > before.finalized_features_epoch >= 0, DEADLINE_S, "the epoch moves")
    supported = {each.name: (each.min_version, each.max_version) for each in before.supported_features}
    finalized = {each.name: (each.min_version_level, each.max_version_level) for each in before.finalized_features}
    assert supported["metadata.version"][1] == METADATA_LEVEL
    assert finalized["metadata.version"] == (METADATA_LEVEL, METADATA_LEVEL)
    if not is_reference():
        # What transactions and changing quorums need is not there yet.
        assert supported == finalized == {"metadata.version": (METADATA_LEVEL, METADATA_LEVEL), "group.version": (1, 1)}


def features_epoch(client: Client) -> int:
    """Which metadata the features are told from."""
    return client.ask("ApiVersions", FEATURES_VERSION, **SOFTWARE).finalized_features_epoch


@pytest.mark.parametrize("version", [v for v in versions("ApiVersions") if v < FEATURES_VERSION])
def test_features_of_old(client: Client, version: int) -> None:
    """Before version 3 nothing is said of them."""
    answer = client.ask("ApiVersions", version, **SOFTWARE)
    assert (answer.supported_features, answer.finalized_features, answer.finalized_features_epoch) == ([], [], -1)


@pytest.mark.parametrize("version", [5, 6, 32_767])
def test_api_versions_of_the_future(client: Client, version: int) -> None:
    """It is answered in version 0, with the error and what is served (KIP-511)."""
    header = struct.pack(">hhih", 18, version, 7, 4) + b"wire\0"
    body = b"\x07schema\x041.0\0\x01\x02\x03"
    client.socket.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
    answer = client.receive("ApiVersions", 0)
    assert (answer.correlation_id, answer.error_code) == (7, Error.UNSUPPORTED_VERSION)
    told = {each.api_key: each.max_version for each in answer.api_keys}
    assert told[18] == versions("ApiVersions")[-1]
    # The connection is good for another try.
    assert client.ask("ApiVersions", told[18], **SOFTWARE).error_code == Error.NONE


@pytest.mark.parametrize("name", ["", "-name", "na me", "name-", "n\u00e4me"])
def test_names_of_software(client: Client, name: str) -> None:
    """A client's name that could not be a metric's is refused, as is such a version; the connection goes on."""
    for fields in (SOFTWARE | {"client_software_name": name}, SOFTWARE | {"client_software_version": name}):
        assert client.ask("ApiVersions", 3, **fields).error_code == Error.INVALID_REQUEST
    assert client.ask("ApiVersions", 3, **SOFTWARE).error_code == Error.NONE


@pytest.mark.parametrize("api", [api for api in SERVED if api != "ApiVersions"])
@pytest.mark.parametrize("beside", ["below", "above"])
def test_versions_beside_the_stable_ones(client: Client, api: str, beside: str) -> None:
    """The connection is closed: the answer could not be read."""
    stable, kind = versions(api), message(f"{api}Request")
    version = stable[0] - 1 if beside == "below" else max(stable[-1], kind.versions.last) + 1
    flexible = b"\0" if kind.flexible(version) else b""
    header = struct.pack(">hhih", kind.api_key, version, 1, -1) + flexible
    client.socket.sendall(struct.pack(">i", len(header)) + header)
    assert client.is_closed()


@pytest.mark.parametrize("api_key", [-1, UNKNOWN_API])
def test_unknown_apis(client: Client, api_key: int) -> None:
    """The connection is closed."""
    header = struct.pack(">hhih", api_key, 0, 1, -1)
    client.socket.sendall(struct.pack(">i", len(header)) + header)
    assert client.is_closed()


@pytest.mark.wiber_only("Kafka serves them")
@pytest.mark.parametrize("api", ["EndTxn", "AddPartitionsToTxn", "ShareFetch", "DescribeAcls"])
def test_apis_that_are_not_served(client: Client, api: str) -> None:
    """What is not advertised closes the connection."""
    client.send(api, versions(api)[0])
    assert client.is_closed()


def test_pipelined_requests_are_answered_in_order(client: Client, topic: str) -> None:
    """Slow and quick requests in one packet: the answers keep their order, and no append overtakes another."""
    made = client.create(topic, 2)
    wait = fetch_body(made, {1: {}}) | {"max_wait_ms": 200, "min_bytes": 1}
    requests = []
    for number in range(5):
        value = b"%d" % number
        requests += [
            ("Fetch", 17, wait),
            ("Produce", 9, produce_body(made, {0: batch(value)})),
            ("Metadata", 12, {"topics": [{"name": topic}]}),
            ("ApiVersions", 0, {}),
        ]
    client.socket.sendall(b"".join(client.request(api, version, **body) for api, version, body in requests))
    first = client._correlation_id - len(requests) + 1
    answers = [client.receive(api, version) for api, version, _ in requests]
    assert [answer.correlation_id for answer in answers] == list(range(first, first + len(requests)))
    placed = [answer.responses[0].partition_responses[0].base_offset for answer in answers[1::4]]
    assert placed == [0, 1, 2, 3, 4]
    assert client.values(made) == [b"0", b"1", b"2", b"3", b"4"]
