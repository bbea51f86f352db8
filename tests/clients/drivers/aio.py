"""aiokafka, a client for asyncio."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from clients.drivers import DEADLINE_S, EARLIEST, LARGEST_BYTES, LATEST, Message, Received, time_of

T = TypeVar("T")


def _run(work: Coroutine[object, object, T]) -> T:
    """Runs a coroutine to its end, which must come in time."""

    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE_S):
            return await work

    return asyncio.run(bounded())


class Aio:
    """aiokafka; each call runs an event loop of its own."""

    name = "aiokafka"
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    idempotent = consumes = null_headers = mixed_headers = True

    def __init__(self, address: str) -> None:
        """Connects when it is asked for something."""
        self._address = address

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """See `Driver`."""
        _run(self._create_topic(topic, partitions, config))

    async def _create_topic(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._address)
        await admin.start()
        try:
            created = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dict(config))])
            assert all(code == 0 for _, code, *_ in created.topic_errors), created
            while topic not in await admin.list_topics():
                await asyncio.sleep(0.01)
        finally:
            await admin.close()

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._address,
            auto_offset_reset="none",
            max_partition_fetch_bytes=LARGEST_BYTES,
            fetch_max_wait_ms=200,
        )

    def partitions(self, topic: str) -> list[int]:
        """See `Driver`."""
        return _run(self._partitions(topic))

    async def _partitions(self, topic: str) -> list[int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._address)
        await admin.start()
        try:
            (described,) = await admin.describe_topics([topic])
            return sorted(each["partition"] for each in described["partitions"])
        finally:
            await admin.close()

    def produce(self, topic: str, messages: Sequence[Message], *, codec: str, idempotent: bool) -> list[int]:
        """See `Driver`."""
        return _run(self._produce(topic, messages, None if codec == "none" else codec, idempotent))

    async def _produce(self, topic: str, messages: Sequence[Message], codec: str | None, idempotent: bool) -> list[int]:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._address,
            acks="all",
            compression_type=codec,
            enable_idempotence=idempotent,
            linger_ms=5,
            max_request_size=LARGEST_BYTES,
        )
        async with producer:
            sent = [
                await producer.send(topic, it.value, it.key, it.partition, it.timestamp_ms, list(it.headers))
                for it in messages
            ]
            return [(await each).offset for each in sent]

    def consume(self, topic: str, partitions: Sequence[int], start: str | int, count: int) -> list[Received]:
        """See `Driver`."""
        return _run(self._consume([TopicPartition(topic, each) for each in partitions], start, count))

    async def _consume(self, assigned: Sequence[TopicPartition], start: str | int, count: int) -> list[Received]:
        received: list[Received] = []
        async with self._consumer() as consumer:
            consumer.assign(assigned)
            if start == EARLIEST:
                await consumer.seek_to_beginning(*assigned)
            else:
                time_ms = time_of(start)
                found = {} if time_ms is None else await consumer.offsets_for_times(dict.fromkeys(assigned, time_ms))
                for each in assigned:
                    consumer.seek(each, int(start) if time_ms is None else found[each].offset)
            while len(received) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    received += [
                        Received(it.offset, Message(it.value, it.key, tuple(it.headers), it.partition, it.timestamp))
                        for it in records
                    ]
        return received

    def offset(self, topic: str, partition: int, at: str) -> int:
        """See `Driver`."""
        return _run(self._offset(TopicPartition(topic, partition), at))

    async def _offset(self, asked: TopicPartition, at: str) -> int:
        async with self._consumer() as consumer:
            time_ms = time_of(at)
            if time_ms is not None:
                found = (await consumer.offsets_for_times({asked: time_ms}))[asked]
                return -1 if found is None else found.offset
            ask = {EARLIEST: consumer.beginning_offsets, LATEST: consumer.end_offsets}[at]
            return (await ask([asked]))[asked]

    def close(self) -> None:
        """See `Driver`."""
