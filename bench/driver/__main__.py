"""The command line: `python -m driver`, as `bench/run` calls it."""

import argparse
import fnmatch
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from .broker import ROOT, BrokerError, ideal, kafka, wiber
from .clients import ClientError, Clients
from .machine import Ballast
from .report import Result, in_short, tables
from .rows import ROWS, Row
from .side import Plan, Side


def main() -> int:
    """Measures what was asked for; 0 if every row came to its end."""
    options = _options()
    rows = _chosen(options)
    if options.list:
        for row in rows:
            print(f"{row.name:32} {row.what}")
        return 0
    plan = _plan(options)
    home = options.dir / f"run-{os.getpid()}"
    clients = Clients(options.rdkafka_performance, options.wiber_bench, plan.client_cpu)
    kinds = [wiber(options.broker.resolve())] if not options.kafka_only else []
    if options.kafka or options.kafka_only:
        kinds.append(kafka())
    if options.ideal:
        kinds.append(ideal(options.wiber_bench))
    ballast = Ballast(home / "ballast") if options.ballast and not options.quick else None
    sides = [Side(kind, home / kind.name, clients, plan, ballast) for kind in kinds]
    begun = time.monotonic()
    results = []
    # As an interrupt does, a request to end unwinds, so that brokers and directories go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for row in rows:
            results.append(_measure(row, sides, plan))
            print(f"[{time.monotonic() - begun:5.0f} s] {in_short(results[-1])}", file=sys.stderr, flush=True)
            _write_json(options, results)
    finally:
        for side in sides:
            side.close()
        if ballast is not None:
            ballast.close()
        shutil.rmtree(home, ignore_errors=True)
        print(_conditions(plan, ballast), tables(results), sep="\n\n")
    for result in results:
        if result.failure:
            print(f"\n{result.row.name} failed: {result.failure}", file=sys.stderr)
    return 1 if any(result.failure for result in results) else 0


def _measure(row: Row, sides: Sequence[Side], plan: Plan) -> Result:
    """The brokers in turn: A B A B, so that what drifts, drifts for both."""
    result = Result(row)
    sides = [side for side in sides if any(fnmatch.fnmatch(row.name, rows) for rows in side.kind.rows)]
    for side in sides:
        result.runs[side.kind.name] = []
        result.durability[side.kind.name] = row.durability or side.kind.default_durability
    try:
        for _ in range(plan.runs * (1 if plan.runs == 1 else row.samples)):
            for side in sides:
                result.runs[side.kind.name].append(row.measure(side))
    except (BrokerError, ClientError, OSError) as error:
        result.failure = str(error)
    finally:
        for side in sides:
            try:
                side.end_row()
            except BrokerError as error:
                result.failure = result.failure or str(error)
    return result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run", description="Measures a broker. bench/README.md explains the method and the columns."
    )
    parser.add_argument("--only", action="append", metavar="ROW", help="a row, or a pattern such as 'produce-*-1KiB'")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run of less than a minute; its figures mean little"
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each row (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="length of a run under load (default: %(default)s)")
    parser.add_argument("--data-mb", type=int, default=2000, help="data of restarts and reads (default: %(default)s)")
    parser.add_argument(
        "--pin",
        choices=["split", "none"],
        default="split",
        help="broker on core 0 and clients on core 1, or no pinning",
    )
    parser.add_argument("--no-ballast", dest="ballast", action="store_false", help="do not fill the page cache first")
    parser.add_argument("--kafka", action="store_true", help="Apache Kafka beside it, in turn, with ratios")
    parser.add_argument("--kafka-only", action="store_true", help="Apache Kafka alone")
    parser.add_argument("--ideal", action="store_true", help="the ideal broker beside it, in turn, with ratios")
    parser.add_argument("--warm-up", type=float, default=60, metavar="S", help="of a JVM (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument("--dir", type=Path, default=ROOT / ".cache" / "bench", help="data directories; on a real disk")
    parser.add_argument("--broker", type=Path, default=ROOT / "target" / "release" / "wiber", help="another binary")
    parser.add_argument("--rdkafka-performance", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--wiber-bench", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Row]:
    if options.only:
        unknown = [name for name in options.only if not fnmatch.filter([row.name for row in ROWS], name)]
        if unknown:
            sys.exit(f"bench/run: no row {unknown[0]!r}; bench/run --list names them")
        return [row for row in ROWS if any(fnmatch.fnmatch(row.name, name) for name in options.only)]
    return [row for row in ROWS if row.quick or not options.quick]


def _plan(options: argparse.Namespace) -> Plan:
    split = options.pin == "split" and {0, 1} <= os.sched_getaffinity(0)
    pinned = {"broker_cpu": 0 if split else None, "client_cpu": 1 if split else None}
    if options.quick:
        return Plan(
            runs=1,
            seconds=0.5,
            data_bytes=100_000_000,
            again_bytes=10_000_000,
            settle_s=0.5,
            warm_up_s=0,
            calibrate=False,
            **pinned,
        )
    return Plan(
        runs=options.runs,
        seconds=options.seconds,
        data_bytes=options.data_mb * 1_000_000,
        again_bytes=min(100, options.data_mb) * 1_000_000,
        settle_s=3,
        warm_up_s=options.warm_up,
        calibrate=True,
        **pinned,
    )


def _conditions(plan: Plan, ballast: Ballast | None) -> str:
    pinned = "broker on core 0, clients on core 1" if plan.broker_cpu is not None else "not pinned"
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{plan.runs} runs of {plan.seconds:g} s: median (least..most). {pinned}; {os.cpu_count()} cores; "
        f"page cache {'full' if ballast is not None else 'as it was'}; load averages at the end {load}."
    )


def _write_json(options: argparse.Namespace, results: Sequence[Result]) -> None:
    if options.json:
        told = {"host": _host(), "options": _told(options), "rows": [result.as_json() for result in results]}
        options.json.write_text(json.dumps(told, indent=1) + "\n")


def _host() -> dict:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cpu": models[0].partition(":")[2].strip() if models else "",
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_averages": os.getloadavg(),
    }


def _told(options: argparse.Namespace) -> dict:
    return {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}


if __name__ == "__main__":
    sys.exit(main())
