"""The HTML report: what a reader finds in it, and that it is one closed, accessible page."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from pages import assert_is_accessible, assert_is_closed, page_of
from records import NEW, RECORD, TEST, UNMEASURED, budget_record
from session_records import measured

from conftest import EnergyPytester
from pytest_energy.record.merge import merge
from pytest_energy.record.schema import (
    BaselineRecord,
    LimitChangeRecord,
    ReferenceRecord,
    RunRecord,
    TestRecord,
    judged,
)
from pytest_energy.report.formats import format_named
from pytest_energy.report.html.page import render_page
from pytest_energy.rules.verdict import Finding, Rule, Verdict

LIMIT = budget_record("2.1 Wh / 1000 queries", origin="tests/test_q.py:4")
#: Five rounds around 12.3 J, against 7.56 J.
RED = measured(
    12.3,
    id="tests/test_models.py::test_sentiment",
    budget=LIMIT,
    limit_joules_per_unit=7.56,
    fraction_of_limit=12.3 / 7.56,
    verdict="fail",
    code="over-limit",
    reason="12.3 J / query is over the limit of 7.56 J / query (tests/test_q.py:4) by 63 %",
    task="text-classification",
    grams_per_unit=0.001026,
)
GREEN = replace(
    RED,
    id="tests/test_models.py::test_green",
    verdict="pass",
    code="",
    fraction_of_limit=0.5,
    reason="fine",
)


def run_of(*tests: TestRecord, **changes: object) -> RunRecord:
    return replace(RECORD, tests=tests, **changes)  # type: ignore[arg-type]


def rendered(record: RunRecord) -> str:
    return format_named("html")(record)


@pytest.mark.parametrize(
    ("tests", "sentence", "tone"),
    [
        ((), "Nothing was measured: no test has an energy limit or asked for one.", "none"),
        ((GREEN,), "Passed: 1 measurement is within its limit.", "good"),
        ((NEW,), "Nothing was compared: 1 measurement without a limit.", "none"),
        ((RED,), "1 of 1 measurement failed.", "bad"),
        ((RED, GREEN, UNMEASURED), "1 of 3 measurements failed, 1 has no figure.", "bad"),
        ((UNMEASURED,), "1 of 1 measurement has no figure.", "bad"),
        ((UNMEASURED, NEW, UNMEASURED), "2 of 3 measurements have no figure.", "bad"),
        (
            (GREEN, replace(GREEN, id="t::close", verdict="close"), NEW),
            "Passed: 2 measurements are within their limits, 1 of them close to it; "
            "1 measurement had nothing to compare with.",
            "warn",
        ),
        (
            (replace(GREEN, failure="AssertionError"),),
            "No limit was exceeded, but 1 test ended in an error.",
            "bad",
        ),
    ],
)
def test_the_top_says_in_words_how_the_run_ended(
    tests: tuple[TestRecord, ...], sentence: str, tone: str
) -> None:
    page = page_of(rendered(run_of(*tests)))
    assert page.one("h1").text == sentence
    assert page.one("h1").attributes["class"] == tone
    assert sentence in page.one("title").text
    assert_is_closed(page)
    assert_is_accessible(page)


def test_a_failure_comes_first_with_its_sentence_figure_limit_interval_and_picture() -> None:
    page = page_of(rendered(run_of(GREEN, RED)))
    (section,) = page.all("article")
    assert section.one("h3").text == "test_sentiment fail"
    assert RED.reason in section.text
    assert "raise the limit in tests/test_q.py:4" in section.text
    facts = {each.one("dt").text: each.one("dd").text for each in section.one("dl").all("div")}
    assert facts["Figure"] == "12.3 J / query, measured on gpu:0 (scope gpu)"
    assert facts["Interval"] == "12.2 to 12.4 J"
    assert facts["Limit"] == "2.1 Wh / 1000 queries (tests/test_q.py:4); over by 63 %"
    picture = section.one("svg", role="img").attributes["aria-label"]
    assert picture == (
        "5 rounds from 12.2 to 12.4 J; figure 12.3 J; interval 12.2 to 12.4 J; limit 7.56 J"
    )
    rows = page.one("table", class_="wide tests").all("tr")
    assert [row.all("th")[0].text for row in rows] == [
        "test",
        "test_sentimenttests/test_models.py",
        "test_greentests/test_models.py",
    ]


def test_the_picture_of_a_baseline_shows_its_level() -> None:
    baseline = BaselineRecord(
        max_increase=0.05, origin="", sessions=3, increase=0.25, threshold=0.09
    )
    test = replace(RED, baseline=baseline, code="over-baseline")
    section = page_of(rendered(run_of(test))).one("article")
    picture = section.all("svg", role="img")[0]
    assert picture.attributes["aria-label"].endswith("baseline 9.84")
    assert picture.text.endswith("baseline 9.84 J")
    assert "+25 % vs 3 sessions, fails from +9 %" in section.text
    assert "--energy-update reset" in section.text


def test_the_picture_of_a_baseline_has_a_mark_for_each_session() -> None:
    baseline = BaselineRecord(
        max_increase=0.05,
        origin="",
        sessions=3,
        increase=0.25,
        threshold=0.09,
        session_figures=(9.6, 9.8, 10.1),
    )
    section = page_of(rendered(run_of(replace(RED, baseline=baseline)))).one("article")
    picture = section.all("svg", role="img")[0]
    assert picture.attributes["aria-label"].endswith("baseline 9.60, 9.80, 10.1")
    assert picture.one("path", class_="s").attributes["d"].count("M") == 3


def test_each_rule_has_its_say_where_several_judged() -> None:
    limit = Finding(rule=Rule.LIMIT, verdict=Verdict.PASS, reason="it is within the limit")
    level = Finding(rule=Rule.BASELINE, verdict=Verdict.FAIL, reason="it is over the baseline")
    section = page_of(rendered(run_of(judged(RED, limit, level)))).one("article").text
    assert section.count("it is over the baseline") == 1
    assert "limit: pass, it is within the limit" in section


def test_limits_that_a_branch_changes_stand_old_and_new() -> None:
    change = LimitChangeRecord(
        subject="text-classification",
        old="2.1 Wh / 1000 queries",
        new="4.2 Wh / 1000 queries",
        change=1.0,
        origin="energy-budgets.toml:4",
    )
    page = page_of(rendered(run_of(RED, limit_changes=(change,), limits_base="origin/main")))
    table = page.one("table", class_="wide limits")
    assert table.one("caption").text == "Since origin/main."
    assert [each.text for each in table.all("td")] == [
        "2.1 Wh / 1000 queries",
        "4.2 Wh / 1000 queries",
        "+100 %",
        "energy-budgets.toml:4",
    ]


def test_a_comparison_shows_old_and_new_side_by_side() -> None:
    reference = ReferenceRecord(
        name="old_model",
        joules_per_unit=10.0,
        cpu_seconds_per_unit=None,
        ratio=1.23,
        interval=(1.21, 1.25),
        max_increase=0.03,
        pairs=5,
        rounds=measured(10.0).rounds,
    )
    test = replace(RED, name="candidate", budget=None, limit_joules_per_unit=None)
    test = replace(test, reference=reference)
    page = page_of(rendered(run_of(test)))
    (_, row) = page.one("table", class_="wide pairs").all("tr")
    assert [each.text for each in row.all("td")] == [
        "10.0 J / query",
        "12.3 J / query",
        "+23 %",
        "+21 % to +25 %",
        "+3 %",
        "fail",
    ]
    label = page.one("article").one("svg", role="img").attributes["aria-label"]
    assert label.startswith("reference: 5 rounds from 9.90 to 10.1 J; figure 10.0 J. candidate: 5")
    assert label.endswith("limit 10.3 J")


def test_energy_and_grams_by_task_stand_beside_the_study() -> None:
    page = page_of(rendered(run_of(RED)))
    (_, row) = page.one("table", class_="wide tasks").all("tr")
    cells = [each.text for each in row.all("td")]
    assert cells[:4] == ["1", "3.42", "1.03", "1.35 to 4.44"]
    picture = page.one("section", id="tasks").one("svg", role="img")
    assert picture.attributes["aria-label"].endswith(
        "text-classification (measured) 3.42 Wh, published 1.35 to 4.44 Wh"
    )
    # 300 gCO2e/kWh: 1 g for 3.33 Wh, between 1 and 10 Wh
    assert [each.text for each in picture.all("text", class_="gt")] == [
        "1",
        "10",
        "Wh / 1,000 units (above), gCO2e / 1,000 units (below)",
        "1",
    ]
    text = page.one("main").text
    assert "arXiv 2311.16863" in text
    assert "compare order, and ratios between tasks, not joules" in text


def test_figures_for_other_units_have_no_study_beside_them() -> None:
    page = page_of(rendered(run_of(replace(RED, unit="token"))))
    assert "arXiv" not in page.text


def test_estimates_and_measurements_have_shares_of_their_own() -> None:
    page = page_of(rendered(run_of(RED)))
    tables = page.all("table", class_="wide shares")
    assert [each.one("caption").text for each in tables] == ["measured", "estimated"]
    assert [each.all("td")[0].text for each in tables] == ["100 %", "100 %"]


def test_what_was_not_measured_says_why() -> None:
    record = run_of(UNMEASURED, unused_budgets=("budget 'x' is unused",), lost_tests=("t::gone",))
    page = page_of(rendered(record))
    text = page.one("section", id="unmeasured").text
    assert "an Apple GPU (MPS) was used, and no sensor reads it: test_mps" in text
    assert "budget 'x' is unused" in text
    assert "t::gone: its worker process was lost" in text
    assert page.one("article").all("svg") == []


def test_the_machine_the_instruments_and_the_carbon_factor_are_named() -> None:
    page = page_of(rendered(RECORD))
    machine = page.one("section", id="machine").text
    assert "Xeon, 2 cores" in machine
    assert "A100, power limit 400 W" in machine
    assert "300 gCO2e/kWh (--energy-carbon-intensity), year not given; location-based" in machine
    assert "NVML energy counter of A100" in page.one("section", id="shares").text
    assert "no grams are shown" in page_of(rendered(replace(RECORD, carbon=None))).text


def test_reruns_show_their_last_attempt() -> None:
    first = replace(RED, verdict="unmeasured", attempt=1)
    page = page_of(rendered(run_of(first, replace(RED, attempt=2))))
    assert page.one("h1").text == "1 of 1 measurement failed."
    assert "test_sentiment (attempt 2)" in page.one("article").one("h3").text


def test_a_run_writes_the_page_that_the_command_prints(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("2 kJ / query", task="fill-mask")
        def test_it():
            spin()

        @budget("1 nJ / query")
        def test_red():
            spin()

        def test_new_model(energy):
            energy.compare(lambda: spin(1), lambda: spin(2), max_increase="3%")
        """.replace("1 nJ", "0.001 mJ")
    )
    result = energy_pytester.run("--energy-report", "energy.html", "--energy-max-seconds", "2")
    result.stdout.fnmatch_lines(["html report: *energy.html"])
    path = energy_pytester.pytester.path / "energy.html"
    page = page_of(path.read_text(encoding="utf-8"))
    assert_is_closed(page)
    assert_is_accessible(page)
    assert page.one("h1").text.startswith("2 of 3 measurements failed")
    assert "test_red" in [each.text.split()[0] for each in page.all("h3")]
    command = [sys.executable, "-m", "pytest_energy.cli", "report", "--to", "html"]
    shown = subprocess.run(
        [*command, str(energy_pytester.record_path)], capture_output=True, text=True, check=True
    )
    assert shown.stdout == path.read_text(encoding="utf-8")


def test_without_jinja_the_run_says_what_to_install(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy_pytester.write("@budget('2 kJ / query')\ndef test_it():\n    spin()\n")
    code = (
        "import sys; sys.modules['jinja2'] = None; import pytest; "
        "sys.exit(pytest.main(['--energy-report', 'energy.html', '-p', 'no:cacheprovider']))"
    )
    result = energy_pytester.pytester.run(sys.executable, "-c", code)
    result.stderr.fnmatch_lines(['*HTML needs Jinja2: pip install "pytest-energy*'])


def test_the_page_is_a_pure_function_of_the_record() -> None:
    assert render_page(RECORD) == render_page(RECORD)
    assert TEST.id.rpartition("::")[2] in render_page(RECORD)


def test_sessions_on_several_machines_keep_their_hardware_apart() -> None:
    h100 = replace(RECORD.machine.gpus[0], name="H100", uuid="GPU-2")
    other = replace(
        run_of(GREEN),
        run=replace(RECORD.run, uuid="other"),
        machine=replace(RECORD.machine, cpu="EPYC", gpus=(h100,)),
    )
    page = page_of(rendered(merge([run_of(GREEN), other])))
    assert_is_accessible(page)
    rows = page.one("table", class_="wide tests").all("tr")[1:]
    assert [row.all("th")[0].one("span").text for row in rows] == [
        "tests/test_models.py on A100 x1 @ 400 W",
        "tests/test_models.py on H100 x1 @ 400 W",
    ]
    assert len(page.one("table", class_="wide tasks").all("tr")) == 3
    machine = page.one("section", id="machine").text
    assert "Xeon" in machine
    assert "EPYC" in machine
    assert [each.one("caption").text for each in page.all("table", class_="wide shares")] == [
        "measured, on Xeon",
        "estimated, on Xeon",
        "measured, on EPYC",
        "estimated, on EPYC",
    ]


def test_a_test_that_ended_in_an_error_says_so_once() -> None:
    raised = replace(
        UNMEASURED,
        failure="AssertionError",
        code="test-failed",
        reason="the test ended in AssertionError",
    )
    text = page_of(rendered(run_of(raised))).one("main").text
    assert "the test ended in AssertionError" in text
    assert "itself" not in text
    both = replace(RED, failure="AssertionError")
    text = page_of(rendered(run_of(both))).one("main").text
    assert f"The test itself ended in AssertionError. {RED.reason}" in text
