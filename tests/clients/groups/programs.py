"""What the programs of Python's clients have in common: a line in, a line out, a thread for each consumer."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

COMMIT_EVERY_S = 0.3
SESSION_MS = 3_000
HEARTBEAT_MS = 300
RESTING_S = 0.1

_output = threading.Lock()


class Voice:
    """Says what one consumer does."""

    def __init__(self, name: str) -> None:
        """The consumer of that name."""
        self.name = name

    def say(self, event: str, *words: object) -> None:
        """One line, at once."""
        line = " ".join(str(word).replace("\n", " ") for word in (self.name, time.time_ns() // 1000, event, *words))
        with _output:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def processed(self, records: Iterable[tuple[int, int]]) -> None:
        """Partitions and offsets, in the order of processing; one line for each run of offsets."""
        numbered = enumerate(records)
        for (partition, _), run in groupby(numbered, lambda each: (each[1][0], each[1][1] - each[0])):
            offsets = [offset for _, (_, offset) in run]
            self.say("processed", partition, offsets[0], offsets[-1])

    def committed(self, offsets: Mapping[int, int]) -> None:
        """What the broker has acknowledged."""
        for partition, offset in sorted(offsets.items()):
            self.say("committed", partition, offset)


Consume = Callable[[Voice, str, str, str, threading.Event], None]
"""Runs a consumer, given its group, topic and mode, until the event is set."""


def serve(consume: Consume) -> None:
    """Obeys until the input ends."""
    ends: dict[str, threading.Event] = {}
    for line in sys.stdin:
        match line.split():
            case ["start", name, group, topic, mode]:
                ends[name] = threading.Event()
                threading.Thread(
                    target=consume, args=(Voice(name), group, topic, mode, ends[name]), daemon=True
                ).start()
            case ["stop", name]:
                ends[name].set()
