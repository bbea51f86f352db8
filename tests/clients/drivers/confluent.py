"""confluent-kafka, which is librdkafka."""

import time
from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, TopicPartition
from confluent_kafka import Message as Consumed
from confluent_kafka.admin import AdminClient

from clients.drivers import DEADLINE_S, EARLIEST, LARGEST_BYTES, LATEST, Message, Received, time_of
from clients.librdkafka import consumer, create_topic, produce_each


def _received(message: Consumed) -> Received:
    headers = tuple((name, value) for name, value in message.headers() or ())
    stamp = message.timestamp()[1]
    return Received(message.offset(), Message(message.value(), message.key(), headers, message.partition(), stamp))


class Confluent:
    """The newest librdkafka."""

    name = "confluent-kafka"
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    idempotent = consumes = null_headers = mixed_headers = True

    def __init__(self, address: str) -> None:
        """Connects when it is asked for something."""
        self._address = address

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """See `Driver`."""
        create_topic(self._address, topic, partitions, **config)

    def partitions(self, topic: str) -> list[int]:
        """See `Driver`."""
        admin = AdminClient({"bootstrap.servers": self._address})
        return list(admin.list_topics(topic, DEADLINE_S).topics[topic].partitions)

    def produce(self, topic: str, messages: Sequence[Message], *, codec: str, idempotent: bool) -> list[int]:
        """See `Driver`."""
        deliveries = produce_each(
            self._address,
            ((topic, it.partition, it.value, it.key, it.headers, it.timestamp_ms) for it in messages),
            compression_type=codec,
            enable_idempotence=idempotent,
            message_max_bytes=LARGEST_BYTES,
        )
        errors = {str(delivery.error) for delivery in deliveries if delivery.error}
        assert not errors, errors
        return [delivery.offset for delivery in deliveries]

    def consume(self, topic: str, partitions: Sequence[int], start: str | int, count: int) -> list[Received]:
        """See `Driver`."""
        received: list[Received] = []
        with consumer(self._address, enable_partition_eof=False, fetch_message_max_bytes=LARGEST_BYTES) as client:
            client.assign(self._positions(client, topic, partitions, start))
            end = time.monotonic() + DEADLINE_S
            while len(received) < count:
                assert time.monotonic() < end, f"only {len(received)} of {count} messages"
                for message in client.consume(1_000, 0.1):
                    assert message.error() is None, message.error()
                    received.append(_received(message))
        return received

    def _positions(
        self, client: Consumer, topic: str, partitions: Sequence[int], start: str | int
    ) -> list[TopicPartition]:
        time_ms = time_of(start)
        if time_ms is not None:
            return client.offsets_for_times([TopicPartition(topic, each, time_ms) for each in partitions], DEADLINE_S)
        offset = OFFSET_BEGINNING if start == EARLIEST else int(start)
        return [TopicPartition(topic, each, offset) for each in partitions]

    def offset(self, topic: str, partition: int, at: str) -> int:
        """See `Driver`."""
        with consumer(self._address) as client:
            time_ms = time_of(at)
            if time_ms is not None:
                (found,) = client.offsets_for_times([TopicPartition(topic, partition, time_ms)], DEADLINE_S)
                return -1 if found.offset == OFFSET_END else found.offset
            low, high = client.get_watermark_offsets(TopicPartition(topic, partition), DEADLINE_S)
            return {EARLIEST: low, LATEST: high}[at]

    def close(self) -> None:
        """See `Driver`."""
