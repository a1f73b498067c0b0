"""Summaries and annotations of a job of GitHub Actions, from runs as they are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from records import RECORD, TEST, UNMEASURED

from conftest import EnergyPytester
from pytest_energy.plugin.options import is_job
from pytest_energy.record.file import read
from pytest_energy.report.annotations import error_commands
from pytest_energy.report.formats.markdown import MARKER

RED_TEST = """
@budget("1 kJ / query")
def test_pass():
    spin(1)

@budget("0.001 mJ / query")
def test_over():
    spin(5)
"""


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "step summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def errors(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("::")]


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_the_report_is_appended_to_the_summary_once(
    energy_pytester: EnergyPytester, summary: Path, workers: tuple[str, ...]
) -> None:
    summary.write_text("before", encoding="utf-8")
    energy_pytester.write(RED_TEST)
    energy_pytester.run(*workers)
    text = summary.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{MARKER}\n## Energy: 1 fail, 1 pass\n")
    assert text.count(MARKER) == 1
    assert "`test_it.py::test_over`" in text


def test_a_pipe_that_nobody_reads_is_not_waited_for(
    energy_pytester: EnergyPytester, summary: Path
) -> None:
    os.mkfifo(summary)
    energy_pytester.write("@budget('1 kJ / query')\ndef test_it():\n    spin(5)\n")
    result = energy_pytester.run_process()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["GITHUB_STEP_SUMMARY: * can't be written: *"])


def test_without_the_variable_nothing_is_written(
    energy_pytester: EnergyPytester, tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    energy_pytester.write(RED_TEST)
    result = energy_pytester.run()
    assert errors(result) == []
    assert {each.name for each in set(tmp_path.iterdir()) - before} <= {
        each.name for each in energy_pytester.pytester.path.iterdir()
    }


@pytest.mark.parametrize("options", [("--energy-disable",), ("--collect-only",), ("-k", "none")])
def test_a_run_that_measures_nothing_leaves_no_summary(
    energy_pytester: EnergyPytester, summary: Path, options: tuple[str, ...]
) -> None:
    energy_pytester.write(RED_TEST)
    energy_pytester.run(*options)
    assert not summary.exists()


@pytest.mark.parametrize("left", [20_000, 7_999, 0])
def test_a_summary_never_grows_over_what_github_takes(
    energy_pytester: EnergyPytester, summary: Path, left: int
) -> None:
    size = (1 << 20) - 1 - left
    summary.write_bytes(b"x" * size)
    energy_pytester.write(RED_TEST)
    result = energy_pytester.run()
    after = summary.stat().st_size
    if left >= 8_000:
        assert size < after <= 1 << 20
        return
    assert after == size
    result.stdout.fnmatch_lines(
        [f"GITHUB_STEP_SUMMARY: it has {size:,} bytes, and GitHub takes 1,048,576; nothing was*"]
    )


def test_a_summary_that_cannot_be_written_is_reported_and_changes_no_outcome(
    energy_pytester: EnergyPytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    energy_pytester.write("@budget('1 kJ / query')\ndef test_it():\n    spin(5)\n")
    result = energy_pytester.run()
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["GITHUB_STEP_SUMMARY: * can't be written: Is a directory"])


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_failure_is_annotated_at_its_test(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    folder = energy_pytester.pytester.path
    energy_pytester.write(RED_TEST)
    energy_pytester.pytester.run("git", "init", "-q", str(folder.parent))
    try:
        result = energy_pytester.run(*workers)
    finally:
        shutil.rmtree(folder.parent / ".git")  # other tests have their folders there
    (line,) = errors(result)
    source = (folder / "test_it.py").read_text().splitlines()
    number = source.index('@budget("0.001 mJ / query")') + 1
    head = f"::error file={folder.name}/test_it.py,line={number},title=energy%3A fail::"
    assert line.startswith(f"{head}test_it.py::test_over: ")
    assert line.endswith(f"%0AThe limit is 0.001 mJ / query from test_it.py:{number}.")
    (test,) = (each for each in energy_pytester.record()["tests"] if each["verdict"] == "fail")
    assert test["location"] == f"test_it.py:{number}"
    assert energy_pytester.record()["run"]["folder"] == folder.name


def test_what_fails_no_test_is_not_annotated(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    energy_pytester.write(RED_TEST + "\n@budget\ndef test_broken():\n    assert not spin()+1\n")
    assert errors(energy_pytester.run("--energy-fail-on=none")) == []


def test_the_plugin_that_annotates_all_failures_is_left_to_it(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A distribution of that name, installed as pytest finds plugins."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    site = tmp_path / "site"
    info = site / "pytest_github_actions_annotate_failures-0.3.0.dist-info"
    info.mkdir(parents=True)
    name = "pytest-github-actions-annotate-failures"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3.0\n")
    (info / "entry_points.txt").write_text("[pytest11]\nannotate = stand_in_annotating\n")
    (site / "stand_in_annotating.py").write_text("")
    energy_pytester.write(RED_TEST)
    assert len(errors(energy_pytester.run_process())) == 1
    monkeypatch.setenv("PYTHONPATH", str(site))
    assert errors(energy_pytester.run_process()) == []


def test_at_most_ten_are_annotated_failures_first() -> None:
    unmeasured = [replace(UNMEASURED, id=f"t.py::test_u{n}") for n in range(9)]
    failed = [replace(TEST, id=f"t.py::test_f{n}") for n in range(9)]
    found = error_commands(replace(RECORD, tests=(*unmeasured, *failed)))
    assert len(found) == 10
    assert all("title=energy%3A fail" in each for each in found[:9])
    assert "title=energy%3A unmeasured" in found[9]


def test_no_text_ends_a_command_or_begins_another() -> None:
    name = "a,b::c%0A\r\n::error::x"
    test = replace(TEST, id=f"{name}::test[{name}]", location=f"{name}.py:7", reason=f"r\n{name}")
    (line,) = error_commands(replace(RECORD, tests=(test,)))
    assert len(line.splitlines()) == 1
    properties, _, message = line.removeprefix("::error ").partition("::")
    assert [each.partition("=")[0] for each in properties.split(",")] == ["file", "line", "title"]
    assert "file=a%2Cb%3A%3Ac%250A" in properties
    assert "%0A::error" not in message
    assert "%250A" in message


@pytest.mark.parametrize(
    ("location", "folder", "expected"),
    [
        ("tests/test_a.py:12", "", "file=tests/test_a.py,line=12,"),
        ("test_a.py:12", "packages/ml", "file=packages/ml/test_a.py,line=12,"),
        ("../test_a.py:12", "packages", "file=test_a.py,line=12,"),
        ("../test_a.py:12", "", "title="),
        ("/tmp/test_a.py:12", "", "title="),
        ("test_a.py", "", "file=test_a.py,title="),
        ("", "", "file=tests/test_models.py,title="),
    ],
)
def test_files_are_named_from_the_top_of_the_repository(
    location: str, folder: str, expected: str
) -> None:
    record = replace(
        RECORD,
        tests=(replace(TEST, location=location),),
        run=replace(RECORD.run, folder=folder),
    )
    (line,) = error_commands(record)
    assert line.startswith(f"::error {expected}")


def test_a_run_that_measures_for_a_comparison_is_no_job_of_its_own() -> None:
    job = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "summary.md"}
    assert is_job(job)
    assert not is_job({**job, "PYTEST_ENERGY_COMPARE_FOLDER": "/tmp/x"})
    assert not is_job({"GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""})


def test_the_action_runs_pytest_with_an_argument_a_line(
    energy_pytester: EnergyPytester, tmp_path: Path
) -> None:
    """Its one script, as the runner would start it."""
    action = (Path(__file__).parents[2] / "action.yml").read_text(encoding="utf-8")
    script = textwrap.dedent(action.partition("run: |\n")[2].partition("    - if:")[0])
    energy_pytester.write(RED_TEST)
    (tmp_path / "temp").mkdir()
    result = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=energy_pytester.pytester.path,
        env={
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "ARGUMENTS": "test_it.py\n\n--energy-max-seconds=0.2\n--energy-lock-folder=locks\n"
            "--energy-carbon-intensity=300 gCO2e/kWh\n",
            "RUNNER_TEMP": str(tmp_path / "temp"),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1, result.stderr
    record = read(tmp_path / "temp" / "energy.json")
    assert (tmp_path / "output").read_text() == f"record={tmp_path / 'temp' / 'energy.json'}\n"
    assert record.carbon is not None and record.carbon.grams_per_kwh == 300
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("<!-- pytest-energy")
