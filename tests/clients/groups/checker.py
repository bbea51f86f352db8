"""Judges what consumers of a group say: each record at least once, and again only where that cannot be helped."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """A line of a consumer. A crash is put there by whoever killed it."""

    member: str
    time_us: int
    kind: str
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, line: str) -> "Event":
        """From the form that the programs write."""
        member, time_us, kind, *words = line.split(" ")
        return cls(member, int(time_us), kind, tuple(words))

    @property
    def numbers(self) -> tuple[int, ...]:
        """The words, where they are numbers."""
        return tuple(int(word) for word in self.words if word)


@dataclass
class Processing:
    """One run of offsets of a partition, as one consumer processed it."""

    member: str
    time_us: int
    first: int
    last: int


@dataclass
class Ends:
    """When consumers ceased to have a partition."""

    times: dict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))

    def between(self, member: str, partition: int, after_us: int, until_us: int) -> bool:
        """Whether the consumer lost the partition in that time."""
        return any(after_us <= each <= until_us for each in self.times[member, partition])


def owned(events: Iterable[Event]) -> dict[str, set[int]]:
    """The partitions that each consumer has after these events."""
    found: dict[str, set[int]] = {}
    for event in events:
        mine = found.setdefault(event.member, set())
        if event.kind == "assigned":
            mine |= set(event.numbers)
        elif event.kind == "revoked":
            mine -= set(event.numbers)
        elif event.kind in ("stopped", "crashed"):
            mine.clear()
    return found


def problems(events: Iterable[Event], ends: Mapping[int, int]) -> list[str]:
    """What is wrong, given the end of each partition; events of one consumer are in its order."""
    processings: dict[int, list[Processing]] = defaultdict(list)
    commits: dict[int, list[tuple[int, int]]] = defaultdict(list)
    lost = Ends()
    found: list[str] = []
    having: dict[str, set[int]] = defaultdict(set)
    position: dict[tuple[str, int], int] = {}
    for event in events:
        match event.kind:
            case "assigned":
                for partition in event.numbers:
                    having[event.member].add(partition)
                    position.pop((event.member, partition), None)
            case "revoked" | "stopped" | "crashed":
                gone = set(event.numbers) if event.kind == "revoked" else set(having[event.member])
                having[event.member] -= gone
                for partition in gone:
                    lost.times[event.member, partition].append(event.time_us)
            case "processed":
                partition, first, last = event.numbers
                if partition not in having[event.member]:
                    found.append(f"{event.member} processed {partition}@{first}, which it was not given")
                expected = position.get((event.member, partition), first)
                if first != expected:
                    found.append(f"{event.member} went from {partition}@{expected} to {first}")
                position[event.member, partition] = last + 1
                processings[partition].append(Processing(event.member, event.time_us, first, last))
            case "committed":
                partition, offset = event.numbers
                commits[partition].append((event.time_us, offset))
    for partition, end in ends.items():
        runs = sorted(processings[partition], key=lambda each: each.time_us)
        found += _missing(partition, end, runs)
        found += _unneeded(partition, runs, lost)
        found += _after_commits(partition, runs, commits[partition])
    return found


def _missing(partition: int, end: int, runs: Iterable[Processing]) -> list[str]:
    seen = set()
    for each in runs:
        seen.update(range(each.first, each.last + 1))
    missing = [offset for offset in range(end) if offset not in seen]
    return [f"{len(missing)} records of {partition} were never processed, from {missing[0]}"] if missing else []


def _unneeded(partition: int, runs: Iterable[Processing], lost: Ends) -> list[str]:
    """A record comes again only if who had processed it has lost the partition since."""
    last_by: dict[int, Processing] = {}
    found = []
    for run in runs:
        for offset in range(run.first, run.last + 1):
            before = last_by.get(offset)
            if before and not lost.between(before.member, partition, before.time_us, run.time_us):
                found.append(f"{run.member} processed {partition}@{offset} while {before.member} had it")
                break
        last_by |= dict.fromkeys(range(run.first, run.last + 1), run)
    return found


def _after_commits(partition: int, runs: Iterable[Processing], commits: Iterable[tuple[int, int]]) -> list[str]:
    """What is committed is never processed again."""
    waiting = sorted(commits)
    done = at = 0
    found = []
    for run in runs:
        while at < len(waiting) and waiting[at][0] < run.time_us:
            done = max(done, waiting[at][1])
            at += 1
        if run.first < done:
            found.append(f"{run.member} processed {partition}@{run.first}, though {done} was committed")
    return found
