"""Consumers of kafka-python. Usage: python -m clients.groups.kafka_python HOST:PORT"""

import sys
import threading
import time

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from clients.groups.programs import COMMIT_EVERY_S, HEARTBEAT_MS, RESTING_S, SESSION_MS, Voice, serve

ASSIGNORS = {"eager": RangePartitionAssignor, "cooperative": CooperativeStickyAssignor}


class Listener(ConsumerRebalanceListener):
    """Says what is given and taken. It does not commit: it is called by the loop that a commit would wait for."""

    def __init__(self, voice: Voice, topic: str, client: KafkaConsumer) -> None:
        """For one consumer."""
        self._voice = voice
        self._topic = topic
        self._client = client
        self.waiting: dict[int, int] = {}

    def commit(self) -> None:
        """Commits what was processed and not committed yet."""
        if not self.waiting:
            return
        wanted = {
            TopicPartition(self._topic, each): OffsetAndMetadata(offset, "", -1)
            for each, offset in self.waiting.items()
        }
        try:
            self._client.commit(wanted, timeout_ms=5_000)
        except KafkaError as failed:
            self._voice.say("trouble", repr(failed))
            return
        self._voice.committed(self.waiting)
        self.waiting.clear()

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """See the class."""
        self._voice.say("assigned", *sorted(each.partition for each in assigned))

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """See the class."""
        self.on_partitions_lost(revoked)

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        """See the class."""
        for each in lost:
            self.waiting.pop(each.partition, None)
        self._voice.say("revoked", *sorted(each.partition for each in lost))


def consume(voice: Voice, group: str, topic: str, mode: str, end: threading.Event) -> None:
    """Consumes until it is told to stop."""
    client = KafkaConsumer(
        bootstrap_servers=sys.argv[1],
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        reconnect_backoff_max_ms=500,
        partition_assignment_strategy=[ASSIGNORS[mode]],
    )
    listener = Listener(voice, topic, client)
    client.subscribe([topic], listener=listener)
    # Who joins without knowing the topic joins again when it does. kafka-python 3.0.12 forgets such a second join, and
    # sends no heartbeat ever after, if a poll's time is over while it is under way; with Kafka it does too.
    client.partitions_for_topic(topic)
    due = time.monotonic() + COMMIT_EVERY_S
    while not end.is_set():
        try:
            polled = client.poll(timeout_ms=int(RESTING_S * 1000))
        except KafkaError as failed:
            voice.say("trouble", repr(failed))
            continue
        for partition, records in polled.items():
            voice.processed((partition.partition, each.offset) for each in records)
            listener.waiting[partition.partition] = records[-1].offset + 1
        if time.monotonic() > due:
            listener.commit()
            due = time.monotonic() + COMMIT_EVERY_S
    listener.commit()
    client.close()
    voice.say("stopped")


if __name__ == "__main__":
    serve(consume)
