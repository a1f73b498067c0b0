"""What `pytest-energy compare` prints: the terminal at its widths, Markdown and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import RECORD, TEST
from typer.testing import CliRunner, Result

from pytest_energy.cli import app
from pytest_energy.compare.outcome import Compared, ComparisonRecord, Outcome, Quantity, Side
from pytest_energy.compare.report import json_of, markdown_of, render_comparison
from pytest_energy.record.file import write

REGRESSED = Compared(
    id="tests/test_models.py::test_sentiment[distilbert|it's `quoted`]",
    name="decode",
    outcome=Outcome.REGRESSED,
    reason="12.3 J / query is 12 % over the reference's 11.0 J / query",
    unit="query",
    scope="gpu",
    method="integrated",
    channels=("gpu:0",),
    pairs=((10.98, 12.312),) * 13,
    reference=10.98,
    candidate=12.312,
    ratio=1.1213,
    interval=(1.1011, 1.1419),
    threshold=0.03,
)
WITHIN = replace(
    REGRESSED,
    id="tests/test_models.py::test_tokens",
    name=None,
    unit="token",
    method="cpu-time",
    quantity=Quantity.CPU_SECONDS,
    outcome=Outcome.WITHIN,
    reference=0.031,
    candidate=0.031,
    ratio=1.0,
)
LOST = Compared(
    id="tests/test_models.py::test_lost",
    name=None,
    outcome=Outcome.INCOMPARABLE,
    reason="it was *lost*",
)
FOUND = ComparisonRecord(
    reference=Side("main", "0123456789abcdef"),
    candidate=Side("your tree", "fedcba9876543210", "with uncommitted changes"),
    max_increase=0.03,
    tests=(REGRESSED, WITHIN, LOST),
    notes=("only the candidate has tests/test_models.py::test_new (measured on gpu:0)",),
)
FACTS = [
    "reference (J)",
    "candidate (J)",
    "11.0 12.3 1.121",
    "1.101 to 1.142",
    "13",
    "integrated",
    "regressed",
]
FACTS += ["31.0 cpu-ms", "(per token)", "within", "incomparable", "main, commit 012345678"]
FACTS += [REGRESSED.reason, FOUND.notes[0], "your tree, commit fedcba987, with uncommitted changes"]


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_every_fact_fits_the_terminal(width: int) -> None:
    text = render_comparison(FOUND, width, colour=False)
    assert all(len(line) <= width for line in text.splitlines())
    assert text.endswith("regressed: 1 of 3 figures\n")
    flat = " ".join(text.split())
    for fact in FACTS if width >= 80 else ["regressed: 1 of 3"]:
        assert fact in flat, fact
    if width >= 80:
        assert f"{REGRESSED.id} decode: {REGRESSED.reason}" in flat


def test_a_result_within_the_allowed_increase_needs_no_sentence() -> None:
    text = render_comparison(FOUND, 200, colour=False)
    assert text.count(WITHIN.id) == 1
    assert text.count(LOST.id) == 2


def test_figures_of_energy_share_one_unit_and_cpu_time_has_its_own() -> None:
    small = replace(REGRESSED, id="test_it.py::test_small", reference=0.5, candidate=0.6)
    mixed = replace(FOUND, tests=(small, REGRESSED, WITHIN))
    text = " ".join(render_comparison(mixed, 200, colour=False).split())
    for part in ("reference (mJ) candidate (mJ)", "500 600", "11000 12300", "31.0 cpu-ms"):
        assert part in text
    assert "(J)" not in render_comparison(replace(FOUND, tests=(WITHIN,)), 200, colour=False)


def test_colour_is_only_used_where_asked() -> None:
    assert "\x1b[" in render_comparison(FOUND, 80, colour=True)
    assert "\x1b[" not in render_comparison(FOUND, 80, colour=False)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (replace(FOUND, tests=(WITHIN,)), "within 3 %: 1 figure"),
        (
            replace(FOUND, tests=(WITHIN, replace(WITHIN, outcome=Outcome.IMPROVED))),
            "within 3 %: 2 figures, 1 of them improved",
        ),
        (replace(FOUND, tests=(WITHIN, LOST)), "could not compare: 1 within, 1 incomparable"),
        (replace(FOUND, tests=()), "could not compare: no test was measured on both sides"),
        (replace(FOUND, tests=(), problem="it broke"), "could not compare: it broke"),
    ],
)
def test_the_conclusion_agrees_with_the_exit_status(found: ComparisonRecord, words: str) -> None:
    assert render_comparison(found, 80, colour=False).splitlines()[-1] == words
    assert f"**Energy: {words}**" in markdown_of(found)
    plain = json.loads(json_of(found))
    assert (plain["conclusion"], plain["exit_status"]) == (words, found.exit_status)


def test_markdown_is_a_table_that_github_reads() -> None:
    lines = markdown_of(FOUND).splitlines()
    assert lines[0] == "**Energy: regressed: 1 of 3 figures**"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(FOUND.tests)
    cells = [line.replace(r"\|", "").count("|") for line in table]
    assert len(set(cells)) == 1
    assert (
        r"| ``tests/test_models.py::test_sentiment[distilbert\|it's `quoted`] decode`` |"
        in (table[2])
    )
    assert table[2].endswith("| **regressed** |")
    assert "- `tests/test_models.py::test_lost`: it was &#42;lost&#42;" in lines


@given(st.text(), st.text())
def test_markdown_holds_any_name_in_its_line(test_id: str, reason: str) -> None:
    usual = markdown_of(replace(FOUND, tests=(LOST,)))
    strange = markdown_of(replace(FOUND, tests=(replace(LOST, id=test_id, reason=reason),)))
    assert len(strange.splitlines()) == len(usual.splitlines())


@given(st.floats(min_value=1e-12, max_value=1e12))
def test_json_is_versioned_and_at_full_precision(joules: float) -> None:
    found = replace(FOUND, tests=(replace(REGRESSED, pairs=((joules, 1 / joules),)), LOST))
    plain = json.loads(json_of(found))
    assert plain["schema"] == 1
    assert plain["tests"][0]["pairs"] == [[joules, 1 / joules]]
    assert plain["tests"][0]["quantity"] == "joules"
    assert plain["tests"][1]["ratio"] is None
    assert plain["max_increase"] == 0.03


# -- the command on two records -------------------------------------------------------------------


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments], env={"COLUMNS": "80"})


def written(name: str, ratio: float) -> str:
    """A record with a figure so many times that of the usual one."""
    rounds = tuple(replace(TEST.rounds[1], joules=120.0 * ratio) for _ in range(5))
    test = replace(TEST, joules_per_unit=12.0 * ratio, rounds=rounds)
    path = Path(name)
    write(replace(RECORD, run=replace(RECORD.run, uuid=name), tests=(test,)), path)
    return name


@pytest.mark.parametrize(
    ("ratio", "status", "words"),
    [
        (1.0, 0, "within 8.5 %: 1 figure"),
        (0.5, 0, "1 of them improved"),
        (1.3, 1, "regressed: 1 of 1 figure"),
    ],
)
def test_two_records(ratio: float, status: int, words: str) -> None:
    result = run(written("old.json", 1.0), written("new.json", ratio))
    assert result.exit_code == status
    assert words in result.output
    assert "reference: old.json\ncandidate: new.json\n" in result.output
    assert f"{ratio:.3f}" in result.output


def test_the_outputs_go_where_they_are_asked_to(folder: Path) -> None:
    records = written("old.json", 1.0), written("new.json", 1.3)
    result = run(*records, "--json", "out/a.json", "--markdown", "out/b.md")
    assert result.exit_code == 1
    assert json.loads(Path("out/a.json").read_bytes())["exit_status"] == 1
    assert Path("out/b.md").read_text(encoding="utf-8").startswith("**Energy: regressed")
    result = run(*records, "--markdown", "-")
    assert result.stdout == Path("out/b.md").read_text(encoding="utf-8")
    assert "regressed: 1 of 1 figure" in result.stderr
    result = run(*records, "--json", "-")
    assert json.loads(result.stdout)["tests"][0]["ratio"] == pytest.approx(1.3)
    assert run(*records, "--json", "-", "--markdown", "-").exit_code == 2
    for path in ("out/a.json", "out/b.md"):
        assert str(folder) not in Path(path).read_text(encoding="utf-8")


def test_an_impossible_comparison_exits_with_2_and_is_written_too(folder: Path) -> None:
    old = written("old.json", 1.0)
    for other in ("missing.json", old):
        result = run(old, other, "--json", "a.json", "--markdown", "b.md")
        assert result.exit_code == 2
        assert json.loads(Path("a.json").read_bytes())["problem"]
        assert "could not compare" in Path("b.md").read_text(encoding="utf-8")
    assert "missing.json" in run(old, str(folder / "missing.json")).stderr
    assert run(old).exit_code == 2
    assert run(old, "--variant", "a:b").exit_code == 2
    assert run(old, written("new.json", 1.0), "--json", str(folder)).exit_code == 2


def test_an_internal_error_is_not_reported_as_a_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise ZeroDivisionError

    records = written("old.json", 1.0), written("new.json", 1.0)
    monkeypatch.setattr("pytest_energy.compare.report.render_comparison", broken)
    assert run(*records).exit_code == 2


def test_nothing_is_infinite_in_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_of(replace(FOUND, max_increase=math.inf))
