"""A process that consumes all partitions from the beginning while the broker is killed, and notes what it saw."""

import faulthandler
import os
import sys
from array import array
from multiprocessing.synchronize import Event
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from torture.history import identity_of


def run(address: str, topic: str, partitions: int, seen_path: Path, stop: Event) -> None:
    """Follows until `stop`; saves what it saw; exits with 1 where it was told of an error or offsets jumped."""
    faulthandler.enable()
    client = consumer(address)
    client.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(partitions)])
    seen = [array("q") for _ in range(partitions)]
    problems: list[str] = []
    while not stop.is_set() and not problems:
        for message in client.consume(500, 0.1):
            error = message.error()
            partition, offset = message.partition(), message.offset()
            if error is None:
                if offset != len(seen[partition]):
                    problems.append(f"partition {partition}: after offset {len(seen[partition]) - 1} came {offset}")
                producer, number = identity_of(message.key())
                seen[partition].append(producer << 48 | number)
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE) or error.fatal():
                problems.append(f"partition {partition}, offset {len(seen[partition])}: {error}")
    with seen_path.open("wb") as file:
        array("q", map(len, seen)).tofile(file)
        for identities in seen:
            identities.tofile(file)
    if problems:
        print(f"the follower: {problems[0]}", file=sys.stderr, flush=True)
    # Without closing the consumer, which may wait for the client's threads and is not what is tested.
    os._exit(1 if problems else 0)


def load(seen_path: Path, partitions: int) -> list[array]:
    """What `run` saved: the identities of each partition from offset 0 on."""
    lengths = array("q")
    seen = [array("q") for _ in range(partitions)]
    with seen_path.open("rb") as file:
        lengths.fromfile(file, partitions)
        for identities, length in zip(seen, lengths, strict=True):
            identities.fromfile(file, length)
    return seen


def consumer(address: str) -> Consumer:
    """A consumer that takes partitions by `assign` and reports it when an offset does not exist."""
    return Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 32 << 10,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 100,
            "log_level": 2,
        }
    )
