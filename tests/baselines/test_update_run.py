"""Storing baselines through pytest: what a run writes, on CI, under xdist, and what it leaves."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from baseline_project import FIVE, BaselineProject, output
from gpu_bench import LIGHT

from pytest_energy.compare import inside

pytestmark = pytest.mark.realtime


def test_new_add_and_reset_store_sessions_as_named(baseline_project: BaselineProject) -> None:
    baseline_project.with_baseline()
    baseline_project.to_yesterday()
    before = baseline_project.text()
    unchanged = output(baseline_project.it(2, "--energy-update=new"))
    assert "1 test has a baseline already: add appends this session, reset starts" in unchanged
    assert "written: nothing" in unchanged
    assert baseline_project.text() == before
    added = output(baseline_project.it(2, "--energy-update=add"))
    assert re.search(r"test_it: [\d.]+ mJ -> [\d.]+ mJ / query.* \(.* %\), 1 -> 2 ses", added)
    assert baseline_project.text().startswith(before)
    assert len(baseline_project.stored()) == 2
    again = output(baseline_project.it(2, "--energy-update=add"))
    assert "2 -> 2 sessions; it replaces the session of that day on the same hardware" in again
    reset = output(baseline_project.it(4, "--energy-update=reset"))
    assert re.search(r"test_it: .* -> .* \(\+.* %\), 2 -> 1 session", reset)
    result = baseline_project.quick(4, "--energy-update=all")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --energy-update: 'all' is not known; write new*"])


def test_a_line_holds_no_host_and_all_that_was_measured(baseline_project: BaselineProject) -> None:
    import socket

    baseline_project.it(2, "--energy-update=new", marker='(labels={"dtype": "fp32"})')
    (line,) = baseline_project.stored()
    assert socket.gethostname() not in json.dumps(line)
    rounds = [each for each in baseline_project.test()["rounds"] if not each["warmup"]]
    counted = [each["undisturbed_cpu_seconds_per_unit"] for each in rounds]
    counted = [seconds for seconds in counted if seconds is not None][:5]
    counted = counted or [each["cpu_seconds"] / each["units"] for each in rounds][:5]
    assert line["rounds"] == pytest.approx([4.0 * seconds for seconds in counted])
    assert line["estimate"] == "4 W a core"
    assert line["labels"] == {"dtype": "fp32"}
    assert (line["scope"], line["method"], line["unit"]) == ("cpu", "estimated", "query")
    machine = baseline_project.bench.record()["machine"]
    assert line["hardware"] == f"{machine['cpu']}, {machine['cpu_count']} cores"
    assert line["versions"] == baseline_project.bench.record()["run"]["versions"]


def test_a_session_is_a_diff_of_one_line_a_test(baseline_project: BaselineProject) -> None:
    def git(*command: str) -> str:
        options = ["-c", "user.name=a", "-c", "user.email=a@b"]
        answer = subprocess.run(
            ["git", *options, *command],
            cwd=baseline_project.bench.pytester.path,
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout

    baseline_project.bench.write(
        "@budget\ndef test_a():\n    spin()\n@budget\ndef test_b():\n    spin()\n"
    )
    baseline_project.run("--energy-update=new")
    baseline_project.to_yesterday()
    git("init", "-q")
    git("add", "energy-baselines")
    git("commit", "-qm", "baselines")
    baseline_project.run("--energy-update=add")
    assert git("diff", "--numstat").split()[:2] == ["2", "0"]
    commit = git("rev-parse", "HEAD").strip()
    assert [each["commit"] for each in baseline_project.stored()] == [None, commit, None, commit]


@pytest.mark.parametrize(
    ("where", "written"), [("typed", True), ("ini", False), ("environment", False)]
)
def test_on_ci_only_the_command_line_itself_writes(
    baseline_project: BaselineProject, monkeypatch: pytest.MonkeyPatch, where: str, written: bool
) -> None:
    monkeypatch.setenv("CI", "true")
    option = "--energy-update=new"
    if where == "ini":
        baseline_project.bench.pytester.makeini(f"[pytest]\naddopts = {option}\n")
    if where == "environment":
        monkeypatch.setenv("PYTEST_ADDOPTS", option)
    typed = [option] if where == "typed" else []
    run = baseline_project.it if written else baseline_project.quick
    result = run(2, *typed, marker='(max_increase="5 %")')
    result.assert_outcomes(failed=int(not written), passed=int(written))
    assert baseline_project.folder.exists() == written
    if not written:
        assert "--energy-update: on CI (the variable CI is set) baselines are" in output(result)


@pytest.mark.parametrize("option", ["--energy-disable", "--collect-only"])
def test_an_update_without_figures_is_reported(
    baseline_project: BaselineProject, option: str
) -> None:
    result = baseline_project.quick(2, "--energy-update=new", option)
    assert "--energy-update: nothing was measured, so the baselines are unchanged" in output(result)
    assert not baseline_project.folder.exists()


def test_a_comparison_of_processes_stores_nothing(
    baseline_project: BaselineProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(inside.FOLDER, str(baseline_project.bench.pytester.path))
    result = baseline_project.it(2, "--energy-update=new", "-p", inside.__name__)
    result.assert_outcomes(passed=1)
    assert not baseline_project.folder.exists()


# -- what is refused, and what is left ----------------------------------------------------------


def test_red_figures_are_stored_and_failed_tests_are_not(baseline_project: BaselineProject) -> None:
    baseline_project.bench.write(
        """
        @budget("1 mJ / query")
        def test_over_its_limit():
            spin(5)

        @budget
        def test_wrong(energy):
            energy.measure(spin)
            assert False

        @budget
        def test_short(energy):
            with energy.window(count=100):
                spin(300)

        @pytest.mark.xfail
        @budget
        def test_expected(energy):
            energy.measure(spin)
            raise ValueError
        """
    )
    result = baseline_project.run("--energy-update=new")
    result.assert_outcomes(failed=2, passed=1, xfailed=1)
    assert [each["test"] for each in baseline_project.stored()] == [
        "test_it.py::test_over_its_limit"
    ]
    for sentence in (
        "test_it.py::test_wrong: not stored: the test ended in AssertionError, so its work may not",
        "test_it.py::test_short: not stored: it has 1 round, and 5 are compared; give it more",
        "test_it.py::test_expected: not stored: the test ended in ValueError, so its work may not",
        "test_it.py::test_over_its_limit: none -> ",
    ):
        assert sentence in output(result)


def test_a_rerun_takes_the_place_of_its_attempt(baseline_project: BaselineProject) -> None:
    baseline_project.bench.write(
        """
        runs = []

        @pytest.mark.flaky(reruns=1)
        @budget
        def test_it(energy):
            energy.measure(lambda: spin(4 if not runs else 2))
            runs.append(1)
            assert len(runs) > 1
        """
    )
    result = baseline_project.run("--energy-update=new")
    result.assert_outcomes(passed=1)
    (line,) = baseline_project.stored()
    assert 0.002 * 4 * 0.99 <= line["centre"] < 0.004 * 4 * 0.9


@pytest.mark.parametrize("option", ["--energy-disable", "--collect-only", "--setup-only"])
def test_a_run_that_measures_nothing_writes_nothing(
    baseline_project: BaselineProject, option: str
) -> None:
    baseline_project.quick(2, "--energy-update=new", option)
    assert not baseline_project.folder.exists()


TWO = "@budget\ndef test_a():\n    spin()\n@budget\ndef test_{name}():\n    spin({ms})\n"


def test_a_partial_run_leaves_the_baselines_of_other_tests_and_reports_nothing_of_them(
    baseline_project: BaselineProject,
) -> None:
    baseline_project.bench.write(TWO.format(name="b", ms=2))
    baseline_project.run("--energy-update=new")
    before = baseline_project.stored()
    baseline_project.bench.write(TWO.format(name="b", ms=4))
    result = baseline_project.run("--energy-update=reset", "-k", "test_b")
    assert baseline_project.stored()[0] == before[0]
    assert baseline_project.stored()[1]["centre"] > 1.5 * before[1]["centre"]
    result.stdout.no_fnmatch_line("*that no measured test uses*")


def test_a_renamed_test_is_recognised(baseline_project: BaselineProject) -> None:
    baseline_project.bench.write(TWO.format(name="sentiment", ms=2))
    baseline_project.run("--energy-update=new")
    baseline_project.bench.write(TWO.format(name="sentiments", ms=2))
    result = baseline_project.bench.run()
    assert result.ret == 0
    assert baseline_project.bench.record()["unused_baselines"] == [
        "test_it.py::test_sentiment: baseline that no measured test uses: was it renamed to "
        "test_it.py::test_sentiments, which has no baseline? pytest --energy-update new gives it "
        "one, and pytest-energy baseline drop 'test_it.py::test_sentiment' removes the old one"
    ]
    result.stdout.fnmatch_lines(["test_it.py::test_sentiment: baseline that no measured test*"])
    baseline_project.bench.write(TWO.format(name="other", ms=2))
    baseline_project.bench.run()
    (sentence,) = baseline_project.bench.record()["unused_baselines"]
    assert "was it renamed to test_it.py::test_other, which has no baseline?" in sentence
    baseline_project.bench.write(TWO.format(name="other", ms=2) + "@budget\ndef test_c(): spin()\n")
    baseline_project.bench.run()
    (sentence,) = baseline_project.bench.record()["unused_baselines"]
    assert "there is no test test_it.py::test_sentiment; pytest-energy baseline drop" in sentence
    baseline_project.bench.write("def test_nothing(): pass\n")
    assert baseline_project.bench.run("--energy-strict").ret == 1
    result = baseline_project.bench.run()
    result.stdout.fnmatch_lines(["test_it.py::test_a: baseline that no measured test uses: *"])


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_corrupted_lines_end_the_run_before_any_test(
    baseline_project: BaselineProject, workers: tuple[str, ...]
) -> None:
    baseline_project.folder.mkdir()
    (baseline_project.folder / "x.jsonl").write_text("<<<<<<< HEAD\n{}\n", encoding="utf-8")
    result = baseline_project.quick(2, *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: energy-baselines/x.jsonl:1: a merge conflict: remove git's own lines, and*",
            "energy-baselines/x.jsonl:2: schema None is not 1, which this version reads; take*",
        ]
    )
    assert not (baseline_project.bench.record_path).exists()


def test_named_measurements_have_baselines_of_their_own(baseline_project: BaselineProject) -> None:
    source = "def test_it(energy):\n    energy.measure(spin)\n    energy.measure(spin, name='b')\n"
    baseline_project.bench.write(source)
    baseline_project.run("--energy-update=new")
    assert [each["name"] for each in baseline_project.stored()] == [None, "b"]


def test_workers_measure_and_the_controller_writes(baseline_project: BaselineProject) -> None:
    baseline_project.bench.pytester.makeconftest(
        "from pytest_energy.measurement import result\n"
        "result.has_contention = lambda measured: False\n"
    )
    baseline_project.bench.write(TWO.format(name="b", ms=2))
    two = ("-n2", *LIGHT, *FIVE)
    baseline_project.bench.run_process(*two, "--energy-update=new", quick=False)
    assert [each["test"] for each in baseline_project.stored()] == [
        "test_it.py::test_a",
        "test_it.py::test_b",
    ]
    baseline_project.bench.write(TWO.format(name="c", ms=2))
    result = baseline_project.bench.run_process(*two, quick=False)
    verdicts = {name: each["verdict"] for name, each in baseline_project.bench.tests().items()}
    assert verdicts == {"test_a": "pass", "test_c": "no-budget"}
    (sentence,) = baseline_project.bench.record()["unused_baselines"]
    assert "was it renamed to test_it.py::test_c" in sentence
    result.stdout.fnmatch_lines(["test_it.py::test_b: baseline that no measured test uses*"])


def test_the_folder_of_baselines_may_be_another_one(baseline_project: BaselineProject) -> None:
    baseline_project.it(2, "--energy-update=new", "--energy-baselines=ours/gpu")
    baseline_project.folder = Path(baseline_project.bench.pytester.path, "ours", "gpu")
    assert len(baseline_project.stored()) == 1
    baseline_project.it(2, "--energy-baselines=ours/gpu")
    assert baseline_project.test()["baseline"]["sessions"] == 1
    baseline_project.quick(2, "--energy-baselines=none")
    assert baseline_project.test()["baseline"]["missing"] == "no session of this test is stored"


def test_a_folder_beside_the_tests_that_is_not_read_ends_the_run(
    baseline_project: BaselineProject,
) -> None:
    baseline_project.folder.mkdir()
    (baseline_project.bench.pytester.path / "tests").mkdir()
    (baseline_project.bench.pytester.path / "tests" / "pytest.ini").write_text("[pytest]\n")
    result = baseline_project.quick(2, "--rootdir=tests")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: ./energy-baselines isn't read, because pytest has taken*"])


def test_a_folder_that_cannot_be_written_is_an_error(baseline_project: BaselineProject) -> None:
    (baseline_project.bench.pytester.path / "blocked").write_text("", encoding="utf-8")
    result = baseline_project.quick(2, "--energy-update=new", "--energy-baselines=blocked/folder")
    assert result.ret != 0
    text = result.stdout.str() + result.stderr.str()
    assert "Not a directory" in text
