"""The table, at the widths that terminals have, and the command that prints it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from records import NEW, RECORD, TEST, UNMEASURED, budget_record
from typer.testing import CliRunner

from conftest import EnergyPytester
from pytest_energy.cli import app
from pytest_energy.record.file import write
from pytest_energy.record.schema import Explanation, GpuStateRecord, ReferenceRecord
from pytest_energy.report.details import details
from pytest_energy.report.equivalents import adds_up
from pytest_energy.report.terminal import render

#: What every reader must find, whatever the width.
FACTS = ["12.3", "12.1 to 12.6", "7.56", "+63 %", "measured", "fail", "text-classification", "1.03"]
FACTS += [
    "tests/test_models.py:12",
    "gpu:0 12.3 J measured; not gated: cpu:process 0.0800 J estimated",
]


@pytest.mark.parametrize("width", [80, 100, 132, 200])
def test_every_fact_stands_in_the_table(width: int) -> None:
    text = render(RECORD, width, colour=False)
    flat = " ".join(text.split())
    for fact in [*FACTS, TEST.id, "carbon: 300 gCO2e/kWh (--energy-carbon-intensity)"]:
        assert fact in flat, fact
    assert "test_mps: an Apple GPU (MPS) was used, and no sensor reads it" in flat
    assert "test_new (attempt 2) (per token)" in flat


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_width_breaks_a_figure_or_a_word(width: int) -> None:
    wide = render(RECORD, 200, colour=False)
    lines = render(RECORD, width, colour=False).splitlines()
    for whole in ("unmeasured", "vs limit", "calls", "+63 %", "12.1 to 12.6", "gCO2e/1000"):
        assert whole in wide
        assert any(whole in line for line in lines), whole


@pytest.mark.parametrize("width", [60, 80, 100, 132])
def test_no_line_is_wider_than_the_terminal_but_those_to_paste(width: int) -> None:
    for line in render(RECORD, width, colour=False).splitlines():
        assert len(line) <= width or line.startswith("    @pytest.mark."), line


def test_lines_to_paste_are_never_broken() -> None:
    assert f"\n{NEW.notes[0].splitlines()[1]}\n" in render(RECORD, 60, colour=False)


def test_grams_have_a_column_only_with_an_intensity() -> None:
    assert "gCO2e" not in render(replace(RECORD, carbon=None), 80, colour=False)


def test_colour_is_only_used_where_asked() -> None:
    assert "\x1b[" in render(RECORD, 80, colour=True)
    assert "\x1b[" not in render(RECORD, 80, colour=False)


def test_names_in_brackets_are_printed_as_they_are() -> None:
    test = replace(TEST, id="test_it.py::test_it[bold][/red]", notes=("[red]note[/red]",))
    text = render(replace(RECORD, tests=(test,)), 80, colour=False)
    assert "test_it.py::test_it[bold][/red]" in text
    assert "[red]note[/red]" in text


@pytest.mark.parametrize("name", ["[/red]", "[link=file:///x]y[/link]", "[bold]", ":smile:"])
@pytest.mark.parametrize("width", [80, 200])
def test_nothing_from_outside_is_markup(name: str, width: int) -> None:
    assert TEST.budget is not None
    test = replace(TEST, id=f"t::{name}", task=name, budget=replace(TEST.budget, origin=name))
    text = render(replace(RECORD, tests=(test,)), width, colour=False)
    assert text.count(name) >= 3, text


def test_show_prints_the_table_that_the_run_printed(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("2 kJ / query")
        def test_it():
            spin()

        @budget
        def test_new():
            spin()
        """
    )
    printed = energy_pytester.run().stdout.str().partition(" energy =")[2]
    shown = CliRunner().invoke(
        app, ["show", str(energy_pytester.record_path)], env={"COLUMNS": "80"}
    )
    assert shown.exit_code == 0
    table = printed.partition("\n")[2].partition("run record: ")[0]
    assert shown.stdout.rstrip() == table.rstrip()


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), ("{", "not JSON"), ('{"schema": 9}', "schema 9")]
)
def test_show_refuses_a_file_that_is_not_a_record(
    tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "record.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    result = CliRunner().invoke(app, ["show", str(path)])
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_show_is_a_command_of_its_own(tmp_path: Path) -> None:
    write(RECORD, tmp_path / "record.json")
    result = CliRunner().invoke(app, [])
    assert "show" in result.output


def test_what_a_figure_and_its_limit_add_up_to() -> None:
    lines = adds_up(RECORD, 300)
    assert all(len(line) <= 80 for line in adds_up(RECORD, 80))
    # 12.312 J are 3.42 Wh for 1,000, and a phone charge is 22 Wh
    assert lines[0] == (
        "test_sentiment[distilbert]: 0.155 phone charges per 1,000 queries; "
        "its limit: 0.0955 phone charges per 1,000 queries; "
        "1,000,000 queries a day: 3.42 kWh a day, 1,250 kWh a year"
    )
    assert lines[1].startswith("test_new: 0.155 phone charges per 1,000 tokens")
    assert "0.022 kWh" in lines[-1]
    assert "EPA" in lines[-1]
    assert adds_up(replace(RECORD, tests=(UNMEASURED,)), 80) == []


def test_only_a_record_shown_verbosely_has_equivalents(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write("@budget('2 kJ / query')\ndef test_it():\n    spin()\n")
    energy_pytester.run("-v").stdout.no_fnmatch_line("*phone charges*")
    path = str(energy_pytester.record_path)
    shown = " ".join(CliRunner().invoke(app, ["show", "-v", path]).output.split())
    assert "phone charges per 1,000,000 queries; its limit: " in shown
    assert "phone charges" not in CliRunner().invoke(app, ["show", path]).output


def test_a_note_that_holds_for_several_tests_is_printed_once_with_their_number() -> None:
    tests = [replace(TEST, id=f"test_a.py::test_{n}", notes=("the same", n)) for n in "abc"]
    lines = render(replace(RECORD, tests=tuple(tests)), 200, colour=False).splitlines()
    notes = [line for line in lines if line.endswith((": the same", ": a", ": b", ": c"))]
    assert notes == ["3 tests: the same", "test_a: a", "test_b: b", "test_c: c"]


def test_notes_that_differ_in_figures_alone_are_one_line_with_an_example() -> None:
    def shown(*figures: str) -> list[str]:
        tests = [
            replace(
                TEST, id=f"t.py::test_{n}", notes=(f"others used {each} cores", f"{each}\n    x")
            )
            for n, each in enumerate(figures)
        ]
        lines = render(replace(RECORD, tests=tuple(tests)), 200, colour=False).splitlines()
        return [line for line in lines if "others used" in line]

    assert shown("1.8", "0.25", "1,000") == ["3 tests, such as test_0: others used 1.8 cores"]
    reasons = [
        replace(UNMEASURED, id=f"t.py::test_{n}", reason=f"no counter within {n} s")
        for n in range(5)
    ]
    text = render(replace(RECORD, tests=tuple(reasons)), 200, colour=False)
    assert text.count(": no counter within") == 5
    assert shown("1.8", "0.25") == [
        "test_0: others used 1.8 cores",
        "test_1: others used 0.25 cores",
    ]


def test_a_reason_that_stands_in_failures_is_no_note_but_for_other_tests() -> None:
    again = replace(UNMEASURED, id="tests/test_models.py::test_again")
    record = replace(RECORD, tests=(UNMEASURED, again))
    shown = {(UNMEASURED.id, UNMEASURED.reason)}
    lines = render(record, 200, colour=False, in_failures=shown).splitlines()
    assert [each for each in lines if UNMEASURED.reason in each] == [
        f"test_again: {UNMEASURED.reason}"
    ]


COMPARED = replace(
    TEST,
    budget=None,
    limit_joules_per_unit=None,
    fraction_of_limit=1.4466,
    code="over-reference",
    reference=ReferenceRecord(
        name="old",
        joules_per_unit=8.263,
        cpu_seconds_per_unit=0.01,
        ratio=1.49,
        interval=None,
        max_increase=0.03,
    ),
)


def test_a_comparison_shows_the_change_against_its_reference_under_that_head() -> None:
    text = render(replace(RECORD, tests=(COMPARED,)), 200, colour=False)
    assert "vs reference" in text
    assert "+49 %" in text
    assert "vs limit" not in text
    assert "+45 %" not in text  # over what the reference allows, which no sentence says
    assert "vs reference" not in render(RECORD, 200, colour=False)


def test_a_limit_and_a_reference_have_a_column_each() -> None:
    both = replace(COMPARED, budget=TEST.budget, limit_joules_per_unit=7.56, fraction_of_limit=1.63)
    text = render(replace(RECORD, tests=(both,)), 200, colour=False)
    for words in ("vs limit", "+63 %", "vs reference", "+49 %"):
        assert words in text, words


def test_what_to_do_stands_once_for_each_reason_of_a_run() -> None:
    over = replace(TEST, code="over-limit")
    tests = (
        over,
        replace(over, id="t.py::test_other"),
        UNMEASURED,
        replace(over, id="t.py::test_slower", code="over-baseline"),
        COMPARED,
        replace(over, id="t.py::test_close", verdict="close", code="close-to-limit"),
        replace(UNMEASURED, id="t.py::test_raises", code="test-failed"),
    )
    lines = render(replace(RECORD, tests=tests), 300, colour=False).splitlines()
    steps = lines[-4:]
    assert steps[0] == (
        "over the limit (2 tests): Find what costs more, or raise the limit if it is worth it."
    )
    assert steps[1].startswith("unmeasured (test_mps): Run pytest-energy doctor")
    assert steps[2].startswith("over the baseline (test_slower): Find the change")
    assert steps[3].startswith("over the reference (test_sentiment[distilbert]): Find what costs")
    assert not any(": Find" in line or ": Run" in line for line in lines[:-4])


def test_a_figure_and_its_limit_are_shown_on_one_scale() -> None:
    test = replace(TEST, joules_per_unit=0.008, limit_joules_per_unit=100.0)
    (line, _) = adds_up(replace(RECORD, tests=(test,)), 300)
    assert line.count("phone charges per 1,000,000 queries") == 2


def test_a_figure_that_adds_up_to_nothing_has_no_equivalents() -> None:
    assert adds_up(replace(RECORD, tests=(replace(TEST, joules_per_unit=1e-6),)), 300) == []
    little = replace(TEST, limit_joules_per_unit=1e-6)
    (line, _) = adds_up(replace(RECORD, tests=(little,)), 300)
    assert "its limit: less than 0.01 phone charges per 1,000,000 queries" in line


def test_a_limit_in_cpu_time_is_shown_by_its_values() -> None:
    budget = budget_record("0.5 cpu-s / 10 queries", "test_it.py:4")
    test = replace(TEST, method="cpu-time", limit_joules_per_unit=None, budget=budget)
    assert "50.0 cpu-ms" in render(replace(RECORD, tests=(test,)), 200, colour=False)
    other = replace(test, budget=replace(budget, symbol="cpu-hours"))  # of a later version
    assert "0.5 cpu-s / 10 queries" in render(replace(RECORD, tests=(other,)), 200, colour=False)


def test_a_limit_in_carbon_is_distinguished_from_one_in_energy() -> None:
    limit = budget_record("0.5 gCO2e / query", "test_it.py:4")
    text = render(replace(RECORD, tests=(TEST, replace(TEST, budget=limit))), 80, colour=False)
    assert text.count(f"{TEST.id} (carbon limit)") == 1


EXPLAINED = replace(
    TEST,
    explanation=Explanation(
        seconds=1.1,
        units={"query": 10.0, "token": 4096.0},
        units_per_second=25.0,
        mean_watts=307.8,
        net_joules_per_unit=10.0,
        involuntary_switches_per_unit=0.1,
        gpus_before=(
            GpuStateRecord(channel="gpu:0", celsius=41, megahertz=1410, power_limit_watts=400.0),
        ),
        gpus_after=(
            GpuStateRecord(
                channel="gpu:0",
                celsius=62,
                megahertz=None,
                power_limit_watts=400.0,
                throttled=("power cap",),
            ),
        ),
    ),
)


def test_an_accuracy_that_several_figures_have_is_printed_once() -> None:
    estimated = replace(EXPLAINED, id="t.py::test_estimated", method="estimated")
    other = replace(EXPLAINED, id="t.py::test_other")
    lines = details(replace(RECORD, tests=(EXPLAINED, estimated, other)), 300)
    found = [line for line in lines if "absolute accuracy" in line]
    assert [line.partition(" (")[0] for line in found] == [
        "  absolute accuracy: unknown",
        "2 figures: absolute accuracy: about 5 %",
    ]
    assert lines[-1] == found[-1]


def test_what_makes_a_figure_and_how_sure_it_is() -> None:
    assert details(replace(RECORD, tests=(EXPLAINED, UNMEASURED)), 120) == [
        f"{TEST.id} (per query)",
        "  time and power: 40.0 ms a query at 308 W",
        "  repeatability: 12.1 to 12.6 J, the interval of the centre of these rounds",
        "  absolute accuracy: about 5 % (the gain of the counter, the same in every run on this "
        "hardware)",
        "  gross: 12.3 J (judged); net of idle power: 10.0 J",
        "  counted: 10 queries, 4,096 tokens in 1.10 s",
        "  gpu:0: 41 -> 62 C, 1410 -> ? MHz, 400 -> 400 W limit, throttled: power cap",
        "  involuntary context switches: 0.100 a query",
    ]
    narrow = details(replace(RECORD, tests=(EXPLAINED,)), 60)
    assert all(len(line) <= 60 for line in narrow)
