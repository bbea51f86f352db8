"""The clients of other languages, each started once for all tests."""

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from broker_process import ROOT, BrokerProcess
from clients.drivers import Driver
from clients.drivers.aio import Aio
from clients.drivers.confluent import Confluent
from clients.drivers.kafka_python import KafkaPython
from clients.drivers.process import ProcessDriver
from clients.kafka_tools import TOOLS, Ran, Tool
from kafka_jars import CACHE, fetch_tools

HERE = ROOT / "tests" / "clients" / "drivers"
BIN = CACHE / "venv" / "bin"

StartDriver = Callable[[BrokerProcess, pytest.TempPathFactory], Driver]


def _java(broker: BrokerProcess, directories: pytest.TempPathFactory) -> ProcessDriver:
    directory = directories.mktemp("java-driver")
    jars = fetch_tools()
    (tools,) = jars.glob("kafka-tools-[0-9]*.jar")
    on_path = ":".join(str(jar) for jar in sorted(jars.glob("*.jar")) if jar != tools)
    source = HERE / "java" / "Driver.java"
    subprocess.run(["javac", "-Xlint:all", "-cp", on_path, "-d", str(directory), str(source)], check=True, timeout=120)
    options = [
        "-Xmx768m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]
    command = ["java", *options, "-cp", f"{on_path}:{directory}", "Driver", broker.address, str(tools)]
    return ProcessDriver("java", command, directory / "log")


def _franz_go(broker: BrokerProcess, directories: pytest.TempPathFactory) -> ProcessDriver:
    return ProcessDriver(
        "franz-go", [str(CACHE / "franz-go" / "driver"), broker.address], directories.mktemp("franz-go") / "log"
    )


def _kafkajs(broker: BrokerProcess, directories: pytest.TempPathFactory) -> ProcessDriver:
    return ProcessDriver(
        "kafkajs",
        [str(BIN / "node"), str(HERE / "node" / "driver.js"), broker.address],
        directories.mktemp("kafkajs") / "log",
        consumes=False,
        null_headers=False,
        mixed_headers=False,
        environment=os.environ | {"NODE_PATH": str(CACHE / "kafkajs" / "node_modules")},
    )


DRIVERS: dict[str, StartDriver] = {
    "confluent-kafka": lambda broker, _: Confluent(broker.address),
    "kafka-python": lambda broker, _: KafkaPython(broker.address),
    "aiokafka": lambda broker, _: Aio(broker.address),
    "java": _java,
    "franz-go": _franz_go,
    "kafkajs": _kafkajs,
}


class Drivers:
    """The clients that were asked for so far."""

    def __init__(self, broker: BrokerProcess, directories: pytest.TempPathFactory) -> None:
        """Starts none."""
        self._broker = broker
        self._directories = directories
        self._started: dict[str, Driver] = {}

    def __getitem__(self, name: str) -> Driver:
        """The client of that name, which is started where it does not run."""
        if name not in self._started:
            self._started[name] = DRIVERS[name](self._broker, self._directories)
        return self._started[name]

    def close(self) -> None:
        """Ends them all."""
        for driver in self._started.values():
            driver.close()


@pytest.fixture(scope="session")
def drivers(broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    """All clients."""
    drivers = Drivers(broker, tmp_path_factory)
    yield drivers
    drivers.close()


@pytest.fixture
def run(drivers: Drivers, broker: BrokerProcess) -> Tool:
    """Runs a tool against the broker; its exit code must be `code`."""
    java = drivers["java"]
    assert isinstance(java, ProcessDriver)

    def run(tool: str, *arguments: str, stdin: str = "", code: int = 0) -> Ran:
        bootstrap = () if tool == "kafka-producer-perf-test" else ("--bootstrap-server", broker.address)
        exit_code, out, err = java.run_tool(TOOLS[tool], [*bootstrap, *arguments], stdin.encode())
        assert exit_code == code, f"{tool} {arguments} exited with {exit_code}:\n{out}\n{err}"
        return Ran(exit_code, out, err)

    return run
