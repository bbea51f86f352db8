"""The Java client, kafka-clients 4.3.1: `java/Scenarios.java` runs once, and each of its scenarios is a test here."""

import re
import subprocess
from pathlib import Path

import pytest

from broker_process import BrokerProcess
from kafka_jars import fetch_jars
from wire import Connection

HERE = Path(__file__).parent / "java"
DEADLINE_S = 240

SCENARIOS = re.findall(r'ALL\.put\("([a-z-]+)"(?! \+)', (HERE / "Scenarios.java").read_text())
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
LOGGER = "org.slf4j.simpleLogger"
SESSIONS = "org.apache.kafka.clients.FetchSessionHandler"


def java_classes(directory: Path) -> str:
    """Compiles the scenarios and returns the class path."""
    class_path = f"{fetch_jars()}/*:{directory}"
    compile_ = ["javac", "-Xlint:all", "-cp", class_path, "-d", str(directory), str(HERE / "Scenarios.java")]
    subprocess.run(compile_, check=True, timeout=120)
    return class_path


@pytest.fixture(scope="module")
def run(broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Runs every scenario in one JVM; the client's warnings, and all that it finds odd of sessions, are logged."""
    class_path = java_classes(tmp_path_factory.mktemp("java"))
    levels = [f"-D{LOGGER}.defaultLogLevel=warn", f"-D{LOGGER}.log.{SESSIONS}=info"]
    java = ["java", "-Xmx512m", *levels, "-cp", class_path, "Scenarios"]
    run = subprocess.run([*java, broker.address], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    print(run.stdout, run.stderr, sep="\n")
    return run


@pytest.fixture(scope="module")
def outcomes(run: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The line that each scenario printed, by name."""
    lines = re.findall(r"^(?:PASS|FAIL) (\S+) .*$", run.stdout, re.MULTILINE)
    return dict(zip(lines, [line for line in run.stdout.splitlines() if line[:5] in ("PASS ", "FAIL ")], strict=True))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scenario", [*(f"round-trip-{codec}" for codec in CODECS), *SCENARIOS])
def test_scenario(outcomes: dict[str, str], scenario: str) -> None:
    """The scenario passed."""
    outcome = outcomes.get(scenario, f"{scenario} printed no outcome")
    assert outcome.startswith("PASS"), outcome


def test_fetch_sessions_are_sound(run: subprocess.CompletedProcess[str], outcomes: dict[str, str]) -> None:
    """No answer of a session lacked a partition or had one too many: the client says so and begins another session."""
    assert outcomes["fetch-session"].startswith("PASS")
    assert [line for line in run.stderr.splitlines() if SESSIONS in line] == []


def test_no_scenario_was_forgotten(outcomes: dict[str, str]) -> None:
    """What ran is what is tested."""
    assert set(outcomes) == {f"round-trip-{codec}" for codec in CODECS} | set(SCENARIOS)


@pytest.mark.parametrize("codec", CODECS)
def test_batches_keep_their_codec(outcomes: dict[str, str], broker: BrokerProcess, codec: str) -> None:
    """The batches lie in the log in the codec of the producer, and are its idempotent ones."""
    assert outcomes[f"round-trip-{codec}"].startswith("PASS")
    with Connection(broker.address) as connection:
        batches = connection.fetch(f"java-round-trip-{codec}", 0, 0).batches()
    assert {batch.codec for batch in batches} == {codec}
    assert all(batch.producer_id >= 0 for batch in batches)
