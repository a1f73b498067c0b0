"""`pytest-energy compare --html`: old and new side by side in one closed, accessible page."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from compared_records import measured, run_of
from pages import Element, assert_is_accessible, assert_is_closed, page_of
from test_compare_report import FOUND, LOST, REGRESSED, WITHIN
from typer.testing import CliRunner

from pytest_energy.cli import app
from pytest_energy.compare.html import html_of
from pytest_energy.compare.outcome import Compared, ComparisonRecord, Outcome, Side
from pytest_energy.record.file import write


def page(found: ComparisonRecord) -> Element:
    made = page_of(html_of(found))
    assert_is_closed(made)
    assert_is_accessible(made)
    return made


def test_old_and_new_stand_side_by_side_the_regressed_first() -> None:
    found = page(replace(FOUND, tests=(WITHIN, LOST, REGRESSED)))
    assert found.one("h1").text == "Regressed: 1 of 3 figures."
    assert found.one("h1").attributes["class"] == "bad"
    rows = [
        [each.text for each in row.all("td")]
        for row in found.one("table", class_="wide pairs").all("tr")[1:]
    ]
    assert rows[0] == [
        "11.0 J / query",
        "12.3 J / query",
        "+12 %",
        "+10 % to +14 %",
        "+3 %",
        "regressed",
    ]
    assert rows[1] == ["-", "-", "-", "-", "-", "incomparable"]
    assert rows[2][0] == "31.0 cpu-ms / token"
    assert [each.all("p")[0].text for each in found.all("article")] == [
        REGRESSED.reason,
        LOST.reason,
    ]
    assert "main, commit 012345678" in found.one("header").text
    assert FOUND.notes[0] in found.one("main").text


def test_each_pair_of_runs_has_its_dots() -> None:
    (figure, _) = page(FOUND).all("figure")
    picture = figure.one("svg", role="img")
    assert picture.attributes["aria-label"].startswith(
        "reference: 13 runs from 11.0 to 11.0 J; figure 11.0 J. candidate: 13 runs from 12.3"
    )
    assert picture.attributes["aria-label"].endswith("limit 11.3 J")
    assert [each.attributes["d"].count("M") for each in picture.all("path", class_="r")] == [13, 13]


@pytest.mark.parametrize(
    ("tests", "tone"),
    [((WITHIN,), "good"), ((), "warn"), ((replace(WITHIN, outcome=Outcome.INCONCLUSIVE),), "warn")],
)
def test_only_what_is_within_is_green(tests: tuple[Compared, ...], tone: str) -> None:
    found = page(replace(FOUND, tests=tests, problem="" if tests else "a run was lost"))
    assert found.one("h1").attributes["class"] == tone


def test_texts_from_outside_stay_texts() -> None:
    name = "</style><script>alert(1)</script>\x1b[31m"
    hostile = replace(REGRESSED, id=name, name=name, unit=name, reason=name, method=name)
    side = Side(name, name, name)
    found = page(replace(FOUND, tests=(hostile,), reference=side, candidate=side, notes=(name,)))
    assert "<script>" in found.one("h3").text


def test_the_command_writes_the_page_of_two_records(tmp_path: Path) -> None:
    old, new, out = (tmp_path / each for each in ("old.json", "new.json", "out/diff.html"))
    write(run_of(measured(10.0)), old)
    later = run_of(measured(15.0))
    write(replace(later, run=replace(later.run, uuid="later")), new)
    result = CliRunner().invoke(app, ["compare", str(old), str(new), "--html", str(out)])
    assert result.exit_code == 1, result.output
    made = page_of(out.read_text(encoding="utf-8"))
    assert made.one("h1").text == "Regressed: 1 of 1 figure."
    assert made.all("figure") == []  # two centres are no picture


def test_without_jinja_nothing_is_run(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['jinja2'] = None; from pytest_energy.cli import app; "
        "app(['compare', '--base', 'main', '--html', 'x.html', '--', 'tests'])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert answer.returncode == 2
    assert 'HTML needs Jinja2: pip install "pytest-energy[report]"' in answer.stderr
