"""Which verdicts are red is a matter of the run, and each report goes by its record."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pages import page_of
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from records import NEW, RECORD, TEST, UNMEASURED
from session_records import session

from conftest import EnergyPytester
from pytest_energy.record.file import read
from pytest_energy.record.merge import merge, split
from pytest_energy.record.schema import FAIL_ON, RunRecord
from pytest_energy.report.advice import conclude
from pytest_energy.report.annotations import error_commands
from pytest_energy.report.formats import format_named

CLOSE = replace(TEST, id="t.py::test_close", verdict="close", reason="it is close")
PASS = replace(TEST, id="t.py::test_pass", verdict="pass", reason="it is within")
FAIL = replace(TEST, id="t.py::test_fail")
NEVER = replace(UNMEASURED, id="t.py::test_never")
TESTS = (PASS, CLOSE, replace(NEW, id="t.py::test_new", attempt=1), NEVER, FAIL)
GREEN, AMBER, RED = "#2f7d32", "#8a6100", "#b3261e"


def record_of(*fail_on: str) -> RunRecord:
    return replace(RECORD, tests=TESTS, fail_on=fail_on)


def names(texts: list[str]) -> set[str]:
    """Which of the tests these are about."""
    return {each.id.rpartition("_")[2] for each in TESTS for text in texts if each.id in text}


def red_in_metrics(record: RunRecord) -> set[str]:
    families = text_string_to_metric_families(format_named("openmetrics")(record))  # type: ignore[no-untyped-call]
    return {
        sample.labels["test"].rpartition("_")[2]
        for family in families
        for sample in family.samples
        if sample.name == "pytest_energy_red" and sample.value == 1
    }


@pytest.mark.parametrize(
    ("fail_on", "red", "sentence"),
    [
        (FAIL_ON, {"fail", "never"}, "1 of 5 measurements failed, 1 has no figure."),
        ((), set(), "1 of 5 measurements failed, 1 has no figure; reported only, by "),
        (("fail",), {"fail"}, "failed. Reported only: 1 has no figure."),
        (("close",), {"close"}, "1 of 5 measurements is close to its limit. Reported only: 1 fai"),
        (
            ("close", "fail", "no-budget", "unmeasured"),
            {"close", "fail", "new", "never"},
            "1 has no figure, 1 is close to its limit, 1 has no limit.",
        ),
    ],
)
def test_each_report_calls_red_what_failed_the_run(
    fail_on: tuple[str, ...], red: set[str], sentence: str
) -> None:
    record = record_of(*fail_on)
    assert sentence in conclude(record).sentence
    assert names(error_commands(record)) == red
    assert red_in_metrics(record) == red
    issues = json.loads(format_named("gitlab-quality")(record))
    assert names([each["description"] for each in issues if each["severity"] != "info"]) == red
    # What usually is red is shown, whatever it does to the run.
    noted = red | {"fail", "never"}
    lines = format_named("markdown")(record).splitlines()
    items = [each for each in lines if each.startswith("- **")]
    assert names(items) == noted
    assert names([each for each in items if "(reported only)" not in each]) == red
    assert sentence.partition(" by ")[0] in "\n".join(lines)
    page = page_of(format_named("html")(record))
    cards = page.one("section", id="red").all("article")
    assert {each.one("h3").text.split()[0].rpartition("_")[2] for each in cards} == noted
    tags = [each.one("span").attributes["class"].split() for each in cards]
    assert sum("bad" in each for each in tags) == len(red)
    assert page.one("section", id="red").one("h2").text == (
        "Failures" if red else "Not within limits, reported only"
    )
    colour = json.loads(format_named("shields")(record))["color"]
    assert colour == (RED if red else AMBER)
    assert colour in format_named("badge")(record)


def test_a_strict_run_with_an_unused_budget_has_failed() -> None:
    record = replace(record_of(*FAIL_ON), tests=(PASS,), unused_budgets=("x is unused",))
    found = conclude(record)
    assert (found.tone, found.sentence) == (
        "warn",
        "Passed: 1 measurement is within its limit. 1 limit or baseline is used by no test.",
    )
    found = conclude(replace(record, fail_on=(*FAIL_ON, "unused")))
    assert (found.tone, found.sentence) == (
        "bad",
        "Failed: 1 limit or baseline is used by no test.",
    )


def test_energy_beside_a_limit_in_flops_lacks_no_comparison() -> None:
    beside = replace(NEW, attempt=1, code="beside-flops")
    found = conclude(replace(RECORD, tests=(PASS, beside)))
    assert found.sentence == "Passed: 1 measurement is within its limit."


def test_each_session_of_a_merged_record_keeps_its_own() -> None:
    strict = replace(session(day=1), tests=(CLOSE,), fail_on=("close",))
    usual = replace(session(day=2), tests=(CLOSE,))
    both = merge([strict, usual])
    assert [both.is_red(each) for each in both.tests] == [True, False]
    assert [each.fail_on for each in split(both)] == [("close",), FAIL_ON]


@pytest.mark.parametrize(
    ("option", "failed", "expected"),
    [
        ("--energy-fail-on=none", 0, ()),
        ("--energy-fail-on=fail,close", 1, ("close", "fail")),
        (
            "--energy-strict",
            2,
            (
                *("close", "fail", "inconclusive", "no-baseline", "no-budget", "unmeasured"),
                "unused",
            ),
        ),
    ],
)
def test_the_record_and_junit_hold_what_the_run_failed_on(
    energy_pytester: EnergyPytester, option: str, failed: int, expected: tuple[str, ...]
) -> None:
    energy_pytester.write(
        "@budget('0.001 mJ / query')\ndef test_over():\n    spin(5)\n"
        "@budget\ndef test_new():\n    spin(1)\n"
    )
    result = energy_pytester.run(option, "--junit-xml=junit.xml", "--energy-report=x.html")
    result.assert_outcomes(failed=failed, passed=2 - failed)
    record = read(energy_pytester.record_path)
    assert record.fail_on == expected
    assert sum(map(record.is_red, record.tests)) == failed
    junit = (energy_pytester.pytester.path / "junit.xml").read_text(encoding="utf-8")
    assert junit.count("<failure") == failed
    page = (energy_pytester.pytester.path / "x.html").read_text(encoding="utf-8")
    assert ("reported only" in page) == (failed == 0)
