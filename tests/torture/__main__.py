"""Kills a broker with SIGKILL at random moments under load, restarts it, and checks every record.

    cd tests && python -m torture kills     # 50 kills, few partitions, each compression
    cd tests && python -m torture wide      # 1,000 partitions
    cd tests && python -m torture large     # one kill with gigabytes of log; prints the time to ready
    cd tests && python -m torture kills --rounds 500 --seconds 1800 --seed 7

The exit code is 1 where anything acknowledged is lost, doubled, moved, reordered or changed; the data directory is then
kept.
"""

import argparse
import multiprocessing
import os
import random
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from broker_process import BrokerProcess, restart_port, wait_until
from torture import follower, producer
from torture.history import Checker, LogRecord, ProducerHistory, Values, identity_of

TOPIC = "torture"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

KILL_DURING_START = 0.2
"""The share of restarts that are killed again before they are ready."""
LONGEST_START_BEFORE_KILL_S = 0.05
LONGEST_DOWNTIME_S = 1.5
READ_DEADLINE_S = 300.0
LOAD_DEADLINE_S = 120.0

spawned = multiprocessing.get_context("spawn")


class TortureError(Exception):
    """The run failed; the message says how."""


@dataclass(frozen=True)
class Plan:
    """The parameters of a run; each is a flag."""

    rounds: int = field(metadata={"help": "kills in all, shared among the codecs"})
    seconds: float = field(metadata={"help": "time under load in all"})
    partitions: int = field(metadata={"help": "partitions of the topic"})
    codecs: str = field(metadata={"help": "codecs in turn, with commas between"})
    producers: int = field(metadata={"help": "producer processes at a time"})
    records_per_s: float = field(metadata={"help": "records a second of each producer, at most"})
    smallest_bytes: int = field(metadata={"help": "smallest value"})
    largest_bytes: int = field(metadata={"help": "largest value"})
    load_bytes: int = field(metadata={"help": "a kill waits until this many bytes of values are acknowledged"})
    follow: bool = field(metadata={"help": "a consumer reads along"})


PLANS = {
    "kills": Plan(50, 90, 6, ",".join(CODECS), 2, 4_000, 16, 2_000, 0, True),
    "wide": Plan(10, 30, 1_000, "none,lz4", 2, 4_000, 16, 1_000, 0, True),
    "large": Plan(1, 0, 8, "none", 1, 1e9, 20_000, 60_000, 2 << 30, False),
}


def say(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)


class Run:
    """One run: the broker, the producers of the moment, the histories of all of them."""

    def __init__(self, plan: Plan, seed: int, directory: Path) -> None:
        """Everything is kept below `directory`."""
        self.plan = plan
        self.seed = seed
        self.directory = directory
        self.random = random.Random(seed)
        self.broker = BrokerProcess(directory / "data", directory / "broker.log", listen=f"127.0.0.1:{restart_port()}")
        self.histories: dict[int, Path] = {}
        self.ready_s: list[float] = []
        self.kills = 0
        self.problems: list[str] = []

    def run(self) -> None:
        """Runs the plan and raises where the broker failed it."""
        self.broker.start()
        create_topic(self.broker.address, self.plan.partitions)
        codecs = self.plan.codecs.split(",")
        with self._follower() as seen_path:
            for index, codec in enumerate(codecs):
                rounds = self.plan.rounds * (index + 1) // len(codecs) - self.plan.rounds * index // len(codecs)
                if not self.problems:
                    self._leg(codec, rounds)
        # What is checked is what a last restart reads from disk; it is checked even where a client failed before.
        self._kill_and_restart(downtime_s=0)
        self._verify(seen_path)
        seconds = self.broker.stop()
        say(f"  stopped in {seconds * 1000:.0f} ms")
        if self.problems:
            raise TortureError("\n".join(self.problems))

    def _leg(self, codec: str, rounds: int) -> None:
        """Some rounds with producers of one codec."""
        stop = spawned.Event()
        workers: list[tuple[SpawnProcess, Synchronized]] = []
        for index in range(self.plan.producers):
            number = len(self.histories)
            self.histories[number] = self.directory / f"history-{number}"
            task = producer.ProducerPlan(
                number=number,
                address=self.broker.address,
                topic=TOPIC,
                partitions=self.plan.partitions,
                codec=codec,
                seed=self.seed,
                value_bytes=(self.plan.smallest_bytes, self.plan.largest_bytes),
                records_per_s=self.plan.records_per_s,
                linger_ms=self.random.choice((0, 1, 5)) if self.plan.partitions < 100 else 20,
                abandon=self.plan.producers > 1 and index == self.plan.producers - 1,
                flush_deadline_s=60,
                history_path=self.histories[number],
            )
            acknowledged = spawned.Value("Q", 0, lock=False)
            process = spawned.Process(target=producer.run, args=(task, stop, acknowledged), daemon=True)
            process.start()
            workers.append((process, acknowledged))

        begun = time.monotonic()
        for _ in range(rounds):
            if all(process.exitcode is None for process, _ in workers):
                self._round(workers)
        stop.set()
        for process, _ in workers:
            process.join(120)
            if process.exitcode != 0:
                self.problems.append(f"a producer of {codec} failed: {process.exitcode}")
        acknowledged = sum(counter.value for _, counter in workers)
        say(f"  {codec}: {rounds} kills in {time.monotonic() - begun:.1f} s, {acknowledged / 1e6:.1f} MB acknowledged")

    def _round(self, workers: Sequence[tuple[SpawnProcess, Synchronized]]) -> None:
        """Waits until the producers progress, then a random while, then kills and restarts."""
        before = [counter.value for _, counter in workers]
        grown_by = max(self.plan.load_bytes // len(workers), 1)

        def progressed() -> bool:
            if not self.broker.running():
                raise TortureError(f"the broker died by itself\n{self.broker.log_tail()}")
            if any(process.exitcode is not None for process, _ in workers):
                return True
            now = [counter.value for _, counter in workers]
            return all(value >= old + grown_by for value, old in zip(now, before, strict=True))

        wait_until(progressed, LOAD_DEADLINE_S, "every producer gets acknowledgements", interval_s=0.002)
        time.sleep(self.random.uniform(0, 2 * self.plan.seconds / self.plan.rounds))
        downtime_s = self.random.choice((0, 0, 0, self.random.uniform(0, LONGEST_DOWNTIME_S)))
        self._kill_and_restart(downtime_s, again=self.random.random() < KILL_DURING_START)

    def _kill_and_restart(self, downtime_s: float, again: bool = False) -> None:
        """SIGKILL, a pause, sometimes a start that is killed before it is ready, and a start."""
        if not self.broker.running():
            raise TortureError(f"the broker died by itself\n{self.broker.log_tail()}")
        self.broker.kill()
        self.kills += 1
        time.sleep(downtime_s)
        if again:
            self.broker.spawn()
            time.sleep(self.random.uniform(0, LONGEST_START_BEFORE_KILL_S))
            self.broker.kill()
        self.broker.start()
        self.ready_s.append(self.broker.ready_after_s)

    @contextmanager
    def _follower(self) -> Iterator[Path]:
        """A consumer that reads along, where the plan wants it."""
        path = self.directory / "followed"
        stop = spawned.Event()
        arguments = (self.broker.address, TOPIC, self.plan.partitions, path, stop)
        process = spawned.Process(target=follower.run, args=arguments, daemon=True)
        if self.plan.follow:
            process.start()
        yield path
        if self.plan.follow:
            stop.set()
            process.join(60)
            if process.exitcode is None:
                # Its fault handler prints where it hangs.
                os.kill(process.pid, signal.SIGABRT)
                process.join()
            if process.exitcode != 0:
                self.problems.append(f"the follower failed: {process.exitcode}")

    def _verify(self, seen_path: Path) -> None:
        """Reads everything back and checks it."""
        begun = time.monotonic()
        histories = {number: ProducerHistory.load(path) for number, path in self.histories.items()}
        values = Values(self.seed, self.plan.smallest_bytes, self.plan.largest_bytes)
        checker = Checker(histories)
        for record in read_all(self.broker.address, self.plan.partitions, values):
            checker.record(record)
        followed = 0
        if seen_path.exists():
            for partition, identities in enumerate(follower.load(seen_path, self.plan.partitions)):
                checker.followed(partition, identities)
                followed += len(identities)
        checker.finish()

        sent = sum(len(history.offsets) for history in histories.values())
        acknowledged = sum(history.acknowledged() for history in histories.values())
        ready_ms = sorted(seconds * 1000 for seconds in self.ready_s)
        say(f"  {self.kills} kills; ready after {statistics.median(ready_ms):.0f} ms (worst {ready_ms[-1]:.0f} ms)")
        gigabytes = directory_bytes(self.broker.data_dir) / 1e9
        say(f"  the last start, with {gigabytes:.2f} GB on disk: {self.ready_s[-1] * 1000:.0f} ms")
        say(f"  {sent} records sent, {acknowledged} acknowledged, {checker.records} in the log, {followed} followed")
        counts = ", ".join(f"{count} x {kind}" for kind, count in checker.counts.items()) or "no violation"
        say(f"  verified in {time.monotonic() - begun:.1f} s: {counts}")
        if not acknowledged:
            self.problems.append("nothing was acknowledged: nothing was tested")
        self.problems += checker.violations


def create_topic(address: str, partitions: int) -> None:
    """Creates the topic."""
    admin = AdminClient({"bootstrap.servers": address})
    (created,) = admin.create_topics([NewTopic(TOPIC, partitions, 1)], operation_timeout=30).values()
    created.result(60)


def read_all(address: str, partitions: int, values: Values) -> Iterator[LogRecord]:
    """Every record of every partition, each compared with the value that its key calls for."""
    client = follower.consumer(address)
    client.assign([TopicPartition(TOPIC, partition, OFFSET_BEGINNING) for partition in range(partitions)])
    ended: set[int] = set()
    end = time.monotonic() + READ_DEADLINE_S
    while len(ended) < partitions:
        if time.monotonic() > end:
            raise TortureError(f"only {len(ended)} of {partitions} partitions were read within {READ_DEADLINE_S:g} s")
        for message in client.consume(2_000, 0.2):
            error = message.error()
            if error is None:
                number = identity_of(message.key())
                intact = message.value() == values.value(*number)
                yield LogRecord(message.partition(), message.offset(), *number, intact)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            elif not error.retriable():
                raise KafkaException(error)
    client.close()


def directory_bytes(directory: Path) -> int:
    """What the files below a directory take."""
    return sum(file.stat().st_blocks * 512 for file in directory.rglob("*") if file.is_file())


def parse(arguments: Sequence[str]) -> tuple[str, Plan, int, Path | None]:
    """The plan's name and the plan with the flags applied, the seed, and where to work."""
    description, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser("torture", description=description)
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("--seed", type=int, help="repeats the moments of the kills and the records, not the threads")
    parser.add_argument("--directory", type=Path, help="where to work, in place of a temporary directory")
    for each in fields(Plan):
        flag, about = "--" + each.name.replace("_", "-"), each.metadata["help"]
        if each.type is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=about)
        else:
            parser.add_argument(flag, type=each.type, help=about)
    given = vars(parser.parse_args(arguments))
    name, seed, directory = given.pop("plan"), given.pop("seed"), given.pop("directory")
    plan = replace(PLANS[name], **{key: value for key, value in given.items() if value is not None})
    return name, plan, secrets.randbits(32) if seed is None else seed, directory


def main(arguments: Sequence[str]) -> int:
    """Runs one plan; returns the exit code."""
    name, plan, seed, directory = parse(arguments)
    say(f"torture {name} --seed {seed}: {plan.rounds} kills, {plan.partitions} partitions, codecs {plan.codecs}")
    if directory:
        directory.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="wiber-torture-", dir=directory))
    run = Run(plan, seed, directory)
    try:
        run.run()
    except (TortureError, AssertionError, KafkaException) as failure:
        say(f"FAILED: {failure}\n  seed {seed}; the data, the histories and the broker's log are kept in {directory}")
        return 1
    finally:
        run.broker.kill()
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
