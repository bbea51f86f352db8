"""kafka-python, a client in Python alone."""

import time
from collections.abc import Mapping, Sequence

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from broker_process import wait_until
from clients.drivers import DEADLINE_S, EARLIEST, LARGEST_BYTES, LATEST, Message, Received, time_of


class KafkaPython:
    """kafka-python 3."""

    name = "kafka-python"
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    idempotent = consumes = mixed_headers = True
    null_headers = False

    def __init__(self, address: str) -> None:
        """Connects when it is asked for something."""
        self._address = address

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """See `Driver`."""
        admin = KafkaAdminClient(bootstrap_servers=self._address)
        try:
            admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dict(config))])
            wait_until(lambda: topic in admin.list_topics(), DEADLINE_S, f"{topic} is listed")
        finally:
            admin.close()

    def _consumer(self) -> KafkaConsumer:
        return KafkaConsumer(
            bootstrap_servers=self._address,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=LARGEST_BYTES,
            fetch_max_wait_ms=200,
        )

    def partitions(self, topic: str) -> list[int]:
        """See `Driver`."""
        consumer = self._consumer()
        try:
            return sorted(consumer.partitions_for_topic(topic))
        finally:
            consumer.close()

    def produce(self, topic: str, messages: Sequence[Message], *, codec: str, idempotent: bool) -> list[int]:
        """See `Driver`."""
        producer = KafkaProducer(
            bootstrap_servers=self._address,
            acks="all",
            compression_type=None if codec == "none" else codec,
            enable_idempotence=idempotent,
            # Several requests in flight could change places when one is sent again.
            max_in_flight_requests_per_connection=5 if idempotent else 1,
            linger_ms=5,
            max_request_size=LARGEST_BYTES,
        )
        try:
            sent = [
                producer.send(topic, it.value, it.key, list(it.headers), it.partition, it.timestamp_ms)
                for it in messages
            ]
            return [each.get(DEADLINE_S).offset for each in sent]
        finally:
            producer.close()

    def consume(self, topic: str, partitions: Sequence[int], start: str | int, count: int) -> list[Received]:
        """See `Driver`."""
        assigned = [TopicPartition(topic, each) for each in partitions]
        received: list[Received] = []
        consumer = self._consumer()
        try:
            consumer.assign(assigned)
            if start == EARLIEST:
                consumer.seek_to_beginning(*assigned)
            else:
                time_ms = time_of(start)
                found = {} if time_ms is None else consumer.offsets_for_times(dict.fromkeys(assigned, time_ms))
                for each in assigned:
                    consumer.seek(each, int(start) if time_ms is None else found[each].offset)
            end = time.monotonic() + DEADLINE_S
            while len(received) < count:
                assert time.monotonic() < end, f"only {len(received)} of {count} messages"
                for records in consumer.poll(200).values():
                    received += [
                        Received(it.offset, Message(it.value, it.key, tuple(it.headers), it.partition, it.timestamp))
                        for it in records
                    ]
        finally:
            consumer.close()
        return received

    def offset(self, topic: str, partition: int, at: str) -> int:
        """See `Driver`."""
        asked = TopicPartition(topic, partition)
        consumer = self._consumer()
        try:
            time_ms = time_of(at)
            if time_ms is not None:
                found = consumer.offsets_for_times({asked: time_ms})[asked]
                return -1 if found is None else found.offset
            ask = {EARLIEST: consumer.beginning_offsets, LATEST: consumer.end_offsets}[at]
            return ask([asked])[asked]
        finally:
            consumer.close()

    def close(self) -> None:
        """See `Driver`."""
