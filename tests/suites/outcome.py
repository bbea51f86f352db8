"""What came of a test of another project's suite, and the files that keep it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Verdict(StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the test `name` ended, and the suite's own words on why it did not pass: one line, or nothing."""

    name: str
    verdict: Verdict
    words: str = ""

    @property
    def passed(self) -> bool:
        """Whether the test passed."""
        return self.verdict is Verdict.PASSED


Outcomes = dict[str, Outcome]
"""The outcomes of a suite by the name of the test."""


def by_name(outcomes: Iterable[Outcome]) -> Outcomes:
    """The outcomes by name; of two with the same name the one that did not pass counts."""
    found: Outcomes = {}
    for outcome in outcomes:
        before = found.get(outcome.name)
        if before is None or before.passed:
            found[outcome.name] = outcome
    return found


def one_line(words: str, longest: int = 200) -> str:
    """The words in one line that is not too long for a table."""
    line = " ".join(words.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def write(path: Path, outcomes: Outcomes) -> None:
    """Writes outcomes, a line each, in an order that makes a difference easy to read: verdict, name, words."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in sorted(outcomes):
        outcome = outcomes[name]
        words = f"\t{outcome.words}" if outcome.words and not outcome.passed else ""
        lines.append(f"{outcome.verdict}\t{name}{words}\n")
    path.write_text("".join(lines))


def read(path: Path) -> Outcomes:
    """Reads what `write` wrote; nothing where there is no such file."""
    if not path.exists():
        return {}
    found: Outcomes = {}
    for line in path.read_text().splitlines():
        verdict, name, *words = line.split("\t", 2)
        found[name] = Outcome(name, Verdict(verdict), words[0] if words else "")
    return found
