"""A client that sends any request in any version and reads its answer, by Kafka's schemas."""

from dataclasses import dataclass
from enum import IntEnum
from types import SimpleNamespace
from uuid import UUID

from broker_process import wait_until
from protocol.records import Record, records_of
from protocol.schema import NO_ID, Reader, message, versions
from wire import Connection

DEADLINE_S = 20.0
MAX_BYTES = 1 << 20


class Error(IntEnum):
    """Kafka's error codes, as far as the tests name them."""

    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    MESSAGE_TOO_LARGE = 10
    OFFSET_METADATA_TOO_LARGE = 12
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC_EXCEPTION = 17
    INVALID_REQUIRED_ACKS = 21
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    INVALID_REQUEST = 42
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    KAFKA_STORAGE_ERROR = 56
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FETCH_SESSION_ID_NOT_FOUND = 70
    INVALID_FETCH_SESSION_EPOCH = 71
    TOPIC_DELETION_DISABLED = 73
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION_TYPE = 76
    MEMBER_ID_REQUIRED = 79
    GROUP_MAX_SIZE_REACHED = 81
    FENCED_INSTANCE_ID = 82
    ELECTION_NOT_NEEDED = 84
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    UNKNOWN_TOPIC_ID = 100
    FETCH_SESSION_TOPIC_ID_ERROR = 106
    FENCED_MEMBER_EPOCH = 110
    UNRELEASED_INSTANCE_ID = 111
    UNSUPPORTED_ASSIGNOR = 112
    STALE_MEMBER_EPOCH = 113
    INVALID_REGULAR_EXPRESSION = 128


@dataclass(frozen=True)
class Topic:
    """A topic that exists."""

    name: str
    id: UUID


class Client(Connection):
    """A connection on which requests are written by schema. Names of APIs and of fields are the schemas'."""

    def request(self, api: str, version: int, /, **body: object) -> bytes:
        """The frame of a request."""
        kind = message(f"{api}Request")
        self._correlation_id += 1
        header = message("RequestHeader").write(
            2 if kind.flexible(version) else 1,
            {
                "request_api_key": kind.api_key,
                "request_api_version": version,
                "correlation_id": self._correlation_id,
                "client_id": "schema",
            },
        )
        data = header + kind.write(version, body)
        return len(data).to_bytes(4) + data

    def send(self, api: str, version: int, /, **body: object) -> int:
        """Sends a request and returns its correlation id."""
        self.socket.sendall(self.request(api, version, **body))
        return self._correlation_id

    def receive(self, api: str, version: int) -> SimpleNamespace:
        """The next answer, which is that of a request of this kind; `correlation_id` is among its fields."""
        correlation_id, body = self.response()
        kind, reader = message(f"{api}Response"), Reader(body)
        # What this API says of its versions must be readable before they are known.
        if kind.flexible(version) and api != "ApiVersions":
            assert reader.varint() == 0, "the header has tagged fields"
        answer = kind.read(version, reader)
        assert reader.at == len(body), f"{len(body) - reader.at} bytes behind the answer"
        answer.correlation_id = correlation_id
        return answer

    def ask(self, api: str, version: int, /, **body: object) -> SimpleNamespace:
        """Sends a request and returns its answer."""
        sent = self.send(api, version, **body)
        answer = self.receive(api, version)
        assert answer.correlation_id == sent
        return answer

    def create(self, name: str, partitions: int = 1, **configs: str) -> Topic:
        """Creates a topic and waits until this broker tells of it; names of settings have `_` for `.`."""
        settings = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
        wanted = {"name": name, "num_partitions": partitions, "replication_factor": 1, "configs": settings}
        (made,) = self.ask("CreateTopics", 7, topics=[wanted], timeout_ms=10_000).topics
        assert made.error_code == Error.NONE, made.error_message
        wait_until(lambda: self._is_led(name, partitions), DEADLINE_S, f"{name} is led")
        return Topic(name, made.topic_id)

    def _is_led(self, name: str, partitions: int) -> bool:
        # Kafka's broker tells of a topic a moment before it leads it.
        wanted = [{"partition_index": index, "timestamp": -1} for index in range(partitions)]
        body = {"replica_id": -1, "topics": [{"name": name, "partitions": wanted}]}
        (found,) = self.ask("ListOffsets", 7, **body).topics
        return all(each.error_code == Error.NONE for each in found.partitions)

    def metadata(self, name: str) -> SimpleNamespace:
        """What the broker tells of a topic, which it does not create."""
        wanted = [{"name": name}]
        (found,) = self.ask("Metadata", 12, topics=wanted, allow_auto_topic_creation=False).topics
        return found

    def leader_epoch(self, topic: Topic, partition: int = 0) -> int:
        """The epoch of a partition's leader."""
        (epoch,) = (p.leader_epoch for p in self.metadata(topic.name).partitions if p.partition_index == partition)
        return epoch

    def produce(
        self,
        topic: Topic,
        records: bytes | None,
        partition: int = 0,
        *,
        version: int = versions("Produce")[-1],
        acks: int = -1,
        **body: object,
    ) -> SimpleNamespace:
        """Produces to one partition: its part of the answer."""
        answer = self.ask("Produce", version, **produce_body(topic, {partition: records}, acks), **body)
        (of_topic,) = answer.responses
        assert (of_topic.name, of_topic.topic_id) == ((topic.name, NO_ID) if version < 13 else ("", topic.id))
        (of_partition,) = of_topic.partition_responses
        assert of_partition.index == partition
        return of_partition

    def fetch(
        self, topic: Topic, offset: int = 0, partition: int = 0, *, version: int = versions("Fetch")[-1], **body: object
    ) -> SimpleNamespace:
        """Fetches one partition outside of a session: its part of the answer."""
        wanted = fetch_body(topic, {partition: {"fetch_offset": offset}}) | body
        answer = self.ask("Fetch", version, **wanted)
        assert answer.error_code == Error.NONE
        (of_topic,) = answer.responses
        (of_partition,) = of_topic.partitions
        assert of_partition.partition_index == partition
        return of_partition

    def values(self, topic: Topic, partition: int = 0) -> list[bytes | None]:
        """The values of all records of a small partition."""
        return [record.value for record in self.records(topic, partition)]

    def records(self, topic: Topic, partition: int = 0) -> list[Record]:
        """All records of a partition."""
        records: list[Record] = []
        while True:
            found = self.fetch(topic, len(records), partition)
            assert found.error_code == Error.NONE
            records += records_of(found.records)
            if len(records) >= found.high_watermark:
                return records
            assert found.records, "nothing comes, and there is more"

    def is_closed(self) -> bool:
        """Whether the broker closes the connection without another byte."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def produce_body(topic: Topic, records: dict[int, bytes | None], acks: int = -1) -> dict[str, object]:
    """The body of a Produce to partitions of one topic."""
    data = [{"index": index, "records": batch} for index, batch in records.items()]
    topic_data = [{"name": topic.name, "topic_id": topic.id, "partition_data": data}]
    return {"acks": acks, "timeout_ms": 10_000, "topic_data": topic_data}


def fetch_topic(topic: Topic, partitions: dict[int, dict[str, object]]) -> dict[str, object]:
    """The part of a Fetch that is about one topic: what differs from the defaults, by partition."""
    wanted = [
        {"partition": index, "fetch_offset": 0, "partition_max_bytes": MAX_BYTES} | fields
        for index, fields in partitions.items()
    ]
    return {"topic": topic.name, "topic_id": topic.id, "partitions": wanted}


def fetch_body(topic: Topic, partitions: dict[int, dict[str, object]]) -> dict[str, object]:
    """The body of a Fetch from partitions of one topic, outside of a session, that does not wait."""
    return {
        "replica_id": -1,
        "max_wait_ms": 0,
        "min_bytes": 0,
        "max_bytes": 16 * MAX_BYTES,
        "topics": [fetch_topic(topic, partitions)],
    }


def indexes(answer: SimpleNamespace) -> list[int]:
    """The partitions in the answer of a Fetch from one topic, in its order."""
    return [each.partition_index for topic in answer.responses for each in topic.partitions]
