"""What happens to groups of real consumers: they grow, shrink, crash and lose their broker, all at the same time."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from broker_process import BrokerProcess
from clients.groups.checker import Event, owned
from clients.librdkafka import create_topic, end_offsets, wait_for_partitions

TOPIC = "shared-work"
PARTITIONS = 12
STEP_DEADLINE_S = 120.0
"""How long groups may take to settle; a consumer that was killed is missed after its session, three seconds."""
RECORDS_PER_S = 120
POLL_S = 0.02


class Program:
    """A program with consumers in it, and what they have said."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        """Starts it."""
        self.events: list[Event] = []
        self._log = log
        self._crashed = False
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # The last line of a program that was killed may be half a line.
            if line.endswith("\n"):
                self.events.append(Event.parse(line.rstrip("\n")))

    def tell(self, *words: str) -> None:
        """Sends a line."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(" ".join(words) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"a program of consumers has ended: {self.log()}") from None

    def has_died(self) -> bool:
        """Whether it ended without being killed."""
        return self._process.poll() is not None and not self._crashed

    def crash(self) -> None:
        """Kills it, whereupon its consumers have crashed."""
        self._crashed = True
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        now_us = time.time_ns() // 1000
        self.events += [Event(name, now_us, "crashed") for name in {each.member for each in self.events}]

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        """The end of what it printed as errors."""
        return self._log.read_text(errors="replace")[-3_000:]


@dataclass
class Group:
    """A group of one client in one mode."""

    client: str
    mode: str
    problems: list[str] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The group's id."""
        return f"{self.client}-{self.mode}"

    def member(self, number: int) -> str:
        """The name of a member."""
        return f"{self.id}-{number}"

    def events(self) -> list[Event]:
        """All that its members said, each one's in its order."""
        found = []
        for program in self.programs:
            found += [each for each in list(program.events) if each.member.startswith(f"{self.id}-")]
        return sorted(found, key=lambda each: each.time_us)

    def shares(self) -> list[int]:
        """How many partitions each member has, or nothing while two have the same."""
        having = [each for each in owned(self.events()).values() if each]
        together = set().union(*having) if having else set()
        if sum(map(len, having)) != len(together):
            return []
        return sorted(map(len, having))

    def reached(self) -> dict[int, int]:
        """The offset behind the last record that was processed of each partition."""
        found: dict[int, int] = {}
        for each in self.events():
            if each.kind == "processed":
                partition, _, last = each.numbers
                found[partition] = max(found.get(partition, 0), last + 1)
        return found


class Feeder:
    """Produces to all partitions in turn, slowly, whatever happens to the broker."""

    def __init__(self, address: str) -> None:
        """Produces nothing yet."""
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "message.timeout.ms": 120_000,
                "reconnect.backoff.max.ms": 500,
            }
        )
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._end.wait(PARTITIONS / RECORDS_PER_S):
            self.feed(b"%d" % number)
            number += 1

    def feed(self, value: bytes) -> None:
        """A record into each partition."""
        for partition in range(PARTITIONS):
            self._producer.produce(TOPIC, value, partition=partition)
        self._producer.poll(0)

    def stop(self) -> None:
        """Produces no more."""
        self._end.set()
        self._thread.join()

    def flush(self) -> None:
        """Waits until all is acknowledged."""
        assert self._producer.flush(60) == 0


StartProgram = Callable[[str, str], Program]
"""Starts a program of a client; the second is a name for its log."""


@dataclass
class Story:
    """All groups, from the first member to the last."""

    broker: BrokerProcess
    groups: list[Group]
    start: StartProgram
    programs: dict[tuple[str, str], Program] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    def play(self) -> None:
        """Plays it."""
        feeder = Feeder(self.broker.address)
        create_topic(self.broker.address, TOPIC, PARTITIONS)
        feeder.start()
        clients = sorted({each.client for each in self.groups})
        for client in clients:
            for name in ("safe", "doomed"):
                self.programs[client, name] = self.start(client, name)
        self._begin("safe", 1)
        self._await("the first member has all", lambda group: group.shares() == [12])
        self._begin("safe", 2)
        self._await("two members share", lambda group: group.shares() == [6, 6])
        self._begin("doomed", 3)
        self._await("three members share", lambda group: group.shares() == [4, 4, 4])
        self._await_progress("all goes on")
        for client in clients:
            self.programs[client, "doomed"].crash()
        self._await("the third was missed", lambda group: group.shares() == [6, 6])
        for client in clients:
            self.programs[client, "late"] = self.start(client, "late")
        self._begin("late", 4)
        self._await("three members share again", lambda group: group.shares() == [4, 4, 4])
        self.broker.kill()
        self.broker.start()
        self._await_progress("all goes on after the broker was killed")
        self._await("three members share still", lambda group: group.shares() == [4, 4, 4])
        for group in self._sound():
            self.programs[group.client, "safe"].tell("stop", group.member(2))
        self._await("the second has left", lambda group: group.shares() == [6, 6])
        feeder.stop()
        feeder.flush()
        self._finish((("safe", 1), ("late", 4)))
        before = {group.id: len(group.events()) for group in self.groups}
        feeder.feed(b"late")
        feeder.flush()
        self._begin("safe", 5)
        self._finish((("safe", 5),))
        for group in self._sound():
            again = [each for each in group.events()[before[group.id] :] if each.kind == "processed"]
            new = {each.numbers[0]: each.numbers[1:] for each in again}
            if new != {each: (end - 1, end - 1) for each, end in self.ends.items()}:
                group.problems.append(f"who comes later does not begin with what is new: {new}")

    def _sound(self) -> list[Group]:
        return [each for each in self.groups if not each.problems]

    def _begin(self, program: str, number: int) -> None:
        for group in self._sound():
            chosen = self.programs[group.client, program]
            if chosen not in group.programs:
                group.programs.append(chosen)
            chosen.tell("start", group.member(number), group.id, TOPIC, group.mode)

    def _await(self, what: str, holds: Callable[[Group], bool]) -> None:
        begun = time.monotonic()
        waiting = self._sound()
        while waiting and time.monotonic() < begun + STEP_DEADLINE_S:
            waiting = [each for each in waiting if not holds(each)]
            if any(program.has_died() for each in waiting for program in each.programs):
                break
            time.sleep(POLL_S)
        for each in waiting:
            having = {name: sorted(partitions) for name, partitions in owned(each.events()).items()}
            each.problems.append(f"not within {STEP_DEADLINE_S:g} s: {what}; they have {having}")
        seconds = time.monotonic() - begun
        print(f"{seconds:6.1f} s: {what}; of {len(self.groups)} groups {len(self._sound())}", flush=True)

    def _await_progress(self, what: str) -> None:
        """Waits until each group has gone on in every partition."""
        ends = self._ends()
        self._await(what, lambda group: self._are_reached(group, {each: end + 1 for each, end in ends.items()}))

    def _are_reached(self, group: Group, ends: Mapping[int, int]) -> bool:
        reached = group.reached()
        return all(reached.get(each, 0) >= end for each, end in ends.items())

    def _ends(self) -> dict[int, int]:
        # A broker that has just begun may not lead what it tells of yet.
        wait_for_partitions(self.broker.address, TOPIC, PARTITIONS)
        return end_offsets(self.broker.address, TOPIC, PARTITIONS)

    def _finish(self, members: Sequence[tuple[str, int]]) -> None:
        """Waits until everything is processed, and stops these members, whereupon everything is committed."""
        self.ends = self._ends()
        self._await("everything is processed", lambda group: self._are_reached(group, self.ends))
        for group in self._sound():
            for program, number in members:
                self.programs[group.client, program].tell("stop", group.member(number))
        names = {group.id: {group.member(number) for _, number in members} for group in self.groups}

        def stopped(group: Group) -> bool:
            return names[group.id] <= {each.member for each in group.events() if each.kind == "stopped"}

        self._await("the last have left", stopped)
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        for group in self._sound():
            wanted = ConsumerGroupTopicPartitions(group.id, [TopicPartition(TOPIC, each) for each in self.ends])
            (answer,) = admin.list_consumer_group_offsets([wanted]).values()
            found = {each.partition: each.offset for each in answer.result(20).topic_partitions}
            if found != self.ends:
                group.problems.append(f"of {self.ends} only {found} are committed")

    def close(self) -> None:
        """Ends all programs."""
        for each in self.programs.values():
            each.close()
