"""The readers of what suites print, the list that may only grow, and the page."""

from pathlib import Path

import pytest

from . import card, kafka_go, kafka_python, librdkafka, rdkafka
from .__main__ import SUITES
from .outcome import Outcome, Outcomes, Verdict, by_name, read, write


def verdicts(outcomes: list[Outcome] | Outcomes) -> dict[str, str]:
    """Names and verdicts."""
    found = outcomes.values() if isinstance(outcomes, dict) else outcomes
    return {outcome.name: str(outcome.verdict) for outcome in found}


def test_librdkafkas_table_is_read() -> None:
    """Number, flags and scenario, over several lines."""
    source = """
    _TEST(0000_unittests,
          TEST_F_LOCAL,
          _THRES(.ucpu = 100.0)),
    _TEST(0001_multiobj, 0),
    _TEST(0045_removed,
          0,
          TEST_BRKVER(0, 9, 0, 0),
          .scenario = "noautocreate"),
    _TEST(8000_idle, TEST_F_MANUAL),

    {NULL}};
"""
    tests = librdkafka.listed(source)
    assert [test.name for test in tests] == ["0000_unittests", "0001_multiobj", "0045_removed", "8000_idle"]
    assert [test.local for test in tests] == [True, False, False, False]
    assert [test.scenario for test in tests] == ["default", "default", "noautocreate", "default"]
    assert [test.manual for test in tests] == [False, False, False, True]


def test_librdkafkas_sub_tests_are_tests() -> None:
    """What passed, was skipped and failed, without random numbers in names."""
    output = """
[0081_admin                  /  1.000s] [ do_test_Create:10: temp queue ]
[0081_admin                  /  2.000s] \x1b[32m[ do_test_Create:10: temp queue: PASS (0.71s) ]
[0081_admin(x)               /  2.000s] \x1b[33m[ do_test_Acl:20: SKIP: no authorizer ]
### Test "0081_admin (do_test_Delete:30: topic rnd12ab)" failed at 0081.c:40:do_test_Delete() at Sat Nov: ###
expected 3, not 4
|\x1b[32m <MAIN>                                   |     PASSED |  12.036s \x1b[0m|
|\x1b[31m 0081_admin                               |     FAILED |  12.036s \x1b[0m|\x1b[31m expected 3, not 4\x1b[0m
|\x1b[36m 0082_other                               |    SKIPPED |   0.000s \x1b[0m|\x1b[36m needs more\x1b[0m
"""
    assert verdicts(librdkafka.parse(output)) == {
        "0081_admin/do_test_Create: temp queue": "passed",
        "0081_admin/do_test_Acl": "skipped",
        "0081_admin/do_test_Delete: topic #": "failed",
        "0081_admin": "failed",
        "0082_other": "skipped",
    }


def test_rusts_output_is_read() -> None:
    """Passed, ignored, and failed with what the panic said."""
    output = """
running 3 tests
test test_fetch ... ok
test base::test_slow ... ignored, needs a disk
test test_commit ... FAILED

failures:

---- test_commit stdout ----

thread 'test_commit' panicked at tests/a.rs:1:2:
assertion failed: left == right
note: run with `RUST_BACKTRACE=1`

failures:
    test_commit
"""
    found = rdkafka.parse("test_a", output)
    assert verdicts(found) == {
        "test_a::test_fetch": "passed",
        "test_a::base::test_slow": "skipped",
        "test_a::test_commit": "failed",
    }
    assert found[2].words == "assertion failed: left == right"


def test_gos_output_is_read() -> None:
    """Tests and their sub-tests."""
    output = """
=== RUN   TestConn
=== RUN   TestConn/close
=== RUN   TestConn/read
    conn_test.go:7: it did not read
--- FAIL: TestConn (0.20s)
    --- PASS: TestConn/close (0.10s)
    --- FAIL: TestConn/read (0.10s)
=== RUN   TestNet
    conn_test.go:9: no net
--- SKIP: TestNet (0.00s)
"""
    found = kafka_go.parse(output)
    assert verdicts(found) == {
        "TestConn": "failed",
        "TestConn/close": "passed",
        "TestConn/read": "failed",
        "TestNet": "skipped",
    }
    assert [outcome.words for outcome in found if outcome.name == "TestConn/read"] == [
        "conn_test.go:7: it did not read"
    ]


def test_pytests_report_is_read() -> None:
    """Names as pytest takes them."""
    report = """<testsuites><testsuite>
<testcase classname="test.integration.test_admin" name="test_create" />
<testcase classname="test.integration.test_ssl.TestSsl" name="test_hands"><skipped message="no TLS" /></testcase>
<testcase classname="test.integration.test_admin" name="test_acls"><failure message="no&#10;ACLs">x</failure></testcase>
</testsuite></testsuites>"""
    found = kafka_python.parse(report)
    assert verdicts(found) == {
        "test_admin.py::test_create": "passed",
        "test_ssl.py::TestSsl::test_hands": "skipped",
        "test_admin.py::test_acls": "failed",
    }
    assert found["test_admin.py::test_acls"].words == "no ACLs"


def test_the_list_only_grows(tmp_path: Path) -> None:
    """What passed stays listed, and is missed."""
    before = by_name([Outcome("a", Verdict.PASSED), Outcome("b", Verdict.FAILED, "why"), Outcome("c", Verdict.PASSED)])
    write(tmp_path / "list", before)
    assert read(tmp_path / "list") == before
    now = by_name([Outcome("a", Verdict.FAILED, "broken"), Outcome("b", Verdict.PASSED)])
    assert [outcome.name for outcome in card.lost(before, now)] == ["a", "c"]
    assert [name for name, outcome in card.grown(before, now).items() if outcome.passed] == ["a", "b", "c"]


def test_the_page_is_that_of_the_kept_outcomes_and_every_failure_has_a_reason() -> None:
    """The page in the repository is not older than the outcomes beside it."""
    reasons = card.read_reasons()
    assert card.CARD.read_text() == card.render(SUITES, reasons), "tests/report-card page writes it"
    with pytest.raises(card.MissingReasonError):
        card.render(SUITES, [])
