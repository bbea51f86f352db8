"""The checker must be able to fail: histories and logs with one fault each."""

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from torture.history import FAILED, Checker, LogRecord, ProducerHistory, Values

Log = list[LogRecord]


def histories() -> dict[int, ProducerHistory]:
    """Two producers with four records in partition 0 and one in partition 1; producer 2's number 2 was given up."""
    first, second = ProducerHistory(), ProducerHistory()
    for history in (first, second):
        for partition in (0, 0, 0, 0, 1):
            history.sent(partition)
    first.offsets = array("q", [0, 2, 4, 5, 0])
    second.offsets = array("q", [1, 3, FAILED, 6, 1])
    return {1: first, 2: second}


def log() -> Log:
    """What a faithful broker holds of them."""
    order = [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (1, 3), (2, 3)]
    records = [LogRecord(0, offset, producer, number) for offset, (producer, number) in enumerate(order)]
    return [*records, LogRecord(1, 0, 1, 4), LogRecord(1, 1, 2, 4)]


def kinds(records: Log, followed: dict[int, list[int]] | None = None) -> set[str]:
    """The kinds of violation that the checker finds."""
    checker = Checker(histories())
    for record in records:
        checker.record(record)
    for partition, identities in (followed or {}).items():
        checker.followed(partition, identities)
    checker.finish()
    return {violation.partition(":")[0] for violation in checker.violations}


def renumbered(records: Log) -> Log:
    """The same records at dense offsets."""
    ends: dict[int, int] = {}
    dense = []
    for record in records:
        offset = ends.get(record.partition, 0)
        ends[record.partition] = offset + 1
        dense.append(LogRecord(record.partition, offset, record.producer, record.number, record.intact))
    return dense


def test_a_faithful_log_passes() -> None:
    """No violation; also when the record that was given up is there after all."""
    assert kinds(log()) == set()
    checker = Checker(histories())
    given_up = histories()
    given_up[2].offsets = array("q", [1, 3, FAILED, FAILED, 1])
    checker = Checker(given_up)
    for record in [*log()[:6], LogRecord(0, 6, 2, 2), *log()[7:]]:
        checker.record(record)
    checker.finish()
    assert checker.violations == []
    assert checker.records == 9


FAULTS: dict[str, tuple[Callable[[Log], Log], set[str]]] = {
    "the last record lost": (lambda it: it[:6] + it[7:], {"lost"}),
    "a record lost in the middle, the rest moved up": (lambda it: renumbered(it[:3] + it[4:]), {"lost", "moved"}),
    "a hole in the offsets": (lambda it: it[:3] + it[4:], {"lost", "gap"}),
    "a whole partition lost": (lambda it: it[:7], {"lost"}),
    "a retry written twice": (lambda it: [*it[:7], LogRecord(0, 7, 2, 3), *it[7:]], {"duplicate"}),
    "a record that was given up, twice": (
        lambda it: [*it[:7], LogRecord(0, 7, 2, 2), LogRecord(0, 8, 2, 2), *it[7:]],
        {"duplicate", "reordered"},
    ),
    "two records of a producer swapped": (
        lambda it: renumbered([it[0], it[1], it[4], it[3], it[2], *it[5:]]),
        {"reordered", "moved"},
    ),
    "a record at another offset than acknowledged": (
        lambda it: renumbered([it[0], it[2], it[1], *it[3:]]),
        {"moved"},
    ),
    "a changed byte": (lambda it: [LogRecord(0, 0, 1, 0, intact=False), *it[1:]], {"corrupt"}),
    "a record that nobody sent": (lambda it: [*it[:7], LogRecord(0, 7, 2, 9), *it[7:]], {"phantom"}),
    "a record of an unknown producer": (lambda it: [*it[:7], LogRecord(0, 7, 3, 0), *it[7:]], {"phantom"}),
    "a record in another partition": (lambda it: [*it, LogRecord(1, 2, 2, 3)], {"phantom"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str) -> None:
    """The checker names the fault, and nothing else."""
    spoil, expected = FAULTS[fault]
    assert kinds(spoil(log())) == expected


def test_what_a_consumer_saw_must_stay() -> None:
    """A consumer's reading agrees with the log, or had read what is gone or other now."""
    faithful = {0: [1 << 48, 2 << 48, 1 << 48 | 1]}
    assert kinds(log(), faithful) == set()
    assert kinds(log(), {0: [1 << 48, 1 << 48 | 1]}) == {"unstable read"}
    assert kinds(log(), {1: [1 << 48 | 4, 2 << 48 | 4, 1 << 48 | 5]}) == {"unstable read"}


def test_values_follow_from_their_numbers() -> None:
    """Equal for equal numbers, different for others, of the sizes asked for."""
    values, again, other = Values(1, 10, 200), Values(1, 10, 200), Values(2, 10, 200)
    sizes = set()
    for number in range(2_000):
        value = values.value(3, number)
        sizes.add(len(value))
        assert value == again.value(3, number)
        assert value != values.value(4, number)
    assert values.value(3, 7) != other.value(3, 7)
    assert min(sizes) == 10
    assert max(sizes) == 200


def test_histories_are_saved(tmp_path: Path) -> None:
    """A history that went through a file is the same."""
    (history, _) = histories().values()
    history.save(tmp_path / "history")
    loaded = ProducerHistory.load(tmp_path / "history")
    assert loaded == history
    assert loaded.acknowledged() == 5
