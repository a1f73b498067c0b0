"""Baselines through pytest: sessions of work that changes, on CI, under xdist, renamed, red."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import EnergyPytester
from gpu_bench import LIGHT
from pytest_energy.comparing import inside

pytestmark = pytest.mark.realtime

#: Time for five rounds of CPU time.
FIVE = ("--energy-max-rounds=5", "--energy-max-seconds=20", "--energy-gpus=none")
IT = "@budget{marker}\ndef test_it():\n    spin({milliseconds})\n"


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


class Project:
    """A user's project with a folder of baselines."""

    def __init__(self, bench: EnergyPytester, measured: dict[str, str]) -> None:
        self.bench = bench
        self.folder = bench.pytester.path / "energy-baselines"
        self._measured = measured

    def run(self, *options: str) -> pytest.RunResult:
        return self.bench.run(*FIVE, *options, quick=False)

    def quick(self, milliseconds: int = 2, *options: str, marker: str = "") -> pytest.RunResult:
        """The same with a single round, which is compared with nothing."""
        self.bench.write(IT.format(marker=marker, milliseconds=milliseconds))
        return self.bench.run("--energy-gpus=none", *options)

    def it(self, milliseconds: int = 2, *options: str, marker: str = "") -> pytest.RunResult:
        """A run of one test whose work takes this much CPU time."""
        self.bench.write(IT.format(marker=marker, milliseconds=milliseconds))
        return self.run(*options)

    def with_baseline(self) -> None:
        """What `it(2, "--energy-update=new")` stores, which is measured once for all tests."""
        if self._measured:
            self.folder.mkdir()
            for name, text in self._measured.items():
                (self.folder / name).write_text(text, encoding="utf-8")
        else:
            self.it(2, "--energy-update=new")
            paths = self.folder.iterdir()
            self._measured |= {each.name: each.read_text(encoding="utf-8") for each in paths}

    def stored(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.text().splitlines()]

    def text(self) -> str:
        paths = self.folder.glob("*") if self.folder.exists() else ()
        return "".join(each.read_text(encoding="utf-8") for each in sorted(paths))

    def to_yesterday(self) -> None:
        """As if the sessions had been measured a day earlier."""
        for path in self.folder.iterdir():
            text = path.read_text(encoding="utf-8")
            for each in self.stored():
                day = each["start"][:10]
                text = text.replace(f'"start": "{day}', '"start": "2020-01-01')
            path.write_text(text, encoding="utf-8")

    def test(self, name: str = "test_it") -> dict[str, Any]:
        return self.bench.tests()[name]


def told(result: pytest.RunResult) -> str:
    """The output without its line ends, which depend on the width."""
    return " ".join(each.strip() for each in result.stdout.lines)


@pytest.fixture(scope="module")
def measured() -> dict[str, str]:
    """Files of baselines, by name."""
    return {}


@pytest.fixture
def project(energy_pytester: EnergyPytester, measured: dict[str, str]) -> Project:
    return Project(energy_pytester, measured)


def test_work_that_grew_fails_beside_its_baseline(project: Project) -> None:
    made = project.it(2, "--energy-update=new")
    made.assert_outcomes(passed=1)
    made.stdout.fnmatch_lines(
        [
            "baselines, --energy-update new:",
            "  test_it.py::test_it: none -> * Wh / 1000 queries (1 session; *",
            "  written: energy-baselines/*.jsonl",
        ]
    )
    project.it(2).assert_outcomes(passed=1)
    test = project.test()
    assert test["verdict"] == "pass"
    assert abs(test["baseline"]["increase"]) < test["baseline"]["threshold"]
    result = project.it(3)
    result.assert_outcomes(failed=1)
    assert project.test()["verdict"] == "fail"
    (stored,) = project.stored()
    increase = project.test()["joules_per_unit"] / stored["centre"] - 1
    assert project.test()["baseline"]["increase"] == pytest.approx(increase, abs=0.05)
    day = stored["start"][:10]
    result.stdout.fnmatch_lines(
        [
            f"energy: 0.00* Wh / 1000 queries is * % over the mean of 1 session (*; {day}*), and "
            "fails from +* %, which chance could explain here; asked for: 5 % (the default)",
            "  +*.* % beside 1 session, fails from +*.* %",
            "this machine can see +*.* % today (test_it), and 5 % was asked for: *",
        ]
    )


def test_a_smaller_figure_is_said_with_what_ratchets_the_limit(project: Project) -> None:
    path = project.bench.pytester.path / "energy-budgets.toml"
    path.write_text('schema = 1\n[[budget]]\ntask = "t"\nmax = "1 J / query"\n', encoding="utf-8")
    project.it(3, "--energy-update=new", marker='(task="t")')
    result = project.it(1, marker='(task="t")')
    result.assert_outcomes(passed=1)
    assert "more than chance explains; to keep it: pytest-energy budgets tighten" in told(result)


def test_without_a_folder_and_without_asking_nothing_is_said(project: Project) -> None:
    result = project.it()
    result.stdout.no_fnmatch_line("*baseline*")
    assert project.test()["baseline"] is None
    assert not project.folder.exists()


def test_modes(project: Project) -> None:
    project.with_baseline()
    project.to_yesterday()
    before = project.text()
    unchanged = told(project.it(2, "--energy-update=new"))
    assert "1 test has a baseline already: add appends this session, reset starts" in unchanged
    assert "written: nothing" in unchanged
    assert project.text() == before
    added = told(project.it(2, "--energy-update=add"))
    assert re.search(r"test_it: [\d.]+ -> [\d.]+ Wh / 1000 queries \(.* %\), 1 -> 2 ses", added)
    assert project.text().startswith(before)
    assert len(project.stored()) == 2
    again = told(project.it(2, "--energy-update=add"))
    assert "2 -> 2 sessions; it replaces the session of that day on the same hardware" in again
    reset = told(project.it(4, "--energy-update=reset"))
    assert re.search(r"test_it: .* -> .* \(\+.* %\), 2 -> 1 session", reset)
    result = project.quick(4, "--energy-update=all")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --energy-update: 'all' is not known; write new*"])


def test_a_line_holds_no_host_and_all_that_was_measured(project: Project) -> None:
    import socket

    project.it(2, "--energy-update=new", marker='(task="t", labels={"dtype": "fp32"})')
    (line,) = project.stored()
    assert socket.gethostname() not in json.dumps(line)
    rounds = [each for each in project.test()["rounds"] if not each["warmup"]]
    assert line["rounds"] == [each["joules"] / each["units"] for each in rounds]
    assert line["estimate"] == "4 W a core"
    assert line["labels"] == {"dtype": "fp32"}
    assert (line["scope"], line["method"], line["unit"]) == ("cpu", "estimated", "query")
    machine = project.bench.record()["machine"]
    assert line["hardware"] == f"{machine['cpu']}, {machine['cpu_count']} cores"
    assert line["versions"] == project.bench.record()["run"]["versions"]


def test_a_session_is_a_diff_of_one_line_a_test(project: Project) -> None:
    def git(*command: str) -> str:
        options = ["-c", "user.name=a", "-c", "user.email=a@b"]
        answer = subprocess.run(
            ["git", *options, *command],
            cwd=project.bench.pytester.path,
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout

    project.bench.write("@budget\ndef test_a():\n    spin()\n@budget\ndef test_b():\n    spin()\n")
    project.run("--energy-update=new")
    project.to_yesterday()
    git("init", "-q")
    git("add", "energy-baselines")
    git("commit", "-qm", "baselines")
    project.run("--energy-update=add")
    assert git("diff", "--numstat").split()[:2] == ["2", "0"]
    commit = git("rev-parse", "HEAD").strip()
    assert [each["commit"] for each in project.stored()] == [None, commit, None, commit]


# -- who asked, and CI --------------------------------------------------------------------------


@pytest.mark.parametrize(("ci", "is_red"), [("true", True), ("", False), ("0", False)])
def test_no_baseline_is_red_on_ci_where_one_was_asked_for(
    project: Project, monkeypatch: pytest.MonkeyPatch, ci: str, is_red: bool
) -> None:
    monkeypatch.setenv("CI", ci)
    result = project.quick(2, marker='(max_increase="5 %")')
    result.assert_outcomes(failed=int(is_red), passed=int(not is_red))
    assert project.test()["verdict"] == "no-baseline"
    assert project.test()["reason"] == (
        "the test is to be at most 5 % (test_it.py:4) over its baseline, and no session of "
        "this test is stored; pytest --energy-update new makes one"
    )
    result.stdout.fnmatch_lines(["*the test is to be at most 5 % (test_it.py:4) over its*"])
    if is_red:
        chosen = project.quick(2, "--energy-fail-on=fail", marker="(max_increase=0.05)")
        chosen.assert_outcomes(passed=1)


def test_by_default_a_baseline_is_asked_of_no_test(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    project.folder.mkdir()
    result = project.quick(2)
    result.assert_outcomes(passed=1)
    assert project.test()["verdict"] == "no-budget"
    result.stdout.fnmatch_lines(
        ["compared with no baseline: test_it: no session of this test is stored; *"]
    )


BUDGETS = 'schema = 1\n[defaults]\nmax_increase = "40 %"\n'
ENTRY = '[[budget]]\ntests = "test_it.py::*"\nmax_increase = "30 %"\n'


@pytest.mark.parametrize(
    ("marker", "option", "ini", "budgets", "increase", "origin"),
    [
        ('(max_increase="7 %")', "8 %", "9 %", BUDGETS + ENTRY, 0.07, "test_it.py:4"),
        ("", "8 %", "9 %", BUDGETS + ENTRY, 0.3, "energy-budgets.toml:6"),
        ("", "0.08", "9 %", BUDGETS, 0.08, "--energy-max-increase"),
        ("", "", "9%", BUDGETS, 0.09, "energy_max_increase in tox.ini"),
        ("", "", "", BUDGETS, 0.4, "energy-budgets.toml:3"),
        ("", "", "", "", 0.05, ""),
    ],
)
def test_the_nearest_max_increase_counts(
    project: Project,
    marker: str,
    option: str,
    ini: str,
    budgets: str,
    increase: float,
    origin: str,
) -> None:
    bench = project.bench
    if budgets:
        (bench.pytester.path / "energy-budgets.toml").write_text(budgets, encoding="utf-8")
    if ini:
        bench.pytester.makeini(f"[pytest]\nenergy_max_increase = {ini}\n")
    project.folder.mkdir()
    bench.write(IT.format(marker=marker, milliseconds=2))
    bench.run(*([f"--energy-max-increase={option}"] if option else []))
    found = project.test()["baseline"]
    assert (found["max_increase"], found["origin"]) == (increase, origin)


@pytest.mark.parametrize("text", ["5", "fifty", "-1 %", "100 %"])
def test_a_max_increase_that_is_none_is_refused(project: Project, text: str) -> None:
    result = project.quick(2, f"--energy-max-increase={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --energy-max-increase: '{text}': *; for example \"5 %\""])


def test_two_budgets_that_differ_in_it_are_an_error(project: Project) -> None:
    text = "schema = 1\n" + ENTRY + ENTRY.replace("30", "20")
    (project.bench.pytester.path / "energy-budgets.toml").write_text(text, encoding="utf-8")
    result = project.quick(2)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*max_increase is 30 % (energy-budgets.toml:4) in one and 20 %*"])


@pytest.mark.parametrize(
    ("where", "written"), [("typed", True), ("ini", False), ("environment", False)]
)
def test_on_ci_only_the_command_line_itself_writes(
    project: Project, monkeypatch: pytest.MonkeyPatch, where: str, written: bool
) -> None:
    monkeypatch.setenv("CI", "true")
    option = "--energy-update=new"
    if where == "ini":
        project.bench.pytester.makeini(f"[pytest]\naddopts = {option}\n")
    if where == "environment":
        monkeypatch.setenv("PYTEST_ADDOPTS", option)
    typed = [option] if where == "typed" else []
    run = project.it if written else project.quick
    result = run(2, *typed, marker='(max_increase="5 %")')
    result.assert_outcomes(failed=int(not written), passed=int(written))
    assert project.folder.exists() == written
    if not written:
        assert "--energy-update: on CI (the variable CI is set) baselines are" in told(result)


@pytest.mark.parametrize("option", ["--energy-disable", "--collect-only"])
def test_a_run_without_figures_says_that_it_stores_none(project: Project, option: str) -> None:
    result = project.quick(2, "--energy-update=new", option)
    assert "--energy-update: nothing was measured, so the baselines are left" in told(result)
    assert not project.folder.exists()


def test_a_comparison_of_processes_stores_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(inside.FOLDER, str(project.bench.pytester.path))
    result = project.it(2, "--energy-update=new", "-p", inside.__name__)
    result.assert_outcomes(passed=1)
    assert not project.folder.exists()


# -- what is refused, and what is left ----------------------------------------------------------


def test_red_figures_are_stored_and_failed_tests_are_not(project: Project) -> None:
    project.bench.write(
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
    result = project.run("--energy-update=new")
    result.assert_outcomes(failed=2, passed=1, xfailed=1)
    assert [each["test"] for each in project.stored()] == ["test_it.py::test_over_its_limit"]
    for sentence in (
        "test_it.py::test_wrong: not stored: the test ended in AssertionError, so its work may not",
        "test_it.py::test_short: not stored: it has 1 round, and 5 are compared; give it more",
        "test_it.py::test_expected: not stored: the test ended in ValueError, so its work may not",
        "test_it.py::test_over_its_limit: none -> ",
    ):
        assert sentence in told(result)


def test_a_rerun_takes_the_place_of_its_attempt(project: Project) -> None:
    project.bench.write(
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
    result = project.run("--energy-update=new")
    result.assert_outcomes(passed=1)
    (line,) = project.stored()
    assert 0.002 * 4 * 0.99 <= line["centre"] < 0.004 * 4 * 0.9


@pytest.mark.parametrize("option", ["--energy-disable", "--collect-only", "--setup-only"])
def test_a_run_that_measures_nothing_writes_nothing(project: Project, option: str) -> None:
    project.quick(2, "--energy-update=new", option)
    assert not project.folder.exists()


TWO = "@budget\ndef test_a():\n    spin()\n@budget\ndef test_{name}():\n    spin({ms})\n"


def test_a_partial_run_leaves_the_others_and_says_nothing_of_them(project: Project) -> None:
    project.bench.write(TWO.format(name="b", ms=2))
    project.run("--energy-update=new")
    before = project.stored()
    project.bench.write(TWO.format(name="b", ms=4))
    result = project.run("--energy-update=reset", "-k", "test_b")
    assert project.stored()[0] == before[0]
    assert project.stored()[1]["centre"] > 1.5 * before[1]["centre"]
    result.stdout.no_fnmatch_line("*that no measured test uses*")


def test_a_renamed_test_is_recognised(project: Project) -> None:
    project.bench.write(TWO.format(name="sentiment", ms=2))
    project.run("--energy-update=new")
    project.bench.write(TWO.format(name="sentiments", ms=2))
    result = project.bench.run()
    assert result.ret == 0
    assert project.bench.record()["unused_baselines"] == [
        "test_it.py::test_sentiment: baseline that no measured test uses: was it renamed to "
        "test_it.py::test_sentiments, which has none? pytest --energy-update new gives it one, and "
        "pytest-energy baseline drop 'test_it.py::test_sentiment' removes the old one"
    ]
    result.stdout.fnmatch_lines(["test_it.py::test_sentiment: baseline that no measured test*"])
    project.bench.write(TWO.format(name="other", ms=2))
    project.bench.run()
    (sentence,) = project.bench.record()["unused_baselines"]
    assert "was it renamed to test_it.py::test_other, which has none?" in sentence
    project.bench.write(TWO.format(name="other", ms=2) + "@budget\ndef test_c(): spin()\n")
    project.bench.run()
    (sentence,) = project.bench.record()["unused_baselines"]
    assert "there is no test test_it.py::test_sentiment; pytest-energy baseline drop" in sentence
    project.bench.write("def test_nothing(): pass\n")
    assert project.bench.run("--energy-strict").ret == 1
    result = project.bench.run()
    result.stdout.fnmatch_lines(["test_it.py::test_a: baseline that no measured test uses: *"])


# -- mistakes, other keys, both rules -----------------------------------------------------------


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_corrupted_lines_end_the_run_before_any_test(
    project: Project, workers: tuple[str, ...]
) -> None:
    project.folder.mkdir()
    (project.folder / "x.jsonl").write_text("<<<<<<< HEAD\n{}\n", encoding="utf-8")
    result = project.quick(2, *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: energy-baselines/x.jsonl:1: a merge conflict: remove git's own lines, and*",
            "energy-baselines/x.jsonl:2: schema None is not 1, which this version reads; take*",
        ]
    )
    assert not (project.bench.record_path).exists()


def test_another_key_is_named(project: Project) -> None:
    project.it(2, "--energy-update=new", marker='(labels={"dtype": "fp32"})')
    marker = '(labels={"dtype": "int8"}, max_increase="5 %")'
    project.quick(2, "--energy-cpu-watts-per-core=6", marker=marker)
    assert project.test()["verdict"] == "no-baseline"
    assert (
        'stored as 4 W a core, labels {"dtype": "fp32"}; this is 6 W a core, '
        'labels {"dtype": "int8"}; pytest --energy-update new makes one'
    ) in project.test()["reason"]


def test_a_limit_and_a_baseline_apply_together(project: Project) -> None:
    project.with_baseline()
    project.it(3, marker='("1 J / query", max_increase="99 %")').assert_outcomes(passed=1)
    project.it(4, marker='("1 J / query")').assert_outcomes(failed=1)
    assert "over the mean of 1 session" in project.test()["reason"]
    project.it(4, marker='("1 mJ / query")').assert_outcomes(failed=1)
    reason = project.test()["reason"]
    assert "is over the limit" in reason and "; and it is" in reason


def test_a_limit_in_cpu_time_has_a_baseline_of_its_own(project: Project) -> None:
    project.it(2, "--energy-update=new", marker='("1 cpu-s / query")').stdout.fnmatch_lines(
        ["  test_it.py::test_it: none -> 2.* cpu-ms / query (1 session; *"]
    )
    project.it(4, marker='("1 cpu-s / query")').assert_outcomes(failed=1)
    assert project.test()["reason"].startswith("4.")
    assert " cpu-ms / query is " in project.test()["reason"]


def test_named_measurements_have_baselines_of_their_own(project: Project) -> None:
    source = "def test_it(energy):\n    energy.measure(spin)\n    energy.measure(spin, name='b')\n"
    project.bench.write(source)
    project.run("--energy-update=new")
    assert [each["name"] for each in project.stored()] == [None, "b"]


def test_workers_measure_and_the_controller_writes(project: Project) -> None:
    project.bench.write(TWO.format(name="b", ms=2))
    two = ("-n2", *LIGHT, *FIVE)
    project.bench.run_process(*two, "--energy-update=new", quick=False)
    assert [each["test"] for each in project.stored()] == [
        "test_it.py::test_a",
        "test_it.py::test_b",
    ]
    project.bench.write(TWO.format(name="c", ms=2))
    result = project.bench.run_process(*two, quick=False)
    verdicts = {name: each["verdict"] for name, each in project.bench.tests().items()}
    assert verdicts == {"test_a": "pass", "test_c": "no-budget"}
    (sentence,) = project.bench.record()["unused_baselines"]
    assert "was it renamed to test_it.py::test_c" in sentence
    result.stdout.fnmatch_lines(["test_it.py::test_b: baseline that no measured test uses*"])


def test_too_few_rounds_are_no_comparison(project: Project) -> None:
    project.with_baseline()
    project.bench.write(IT.format(marker="(max_increase='5 %')", milliseconds=2))
    result = project.bench.run("--energy-max-rounds=1")
    result.assert_outcomes(failed=1)
    assert project.test()["verdict"] == "inconclusive"
    assert "it has 1 round, and 5 are compared" in project.test()["reason"]
    project.bench.write(IT.format(marker="", milliseconds=2))
    result = project.bench.run("--energy-max-rounds=1")
    result.stdout.fnmatch_lines(["compared with no baseline: test_it: it has 1 round, and 5 are*"])


def test_another_folder(project: Project) -> None:
    project.it(2, "--energy-update=new", "--energy-baselines=ours/gpu")
    project.folder = Path(project.bench.pytester.path, "ours", "gpu")
    assert len(project.stored()) == 1
    project.it(2, "--energy-baselines=ours/gpu")
    assert project.test()["baseline"]["sessions"] == 1
    project.quick(2, "--energy-baselines=none")
    assert project.test()["baseline"]["missing"] == "no session of this test is stored"


def test_a_folder_beside_the_tests_that_is_not_read_ends_the_run(project: Project) -> None:
    project.folder.mkdir()
    (project.bench.pytester.path / "tests").mkdir()
    (project.bench.pytester.path / "tests" / "pytest.ini").write_text("[pytest]\n")
    result = project.quick(2, "--rootdir=tests")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: ./energy-baselines isn't read, because pytest has taken*"])


def test_a_folder_that_can_not_be_written_is_said_and_fails(project: Project) -> None:
    (project.bench.pytester.path / "blocked").write_text("", encoding="utf-8")
    result = project.quick(2, "--energy-update=new", "--energy-baselines=blocked/folder")
    assert result.ret != 0
    text = result.stdout.str() + result.stderr.str()
    assert "Not a directory" in text


def test_all_fits_eighty_columns(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    project.with_baseline()
    lines = project.it(3).stdout.lines
    start = next(index for index, line in enumerate(lines) if line.strip("=") == " energy ")
    shown = [each for each in lines[start:] if not each.startswith("run record: ")]
    assert max(map(len, shown)) <= 80
