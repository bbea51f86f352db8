"""The tests of the Go module github.com/segmentio/kafka-go."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .outcome import Outcome, Outcomes, Verdict, by_name, one_line
from .suite import CACHE, Suite, build, run_logged

_MODULE = "github.com/segmentio/kafka-go"
_VERSION = "v0.4.51"
_HERE = CACHE / f"kafka-go-{_VERSION}"
_TREE = _HERE / "tree"

_PACKAGE_LIMIT_S = 900.0

_RUN = re.compile(r"^=== (?:RUN|CONT|NAME) +(\S+)$")
_END = re.compile(r"^ *--- (PASS|FAIL|SKIP): (\S+) \(")
_SAID = re.compile(r"^ +(\S+\.go:\d+: .*)$")


class KafkaGo(Suite):
    """All packages of the module."""

    name = "kafka-go"
    title = "kafka-go"
    version = _VERSION
    source = "the tests of all packages of the module `github.com/segmentio/kafka-go`; sub-tests count"
    settings: Mapping[str, str] = {"advertised.listeners": "PLAINTEXT://localhost:9092"}

    def install(self) -> None:
        """Fetches the module and compiles its tests."""
        if (_HERE / "complete").exists():
            return
        print(f"building the tests of kafka-go {_VERSION} (go)", flush=True)
        shutil.rmtree(_HERE, ignore_errors=True)
        _HERE.mkdir(parents=True)
        go, env = _go(), _environment()
        download = [go, "mod", "download", "-json", f"{_MODULE}@{_VERSION}"]
        (_HERE / "go.mod").write_text("module fetches\n")
        fetched = subprocess.check_output(download, cwd=_HERE, env={**os.environ, **env})
        shutil.copytree(json.loads(fetched)["Dir"], _TREE)
        subprocess.run(["chmod", "-R", "u+w", _TREE], check=True)
        (_HERE / "go.mod").unlink()
        for package in _packages():
            build([go, "test", "-c", "-o", _program(package), f"./{package}"], _HERE / "build.log", cwd=_TREE, env=env)
        (_HERE / "complete").touch()

    def run(self, only: Sequence[str], logs: Path, jobs: int) -> Outcomes:
        """Runs package after package, with `jobs` tests of each side by side; `only` names tests as PACKAGE::TEST."""
        outcomes: list[Outcome] = []
        for package in _packages():
            label = _label(package)
            mine = [name.partition("::")[2] for name in only if name.partition("::")[0] == label]
            tests = sorted({name.partition("/")[0] for name in mine})
            if tests or not only:
                outcomes += _package(package, tests, logs, jobs)
        return by_name(outcomes)


def _package(package: str, only: list[str], logs: Path, jobs: int) -> Iterator[Outcome]:
    """A test that panics ends the program; the tests that did not come to run then run in another one."""
    program, folder = _program(package), _TREE / package
    listing = subprocess.check_output([program, "-test.list", "^(Test|Example)"], cwd=folder, text=True)
    left = [name for name in listing.splitlines() if not only or name in only]
    attempt = 0
    while left:
        log = logs / f"{_label(package).replace('/', '-')}.{attempt}.log"
        command = [program, "-test.v", f"-test.parallel={jobs}", f"-test.timeout={_PACKAGE_LIMIT_S:.0f}s"]
        chosen = f"-test.run=^({'|'.join(left)})$"
        # nettest is left out by kafka-go's own CI: its deadlines are shorter than a broker's answers.
        code, output = run_logged(
            [*command, chosen],
            log,
            cwd=folder,
            env={"KAFKA_SKIP_NETTEST": "1", "KAFKA_VERSION": "4.3.1"},
            limit_s=_PACKAGE_LIMIT_S + 30,
        )
        found = parse(output)
        ended = {outcome.name for outcome in found}
        if not ended.intersection(left):
            # What ran when the program died is all that can be named.
            running = next((name for name in re.findall(r"^=== RUN +(\w+)$", output, re.M) if name in left), left[0])
            found.append(Outcome(running, Verdict.FAILED, f"the program ended with {code}"))
            ended.add(running)
        yield from (Outcome(f"{_label(package)}::{outcome.name}", outcome.verdict, outcome.words) for outcome in found)
        left = [name for name in left if name not in ended]
        attempt += 1


def parse(output: str) -> list[Outcome]:
    """The outcomes in what a test program printed."""
    said: dict[str, list[str]] = {}
    ends: dict[str, Verdict] = {}
    current = ""
    for line in output.splitlines():
        if match := _RUN.match(line):
            current = match.group(1)
        elif match := _END.match(line):
            current = match.group(2)
            ends[current] = {"PASS": Verdict.PASSED, "SKIP": Verdict.SKIPPED}.get(match.group(1), Verdict.FAILED)
        elif match := _SAID.match(line):
            said.setdefault(current, []).append(match.group(1))
    if panic := re.search(r"^panic: (.*)$", output, re.M):
        said.setdefault(current, []).append(panic.group(1))
    return [
        Outcome(name, verdict, "" if verdict is Verdict.PASSED else one_line(" ".join(said.get(name, []))))
        for name, verdict in ends.items()
    ]


def _packages() -> list[str]:
    """The folders of packages that have tests, seen from the module's."""
    folders = {path.parent.relative_to(_TREE).as_posix() for path in _TREE.rglob("*_test.go")}
    return sorted(folder for folder in folders if not folder.startswith("examples"))


def _label(package: str) -> str:
    return "kafka" if package == "." else package


def _program(package: str) -> Path:
    return _HERE / "programs" / _label(package).replace("/", "-")


def _go() -> Path:
    return CACHE.parent / "venv" / "bin" / "go"


def _environment() -> dict[str, str]:
    go = CACHE.parent / "go"
    flags = "-modcacherw -mod=mod"  # The module's own go.mod is not as tidy as a newer Go wants it.
    return {"GOTOOLCHAIN": "local", "GOMODCACHE": str(go / "mod"), "GOCACHE": str(go / "build"), "GOFLAGS": flags}
