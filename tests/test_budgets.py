"""energy-budgets.toml through pytest: limits that stand, mistakes, budgets that nobody uses."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import EnergyPytester

GOOD = """\
schema = 1

[[budget]]
tests = "test_it.py::test_it"
max = "1 kJ / query"
"""
IT = "@budget\ndef test_it():\n    spin()\n"


class BudgetsPytester:
    """Test files beside a budgets file."""

    def __init__(self, inner: EnergyPytester) -> None:
        self.inner = inner
        self.path = inner.pytester.path / "energy-budgets.toml"

    def run(
        self, budgets: str, source: str = IT, *options: str, quick: bool = True
    ) -> pytest.RunResult:
        self.path.write_text(budgets, encoding="utf-8")
        self.inner.write(source)
        return self.inner.run(*options, quick=quick)

    def limits(self) -> list[tuple[str, str | None, str]]:
        """Test, origin of its limit, verdict; in order."""
        return [
            (
                each["id"].partition("::")[2],
                each["budget"] and each["budget"]["origin"].removeprefix("energy-budgets.toml:"),
                each["verdict"],
            )
            for each in self.inner.record()["tests"]
        ]

    def unused(self, result: pytest.RunResult) -> list[str]:
        """What the record tells of unused budgets, which the summary tells too."""
        told = [str(each) for each in self.inner.record()["unused_budgets"]]
        printed = " ".join(result.stdout.str().split())  # lines are wrapped
        assert all(each in printed for each in told)
        return [each.partition("no measured test matches: ")[2] for each in told]

    def test(self) -> dict[str, Any]:
        (only,) = self.inner.record()["tests"]
        return dict(only)


@pytest.fixture
def budgets(energy_pytester: EnergyPytester) -> BudgetsPytester:
    return BudgetsPytester(energy_pytester)


def test_a_limit_of_the_file_stands_and_its_place_is_printed(budgets: BudgetsPytester) -> None:
    result = budgets.run(
        GOOD.replace("1 kJ", "1 mJ").rstrip() + '\nmessage = "see docs/energy.md"\n'
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "energy: *is over the limit of 1.00 mJ / query (energy-budgets.toml:5)*",
            "see docs/energy.md",
            "test_it.py::test_it  energy-budgets.toml:5",
        ]
    )
    assert budgets.test()["budget"] == {
        "limit": "1 mJ / query",
        "origin": "energy-budgets.toml:5",
        "message": "see docs/energy.md",
        "tolerance": 0.15,
    }


def test_ids_tasks_models_and_markers_in_their_order(budgets: BudgetsPytester) -> None:
    budgets.run(
        """\
schema = 1
[[budget]]
id = "small"
max = "1 kJ / query"
[[budget]]
task = "chat"
max = "2 kJ / query"
[[budget]]
task = "chat"
model = "gpt2"
max = "3 kJ / query"
[[budget]]
tests = "test_it.py::test_q[[]x]"
max = "4 kJ / query"
[[budget]]
tests = "test_it.py::test_exact[gpt2]"
max = "5 kJ / query"
""",
        """
        @budget(id="small", task="chat")
        def test_id():
            spin()

        @budget(task="chat")
        def test_task():
            spin()

        @pytest.mark.parametrize("name", ["gpt2", "bert"])
        @budget(task="chat")
        def test_parameters(name):
            spin()

        @pytest.mark.parametrize("name", ["gpt2"])
        @budget(task="chat")
        def test_exact(name):
            spin()

        @budget("9 kJ / query", task="chat", id="small")
        def test_own():
            spin()
        """,
    ).assert_outcomes(passed=6)
    assert budgets.limits() == [
        ("test_id", "4", "pass"),
        ("test_task", "7", "pass"),
        ("test_parameters[gpt2]", "11", "pass"),
        ("test_parameters[bert]", "7", "pass"),
        ("test_exact[gpt2]", "17", "pass"),
        ("test_own", "test_it.py:23", "pass"),
    ]


def test_a_query_and_a_token_limit_stand_together(budgets: BudgetsPytester) -> None:
    result = budgets.run(
        """\
schema = 1
[[budget]]
task = "chat"
max = "1 kJ / query"
max_carbon = "1 kgCO2e / query"
[[budget]]
task = "chat"
max = "0.1 mJ / token"
[carbon]
intensity = "300 gCO2e/kWh"
source = "our supplier"
year = 2024
basis = "market"
pue = 1.2
""",
        """
        @budget(task="chat")
        def test_it(energy):
            energy.measure(spin, count=2, tokens=lambda result: 4)
        """,
        "--junitxml=junit.xml",
    )
    result.assert_outcomes(failed=1)
    assert budgets.limits() == [
        ("test_it", "4", "pass"),
        ("test_it", "5", "pass"),
        ("test_it", "8", "fail"),
    ]
    query, carbon, token = budgets.inner.record()["tests"]
    assert (query["unit"], token["unit"]) == ("query", "token")
    assert token["joules_per_unit"] == pytest.approx(query["joules_per_unit"] / 2, rel=1e-6)
    # 1 kg at 300 g/kWh and a PUE of 1.2 is 2.78 kWh
    assert carbon["limit_joules_per_unit"] == pytest.approx(1000 / (300 * 1.2) * 3.6e6)
    assert carbon["grams_per_unit"] == pytest.approx(carbon["joules_per_unit"] * 360 / 3.6e6)
    told = "carbon: 300 gCO2e/kWh x PUE 1.2 (our supplier, 2024, market-based)"
    result.stdout.fnmatch_lines([told])
    junit = (budgets.inner.pytester.path / "junit.xml").read_text()
    assert 'name="energy[0.1 mJ / token].verdict" value="fail"' in junit


def test_a_body_without_the_fixture_counts_one_kind_of_unit(budgets: BudgetsPytester) -> None:
    result = budgets.run(
        'schema = 1\nbudget = [{task = "chat", max = "1 J / token"}, '
        '{task = "chat", max = "1 J / query"}]\n',
        "@budget(task='chat', count=3)\ndef test_it():\n    spin()\n",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*token (energy-budgets.toml:2) and query*can't count both*"])


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        (
            "id='it'",
            "*test_it.py:4*id='it' is no budget of energy-budgets.toml, did you mean 'i'?*",
        ),
        ("task='chatt'", "*task='chatt' is no task *did you mean 'chat'? (there are: chat)*"),
        ("task='chat'", "*energy-budgets.toml:5 and energy-budgets.toml:8 both limit energy per*"),
    ],
)
def test_a_test_whose_limit_cannot_be_told_is_an_error(
    budgets: BudgetsPytester, marker: str, told: str
) -> None:
    result = budgets.run(
        """\
schema = 1
[[budget]]
id = "i"
max = "1 kJ / query"
[[budget]]
task = "chat"
max = "1 kJ / query"
[[budget]]
task = "chat"
max = "2 kJ / query"
""",
        f"@pytest.mark.energy_budget({marker})\ndef test_it():\n    spin()\n\n"
        "@budget('1 kJ / query')\ndef test_other():\n    spin()\n",
    )
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines([told])


def test_limits_for_other_hardware_only_are_no_budget_with_a_notice(
    budgets: BudgetsPytester,
) -> None:
    result = budgets.run(
        GOOD + 'hardware = "big"\n[hardware.big]\ngpu = "*H100*"\ngpu_count = 8\n', IT
    )
    result.assert_outcomes(passed=1)
    assert budgets.limits() == [("test_it", None, "no-budget")]
    result.stdout.re_match_lines(
        [r"test_it: its limits of energy per query are for other hardware only: big"]
    )
    result = budgets.run(GOOD + 'hardware = "small"\n[hardware.small]\ngpu_count = 0\n', IT)
    assert budgets.limits() == [("test_it", "5", "pass")]


def test_all_mistakes_of_a_file_end_the_run_before_any_test(budgets: BudgetsPytester) -> None:
    result = budgets.run(
        """\
schema = 1
[default]
scope = "cpu"
[[budget]]
test = "test_it.py::test_it"
max = "2,1 Wh / 1000 queries"
""",
        "def test_plain():\n    print('ran')\n" + IT,
        "--energy-max-rounds=0",
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "*energy-budgets.toml:2: *did you mean*defaults*",
            "*energy-budgets.toml:5: *did you mean*tests*",
            "*energy-budgets.toml:6: *2,1 Wh*write decimals with a point*",
            "*--energy-max-rounds*",
        ]
    )
    result.stdout.no_fnmatch_line("*ran*")


def test_a_named_file_is_found_from_where_the_command_runs(
    budgets: BudgetsPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester = budgets.inner.pytester
    pytester.makeini("[pytest]\nenergy_budgets = limits/ini.toml\n")
    folder = pytester.mkdir("limits")
    for name in ("ini", "env", "cli"):
        (folder / f"{name}.toml").write_text(GOOD, encoding="utf-8")
    budgets.inner.write(IT)
    monkeypatch.chdir(folder)
    budgets.inner.run(str(pytester.path)).assert_outcomes(passed=1)
    assert budgets.limits()[0][1] == "limits/ini.toml:5"
    monkeypatch.setenv("PYTEST_ENERGY_BUDGETS", "env.toml")
    budgets.inner.run(str(pytester.path)).assert_outcomes(passed=1)
    assert budgets.limits()[0][1] == "limits/env.toml:5"
    budgets.inner.run(str(pytester.path), "--energy-budgets=cli.toml").assert_outcomes(passed=1)
    assert budgets.limits()[0][1] == "limits/cli.toml:5"
    result = budgets.inner.run(str(pytester.path), "--energy-budgets=gone.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gone.toml*"])


def test_a_broken_link_is_no_missing_file(budgets: BudgetsPytester) -> None:
    budgets.path.symlink_to("nowhere.toml")
    budgets.inner.write(IT)
    assert budgets.inner.run().ret == pytest.ExitCode.USAGE_ERROR


def test_defaults_and_the_estimate_come_from_the_file_last(budgets: BudgetsPytester) -> None:
    text = (
        "schema = 1\n[defaults]\nmax_seconds = 0.3\ntolerance = 0.5\nscope = 'cpu'\n"
        "[estimate]\ncpu_watts_per_core = 7\n"
    )
    source = "@budget('1 kJ / query')\ndef test_it():\n    spin()\n"
    budgets.run(text, source, quick=False)
    test = budgets.test()
    assert test["channels"][0]["source"].endswith("x 7 W a core")
    assert (test["budget"]["tolerance"], test["scope"]) == (0.5, "cpu")
    seconds = sum(each["seconds"] for each in test["rounds"])
    options = ("--energy-max-seconds=2", "--energy-cpu-watts-per-core=9")
    budgets.run(text, source, *options, quick=False)
    test = budgets.test()
    assert test["channels"][0]["source"].endswith("x 9 W a core")
    assert sum(each["seconds"] for each in test["rounds"]) > seconds


# -- budgets that nobody uses -------------------------------------------------------------------

TWO = "@budget\ndef test_it():\n    spin()\n\n@budget\ndef test_other():\n    spin()\n"
RENAMED = GOOD.replace("test_it.py::test_it", "test_it.py::test_old")


def test_a_budget_of_a_renamed_test_is_told_and_fails_when_strict(
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
def test_nothing_is_told_where_a_filter_may_hide_the_test(
    budgets: BudgetsPytester, options: tuple[str, ...]
) -> None:
    budgets.run(GOOD, TWO, *options, "--energy-strict")
    assert budgets.inner.record()["unused_budgets"] == []


def test_nothing_is_told_of_files_that_were_not_collected(budgets: BudgetsPytester) -> None:
    budgets.inner.pytester.makepyfile(test_apart="def test_plain():\n    pass\n")
    assert budgets.run(RENAMED, IT, "test_apart.py", "--energy-strict").ret == 0
    gone = RENAMED.replace("test_it.py", "test_gone.py")
    result = budgets.run(gone, IT, "test_apart.py", "--energy-strict")
    assert budgets.unused(result) == ["there is no file test_gone.py"]
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_budget_of_a_test_without_a_marker_is_told(budgets: BudgetsPytester) -> None:
    result = budgets.run(GOOD, "def test_it():\n    pass\n")
    result.stdout.fnmatch_lines(["*matches: test_it.py::test_it*"])
    printed = " ".join(result.stdout.str().split())
    assert "test_it.py::test_it has no energy_budget marker" in printed


def test_a_budget_of_a_task_is_told_after_a_whole_run_only(budgets: BudgetsPytester) -> None:
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


def test_workers_tell_the_controller(budgets: BudgetsPytester) -> None:
    result = budgets.run(RENAMED, TWO, "-n2", "--energy-strict")
    assert budgets.unused(result)[0].startswith("there is no test test_it.py::test_old")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert budgets.run(GOOD, TWO, "-n2").ret == 0
    assert budgets.inner.record()["unused_budgets"] == []
    assert {each[:2] for each in budgets.limits()} == {("test_it", "5"), ("test_other", None)}


def test_a_file_without_marked_tests_loads_nothing_heavy(budgets: BudgetsPytester) -> None:
    heavy = ["torch", "codecarbon", "pynvml", "numpy", "pandas", "rich", "typer", "filelock"]
    source = f"import sys\n\ndef test_it():\n    assert not set({heavy}) & set(sys.modules)\n"
    budgets.path.write_text(GOOD, encoding="utf-8")
    budgets.inner.write(source)
    result = budgets.inner.run_process("--energy-country=USA", "--energy-region=CA")
    result.assert_outcomes(passed=1)


def test_a_country_is_read_without_codecarbon_itself(budgets: BudgetsPytester) -> None:
    source = """
        import sys

        @budget("1 kgCO2e / query")
        def test_it():
            spin()
            assert not {"codecarbon", "pandas", "numpy"} & set(sys.modules)
        """
    budgets.inner.write(source)
    result = budgets.inner.run_process("--energy-country=USA", "--energy-region=CA")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["carbon: 179.064206313 gCO2e/kWh (CodeCarbon *California*"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--energy-country=FRA", "--energy-carbon-intensity=3 gCO2e/kWh"], "*keep one of them*"),
        (["--energy-country=Frankreich"], "--energy-country: *Frankreich*"),
        (["--energy-country=USA", "--energy-region=us-east-1"], "--energy-region: *us-east-1*"),
        (["--energy-region=california"], "--energy-region: *name the country*"),
    ],
)
def test_a_place_that_cannot_be_told_ends_the_run(
    budgets: BudgetsPytester, options: list[str], told: str
) -> None:
    budgets.inner.write(IT)
    result = budgets.inner.run(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{told}"])


def test_a_region_goes_with_its_country_and_options_come_before_the_file(
    budgets: BudgetsPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD + '[carbon]\nintensity = "300 gCO2e/kWh"\nsource = "ours"\nyear = 2024\npue = 2\n'
    budgets.inner.pytester.makeini("[pytest]\nenergy_country = USA\nenergy_region = texas\n")

    def told(*options: str) -> str:
        budgets.run(text, IT, *options)
        return str(budgets.inner.record()["carbon"]["told"])

    assert "Texas" in told()
    assert "California" in told("--energy-region=california")
    monkeypatch.setenv("PYTEST_ENERGY_COUNTRY", "DEU")
    assert "Germany" in told()
    assert "x PUE 2" in told()
    assert "40 gCO2e/kWh" in told("--energy-carbon-intensity=40 gCO2e/kWh")


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
def test_a_group_of_xdist_is_no_part_of_an_id(
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
def test_an_id_that_pytest_would_never_print_is_a_mistake(
    budgets: BudgetsPytester, test: str
) -> None:
    result = budgets.run(OVER.replace("test_it.py::test_it", test))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*energy-budgets.toml:4: tests = *{test}*"])


def test_each_id_of_a_list_is_told_of(budgets: BudgetsPytester) -> None:
    text = GOOD.replace('"test_it.py::test_it"', '["test_it.py::test_it", "test_it.py::gone"]')
    assert budgets.unused(budgets.run(text))[0].startswith("there is no test test_it.py::gone")


def test_a_file_that_is_no_longer_collected_is_told_of_after_a_whole_run(
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


def test_the_markers_own_model_wins_over_a_parametrize_id(budgets: BudgetsPytester) -> None:
    budgets.run(
        'schema = 1\nbudget = [\n{model = "gpt2", max = "1 mJ / query"},\n'
        '{model = "bert", max = "1 kJ / query"},\n]\n',
        """
        @pytest.mark.parametrize("name", ["gpt2"])
        @budget(model="bert")
        def test_it(name):
            spin()
        """,
    ).assert_outcomes(passed=1)
    assert budgets.limits() == [("test_it[gpt2]", "4", "pass")]


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


def test_a_lost_worker_makes_no_budget_look_unused(budgets: BudgetsPytester) -> None:
    source = "import os\n\n" + IT + "\n\ndef test_end():\n    os._exit(3)\n"
    result = budgets.run(GOOD, source, "-n1", "--max-worker-restart=0")
    result.stdout.no_fnmatch_line("*no measured test matches*")
