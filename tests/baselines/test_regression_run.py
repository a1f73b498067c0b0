"""Baselines through pytest: tests whose work changes, beside their stored sessions."""

from __future__ import annotations

import re

import pytest
from baseline_project import IT, BaselineProject, output

pytestmark = pytest.mark.realtime


def test_work_that_grew_fails_beside_its_baseline(baseline_project: BaselineProject) -> None:
    made = baseline_project.it(2, "--energy-update=new")
    made.assert_outcomes(passed=1)
    made.stdout.fnmatch_lines(
        [
            "baselines, --energy-update new:",
            "  test_it.py::test_it: none -> * mJ / query *",
            "  written: energy-baselines/*.jsonl",
        ]
    )
    baseline_project.it(2).assert_outcomes(passed=1)
    test = baseline_project.test()
    assert test["verdict"] == "pass"
    assert abs(test["baseline"]["increase"]) < test["baseline"]["threshold"]
    result = baseline_project.it(3)
    result.assert_outcomes(failed=1)
    assert baseline_project.test()["verdict"] == "fail"
    (stored,) = baseline_project.stored()
    increase = baseline_project.test()["joules_per_unit"] / stored["centre"] - 1
    assert baseline_project.test()["baseline"]["increase"] == pytest.approx(increase, abs=0.05)
    day = stored["start"][:10]
    result.stdout.fnmatch_lines(
        [
            f"energy: * mJ / query* is * % over the mean of 1 session (*; {day}*), and "
            "fails from +* %, which chance could explain here; asked for: 5 % (the default)",
            "  +* % vs 1 session, fails from +* %",
            "smallest detectable increase here: *.* % (test_it); allowed: 5 %. *",
        ]
    )


def test_a_smaller_figure_is_reported_with_the_command_that_keeps_it(
    baseline_project: BaselineProject,
) -> None:
    path = baseline_project.bench.pytester.path / "energy-budgets.toml"
    path.write_text('schema = 1\n[[budget]]\ntask = "t"\nmax = "1 J / query"\n', encoding="utf-8")
    baseline_project.it(3, "--energy-update=new", marker='(task="t")')
    result = baseline_project.it(1, marker='(task="t")')
    result.assert_outcomes(passed=1)
    assert "more than chance explains; to keep it: pytest-energy budgets tighten" in output(result)


def test_without_a_folder_and_without_asking_nothing_is_reported(
    baseline_project: BaselineProject,
) -> None:
    result = baseline_project.it()
    result.stdout.no_fnmatch_line("*baseline*")
    assert baseline_project.test()["baseline"] is None
    assert not baseline_project.folder.exists()


# -- who asked, and CI --------------------------------------------------------------------------


@pytest.mark.parametrize(("ci", "is_red"), [("true", True), ("", False), ("0", False)])
def test_no_baseline_is_red_on_ci_where_one_was_asked_for(
    baseline_project: BaselineProject, monkeypatch: pytest.MonkeyPatch, ci: str, is_red: bool
) -> None:
    monkeypatch.setenv("CI", ci)
    result = baseline_project.quick(2, marker='(max_increase="5 %")')
    result.assert_outcomes(failed=int(is_red), passed=int(not is_red))
    assert baseline_project.test()["verdict"] == "no-baseline"
    assert baseline_project.test()["reason"] == (
        "the test is to be at most 5 % (test_it.py:4) over its baseline, and no session of "
        "this test is stored; pytest --energy-update new makes one"
    )
    result.stdout.fnmatch_lines(["*the test is to be at most 5 % (test_it.py:4) over its*"])
    if is_red:
        chosen = baseline_project.quick(2, "--energy-fail-on=fail", marker="(max_increase=0.05)")
        chosen.assert_outcomes(passed=1)


def test_by_default_no_test_needs_a_baseline(
    baseline_project: BaselineProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    baseline_project.folder.mkdir()
    result = baseline_project.quick(2)
    result.assert_outcomes(passed=1)
    assert baseline_project.test()["verdict"] == "no-budget"
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
    baseline_project: BaselineProject,
    marker: str,
    option: str,
    ini: str,
    budgets: str,
    increase: float,
    origin: str,
) -> None:
    bench = baseline_project.bench
    if budgets:
        (bench.pytester.path / "energy-budgets.toml").write_text(budgets, encoding="utf-8")
    if ini:
        bench.pytester.makeini(f"[pytest]\nenergy_max_increase = {ini}\n")
    baseline_project.folder.mkdir()
    bench.write(IT.format(marker=marker, milliseconds=2))
    bench.run(*([f"--energy-max-increase={option}"] if option else []))
    found = baseline_project.test()["baseline"]
    assert (found["max_increase"], found["origin"]) == (increase, origin)


@pytest.mark.parametrize("text", ["5", "fifty", "-1 %", "100 %"])
def test_an_invalid_max_increase_is_refused(baseline_project: BaselineProject, text: str) -> None:
    result = baseline_project.quick(2, f"--energy-max-increase={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --energy-max-increase: '{text}': *; for example \"5 %\""])


def test_two_budgets_with_different_max_increases_are_an_error(
    baseline_project: BaselineProject,
) -> None:
    text = "schema = 1\n" + ENTRY + ENTRY.replace("30", "20")
    (baseline_project.bench.pytester.path / "energy-budgets.toml").write_text(
        text, encoding="utf-8"
    )
    result = baseline_project.quick(2)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*max_increase is 30 % (energy-budgets.toml:4) in one and 20 %*"])


def test_a_session_with_another_key_is_named_with_the_difference(
    baseline_project: BaselineProject,
) -> None:
    baseline_project.it(2, "--energy-update=new", marker='(labels={"dtype": "fp32"})')
    marker = '(labels={"dtype": "int8"}, max_increase="5 %")'
    baseline_project.quick(2, "--energy-cpu-watts-per-core=6", marker=marker)
    assert baseline_project.test()["verdict"] == "no-baseline"
    assert (
        'stored as 4 W a core, labels {"dtype": "fp32"}; this is 6 W a core, '
        'labels {"dtype": "int8"}; pytest --energy-update new makes one'
    ) in baseline_project.test()["reason"]


def test_a_limit_and_a_baseline_apply_together(baseline_project: BaselineProject) -> None:
    baseline_project.with_baseline()
    baseline_project.it(3, marker='("1 J / query", max_increase="99 %")').assert_outcomes(passed=1)
    baseline_project.it(4, marker='("1 J / query")').assert_outcomes(failed=1)
    assert "over the mean of 1 session" in baseline_project.test()["reason"]
    baseline_project.it(4, marker='("1 mJ / query")').assert_outcomes(failed=1)
    reason = baseline_project.test()["reason"]
    assert "is over the limit" in reason
    assert re.search(
        r"; and [\d.]+ mJ / query( in its first 5 rounds)? is [\d.,]+ % over the mean", reason
    )


def test_a_limit_in_cpu_time_has_a_baseline_of_its_own(baseline_project: BaselineProject) -> None:
    baseline_project.it(
        2, "--energy-update=new", marker='("1 cpu-s / query")'
    ).stdout.fnmatch_lines(["  test_it.py::test_it: none -> * cpu-ms / query *"])
    # Well over what chance explains where other processes use the CPU too.
    baseline_project.it(20, marker='("1 cpu-s / query")').assert_outcomes(failed=1)
    figure, _, words = baseline_project.test()["reason"].partition(" ")
    assert float(figure) >= 19.9
    assert re.match(r"cpu-ms / query (in its first \d+ rounds )?is ", words)


def test_too_few_rounds_are_no_comparison(baseline_project: BaselineProject) -> None:
    baseline_project.with_baseline()
    baseline_project.bench.write(IT.format(marker="(max_increase='5 %')", milliseconds=2))
    result = baseline_project.bench.run("--energy-max-rounds=1")
    result.assert_outcomes(failed=1)
    assert baseline_project.test()["verdict"] == "inconclusive"
    assert "it has 1 round, and 5 are compared" in baseline_project.test()["reason"]
    baseline_project.bench.write(IT.format(marker="", milliseconds=2))
    result = baseline_project.bench.run("--energy-max-rounds=1")
    result.stdout.fnmatch_lines(["compared with no baseline: test_it: it has 1 round, and 5 are*"])


def test_a_comparison_with_a_baseline_fits_eighty_columns(
    baseline_project: BaselineProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    baseline_project.with_baseline()
    lines = baseline_project.it(3).stdout.lines
    start = next(index for index, line in enumerate(lines) if line.strip("=") == " energy ")
    shown = [each for each in lines[start:] if not each.startswith("run record: ")]
    assert max(map(len, shown)) <= 80
