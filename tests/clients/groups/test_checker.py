"""The checker notices what it is there for."""

import pytest

from clients.groups.checker import Event, owned, problems

GOOD = """
a 10 assigned 0 1
a 20 processed 0 0 9
a 21 processed 1 0 4
a 30 committed 0 10
a 40 revoked 1
b 50 assigned 1
b 60 processed 1 0 7
b 70 committed 1 8
a 80 processed 0 10 11
a 90 crashed
b 95 assigned 0
b 99 processed 0 10 11
"""
ENDS = {0: 12, 1: 8}


def events(text: str) -> list[Event]:
    """The events of some lines."""
    return [Event.parse(line) for line in text.strip().splitlines()]


def test_a_good_history() -> None:
    """What was not committed at a crash or a revocation may come again."""
    assert problems(events(GOOD), ENDS) == []
    assert owned(events(GOOD)) == {"a": set(), "b": {0, 1}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a 80 processed 0 10 11\n", "", ""),
        ("b 99 processed 0 10 11\n", "", ""),
        ("b 60 processed 1 0 7", "b 60 processed 1 1 7", ""),
        ("b 60 processed 1 0 7", "b 60 processed 1 0 6", "1 records of 1 were never processed, from 7"),
        ("b 99 processed 0 10 11", "b 99 processed 0 9 11", "b processed 0@9, though 10 was committed"),
        ("a 80 processed 0 10 11", "a 80 processed 0 11 11", "a went from 0@10 to 11"),
        ("a 40 revoked 1\n", "", "b processed 1@0 while a had it"),
        ("b 50 assigned 1\n", "", "b processed 1@0, which it was not given"),
        ("a 80 processed 0 10 11", "a 80 processed 0 10 11\na 81 processed 0 10 11", "a went from 0@12 to 10"),
    ],
)
def test_histories_that_differ(old: str, new: str, expected: str) -> None:
    """Each kind of wrong is told, and what is merely another good history is not."""
    changed = GOOD.replace(old, new)
    assert changed != GOOD
    found = problems(events(changed), ENDS)
    assert (expected in found) if expected else (found == [])
