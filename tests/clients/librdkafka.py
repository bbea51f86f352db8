"""Producing and consuming through confluent-kafka, in the few ways that the tests share."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, OffsetSpec

from broker_process import wait_until

DEADLINE_S = 30.0

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Record:
    """A record as a test sends it or gets it."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True)
class Delivery:
    """What the client reported of one record."""

    partition: int
    offset: int
    error: KafkaError | None


Sendable = tuple[str, int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...], int]
"""Topic, partition, value, key, headers, and timestamp in ms; 0 is the time of sending."""


def produce_each(address: str, sendables: Iterable[Sendable], **settings: object) -> list[Delivery]:
    """Produces each to its partition and returns the deliveries in that order. Settings have `_` for `.`."""
    config = {"bootstrap.servers": address, "message.timeout.ms": 20_000, "linger.ms": 5}
    config |= {name.replace("_", "."): value for name, value in settings.items()}
    producer = Producer(config)
    deliveries: dict[int, Delivery] = {}

    count = 0
    for index, (topic, partition, value, key, headers, timestamp_ms) in enumerate(sendables):

        def delivered(error: KafkaError | None, message: Message, index: int = index) -> None:
            deliveries[index] = Delivery(message.partition(), message.offset(), error)

        while True:
            try:
                producer.produce(
                    topic, value, key, partition, on_delivery=delivered, timestamp=timestamp_ms, headers=list(headers)
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        count += 1
    assert producer.flush(DEADLINE_S) == 0, "not every record was delivered or failed in time"
    return [deliveries[index] for index in range(count)]


def produce(
    address: str,
    topic: str,
    records: Iterable[Record],
    *,
    partition: int = 0,
    timestamp_ms: int = 0,
    **settings: object,
) -> list[Delivery]:
    """Produces to one partition and returns the deliveries in the order of the records. Settings have `_` for `.`."""
    sendables = ((topic, partition, it.value, it.key, it.headers, timestamp_ms) for it in records)
    return produce_each(address, sendables, **settings)


def produce_all(address: str, topic: str, records: Iterable[Record], **options: object) -> list[int]:
    """Like `produce`, for records that must all succeed: their offsets."""
    deliveries = produce(address, topic, records, **options)
    errors = {str(delivery.error) for delivery in deliveries if delivery.error}
    assert not errors, errors
    return [delivery.offset for delivery in deliveries]


@contextmanager
def consumer(address: str, **settings: object) -> Iterator[Consumer]:
    """A consumer for `assign`; librdkafka insists on a group id, which is not used. Settings have `_` for `.`."""
    config = {
        "bootstrap.servers": address,
        "group.id": "unused",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 100,
    }
    config |= {name.replace("_", "."): value for name, value in settings.items()}
    client = Consumer(config)
    try:
        yield client
    finally:
        client.close()


def read_to_end(client: Consumer, partitions: int = 1) -> list[Message]:
    """Everything from the assigned positions to the end of `partitions` partitions."""
    messages, ended = [], set()
    end = time.monotonic() + DEADLINE_S
    while len(ended) < partitions:
        assert time.monotonic() < end, f"the end was not reached; got {len(messages)} records"
        for message in client.consume(1_000, 0.2):
            error = message.error()
            if error is None:
                messages.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add((message.topic(), message.partition()))
            else:
                raise KafkaException(error)
    return messages


def consume_all(address: str, topic: str, partition: int = 0, offset: int = OFFSET_BEGINNING) -> list[Message]:
    """One partition's records from `offset` to the end."""
    with consumer(address) as client:
        client.assign([TopicPartition(topic, partition, offset)])
        return read_to_end(client)


def as_record(message: Message) -> Record:
    """A consumed message in the form that a test sent."""
    headers = tuple((name, value) for name, value in message.headers() or ())
    return Record(message.value(), message.key(), headers)


def create_topic(address: str, topic: str, partitions: int = 1, **config: str) -> None:
    """Creates a topic; config names have `_` for `.`."""
    named = {name.replace("_", "."): value for name, value in config.items()}
    admin = AdminClient({"bootstrap.servers": address})
    (done,) = admin.create_topics([NewTopic(topic, partitions, 1, config=named)]).values()
    done.result(DEADLINE_S)
    wait_for_topic(admin, topic)


def wait_for_topic(admin: AdminClient, topic: str) -> None:
    """Waits until a topic that was created is told of: a broker may lag behind the controller."""

    def known() -> bool:
        found = admin.list_topics(topic, DEADLINE_S).topics[topic]
        return found.error is None and all(each.leader >= 0 for each in found.partitions.values())

    wait_until(known, DEADLINE_S, f"{topic} is known")


def wait_for_partitions(address: str, topic: str, partitions: int) -> None:
    """Waits until all partitions are served: a broker may tell of them before it has made them."""
    admin = AdminClient({"bootstrap.servers": address})
    wanted = {TopicPartition(topic, each): OffsetSpec.latest() for each in range(partitions)}

    def served() -> bool:
        return all(done.exception(DEADLINE_S) is None for done in admin.list_offsets(wanted).values())

    wait_until(served, DEADLINE_S, f"all partitions of {topic} are served", interval_s=0.1)


def end_offsets(address: str, topic: str, partitions: int) -> dict[int, int]:
    """The end of each partition."""
    admin = AdminClient({"bootstrap.servers": address})
    wanted = {TopicPartition(topic, each): OffsetSpec.latest() for each in range(partitions)}
    return {each.partition: done.result(DEADLINE_S).offset for each, done in admin.list_offsets(wanted).items()}


def delete_topic(address: str, topic: str) -> None:
    """Deletes a topic."""
    admin = AdminClient({"bootstrap.servers": address})  # Held until the answer: without it, the call is cancelled.
    (done,) = admin.delete_topics([topic]).values()
    done.result(DEADLINE_S)


def alter_topic(address: str, topic: str, **config: str) -> None:
    """Sets settings of a topic; config names have `_` for `.`."""
    admin = AdminClient({"bootstrap.servers": address})
    edits = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in config.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=edits)
    (done,) = admin.incremental_alter_configs([resource]).values()
    done.result(DEADLINE_S)


def delete_records(address: str, topic: str, partition: int = 0) -> None:
    """Deletes all records of a partition."""
    admin = AdminClient({"bootstrap.servers": address})
    (done,) = admin.delete_records([TopicPartition(topic, partition, OFFSET_END)]).values()
    done.result(DEADLINE_S)
