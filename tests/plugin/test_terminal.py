"""What a run shows on its terminal: the table, one line with -q, how far a long test is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from conftest import EnergyPytester
from pytest_energy.measurement.meter import Window
from pytest_energy.measurement.protocol import Round
from pytest_energy.plugin.progress import ProgressLine
from pytest_energy.sensors import clock

TESTS = """
@budget("0.001 mJ / query")
def test_over():
    spin(5)

@budget("1 kJ / query")
def test_pass():
    spin(1)

@budget
def test_new():
    spin(1)
"""


def energy_lines(result: pytest.RunResult) -> list[str]:
    """Lines about energy, without the failures of tests."""
    lines = [each for each in result.stdout.lines if "energy" in each]
    return [each for each in lines if "mJ / query is over" not in each]


@pytest.mark.parametrize("option", ["-q", "-qq"])
def test_a_quiet_run_has_one_line(energy_pytester: EnergyPytester, option: str) -> None:
    energy_pytester.write(TESTS)
    result = energy_pytester.run(option, "--energy-report=energy.csv")
    assert energy_lines(result) == ["energy: 1 of 3 measurements failed."]
    assert "mJ/unit" not in result.stdout.str()


def test_a_quiet_run_reports_what_no_test_used(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write("@budget(id='known')\ndef test_known():\n    spin(1)\n")
    entry = '[[budget]]\nid = "{}"\nmax = "1 kJ / query"\n'
    energy_pytester.pytester.path.joinpath("energy-budgets.toml").write_text(
        "schema = 1\n" + entry.format("known") + entry.format("gone")
    )
    result = energy_pytester.run("-q")
    assert energy_lines(result) == [
        "energy: Passed: 1 measurement is within its limit. 1 limit or baseline is used by no test."
    ]


def test_a_quiet_run_says_that_nothing_was_measured(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(TESTS)
    result = energy_pytester.run("-q", "--energy-disable")
    assert energy_lines(result) == ["energy: --energy-disable: 3 tests ran once, unmeasured"]


def test_what_could_not_be_written_is_reported_in_a_quiet_run_too(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(TESTS)
    energy_pytester.pytester.path.joinpath("taken").mkdir()
    result = energy_pytester.run("-q", "--energy-report=csv:taken")
    assert any("--energy-report csv: " in each for each in energy_lines(result))


def test_the_page_is_an_address(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(TESTS)
    result = energy_pytester.run("--energy-report=a page.html")
    page = energy_pytester.pytester.path / "a page.html"
    result.stdout.fnmatch_lines([f"html report: {page.as_uri()}"])
    assert "a%20page" in page.as_uri()


class Terminal:
    """pytest's terminal reporter, as far as the line asks for it."""

    isatty = True

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self._tw = SimpleNamespace(fullwidth=200, write=lambda text, flush: self.stream.write(text))

    def ensure_newline(self) -> None:
        pass

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().split("\r\x1b[K")[1:]


def rounds(warm: int, measured: int) -> Sequence[Round]:
    window = Window(seconds=1.0, readings={}, cpu_seconds=1.0)
    return [Round(window, 1, {"query": 1.0}, index < warm) for index in range(warm + measured)]


def test_a_long_measurement_shows_the_time_that_its_limits_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(clock, "now", lambda: now)
    terminal = Terminal()
    capture = SimpleNamespace(global_and_fixture_disabled=nullcontext)
    line = ProgressLine(terminal, capture, "t.py::test", 20, 60.0)
    for now, (warm, measured) in {  # noqa: B007  (read by the clock)
        1.0: (1, 0),  # nothing is shown before two seconds have passed
        4.0: (2, 0),
        5.0: (2, 1),
        8.0: (2, 4),
        24.0: (2, 5),  # four seconds a round: fifteen more end with the time limit
        61.0: (2, 6),
    }.items():
        expected = "after {}" if measured == 5 else ""
        line(rounds(warm, measured), expected.format)
    assert terminal.lines == [
        "energy: 4 s, warm-up, 56 s left at most, t.py::test",
        "energy: 5 s, round 1 of at most 20, 19 s left at most, t.py::test",
        "energy: 8 s, round 4 of at most 20, 16 s left at most, t.py::test",
        # Nine more rounds of four seconds fit into the time that is left.
        "energy: after 14, 24 s, round 5 of at most 20, 36 s left at most, t.py::test",
        "energy: 61 s, round 6 of at most 20, 0 s left at most, t.py::test",
    ]
