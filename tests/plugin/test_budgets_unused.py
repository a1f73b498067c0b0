"""Budgets that no measured test used, and ways in which a limit could be lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from budgets_pytester import GOOD, IT, BudgetsPytester

from conftest import EnergyPytester
from pytest_energy.plugin.unused_budgets import MOST_EXPLAINED

# -- budgets that nobody uses -------------------------------------------------------------------

TWO = "@budget\ndef test_it():\n    spin()\n\n@budget\ndef test_other():\n    spin()\n"
RENAMED = GOOD.replace("test_it.py::test_it", "test_it.py::test_old")


def test_the_budget_of_a_renamed_test_is_reported_and_fails_when_strict(
    budgets: BudgetsPytester,
) -> None:
    result = budgets.run(RENAMED)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["energy-budgets.toml:3: budget that no measured test matches*"])
    assert budgets.unused(result) == [
        "there is no test test_it.py::test_old; did you mean test_it.py::test_it?"
    ]
    both = RENAMED + '[[budget]]\ntests = "test_it.py::*"\nmax = "1 kJ / query"\n'
    assert budgets.run(both).ret == 0
    assert budgets.run(both, IT, "--energy-strict").ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    "options",
    [
        ("-k", "test_other"),
        ("-m", "not skip", "--deselect", "test_it.py::test_it"),
        ("test_it.py::test_other",),
        ("--lf",),
    ],
)
def test_no_budget_is_reported_unused_where_a_filter_may_hide_its_test(
    budgets: BudgetsPytester, options: tuple[str, ...]
) -> None:
    budgets.run(GOOD, TWO, *options, "--energy-strict")
    assert budgets.inner.record()["unused_budgets"] == []


def test_no_budget_of_an_uncollected_file_is_reported_unused(budgets: BudgetsPytester) -> None:
    budgets.inner.pytester.makepyfile(test_apart="def test_plain():\n    pass\n")
    assert budgets.run(RENAMED, IT, "test_apart.py", "--energy-strict").ret == 0
    gone = RENAMED.replace("test_it.py", "test_gone.py")
    result = budgets.run(gone, IT, "test_apart.py", "--energy-strict")
    assert budgets.unused(result) == ["there is no file test_gone.py"]
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_why_budgets_are_unused_is_said_of_the_first_ones_alone(budgets: BudgetsPytester) -> None:
    """To find out takes a look at all tests, for each of them."""
    names = ", ".join(f'"test_it.py::test_old_{each}"' for each in range(MOST_EXPLAINED + 2))
    budgets.run(GOOD + f'[[budget]]\ntests = [{names}]\nmax = "1 kJ / query"\n')
    reported = budgets.inner.record()["unused_budgets"]
    explained = ["; did you mean test_it.py::test_it?" in each for each in reported]
    assert explained == [True] * MOST_EXPLAINED + [False] * 2


def test_the_budget_of_a_test_without_a_marker_is_reported(budgets: BudgetsPytester) -> None:
    result = budgets.run(GOOD, "def test_it():\n    pass\n")
    result.stdout.fnmatch_lines(["*matches: test_it.py::test_it*"])
    printed = " ".join(result.stdout.str().split())
    assert "test_it.py::test_it has no energy_budget marker" in printed


def test_the_unused_budget_of_a_task_is_reported_after_a_whole_run_only(
    budgets: BudgetsPytester,
) -> None:
    tasks = GOOD + '[[budget]]\ntask = "chat"\nmax = "1 kJ / query"\n'
    assert budgets.unused(budgets.run(tasks)) == ["no marker has task='chat'"]
    assert budgets.unused(budgets.run(tasks, IT, "test_it.py")) == []


def test_a_skipped_test_and_one_for_other_hardware_use_their_budgets(
    budgets: BudgetsPytester,
) -> None:
    text = GOOD + 'hardware = "big"\n[hardware.big]\ngpu_count = 64\n'
    budgets.run(text, "@pytest.mark.skip\n" + IT).assert_outcomes(skipped=1)
    budgets.run(text, IT).assert_outcomes(passed=1)
    assert budgets.inner.record()["unused_budgets"] == []


def test_budgets_that_workers_used_are_known_to_the_controller(budgets: BudgetsPytester) -> None:
    result = budgets.run(RENAMED, TWO, "-n2", "--energy-strict")
    assert budgets.unused(result)[0].startswith("there is no test test_it.py::test_old")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert budgets.run(GOOD, TWO, "-n2").ret == 0
    assert budgets.inner.record()["unused_budgets"] == []
    assert {each[:2] for each in budgets.limits()} == {("test_it", "5"), ("test_other", None)}


# -- ways in which a limit could be lost ----------------------------------------------------------

OVER = GOOD.replace("1 kJ", "1 mJ")


def test_the_fixture_asked_for_while_the_test_runs_is_judged_too(budgets: BudgetsPytester) -> None:
    result = budgets.run(
        OVER + '[[budget]]\ntests = "test_it.py::test_in_setup"\nmax = "1 mJ / query"\n',
        """
        @pytest.fixture
        def asked(request):
            return request.getfixturevalue("energy")

        def test_it(request):
            request.getfixturevalue("energy").measure(spin)

        def test_in_setup(asked):
            asked.measure(spin)
        """,
        "--energy-strict",
    )
    result.assert_outcomes(failed=2)
    assert [each[2] for each in budgets.limits()] == ["fail", "fail"]
    assert budgets.inner.record()["unused_budgets"] == []


def test_the_fixture_in_a_unittest_method_is_an_error(budgets: BudgetsPytester) -> None:
    result = budgets.run(
        OVER,
        """
        import unittest

        class TestIt(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def asked(self, energy):
                self.energy = energy

            def test_it(self):
                self.energy.measure(spin)
        """,
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*a unittest.TestCase method can't be measured*"])


def test_what_is_measured_after_the_verdict_is_an_error(budgets: BudgetsPytester) -> None:
    result = budgets.run(
        GOOD,
        """
        @pytest.fixture
        def late(energy):
            yield
            energy.measure(spin, name="late")

        @budget
        def test_it(energy, late):
            energy.measure(spin)
        """,
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the body of the test has ended*"])


@pytest.mark.parametrize("extra", [(), ("-n2", "--dist=loadgroup")])
def test_an_xdist_group_is_not_part_of_an_id(
    budgets: BudgetsPytester, extra: tuple[str, ...]
) -> None:
    source = "@pytest.mark.xdist_group('gpu')\n" + IT
    result = budgets.run(OVER, source, *extra)
    result.assert_outcomes(failed=1)
    assert budgets.limits() == [("test_it", "5", "fail")]


@pytest.mark.parametrize(
    "test",
    [
        "./test_it.py::test_it",
        "/x/test_it.py::test_it",
        "a//test_it.py::test_it",
        "a/../test_it.py::test_it",
        "::test_it",
        "test_it.py",
    ],
)
def test_an_id_that_pytest_never_prints_is_a_mistake(budgets: BudgetsPytester, test: str) -> None:
    result = budgets.run(OVER.replace("test_it.py::test_it", test))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*energy-budgets.toml:4: tests = *{test}*"])


def test_each_unused_id_of_a_list_is_reported(budgets: BudgetsPytester) -> None:
    text = GOOD.replace('"test_it.py::test_it"', '["test_it.py::test_it", "test_it.py::gone"]')
    assert budgets.unused(budgets.run(text))[0].startswith("there is no test test_it.py::gone")


def test_the_budget_of_a_file_that_is_gone_is_reported_after_a_whole_run(
    budgets: BudgetsPytester,
) -> None:
    budgets.inner.pytester.makepyfile(renamed="def test_it():\n    pass\n")
    text = GOOD.replace("test_it.py::test_it", "renamed.py::test_it")
    assert budgets.unused(budgets.run(text)) == ["no test was collected from renamed.py"]
    assert budgets.unused(budgets.run(text, IT, "test_it.py")) == []


def test_limits_for_each_hardware_do_not_tie_when_disabled(budgets: BudgetsPytester) -> None:
    text = "schema = 1\n[hardware.a]\ngpu_count = 8\n[hardware.b]\ngpu_count = 0\n" + "".join(
        f'[[budget]]\ntask = "t"\nhardware = "{name}"\nmax = "1 J / query"\n' for name in "ab"
    )
    source = "@budget(task='t')\ndef test_it():\n    spin()\n"
    budgets.run(text, source, "--energy-disable").assert_outcomes(passed=1)
    budgets.run(text, source).assert_outcomes(passed=1)


def test_a_root_folder_that_an_option_has_moved_loses_no_limit(
    budgets: BudgetsPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester = budgets.inner.pytester
    project = pytester.mkdir("project")
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (project / "energy-budgets.toml").write_text(OVER, encoding="utf-8")
    work = "@pytest.mark.energy_budget\ndef test_it():\n    sum(range(100_000))\n"
    (project / "test_it.py").write_text(f"import pytest\n\n{work}", encoding="utf-8")
    monkeypatch.chdir(project)
    record = pytester.path / "out.json"
    record.write_text("{}", encoding="utf-8")
    # pytest takes the existing path behind the option for a test's, and its folder for the root
    result = pytester.runpytest_inprocess("--energy-json", str(record))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*./energy-budgets.toml isn't read*--rootdir=.*"])
    result = pytester.runpytest_inprocess(f"--energy-json={record}", "--energy-max-seconds=0.4")
    result.assert_outcomes(failed=1)


def test_a_lost_worker_leaves_no_budget_reported_as_unused(budgets: BudgetsPytester) -> None:
    source = "import os\n\n" + IT + "\n\ndef test_end():\n    os._exit(3)\n"
    result = budgets.run(GOOD, source, "-n1", "--max-worker-restart=0")
    result.stdout.no_fnmatch_line("*no measured test matches*")


@pytest.mark.parametrize(
    ("started_in", "place", "workers"),
    [
        ("", "tests/energy-budgets.toml", ()),
        ("", "tests/energy_budget.toml", ("-n1",)),
        ("", "energy-budget.toml", ()),
        ("tests", "tests/energy-budgets.toml", ()),
        ("tests/unit", "tests/energy-budgets.toml", ()),
        ("elsewhere", "tests/energy-budget.toml", ()),
    ],
)
def test_limits_that_are_not_read_end_the_run(
    energy_pytester: EnergyPytester,
    monkeypatch: pytest.MonkeyPatch,
    started_in: str,
    place: str,
    workers: tuple[str, ...],
) -> None:
    project = energy_pytester.pytester.mkdir("project")
    for folder in ("tests/unit", "elsewhere", "venv/tests"):
        (project / folder).mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (project / place).write_text(GOOD, encoding="utf-8")
    work = "@pytest.mark.energy_budget('1 kJ / query')\ndef test_it():\n    sum(range(100_000))\n"
    (project / "tests/unit/test_it.py").write_text(f"import pytest\n\n{work}", encoding="utf-8")
    monkeypatch.chdir(project / started_in)
    asked = ["../tests/unit"] if started_in == "elsewhere" else []
    result = energy_pytester.run(*workers, *asked)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    named = Path(os.path.relpath(project / place)).as_posix()
    why = "*root*" if place.endswith("budgets.toml") else "its name is misspelled"
    result.stderr.fnmatch_lines([f"*{named} isn't read, because {why}*"])
    (project / place).rename(project / "venv" / "tests" / Path(place).name)  # no tests are there
    energy_pytester.run(*asked).assert_outcomes(passed=1)


def test_a_task_without_any_file_is_an_error_as_an_id_is(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget(task="text-classification")
        def test_limit_in_no_file():
            spin()

        @budget("1 kJ / query", task="text-classification")
        def test_limit_of_its_own():
            spin()

        @budget(task="text-classification", labels={"study_model": "bert"})
        def test_model_of_the_study():
            spin()
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*energy_budget (test_it.py:5): task='text-classification' takes its limit from "
            "energy-budgets.toml, and the root folder has no such file; create it*"
        ]
    )
