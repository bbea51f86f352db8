"""The report card: what each broker made of each suite, and why what failed has failed."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from broker_process import ROOT

from .outcome import Outcome, Outcomes, Verdict, read
from .suite import Suite

HERE = Path(__file__).resolve().parent
CARD = ROOT / "docs" / "compatibility.md"

_HEAD = """# Compatibility

Test suites of other projects, as their authors publish them, run against Wiber and, with the same settings, against
Apache Kafka 4.3.1: one broker, no security. `tests/report-card` runs them and writes this page;
[tests/README.md](../tests/README.md#the-report-card) says how.

"""

_COLUMNS = "| suite | version | Wiber: passed | failed | skipped | Kafka: passed | failed | skipped |"


class MissingReasonError(Exception):
    """Tests failed on Wiber, and reasons.toml does not say why."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some tests fail: what they are about, and a sentence on it."""

    suite: str
    tests: tuple[str, ...]
    needs: str
    why: str

    def names(self, suite: str, test: str) -> bool:
        """Whether this is the reason for a test."""
        return fnmatchcase(suite, self.suite) and any(fnmatchcase(test, pattern) for pattern in self.tests)


def read_reasons(path: Path = HERE / "reasons.toml") -> list[Reason]:
    """The reasons that are kept."""
    entries = tomllib.loads(path.read_text())["reason"]
    return [Reason(entry["suite"], tuple(entry["tests"]), entry["needs"], entry["why"]) for entry in entries]


def kept(broker: str, suite: Suite) -> Path:
    """The file with what came of a suite on a broker: `wiber` or `kafka`."""
    return HERE / "outcomes" / broker / f"{suite.name}.txt"


def lost(before: Outcomes, now: Outcomes) -> list[Outcome]:
    """What passed before and does not now."""
    missing = Verdict.FAILED, "it did not run"
    ends = (now.get(name, Outcome(name, *missing)) for name, was in before.items() if was.passed)
    return [end for end in ends if not end.passed]


def grown(before: Outcomes, now: Outcomes) -> Outcomes:
    """What is kept after a run: the run's outcomes, but what has ever passed stays listed as such."""
    return {**now, **{name: was for name, was in before.items() if was.passed}}


def render(suites: Sequence[Suite], reasons: Sequence[Reason]) -> str:
    """The page. Raises MissingReasonError where a failure on Wiber has no reason."""
    outcomes = {suite.name: (read(kept("wiber", suite)), read(kept("kafka", suite))) for suite in suites}
    lines = [_HEAD, f"{_COLUMNS}\n|---|---|---|---|---|---|---|---|\n"]
    for suite in suites:
        wiber, kafka = outcomes[suite.name]
        counts = f"{_counts(wiber)} | {_counts(kafka)}" if suite.needs_broker else f"{_counts(wiber)} | | | "
        lines.append(f"| {suite.title} | {suite.version} | {counts} |\n")
    lines.append("\n")
    lines += [f"- **{suite.title}**: {suite.source}.\n" for suite in suites]
    unexplained: list[str] = []
    for title, only_wiber in (("Passes on Kafka and fails on Wiber", True), ("Fails on both", False)):
        lines.append(f"\n## {title}\n")
        for suite in suites:
            wiber, kafka = outcomes[suite.name]
            failed = [
                outcome
                for name, outcome in sorted((_missing(wiber, kafka) | wiber).items())
                if outcome.verdict is Verdict.FAILED and (name in kafka and kafka[name].passed) == only_wiber
            ]
            lines += _explained(suite, failed, reasons, unexplained)
        if lines[-1].startswith("\n## "):
            lines.append("\nNothing.\n")
    lines.append("\n## Skipped\n\nBy the suites themselves, in their own words.\n\n")
    lines.append("| suite | tests | why |\n|---|---|---|\n")
    for suite in suites:
        words = Counter(o.words or "not said" for o in outcomes[suite.name][0].values() if o.verdict is Verdict.SKIPPED)
        lines += [f"| {suite.title} | {number} | {_cell(why)} |\n" for why, number in words.most_common()]
    if unexplained:
        raise MissingReasonError("no reason in tests/suites/reasons.toml for:\n" + "\n".join(unexplained))
    return "".join(lines)


def _missing(wiber: Outcomes, kafka: Outcomes) -> Outcomes:
    """What passed on Kafka and did not come to run on Wiber: sub-tests behind one that failed."""
    gone = [name for name, outcome in kafka.items() if outcome.passed and name not in wiber]
    return {name: Outcome(name, Verdict.FAILED, "it did not run") for name in gone}


def _counts(outcomes: Outcomes) -> str:
    verdicts = Counter(outcome.verdict for outcome in outcomes.values())
    return " | ".join(str(verdicts[verdict]) for verdict in Verdict)


def _explained(
    suite: Suite, failed: Iterable[Outcome], reasons: Sequence[Reason], unexplained: list[str]
) -> Iterable[str]:
    groups: dict[Reason, list[str]] = {}
    for outcome in failed:
        reason = next((reason for reason in reasons if reason.names(suite.name, outcome.name)), None)
        if reason is None:
            unexplained.append(f"{suite.name}: {outcome.name}: {outcome.words}")
        else:
            groups.setdefault(reason, []).append(outcome.name)
    if not groups:
        return
    yield f"\n### {suite.title}\n\n| needs | why | tests |\n|---|---|---|\n"
    for reason, names in groups.items():
        tests = "<br>".join(f"`{_cell(name)}`" for name in names)
        yield f"| {reason.needs} | {_cell(reason.why)} | {tests} |\n"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")
