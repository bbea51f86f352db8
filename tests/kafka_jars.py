"""The jars of Kafka's client, tools, Connect and Streams, which Maven fetches once: classes, and message schemas."""

import fcntl
import os
import subprocess
from pathlib import Path

from broker_process import ROOT

CACHE = Path(os.environ.get("WIBER_CACHE", ROOT / ".cache"))
CLIENTS = CACHE / "java-clients-4.3.1"
CLIENTS_JAR = CLIENTS / "kafka-clients-4.3.1.jar"
TOOLS = CACHE / "kafka-tools-4.3.1"
APPS = CACHE / "kafka-apps-4.3.1"

_COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_CLIENTS = ROOT / "tests" / "clients"


def fetch_jars() -> Path:
    """The folder of the client's jars, which are fetched where they are missing."""
    return _fetch(_CLIENTS / "java" / "pom.xml", CLIENTS)


def fetch_tools() -> Path:
    """The folder of the jars of Kafka's tools and what they need, which are fetched where they are missing."""
    return _fetch(_CLIENTS / "drivers" / "java" / "pom.xml", TOOLS)


def fetch_apps() -> Path:
    """The folder of the jars of Kafka Connect and Kafka Streams, which are fetched where they are missing."""
    return _fetch(_CLIENTS / "drivers" / "java" / "apps" / "pom.xml", APPS)


def _fetch(pom: Path, directory: Path) -> Path:
    if (directory / "complete").exists():
        return directory
    # Tests run side by side, and Maven's own store is made for one at a time: one process fetches, and the others wait.
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "maven.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            fetch = ["mvn", "-B", "-q", "-f", str(pom), _COPY_DEPENDENCIES, f"-DoutputDirectory={directory}"]
            subprocess.run(fetch, check=True, stdin=subprocess.DEVNULL, timeout=300)
            (directory / "complete").touch()
    return directory
