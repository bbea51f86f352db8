"""Consumers of confluent-kafka. Usage: python -m clients.groups.confluent HOST:PORT"""

import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from clients.groups.programs import COMMIT_EVERY_S, HEARTBEAT_MS, RESTING_S, SESSION_MS, Voice, serve

STRATEGIES = {"eager": "range", "cooperative": "cooperative-sticky"}


def consume(voice: Voice, group: str, topic: str, mode: str, end: threading.Event) -> None:
    """Consumes until it is told to stop."""
    settings = {
        "bootstrap.servers": sys.argv[1],
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 100,
        "reconnect.backoff.max.ms": 500,
        "topic.metadata.refresh.interval.ms": 1_000,
    }
    if mode == "consumer":
        settings["group.protocol"] = "consumer"
    else:
        settings["partition.assignment.strategy"] = STRATEGIES[mode]
        settings |= {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS}
    client = Consumer(settings)
    waiting: dict[int, int] = {}

    def commit() -> None:
        if not waiting:
            return
        offsets = [TopicPartition(topic, partition, offset) for partition, offset in waiting.items()]
        try:
            answers = client.commit(offsets=offsets, asynchronous=False)
        except KafkaException as failed:
            voice.say("trouble", failed)
            return
        for each in answers:
            if each.error is None:
                voice.say("committed", each.partition, each.offset)
                waiting.pop(each.partition, None)

    def assigned(_: Consumer, partitions: list[TopicPartition]) -> None:
        voice.say("assigned", *(each.partition for each in partitions))

    def revoked(_: Consumer, partitions: list[TopicPartition]) -> None:
        commit()
        lost(client, partitions)

    def lost(_: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            waiting.pop(each.partition, None)
        voice.say("revoked", *(each.partition for each in partitions))

    client.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=lost)
    due = time.monotonic() + COMMIT_EVERY_S
    while not end.is_set():
        messages = []
        for message in client.consume(500, RESTING_S):
            if message.error():
                voice.say("trouble", message.error())
            else:
                messages.append(message)
        voice.processed((each.partition(), each.offset()) for each in messages)
        waiting |= {each.partition(): each.offset() + 1 for each in messages}
        if time.monotonic() > due:
            commit()
            due = time.monotonic() + COMMIT_EVERY_S
    commit()
    client.close()
    voice.say("stopped")


if __name__ == "__main__":
    serve(consume)
