"""kafka-python's integration tests, of its source distribution."""

import shutil
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

from .outcome import Outcome, Outcomes, Verdict, by_name, one_line
from .suite import ADDRESS, CACHE, Suite, build, readable, run_logged

_VERSION = "3.0.12"
_HERE = CACHE / f"kafka-python-{_VERSION}"
_TREE = _HERE / f"kafka_python-{_VERSION}"

_LIMIT_S = 1200.0

_SERVICE = '''"""Stands for a module that the source distribution leaves out; what a running broker needs of it."""


class ExternalService:
    """A broker that somebody else started."""

    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        pass

    def close(self):
        pass

    stop = dump_logs = close


class SpawnedService:
    """A broker that a test wants to start itself."""

    def __init__(self, *_):
        raise RuntimeError("the source distribution cannot start brokers")
'''


class KafkaPython(Suite):
    """The folder test/integration, by pytest."""

    name = "kafka-python"
    title = "kafka-python"
    version = _VERSION
    source = (
        "`test/integration` of the source distribution, which leaves out the module `test/service.py`: one that knows "
        "only brokers that run already takes its place"
    )
    settings: Mapping[str, str] = {
        "group.min.session.timeout.ms": "1000",  # As the project's own brokers have it: members ask for 3 s.
        "node.id": "0",
        "num.partitions": "4",
    }

    def install(self) -> None:
        """Fetches the source distribution."""
        if (_HERE / "complete").exists():
            return
        print(f"fetching kafka-python {_VERSION} (pip)", flush=True)
        shutil.rmtree(_HERE, ignore_errors=True)
        _HERE.mkdir(parents=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        build([*pip, "--no-binary", "kafka-python", f"kafka-python=={_VERSION}"], _HERE / "pip.log", cwd=_HERE)
        with tarfile.open(_HERE / f"kafka_python-{_VERSION}.tar.gz") as archive:
            archive.extractall(_HERE, filter="data")
        (_TREE / "test" / "__init__.py").touch()
        (_TREE / "test" / "service.py").write_text(_SERVICE)
        (_HERE / "complete").touch()

    def run(self, only: Sequence[str], logs: Path, jobs: int) -> Outcomes:
        """Runs the folder by one pytest; `jobs` is of no effect."""
        report = logs / "report.xml"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", "--timeout=120"]
        chosen = [f"test/integration/{name}" for name in only] or ["test/integration"]
        env = {
            "KAFKA_VERSION": "4.3.1",
            "KAFKA_URI": f"kafka://{ADDRESS}",
            "KAFKA_ROOT": str(logs),
            "PYTHONPATH": str(_TREE),
        }
        code, _ = run_logged([*command, *chosen], logs / "pytest.log", cwd=_TREE, env=env, limit_s=_LIMIT_S)
        if not report.exists():
            words = f"pytest ended with {code} and no report"
            return by_name(Outcome(name, Verdict.FAILED, words) for name in only or ["pytest"])
        return parse(readable(report))


def parse(report: str) -> Outcomes:
    """The outcomes in a report of pytest's."""
    outcomes = []
    for case in ElementTree.fromstring(report).iter("testcase"):
        name = f"{case.get('classname', '').removeprefix('test.integration.').replace('.', '.py::', 1)}"
        name = f"{name}::{case.get('name')}" if "::" in name else f"{name}.py::{case.get('name')}"
        verdict, words = Verdict.PASSED, ""
        for kind, bad in (("skipped", Verdict.SKIPPED), ("failure", Verdict.FAILED), ("error", Verdict.FAILED)):
            if (found := case.find(kind)) is not None:
                verdict, words = bad, one_line(found.get("message", ""))
        outcomes.append(Outcome(name, verdict, words))
    return by_name(outcomes)
