"""A process with one librdkafka producer, which notes what it sends and what the client says of it."""

import random
import time
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from torture.history import FAILED, KEY, ProducerHistory, Values

QUEUE_RECORDS = 10_000
"""How many records a producer holds that the broker has not acknowledged."""
BURST = 50
"""Records between two looks at the clock and at the client's events."""


@dataclass(frozen=True)
class ProducerPlan:
    """What a producer process is to do."""

    number: int
    address: str
    topic: str
    partitions: int
    codec: str
    seed: int
    value_bytes: tuple[int, int]
    records_per_s: float
    linger_ms: int
    abandon: bool
    """Whether what is on its way at the end is given up rather than waited for: it may be in the log once, or not."""
    flush_deadline_s: float
    history_path: Path


def run(plan: ProducerPlan, stop: Event, acknowledged_bytes: Synchronized) -> None:
    """Produces until `stop`, then until every record is acknowledged or given up; exits with 1 where that fails."""
    history = ProducerHistory()
    values = Values(plan.seed, *plan.value_bytes)
    fatal: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        _, number = KEY.unpack(message.key())
        if error is None:
            history.offsets[number] = message.offset()
            acknowledged_bytes.value += len(message.value())
        else:
            history.offsets[number] = FAILED
            if not plan.abandon or error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
                fatal.append(f"record {number} failed: {error}")

    def client_error(error: KafkaError) -> None:
        if error.fatal():
            fatal.append(f"fatal: {error}")

    producer = Producer(
        {
            "bootstrap.servers": plan.address,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": plan.codec,
            "linger.ms": plan.linger_ms,
            # No record may time out: librdkafka then takes a new epoch and renumbers what may have arrived already.
            "message.timeout.ms": 0,
            "message.max.bytes": 1_000_000,
            "queue.buffering.max.messages": QUEUE_RECORDS,
            "queue.buffering.max.kbytes": 128 << 10,
            "retry.backoff.ms": 10,
            "retry.backoff.max.ms": 100,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 100,
            "log_level": 2,
            "on_delivery": delivered,
            "error_cb": client_error,
        }
    )
    source = random.Random(f"{plan.seed} {plan.number}")

    def send_one() -> None:
        partition = source.randrange(plan.partitions)
        number = history.sent(partition)
        value = values.value(plan.number, number)
        while True:
            try:
                producer.produce(plan.topic, value, KEY.pack(plan.number, number), partition)
                return
            except BufferError:
                producer.poll(0.01)

    begun = time.monotonic()
    try:
        while not stop.is_set() and not fatal:
            allowed = (time.monotonic() - begun) * plan.records_per_s - len(history.offsets)
            if allowed < BURST:
                producer.poll(0.005)
                continue
            for _ in range(BURST):
                send_one()
            producer.poll(0)
    except KafkaException as error:
        fatal.append(str(error))
    if plan.abandon:
        producer.purge()
    unreported = producer.flush(plan.flush_deadline_s if not fatal else 1)
    if unreported and not fatal:
        fatal.append(f"{unreported} records neither acknowledged nor failed after {plan.flush_deadline_s:g} s")
    history.save(plan.history_path)
    if fatal:
        raise SystemExit(f"producer {plan.number}, {plan.codec}: {len(fatal)} errors, the first: {fatal[0]}")
