"""The HTML report of records that nobody expects: hostile names, many tests, old files."""

from __future__ import annotations

import html
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from pages import assert_is_accessible, assert_is_closed, page_of
from records import RECORD, TEST, UNMEASURED
from session_records import measured

from pytest_energy.record.file import read
from pytest_energy.record.plain import to_plain
from pytest_energy.record.schema import (
    BudgetRecord,
    Explanation,
    GpuRecord,
    LimitChangeRecord,
    RunRecord,
    TestRecord,
)
from pytest_energy.report.formats import format_named

LARGEST_BYTES_OF_200 = 400_000
#: Sentences are cut at 1,500 characters, and names at 200.
LONGEST_WORD = 2_000
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>1</script>",
    "{{ 7 * 7 }}{% for x in y %}",
    "javascript:alert(1)",
    "a\x1b[31mb\x00c\u202egnp.exe",
    "\N{SNOWMAN}\u0000 \ud800",
    "&lt;b&gt; & &amp;",
    "]]>--><!--",
    "x" * 5000,
)


def rendered(record: RunRecord) -> str:
    return format_named("html")(record)


def named(name: str) -> RunRecord:
    """A record in which each text from outside is this one."""
    test = replace(
        measured(12.3),
        id=f"tests/{name}.py::{name}",
        name=name,
        task=name,
        model=name,
        labels={name: name},
        unit=name,
        verdict="fail",
        reason=name,
        notes=(name, f"paste:\n    {name}"),
        budget=BudgetRecord(limit=name, origin=name, message=name),
        channels=tuple(replace(each, name=name, source=name) for each in TEST.channels),
        other_processes=(name,),
        failure=name,
    )
    machine = replace(
        RECORD.machine,
        os=name,
        cpu=name,
        gpus=(GpuRecord(name=name, uuid=name, power_limit_watts=None, channel=name, mig=name),),
        notes=(name,),
    )
    run = replace(RECORD.run, versions={name: name}, commit=name, start=name, end=name)
    assert RECORD.carbon is not None
    return replace(
        RECORD,
        run=run,
        machine=machine,
        carbon=replace(RECORD.carbon, source=name, description=name),
        tests=(test, replace(test, id="t", verdict="unmeasured", joules_per_unit=None)),
        limit_changes=(
            LimitChangeRecord(subject=name, old=name, new=name, change=None, origin=name),
        ),
        limits_base=name,
        unused_budgets=(name,),
        lost_tests=(name,),
    )


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_texts_from_outside_stay_texts(name: str) -> None:
    text = rendered(named(name))
    page = page_of(text)
    assert_is_closed(page)
    assert_is_accessible(page)
    shape = [each.tag for each in page_of(rendered(named("name"))).all()]
    assert [each.tag for each in page.all()] == shape
    text.encode("utf-8")
    longest = max(len(word) for word in page.one("body").text.split())
    assert longest <= LONGEST_WORD, "a word that no page holds"
    assert all(each.isprintable() for each in text.splitlines())


def many(number: int, verdict: str) -> RunRecord:
    """A run of tests with twenty rounds each, and everything that explains their figures."""
    rng = random.Random(1)
    explanation = Explanation(
        seconds=31.1,
        units={"query": 640.0},
        units_per_second=25.0,
        mean_watts=307.8,
        net_joules_per_unit=10.0,
        involuntary_switches_per_unit=0.1,
        drift_per_round=0.001,
        flops_per_unit=1.23e9,
    )
    tests = []
    for index in range(number):
        figure = 12.3 * rng.uniform(0.5, 2)
        name = f"tests/models/test_classification.py::test_model[distilbert-base-{index}-bf16]"
        tests.append(
            replace(
                measured(figure, [rng.gauss(1, 0.02) for _ in range(20)]),
                id=name,
                labels={"dtype": "bf16"},
                task="text-classification",
                model=f"distilbert-base-{index}",
                channels=TEST.channels,
                budget=BudgetRecord(limit="2.1 Wh / 1000 queries", origin="energy-budgets.toml:41"),
                limit_joules_per_unit=7.56,
                fraction_of_limit=figure / 7.56,
                verdict=verdict,
                reason="12.3 J / query is over the limit of 7.56 J / query "
                "(energy-budgets.toml:41) by 63 % (interval 12.1 to 12.6 J), gpu:0, measured; "
                "40.0 ms a query at 308 W",
                explanation=explanation,
                code="over-limit",
            )
        )
    return replace(RECORD, tests=tuple(tests))


@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_a_report_of_200_tests_is_small(verdict: str) -> None:
    text = rendered(many(200, verdict))
    assert len(text.encode()) < LARGEST_BYTES_OF_200
    page = page_of(text)
    rows = page.one("table", class_="wide tests").all("tr")
    assert len(rows) == 201
    assert len(page.all("article")) == (200 if verdict == "fail" else 0)


def test_each_of_500_tests_is_in_the_report() -> None:
    record = many(500, "fail")
    page = page_of(rendered(record))
    assert_is_accessible(page)
    assert len(page.all("article")) == 500
    assert page.one("h1").text == "500 of 500 measurements failed."


def test_a_run_without_tests_and_one_without_figures_have_a_page() -> None:
    for tests in ((), (UNMEASURED,)):
        page = page_of(rendered(replace(RECORD, tests=tests, carbon=None)))
        assert_is_closed(page)
        assert_is_accessible(page)
        assert "svg" not in [each.tag for each in page.one("section", id="unmeasured").all()]


def older(test: TestRecord) -> dict[str, object]:
    """A test as the first version of the schema had it."""
    plain = to_plain(test)
    required = {
        name: value
        for name, value in plain.items()
        if name not in ("notes", "code", "contention", "explanation", "baseline", "failure")
    }
    for each in required["rounds"]:
        del each["other_cpu_seconds"]
    return {**required, "a_later_key": {"x": 1}}


def test_an_older_record_has_a_page(tmp_path: Path) -> None:
    plain = to_plain(RECORD)
    plain["tests"] = [older(measured(12.3)), older(UNMEASURED)]
    for name in ("unused_budgets", "unused_baselines", "lost_tests"):
        del plain[name]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(plain), encoding="utf-8")
    page = page_of(rendered(read(path)))
    assert_is_accessible(page)
    assert page.one("h1").text == "1 of 2 measurements has no figure."


@pytest.mark.parametrize("joules", [1e-12, 1e99, 0.0, -1.0])
def test_figures_of_any_size_have_a_page(joules: float) -> None:
    test = replace(measured(12.3), joules_per_unit=joules, interval=(joules, joules))
    test = replace(test, verdict="fail", limit_joules_per_unit=1e-15, fraction_of_limit=1e60)
    assert_is_accessible(page_of(rendered(replace(RECORD, tests=(test,)))))


def test_escaping_is_what_a_browser_undoes() -> None:
    record = named("<b>&amp;\"'")
    assert "<b>&amp;\"'" in page_of(rendered(record)).one("section", id="machine").text
    assert html.escape("<b>") in rendered(record)
