"""A flat profile of the broker under 1 KiB produce: `bench/profile` calls it."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .broker import RELAXED, ROOT, SYNCED, Broker, Kind, wiber
from .clients import Clients, Running
from .machine import Ballast
from .side import Plan, Side

SAMPLES_PER_S = 1999
"""Not a round number, so that samples do not fall in step with something periodic."""
WARM_UP_RECORDS = 200_000
LEAD_S = 2.0
"""A load runs this much longer than it is sampled, half of it before."""
COUNTED_RECORDS = 64_000
COUNTED_BATCH = 64
VALGRIND_READY_DEADLINE_S = 120


def main() -> int:
    """Prints the profile."""
    options = _options()
    kind = wiber(options.broker.resolve())
    plan = Plan(
        runs=1,
        seconds=options.seconds,
        data_bytes=0,
        again_bytes=0,
        settle_s=0,
        warm_up_s=0,
        calibrate=True,
        broker_cpu=0,
        client_cpu=1,
    )
    home = options.dir / f"profile-{os.getpid()}"
    clients = Clients(options.rdkafka_performance, options.wiber_bench, plan.client_cpu)
    side = Side(kind, home, clients, plan, None if options.instructions else Ballast(home / "ballast"))
    try:
        if options.instructions:
            _instructions(side, options)
        else:
            _samples(side, options)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


def _samples(side: Side, options: argparse.Namespace) -> None:
    """Samples of all threads, in the kernel, too."""
    broker = side.broker()
    data = side.home / "perf.data"
    try:
        with side.topic(options.durability) as topic:
            sampler = (
                *("perf", "record", "--quiet", "-F", str(SAMPLES_PER_S), "-p", str(broker.pid), "-o", str(data)),
                *("--", "sleep", str(options.seconds)),
            )
            load = _paced if options.paced else _fast
            load(side, broker, topic, options, lambda: _run(*sampler))
    finally:
        side.close()
    for keys in ("comm,dso", "comm,symbol"):
        report = _run("perf", "report", "--stdio", "--quiet", "-i", str(data), "--sort", keys, "--percent-limit", "0.4")
        print(
            f"--- by {keys}",
            *(re.sub(r"(\s+-)+\s*$", "", line.rstrip()) for line in report.splitlines() if line.strip()),
            sep="\n",
        )


def _fast(side: Side, broker: Broker, topic: str, options: argparse.Namespace, sample: Callable[[], object]) -> None:
    """librdkafka as fast as it goes."""

    def start(records: int) -> Running:
        return side.clients.start_producer(broker.address, topic, size=options.size, records=records)

    speed = start(WARM_UP_RECORDS).rate(side.plan.deadline_s).records_per_s
    producer = start(int(speed * (options.seconds + LEAD_S)))
    try:
        time.sleep(LEAD_S / 2)
        sample()
        producer.rate(side.plan.deadline_s)
    finally:
        producer.kill()


def _paced(side: Side, broker: Broker, topic: str, options: argparse.Namespace, sample: Callable[[], object]) -> None:
    """One record to a request, at times fixed beforehand."""
    records = int(options.paced * (options.seconds + LEAD_S))
    producer = side.clients.start_bench(
        "produce",
        *("--connect", broker.address, "--topic", topic, "--size", str(options.size)),
        *("--rate", str(options.paced), "--records", str(records)),
    )
    try:
        time.sleep(LEAD_S / 2)
        sample()
        producer.output(side.plan.deadline_s)
    finally:
        producer.kill()


def _instructions(side: Side, options: argparse.Namespace) -> None:
    """Instructions in user space, which do not vary with the load of the machine: for regressions."""
    out = side.home / "callgrind.out"
    valgrind = ("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}", "--separate-threads=no")
    kind = Kind(**{**vars(side.kind), "ready_deadline_s": VALGRIND_READY_DEADLINE_S})
    broker = Broker(kind, side.home / "counted", None, prefix=valgrind)
    broker.start()
    try:
        with side.topic(options.durability, broker=broker) as topic:
            load = (
                *("--connect", broker.address, "--topic", topic, "--size", str(options.size), "--rate", "0"),
                *("--batch", str(COUNTED_BATCH), "--records"),
            )
            side.clients.bench("produce", *load, str(COUNTED_BATCH * 10))
            _run("callgrind_control", "--zero", str(broker.pid))
            side.clients.bench("produce", *load, str(COUNTED_RECORDS))
            _run("callgrind_control", "--dump", str(broker.pid))
    finally:
        broker.kill()
    (dump,) = side.home.glob("callgrind.out.*")
    report = _run("callgrind_annotate", "--threshold=95", str(dump))
    total = re.search(r"([\d,]+) \(100\.0%\)\s+PROGRAM TOTALS", report)
    count = int(total[1].replace(",", ""))
    print(report)
    print(f"{count / COUNTED_RECORDS:,.0f} instructions a record of {options.size} B, {COUNTED_BATCH} to a request")


def _run(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench/profile: {' '.join(command)} exited with {done.returncode}:\n{done.stdout}")
    return done.stdout


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/profile", description="A flat profile of the broker under produce.")
    parser.add_argument("--instructions", action="store_true", help="count instructions (callgrind) instead of samples")
    parser.add_argument("--paced", type=int, metavar="RATE", help="one record to a request, so many a second")
    parser.add_argument("--durability", choices=[SYNCED, RELAXED], default=SYNCED)
    parser.add_argument("--size", type=int, default=1024, help="bytes of a record (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="how long to sample (default: %(default)s)")
    parser.add_argument("--broker", type=Path, default=ROOT / "target" / "release" / "wiber")
    parser.add_argument("--dir", type=Path, default=ROOT / ".cache" / "bench")
    parser.add_argument("--rdkafka-performance", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--wiber-bench", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
