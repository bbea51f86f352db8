"""Consumers of aiokafka. Usage: python -m clients.groups.aio HOST:PORT"""

import asyncio
import sys
import threading
import time

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from clients.groups.programs import COMMIT_EVERY_S, HEARTBEAT_MS, RESTING_S, SESSION_MS, Voice, serve


class Listener(ConsumerRebalanceListener):
    """Says what is given and taken, and commits before it is taken."""

    def __init__(self, voice: Voice, topic: str, client: AIOKafkaConsumer) -> None:
        """For one consumer."""
        self._voice = voice
        self._topic = topic
        self._client = client
        self.waiting: dict[int, int] = {}
        self.processing = asyncio.Lock()

    async def commit(self) -> None:
        """Commits what was processed and not committed yet."""
        taken, self.waiting = self.waiting, {}
        if not taken:
            return
        try:
            await self._client.commit({TopicPartition(self._topic, each): offset for each, offset in taken.items()})
        except KafkaError as failed:
            self._voice.say("trouble", repr(failed))
            self.waiting = taken | self.waiting
            return
        self._voice.committed(taken)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """See the class."""
        self._voice.say("assigned", *sorted(each.partition for each in assigned))

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """See the class."""
        async with self.processing:
            await self.commit()
            self.waiting.clear()
            self._voice.say("revoked", *sorted(each.partition for each in revoked))


async def run(voice: Voice, group: str, topic: str, end: threading.Event) -> None:
    """Consumes until it is told to stop."""
    client = AIOKafkaConsumer(
        bootstrap_servers=sys.argv[1],
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        metadata_max_age_ms=1_000,
        partition_assignment_strategy=[RangePartitionAssignor],
    )
    listener = Listener(voice, topic, client)
    client.subscribe([topic], listener=listener)
    await client.start()
    due = time.monotonic() + COMMIT_EVERY_S
    while not end.is_set():
        try:
            polled = await client.getmany(timeout_ms=int(RESTING_S * 1000))
        except KafkaError as failed:
            voice.say("trouble", repr(failed))
            continue
        # A rebalance may have begun while these records were on their way to us.
        async with listener.processing:
            for partition, records in polled.items():
                if partition in client.assignment():
                    voice.processed((partition.partition, each.offset) for each in records)
                    listener.waiting[partition.partition] = records[-1].offset + 1
            if time.monotonic() > due:
                await listener.commit()
                due = time.monotonic() + COMMIT_EVERY_S
    await listener.commit()
    await client.stop()
    voice.say("stopped")


def consume(voice: Voice, group: str, topic: str, mode: str, end: threading.Event) -> None:
    """Runs a consumer in an event loop of its own."""
    assert mode == "eager", "aiokafka has no other"
    asyncio.run(run(voice, group, topic, end))


if __name__ == "__main__":
    serve(consume)
