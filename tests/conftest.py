"""Fixtures of every suite: brokers on temporary directories, topic names; and nothing may be skipped unasked."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker_process import BrokerProcess, is_reference

StartBroker = Callable[..., BrokerProcess]

_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remembers failures, so that a fixture can print the broker's log."""
    report = yield
    if report.failed:
        item.stash[_failed] = True
        item.session.stash[_failed] = True
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Against the reference broker, leaves out what is ours alone."""
    if not is_reference():
        return
    for item in items:
        if mark := item.get_closest_marker("wiber_only"):
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test fails the run: a gate that silently runs less is no gate."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter.stats.get("skipped") and not is_reference():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker that the tests of a session share; it must survive them all and stop cleanly."""
    directory = tmp_path_factory.mktemp("broker")
    # Kafka's default for the first rebalance of a group would have each test of a group wait for three seconds.
    at_once = ["--set", "group.initial.rebalance.delay.ms=0"]
    process = BrokerProcess(directory / "data", directory / "broker.log", arguments=at_once)
    process.start()
    yield process
    try:
        process.stop()
    finally:
        process.kill()


@pytest.fixture(autouse=True)
def _log_of_shared_broker(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prints what the shared broker logged during a test that failed."""
    process = request.getfixturevalue("broker") if "broker" in request.fixturenames else None
    before = len(process.log()) if process else 0
    yield
    if process and request.node.stash.get(_failed, False):
        print("\n".join(["--- the broker's log during this test:", process.log()[before:]]))


@pytest.fixture
def start_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartBroker]:
    """Starts brokers for one test alone, `start_broker(data_dir=..., **options)`, and kills them at its end."""
    brokers: list[BrokerProcess] = []

    def start(data_dir: Path | None = None, **options: object) -> BrokerProcess:
        log_path = tmp_path / f"broker-{len(brokers)}.log"
        process = BrokerProcess(data_dir or tmp_path / "data", log_path, **options)
        brokers.append(process)
        process.start()
        return process

    yield start
    for process in brokers:
        process.kill()
        if request.node.stash.get(_failed, False):
            print(f"--- {process.log_path.name}, last start:\n{process.log_tail(200)}")


_topic_numbers = itertools.count()


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic name of this test's own; the topic does not exist yet."""
    test = request.node.originalname.removeprefix("test_")
    return f"{test}-{next(_topic_numbers)}"
