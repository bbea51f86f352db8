"""The jars of Apache Kafka's client, which Maven fetches once: its classes for the Java tests, its message schemas."""

import os
import subprocess
from pathlib import Path

from broker_process import ROOT

CACHE = Path(os.environ.get("WIBER_CACHE", ROOT / ".cache")) / "java-clients-4.3.1"
CLIENTS_JAR = CACHE / "kafka-clients-4.3.1.jar"

_COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_POM = ROOT / "tests" / "clients" / "java" / "pom.xml"


def fetch_jars() -> Path:
    """The folder of the jars, which are fetched where they are missing."""
    if not (CACHE / "complete").exists():
        fetch = ["mvn", "-B", "-q", "-f", str(_POM), _COPY_DEPENDENCIES, f"-DoutputDirectory={CACHE}"]
        subprocess.run(fetch, check=True, stdin=subprocess.DEVNULL, timeout=300)
        (CACHE / "complete").touch()
    return CACHE
