"""librdkafka's own test runner, of the sources that come in the crate `rdkafka-sys`.

Each number runs in a process of its own, as a test that is out of time takes the whole process with it. A test that
failed has not come to its later sub-tests; those run by themselves then. Sub-tests are counted as tests. The quick mode
is never used: it leaves out sub-tests and reports them passed.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import kafka_jars

from . import crates
from .outcome import Outcome, Outcomes, Verdict, by_name, one_line
from .suite import ADDRESS, CACHE, Suite, build, run_logged

_HERE = CACHE / f"librdkafka-{crates.RDKAFKA_SYS}"
_TESTS = _HERE / "tree" / "tests"

_LIMIT_S = 900.0
"""How long one number may take; the runner's own limits are shorter."""

_COLOR = re.compile(r"\x1b(\[[0-9;]*m|\(B)")
_TABLE = re.compile(
    r"^    _TEST\(\s*(\d{4})_(\w+),\s*([\w| \n]+?)(?:,|\))"  # Number, name, flags,
    r"(.*?)(?=^    _TEST|^#|^    /\*|\{NULL\})",  # and whatever else there is.
    re.M | re.S,
)
_SCENARIO = re.compile(r'\.scenario = "([\w,]+)"')
_SUBTEST_FUNCTION = re.compile(
    r"^(?:static )?[\w* ]+?\b(\w+)\([^;{]*\) \{(?:(?!^\}).)*?\bSUB_TEST(?:_QUICK)?\(", re.M | re.S
)
_ENDED = re.compile(r"\[ (\w+):\d+(?:: (.*?))?: (PASS \([\d.]+s\)|SKIP: .*) \]$")
_SUMMARY = re.compile(r"^\| +(\d{4}_\w+) +\| +(PASSED|FAILED|SKIPPED|RUNNING) \| +[\d.]+s +\|(.*)$")
_PASSED = re.compile(r"=+ Test (\w+) PASSED =+$")
_FAILURE = re.compile(r'^### Test "(\d{4}_\w+)(?: \((\w+):\d+(?:: (.*))?\))?" failed at .*###\n(.*)$', re.M)
_NUMBERS = re.compile(r"0x[0-9a-f]+|rnd[0-9a-f]+|(?<=timeout )-?\d+|(?<=#producer-)\d+|(?<=#consumer-)\d+|\d{5,}")


@dataclass(frozen=True, slots=True)
class _Listed:
    """A row of the runner's own table of tests."""

    number: str
    name: str
    local: bool
    manual: bool
    scenario: str


def listed(source: str) -> list[_Listed]:
    """The tests that the runner's source names."""
    rows = []
    for number, rest, flags, more in _TABLE.findall(source):
        scenario = _SCENARIO.search(more)
        rows.append(
            _Listed(
                number,
                f"{number}_{rest}",
                "TEST_F_LOCAL" in flags,
                "TEST_F_MANUAL" in flags,
                scenario.group(1) if scenario else "default",
            )
        )
    return rows


def parse(output: str) -> list[Outcome]:
    """The outcomes of tests and sub-tests in what the runner printed."""
    plain = _COLOR.sub("", output)
    outcomes = [*_subtests(plain)]
    for line in plain.splitlines():
        # Where another test of the number failed the process ends in an abort, and the summary is lost.
        if match := _PASSED.search(line):
            outcomes.append(Outcome(match.group(1), Verdict.PASSED))
        if not (match := _SUMMARY.match(line)):
            continue
        name, state, words = match.groups()
        verdict = {"PASSED": Verdict.PASSED, "SKIPPED": Verdict.SKIPPED}.get(state, Verdict.FAILED)
        outcomes.append(Outcome(name, verdict, "" if verdict is Verdict.PASSED else _words(words)))
    return outcomes


def _subtests(plain: str) -> Iterator[Outcome]:
    test = ""
    for line in plain.splitlines():
        if match := re.match(r"^\[(\d{4}_\w+)", line):
            test = match.group(1)
        if match := _ENDED.search(line):
            function, words, end = match.groups()
            verdict = Verdict.PASSED if end.startswith("PASS") else Verdict.SKIPPED
            yield Outcome(_subtest(test, function, words), verdict, end.removeprefix("SKIP: ").strip())
    for test, function, words, why in _FAILURE.findall(plain):
        if function:
            yield Outcome(_subtest(test, function, words), Verdict.FAILED, _words(why))
        yield Outcome(test, Verdict.FAILED, _words(why))


def _subtest(test: str, function: str, words: str | None) -> str:
    """A name that is the same in each run: without addresses and random numbers."""
    name = f"{test}/{function}"
    return one_line(_NUMBERS.sub("#", f"{name}: {words}"), 160) if words else name


def _words(words: str) -> str:
    return one_line(_NUMBERS.sub("#", words))


class Librdkafka(Suite):
    """The tests that speak to a broker, in one of the runner's scenarios and with one of the group protocols."""

    version = crates.RDKAFKA_SYS

    def __init__(self, protocol: str, scenario: str) -> None:
        """`protocol` is that of groups, classic or consumer; `scenario` is librdkafka's: default or noautocreate."""
        autocreate = scenario == "default"
        self.name = f"librdkafka-{protocol}" + ("" if autocreate else f"-{scenario}")
        self.title = f"librdkafka, {protocol} groups" + ("" if autocreate else ", topics not created unasked")
        self.source = (
            f"the test runner within `rdkafka-sys`, with `TEST_CONSUMER_GROUP_PROTOCOL={protocol}`, "
            f"scenario {scenario}; sub-tests count"
        )
        self.settings = {
            "auto.create.topics.enable": "true" if autocreate else "false",
            "num.partitions": "4",
            # Kafka's default: some tests count on two members being in a group's first generation.
            "group.initial.rebalance.delay.ms": "3000",
            # The runner's members of the consumer protocol take the broker's timeouts, and its tests wait for some.
            "group.consumer.min.session.timeout.ms": "6000",
            "group.consumer.session.timeout.ms": "6000",
            "group.consumer.min.heartbeat.interval.ms": "1000",
            "group.consumer.heartbeat.interval.ms": "1000",
        }
        self._protocol = protocol
        self._scenario = scenario

    def install(self) -> None:
        """Builds the runner by librdkafka's own build, without what only security needs."""
        if (_HERE / "complete").exists():
            return
        print(f"building librdkafka {self.version}'s test runner (make)", flush=True)
        shutil.rmtree(_HERE, ignore_errors=True)
        tree = _HERE / "tree"
        shutil.copytree(crates.folder("rdkafka-sys") / "librdkafka", tree)
        subprocess.run(["chmod", "-R", "u+w", tree], check=True)
        # A crate's archive does not keep which files may be executed.
        for program in [tree / "configure", *tree.glob("*.py"), *tree.glob("tests/*.sh")]:
            program.chmod(0o755)
        without = [f"--disable-{part}" for part in ("ssl", "gssapi", "zstd", "curl", "lz4-ext", "syslog")]
        log = _HERE / "build.log"
        build(["./configure", *without, "--enable-static"], log, cwd=tree)
        for folder, target in (("src", "all"), ("src-cpp", "all"), ("tests", "test-runner")):
            build(["make", "-j2", "-C", folder, target], log, cwd=tree)
        _kafkas_scripts()
        (_HERE / "complete").touch()

    def run(self, only: Sequence[str], logs: Path, jobs: int) -> Outcomes:
        """Runs numbers side by side; `only` are names of tests or sub-tests, whose numbers are run."""
        tests = [test for test in listed((_TESTS / "test.c").read_text()) if self._mine(test)]
        numbers = sorted({test.number for test in tests if not only or any(name[:4] == test.number for name in only)})
        config = logs / "test.conf"
        config.write_text(f"bootstrap.servers={ADDRESS}\ntest.topic.random=true\n")
        with ThreadPoolExecutor(jobs) as pool:
            parts = pool.map(lambda number: self._number(number, tests, config, logs), numbers)
            return by_name(outcome for part in parts for outcome in part)

    def _mine(self, test: _Listed) -> bool:
        return not test.local and not test.manual and self._scenario in test.scenario.split(",")

    def _number(self, number: str, tests: list[_Listed], config: Path, logs: Path) -> list[Outcome]:
        mine = [test.name for test in tests if test.number == number]
        found = self._process(number, None, mine, config, logs)
        if any(outcome.name in mine and outcome.verdict is Verdict.FAILED for outcome in found):
            reached = {outcome.name.partition("/")[2].partition(":")[0] for outcome in found}
            for function in _functions(number):
                if function not in reached:
                    alone = self._process(number, function, mine, config, logs)
                    found += [outcome for outcome in alone if "/" in outcome.name]
        return found

    def _process(self, number: str, subtest: str | None, mine: list[str], config: Path, logs: Path) -> list[Outcome]:
        env = {
            "TESTS": number,
            "TEST_KAFKA_VERSION": "4.3.1",
            "TEST_CONSUMER_GROUP_PROTOCOL": self._protocol,
            "RDKAFKA_TEST_CONF": str(config),
            "KAFKA_PATH": str(_HERE / "kafka"),
            "BROKERS": ADDRESS,
            "CI": "true",  # The runner is patient then.
            "LD_LIBRARY_PATH": f"{_TESTS.parent}/src:{_TESTS.parent}/src-cpp",
        }
        if subtest:
            env["SUBTESTS"] = f"{subtest}:"
        log = logs / (f"{number}.log" if subtest is None else f"{number}-{subtest}.log")
        command = [_TESTS / "test-runner", "-p1", *self._flags(), "-s", self._scenario]
        code, output = run_logged(command, log, cwd=_TESTS, env=env, limit_s=_LIMIT_S)
        # A number may have tests that are run elsewhere, which the summary calls skipped.
        found = [outcome for outcome in parse(output) if outcome.name.partition("/")[0] in mine]
        named = {outcome.name for outcome in found}
        end = "did not end" if code is None else f"ended with {code} and no summary"
        return found + [Outcome(name, Verdict.FAILED, end) for name in mine if name not in named]

    def _flags(self) -> list[str]:
        return ["-L"]


class LibrdkafkaLocal(Librdkafka):
    """The tests that need no broker, or bring mocks of their own; they tell whether the runner is sound here."""

    needs_broker = False

    def __init__(self) -> None:
        """The tests that the runner calls local."""
        super().__init__("classic", "default")
        self.name = "librdkafka-local"
        self.title = "librdkafka, tests that need no broker"
        self.source = "the test runner within `rdkafka-sys`, `-l`: unit tests and mock clusters; sub-tests count"

    def _mine(self, test: _Listed) -> bool:
        return test.local and not test.manual and self._scenario in test.scenario.split(",")

    def _flags(self) -> list[str]:
        return ["-l"]


def _kafkas_scripts() -> None:
    """Some tests call the scripts of a Kafka distribution: the same classes, from the jars of `reference/kafka`."""
    scripts = {
        "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
        "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
        "kafka-configs.sh": "org.apache.kafka.tools.ConfigCommand",
    }
    jars = kafka_jars.TOOLS
    folder = _HERE / "kafka" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    (_HERE / "kafka" / "libs").symlink_to(jars)
    for name, main in scripts.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec java -Xmx256m -XX:TieredStopAtLevel=1 -cp "{jars}/*" {main} "$@"\n')
        script.chmod(0o755)


def _functions(number: str) -> list[str]:
    """The functions of a test's source that are sub-tests, in their order."""
    sources = sorted(_TESTS.glob(f"{number}*.c*"))
    return [name for path in sources for name in _SUBTEST_FUNCTION.findall(path.read_text())]
