"""What each of the suites has in common: what it is, what it asks of a broker, how it is run."""

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from broker_process import ROOT

from .outcome import Outcomes

CACHE = Path(os.environ.get("WIBER_CACHE", ROOT / ".cache")) / "suites"
"""Where the suites lie, fetched and built."""

ADDRESS = "127.0.0.1:9092"
"""Where the broker listens, in a network of its own: suites that know one address only know this one."""

COMMON_SETTINGS: Mapping[str, str] = {
    "advertised.listeners": f"PLAINTEXT://{ADDRESS}",
    "group.initial.rebalance.delay.ms": "0",  # Which the suites of others than librdkafka count on.
    "offsets.topic.replication.factor": "1",
}
"""What every broker under a suite is set to, be it Wiber or Kafka."""


class Suite(ABC):
    """A suite of another project, or a part of it that wants a broker with settings of its own."""

    name: str
    """The name of the files that keep its outcomes."""
    title: str
    """What the report card calls it."""
    version: str
    """The version of what it comes in."""
    source: str
    """Where it comes from, and what of it is run, as a phrase of the report card."""
    settings: Mapping[str, str] = {}
    """What the broker is set to beside the common settings."""
    needs_broker = True
    """Whether its tests speak to a broker, rather than to mocks of their own."""

    @abstractmethod
    def install(self) -> None:
        """Fetches and builds what is missing; the only part that uses another network than the tests' own."""

    @abstractmethod
    def run(self, only: Sequence[str], logs: Path, jobs: int) -> Outcomes:
        """Runs the suite against the broker on ADDRESS: all of it, or the tests that are named and maybe a few more.

        What the suite prints goes to files in `logs`. At most `jobs` programs run at the same time.
        """


def run_logged(
    command: Sequence[str | Path],
    log: Path,
    *,
    cwd: Path,
    env: Mapping[str, str],
    limit_s: float,
) -> tuple[int | None, str]:
    """Runs a program with its output in a file; returns its exit code, or None where it was ended, and the output."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            code: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
    return code, readable(log)


def readable(path: Path) -> str:
    """What a program wrote, without the name of the folder that this machine keeps the suites in."""
    return path.read_text(errors="replace").replace(str(CACHE), ".cache/suites")


def build(command: Sequence[str | Path], log: Path, *, cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Runs a step of an installation; what it printed is shown where it failed."""
    code, output = run_logged(command, log, cwd=cwd, env=env or {}, limit_s=1800)
    if code != 0:
        tail = "\n".join(output.splitlines()[-40:])
        raise SystemExit(f"{tail}\n{' '.join(map(str, command))}: failed with {code}, see {log}")
