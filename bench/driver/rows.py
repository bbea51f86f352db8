"""The rows: what each measures, once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import machine
from .broker import RELAXED, SYNCED, Broker
from .clients import Rate
from .machine import CpuWindow
from .side import Side

GB = 1e9
MB = 1e6
ACK_RATE = 10_000
"""Records a second of the latency rows."""
ACK_WARM_UP_RECORDS = 10_000
SPREAD_RATE = 50_000
"""Records a second of the rows that compare numbers of partitions at the same load."""
SPREAD_BATCH = 10
KIB = 1024
LOADED_PARTITIONS = 100
COMPACTED_KEYS = 100_000
SEGMENT_BYTES = 64 << 20
GROUPS = 10_000
GROUP_PARTITIONS = 10
"""For how many partitions each group commits."""
SAMPLE_PAUSE_S = 0.05

THROUGHPUT, LATENCY, MEMORY, WAITING, TIME = "throughput", "latency", "memory", "waiting", "time"

Metrics = dict[str, float]


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    name: str
    table: str
    durability: str | None
    """Of the topic that is used; without, what a topic has by default."""
    what: str
    measure: Callable[[Side], Metrics]
    quick: bool = False
    """Whether a smoke run has it."""
    samples: int = 1
    """Measurements to a run: what takes milliseconds is taken more often."""


def produce(side: Side, *, durability: str, size: int, partitions: int = 1, idempotent: bool = False) -> Metrics:
    """librdkafka produces as fast as it goes."""
    broker = side.broker()

    def run(records: int) -> tuple[Rate, CpuWindow]:
        with side.topic(durability, partitions) as topic, CpuWindow(broker.pid) as window:
            producer = side.clients.start_producer(
                broker.address,
                topic,
                size=size,
                records=records,
                partition=0 if partitions == 1 else None,
                idempotent=idempotent,
            )
            rate = producer.rate(side.plan.deadline_s)
        return rate, window

    key = f"produce {durability} {size} {partitions} {idempotent}"
    rate, window = run(side.records(key, size, lambda records: run(records)[0]))
    return _throughput(rate.records_per_s, rate.records, size, window)


def consume_tail(side: Side, *, durability: str) -> Metrics:
    """librdkafka produces as fast as it goes, and another follows it: one GB is one GB in and out."""
    broker = side.broker()

    def run(records: int) -> tuple[Rate, CpuWindow]:
        with side.topic(durability) as topic, CpuWindow(broker.pid) as window:
            consumer = side.clients.start_consumer(broker.address, topic, records=records)
            try:
                producer = side.clients.start_producer(broker.address, topic, size=KIB, records=records)
                try:
                    producer.rate(side.plan.deadline_s)
                    rate = consumer.rate(side.plan.deadline_s)
                finally:
                    producer.kill()
            finally:
                consumer.kill()
        return rate, window

    rate, window = run(side.records(f"consume-tail {durability}", KIB, lambda records: run(records)[0]))
    return _throughput(rate.records_per_s, rate.records, KIB, window)


def consume_warm(side: Side) -> Metrics:
    """librdkafka reads what was written before and lies in the page cache, again and again."""
    broker = side.broker()
    with side.topic(RELAXED) as topic:
        records = side.fill(broker, topic, KIB, side.plan.data_bytes)
        total, seconds = 0, 0.0
        with CpuWindow(broker.pid) as window:
            while seconds < side.plan.seconds:
                rate = side.clients.start_consumer(broker.address, topic, records=records).rate(side.plan.deadline_s)
                total += rate.records
                seconds += rate.records / rate.records_per_s
    return _throughput(total / seconds, total, KIB, window)


def consume_cold(side: Side) -> Metrics:
    """The same once, after a restart and with none of the files in the page cache."""
    broker = side.new_broker("cold")
    broker.start()
    try:
        with side.topic(RELAXED, broker=broker) as topic:
            records = side.fill(broker, topic, KIB, side.plan.data_bytes)
            broker.stop()
            machine.drop_cached(broker.home)
            side.settle()
            broker.start()
            with CpuWindow(broker.pid) as window:
                rate = side.clients.start_consumer(broker.address, topic, records=records).rate(side.plan.deadline_s)
    finally:
        broker.kill()
        broker.wipe()
    return _throughput(rate.records_per_s, rate.records, KIB, window)


def acknowledge(side: Side, *, durability: str) -> Metrics:
    """10,000 requests a second of one record of 1 KiB, at times fixed beforehand."""
    records = int(ACK_RATE * side.plan.seconds) + ACK_WARM_UP_RECORDS
    return _paced(side, durability, 1, "--rate", str(ACK_RATE), "--records", str(records))


def acknowledge_alone(side: Side, *, durability: str) -> Metrics:
    """One request of one record at a time on one connection."""
    key = f"acknowledge-alone {durability}"
    records = side.remembered.get(key, 2000)
    metrics = _paced(
        side,
        durability,
        1,
        *("--rate", "0", "--connections", "1", "--in-flight", "1", "--records", str(records + ACK_WARM_UP_RECORDS)),
    )
    side.remembered[key] = max(2000, int(metrics["records_per_s"] * side.plan.seconds))
    return metrics


def spread(side: Side, *, durability: str, partitions: int) -> Metrics:
    """50,000 records a second of 1 KiB, ten to a request, each request to the next partition."""
    records = int(SPREAD_RATE * side.plan.seconds) + ACK_WARM_UP_RECORDS
    return _paced(
        side,
        durability,
        partitions,
        *("--rate", str(SPREAD_RATE), "--records", str(records), "--batch", str(SPREAD_BATCH)),
    )


def memory_idle(side: Side, *, partitions: int) -> Metrics:
    """A broker that has just started, and partitions that nobody uses."""
    broker = side.new_broker("idle")
    broker.start()
    try:
        if partitions:
            side.clients.bench(
                "create-topics", "--connect", broker.address, "--topic", "idle", "--partitions", str(partitions)
            )
        with CpuWindow(broker.pid) as window:
            time.sleep(side.plan.settle_s)
        used = machine.memory(broker.pid)
    finally:
        broker.kill()
        broker.wipe()
    return {
        "rss_mib": used.rss,
        "pss_mib": used.pss,
        "peak_mib": used.peak,
        "cpu_percent": 100 * window.broker_s / window.elapsed_s,
    }


def memory_loaded(side: Side) -> Metrics:
    """librdkafka produces 1 KiB as fast as it goes to 100 partitions, and another follows."""
    rss, pss = [], []

    def run(records: int) -> tuple[Rate, CpuWindow, machine.Memory]:
        broker = side.new_broker("loaded")
        broker.start()
        try:
            with side.topic(side.kind.default_durability, LOADED_PARTITIONS, broker) as topic:
                with CpuWindow(broker.pid) as window:
                    consumer = side.clients.start_consumer(
                        broker.address, topic, records=records, partitions=LOADED_PARTITIONS
                    )
                    try:
                        producer = side.clients.start_producer(
                            broker.address, topic, size=KIB, records=records, partition=None
                        )
                        try:
                            while producer.process.poll() is None:
                                used = machine.memory(broker.pid)
                                rss.append(used.rss)
                                pss.append(used.pss)
                                time.sleep(SAMPLE_PAUSE_S)
                            rate = producer.rate()
                            consumer.rate(side.plan.deadline_s)
                        finally:
                            producer.kill()
                    finally:
                        consumer.kill()
                used = machine.memory(broker.pid)
        finally:
            broker.kill()
            broker.wipe()
        return rate, window, used

    records = side.records("memory-loaded", KIB, lambda records: run(records)[0])
    rss.clear()
    pss.clear()
    _, window, used = run(records)
    return {
        "rss_mib": max(rss),
        "pss_mib": max(pss),
        "peak_mib": used.peak,
        "cpu_percent": 100 * window.broker_s / window.elapsed_s,
    }


def start_empty(side: Side) -> Metrics:
    """The first start in an empty directory, until a first record in a new topic is acknowledged."""
    broker = side.new_broker("start")
    try:
        return _start(side, broker, "first-ack")
    finally:
        broker.wipe()


def start_again(side: Side) -> Metrics:
    """A start on data after a clean stop, until a record is acknowledged."""
    broker = side.remembered.get("start-again")
    if broker is None:
        broker = side.new_broker("again")
        broker.start()
        try:
            side.clients.bench("create-topics", "--connect", broker.address, "--topic", "first")
            side.fill(broker, "first", KIB, side.plan.again_bytes)
            broker.stop()
        finally:
            broker.kill()
        side.remembered["start-again"] = broker
    return _start(side, broker, "first-ack")


def restart(side: Side, *, cold: bool) -> Metrics:
    """A start after kill -9, until the last acknowledged record was read."""
    broker = side.new_broker("restart")
    broker.start()
    try:
        side.clients.bench("create-topics", "--connect", broker.address, "--topic", "first")
        side.settle()
        records = side.fill(broker, "first", KIB, side.plan.data_bytes)
        broker.kill()
        if cold:
            machine.drop_cached(broker.home)
            side.settle()
        return _start(side, broker, "first-fetch", "--expect-records", str(records))
    finally:
        broker.kill()
        broker.wipe()


def restart_groups(side: Side) -> Metrics:
    """A start after kill -9, until all groups have given what they had committed."""
    broker = side.new_broker("groups")
    broker.start()
    sizes = ("--groups", str(GROUPS), "--partitions", str(GROUP_PARTITIONS))
    try:
        side.clients.bench(
            "create-topics",
            *("--connect", broker.address, "--topic", "first", "--partitions", str(GROUP_PARTITIONS)),
        )
        side.clients.bench("commit-groups", "--connect", broker.address, "--topic", "first", *sizes)
        broker.kill()
        return _start(side, broker, "first-offsets", *sizes)
    finally:
        broker.kill()
        broker.wipe()


def compact(side: Side) -> Metrics:
    """Many records of few keys, in segments of 64 MiB, are compacted: one GB is one GB before."""
    broker = side.broker()
    records = side.plan.data_bytes // KIB
    with side.topic(RELAXED, settings={"segment.bytes": str(SEGMENT_BYTES)}) as topic:
        keys = min(COMPACTED_KEYS, records // 10)
        side.clients.bench(
            "fill-keys",
            *("--connect", broker.address, "--topic", topic, "--size", str(KIB)),
            *("--keys", str(keys), "--records", str(records)),
            deadline_s=side.plan.deadline_s,
        )
        side.settle()
        with CpuWindow(broker.pid) as window:
            outcome = side.clients.bench(
                "compact", "--connect", broker.address, "--topic", topic, deadline_s=side.plan.deadline_s
            )
    return _throughput(records / outcome["seconds"], records, KIB, window)


def wait(side: Side) -> Metrics:
    """Fetches and members that wait: what the broker does meanwhile, and how soon they are woken."""
    broker = side.new_broker("wait")
    broker.start()
    try:
        side.clients.bench("create-topics", "--connect", broker.address, "--topic", "wait", "--partitions", "2")
        outcome = side.clients.bench(
            "wait",
            *("--connect", broker.address, "--broker-pid", str(broker.pid), "--topic", "wait"),
            *("--seconds", str(max(1, round(side.plan.seconds)))),
            deadline_s=side.plan.deadline_s,
        )
        used = machine.memory(broker.pid)
    finally:
        broker.kill()
        broker.wipe()
    return {
        "rss_mib": used.rss,
        "pss_mib": used.pss,
        "peak_mib": used.peak,
        "cpu_percent": outcome["cpu_percent"],
        "wake_one_us": outcome["wake_one_us"],
        "wake_all_ms": outcome["wake_all_ms"],
    }


def create(side: Side, *, partitions: int) -> Metrics:
    """A topic is created, until all its partitions have leaders."""
    broker = side.broker()
    name = f"create-{time.monotonic_ns()}"
    times = side.clients.bench(
        "create-topics", "--connect", broker.address, "--topic", name, "--partitions", str(partitions)
    )
    side.clients.bench("delete-topics", "--connect", broker.address, name)
    return {"ready_ms": times["answered_ms"], "first_ms": times["ready_ms"]}


def _start(side: Side, broker: Broker, command: str, *arguments: str) -> Metrics:
    pin = [] if side.plan.broker_cpu is None else ["--broker-cpu", str(side.plan.broker_cpu)]
    times = side.clients.bench(
        command,
        *("--connect", broker.address, "--topic", "first", "--log", str(broker.log), *pin, *arguments),
        "--",
        *broker.command(),
    )
    return {"ready_ms": times["ready_ms"], "first_ms": times["first_ms"]}


def _paced(side: Side, durability: str, partitions: int, *arguments: str) -> Metrics:
    broker = side.broker()
    with side.topic(durability, partitions) as topic, CpuWindow(broker.pid) as window:
        outcome = side.clients.bench(
            "produce",
            *("--connect", broker.address, "--topic", topic, "--partitions", str(partitions), "--size", str(KIB)),
            *("--warm-up-records", str(ACK_WARM_UP_RECORDS), *arguments),
            deadline_s=side.plan.deadline_s,
        )
    records = outcome["records"] + ACK_WARM_UP_RECORDS
    latency = outcome["latency_us"]
    return {
        "records_per_s": outcome["records_per_s"],
        "p50_us": latency["p50"],
        "p99_us": latency["p99"],
        "p999_us": latency["p999"],
        "max_us": latency["max"],
        "lag_p99_us": outcome["send_lag_us"]["p99"],
        "cpu_s_per_m": window.broker_s / records * 1e6,
        "cpu_s_per_gb": window.broker_s / (records * KIB / GB),
        "rest_cores": window.rest_s / window.elapsed_s,
    }


def _throughput(records_per_s: float, records: int, size: int, window: CpuWindow) -> Metrics:
    gb = records * size / GB
    return {
        "records_per_s": records_per_s,
        "mb_per_s": records_per_s * size / MB,
        "cpu_s_per_gb": window.broker_s / gb,
        "cpu_s_per_m": window.broker_s / records * 1e6,
        "with_rest_cpu_s_per_gb": (window.broker_s + window.rest_s) / gb,
        "client_cpu_s_per_gb": window.client_s / gb,
        "rest_cores": window.rest_s / window.elapsed_s,
    }


def _size_name(size: int) -> str:
    return f"{size // KIB}KiB" if size % KIB == 0 else f"{size}B"


def _rows() -> list[Row]:
    rows = []
    for durability in (SYNCED, RELAXED):
        for size in (100, KIB, 10 * KIB):
            name = f"produce-{durability}-{_size_name(size)}"
            measure = partial(produce, durability=durability, size=size)
            what = f"produce {_size_name(size)} to one partition"
            rows.append(Row(name, THROUGHPUT, durability, what, measure, quick=size == KIB))
        for partitions in (100, 1000):
            name = f"produce-{durability}-1KiB-{partitions}p"
            measure = partial(produce, durability=durability, size=KIB, partitions=partitions)
            what = f"produce 1KiB to {partitions} partitions"
            rows.append(Row(name, THROUGHPUT, durability, what, measure, quick=partitions == 100))
        measure = partial(produce, durability=durability, size=KIB, idempotent=True)
        what = "produce 1KiB to one partition, idempotent producer"
        rows.append(Row(f"produce-{durability}-1KiB-idempotent", THROUGHPUT, durability, what, measure))
    measure = partial(consume_tail, durability=SYNCED)
    rows.append(Row("consume-tail", THROUGHPUT, SYNCED, "produce 1KiB and consume it at once", measure, quick=True))
    rows.append(Row("consume-warm", THROUGHPUT, RELAXED, "consume 1KiB from the page cache", consume_warm, quick=True))
    what = "consume 1KiB after a restart, files not cached"
    rows.append(Row("consume-cold", THROUGHPUT, RELAXED, what, consume_cold, quick=True))
    what = "1KiB of 100,000 keys is compacted"
    rows.append(Row("compact", THROUGHPUT, RELAXED, what, compact))
    for durability in (SYNCED, RELAXED):
        measure = partial(acknowledge, durability=durability)
        what = "10 k/s of 1KiB, one record a request, 4 connections"
        rows.append(Row(f"ack-{durability}", LATENCY, durability, what, measure, quick=True))
        measure = partial(acknowledge_alone, durability=durability)
        rows.append(Row(f"ack-alone-{durability}", LATENCY, durability, "1KiB, one request at a time", measure))
    for durability in (SYNCED, RELAXED):
        for partitions in (1, 100, 1000):
            measure = partial(spread, durability=durability, partitions=partitions)
            what = f"50 k/s of 1KiB, ten a request, over {partitions} partitions"
            rows.append(Row(f"spread-{durability}-{partitions}p", LATENCY, durability, what, measure))
    rows.append(Row("memory-idle", MEMORY, None, "just started", partial(memory_idle, partitions=0), quick=True))
    what = "1,000 partitions that nobody uses"
    rows.append(Row("memory-idle-1000p", MEMORY, None, what, partial(memory_idle, partitions=1000)))
    what = "produce and consume 1KiB on 100 partitions"
    rows.append(Row("memory-loaded", MEMORY, None, what, memory_loaded, quick=True))
    what = "empty directory, to a first acknowledgement"
    rows.append(Row("start-empty", TIME, None, what, start_empty, quick=True, samples=4))
    what = "data, clean stop, to a first acknowledgement"
    rows.append(Row("start-again", TIME, None, what, start_again, quick=True, samples=4))
    for cold in (False, True):
        name = "restart-cold" if cold else "restart-warm"
        what = f"2 GB, kill -9, to the last record read; files {'not cached' if cold else 'cached'}"
        rows.append(Row(name, TIME, None, what, partial(restart, cold=cold), quick=not cold))
    what = "10,000 groups, kill -9, to all their offsets"
    rows.append(Row("restart-groups", TIME, None, what, restart_groups))
    what = "10,000 fetches and 10,000 members that wait"
    rows.append(Row("wait-10000", WAITING, None, what, wait))
    what = "a topic of 1,000 partitions: answered, all led"
    rows.append(Row("create-1000p", TIME, None, what, partial(create, partitions=1000), samples=2))
    return rows


ROWS = _rows()
