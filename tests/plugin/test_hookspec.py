"""Report formats and records for other plugins, through pytest as it is installed."""

from __future__ import annotations

import csv
import json

import pytest
from records import RECORD
from typer.testing import CliRunner

from conftest import EnergyPytester
from pytest_energy.cli import app
from pytest_energy.record.file import write
from pytest_energy.report.formats import names

TEST = "@budget('1 kJ / query')\ndef test_it():\n    spin(5)\n"
KNOWN = f"known: {', '.join(names())}"
FORMATS = """
def pytest_energy_report_formats(config):
    return {"ids": lambda record: " ".join(test.id for test in record.tests)}
"""


def test_a_report_is_written_in_each_format(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(TEST)
    result = energy_pytester.run(
        "--energy-report=csv:out/energy.csv", "--energy-report=text:energy.txt"
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["csv report: *energy.csv", "text report: *energy.txt"])
    folder = energy_pytester.pytester.path
    (row,) = csv.DictReader((folder / "out" / "energy.csv").read_text().splitlines())
    (test,) = energy_pytester.record()["tests"]
    assert float(row["joules_per_unit"]) == test["joules_per_unit"]
    assert row["limit"] == "1 kJ / query"
    assert "test_it.py::test_it" in (folder / "energy.txt").read_text()


def test_the_ending_of_a_path_names_the_format(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(TEST)
    options = [
        f"--energy-report={path}" for path in ("energy.json", "energy.CSV", "out/e.txt", "e.md")
    ]
    energy_pytester.run(*options).assert_outcomes(passed=1)
    folder = energy_pytester.pytester.path
    written = json.loads((folder / "energy.json").read_text())
    assert written == energy_pytester.record()
    assert (folder / "energy.CSV").read_text().startswith("id,name,")
    assert "vs limit" in (folder / "out" / "e.txt").read_text()
    assert (folder / "e.md").read_text().startswith("<!-- pytest-energy: report -->\n## Energy: ")


def test_the_command_prints_what_the_run_writes(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(TEST)
    energy_pytester.run("--energy-report=csv:energy.csv")
    printed = CliRunner().invoke(app, ["report", str(energy_pytester.record_path), "--to", "csv"])
    assert printed.output == (energy_pytester.pytester.path / "energy.csv").read_text()
    unknown = CliRunner().invoke(app, ["report", str(energy_pytester.record_path), "--to", "xls"])
    assert unknown.exit_code == 2
    assert f"unknown report format 'xls'; {KNOWN}" in " ".join(unknown.output.split())


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("xls:out", f"unknown report format 'xls'; {KNOWN}"),
        ("report", f"'report' names no format; write FORMAT:PATH, such as csv:report; {KNOWN}"),
        ("a.xls", f"'a.xls' names no format; write FORMAT:PATH, such as csv:a.xls; {KNOWN}"),
        ("csv:", "'csv:' names no file; write FORMAT:PATH"),
    ],
)
def test_a_format_that_is_unknown_ends_the_run_with_the_known_ones(
    energy_pytester: EnergyPytester, option: str, words: str
) -> None:
    energy_pytester.write(TEST)
    result = energy_pytester.run_process(f"--energy-report={option}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in result.stderr.str()


def test_a_plugin_adds_a_format(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makeconftest(FORMATS)
    energy_pytester.write(TEST)
    energy_pytester.run("--energy-report=ids:ids.out").assert_outcomes(passed=1)
    assert (energy_pytester.pytester.path / "ids.out").read_text() == "test_it.py::test_it"


def test_the_command_has_the_formats_of_plugins(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makeconftest(
        FORMATS.replace("return {", 'return {"bad": lambda record: 1 / 0, ') + "print('noise')\n"
    )
    record = energy_pytester.pytester.path / "two.json"
    write(RECORD, record)
    answers = [
        CliRunner().invoke(app, ["report", str(record), "--to", name])
        for name in ("ids", "bad", "xls")
    ]
    assert [each.exit_code for each in answers] == [0, 2, 2]
    assert answers[0].output == " ".join(each.id for each in RECORD.tests)
    assert "report format 'bad' failed: ZeroDivisionError" in answers[1].output
    assert f"{KNOWN}, bad, ids" in " ".join(answers[2].output.split())


def test_a_folder_in_which_pytest_cannot_start_has_our_formats_alone(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.pytester.makeconftest("1 / 0")
    record = energy_pytester.pytester.path / "two.json"
    write(RECORD, record)
    answer = CliRunner().invoke(app, ["report", str(record), "--to", "ids"])
    assert answer.exit_code == 2
    assert "pytest cannot start in this folder" in " ".join(answer.output.split())
    assert CliRunner().invoke(app, ["report", str(record), "--to", "csv"]).exit_code == 0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", "pytest_energy_report_formats of plugin '*conftest.py' failed: ZeroDivision*"),
        ("return ['ids']", "*returned list; expected a mapping from names to functions*"),
        ("return {'csv': str}", "*report format 'csv' is taken by pytest-energy; choose another*"),
    ],
)
def test_formats_that_cannot_be_taken_end_the_run(
    energy_pytester: EnergyPytester, code: str, words: str
) -> None:
    hook = f"def pytest_energy_report_formats(config):\n    {code}\n"
    energy_pytester.pytester.makeconftest(hook)
    energy_pytester.write(TEST)
    result = energy_pytester.run_process("--energy-report=csv:energy.csv")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{words}"])


def test_a_format_that_fails_leaves_the_verdicts(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makeconftest(
        "def pytest_energy_report_formats(config):\n    return {'bad': lambda record: 1 / 0}\n"
    )
    energy_pytester.write(TEST)
    result = energy_pytester.run("--energy-report=bad:out")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["--energy-report bad: report format 'bad' failed: ZeroDivisionError: division by zero"]
    )


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_plugin_takes_the_record_once(
    energy_pytester: EnergyPytester, workers: tuple[str, ...]
) -> None:
    energy_pytester.pytester.makeconftest(
        "def pytest_energy_record(config, record):\n"
        "    with open(config.rootpath / 'taken', 'a') as file:\n"
        "        print(len(record.tests), record.run.uuid, file=file)\n"
    )
    energy_pytester.write(TEST)
    energy_pytester.run(*workers).assert_outcomes(passed=1)
    (line,) = (energy_pytester.pytester.path / "taken").read_text().splitlines()
    assert line == f"1 {energy_pytester.record()['run']['uuid']}"


def test_a_plugin_that_fails_to_take_the_record_is_named(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makeconftest("def pytest_energy_record(record):\n    1 / 0\n")
    energy_pytester.write(TEST)
    result = energy_pytester.run()
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["pytest_energy_record of plugin '*conftest.py' failed: ZeroDivisionError: *"]
    )
