"""energy-budgets.toml through pytest: limits that apply, their order, and mistakes."""

from __future__ import annotations

import pytest
from budgets_pytester import GOOD, IT, BudgetsPytester


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
        "method": "",
        "amount": 1.0,
        "symbol": "mJ",
        "per": 1.0,
        "unit": "query",
    }


def test_an_id_wins_over_a_task_and_a_marker_over_both(budgets: BudgetsPytester) -> None:
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
embodied = "0.5 gCO2e / 1000 queries"
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
    (embodied,) = budgets.inner.record()["carbon"]["embodied"]
    assert (embodied["unit"], embodied["grams_per_unit"]) == ("query", 0.0005)
    message = "carbon: 300 gCO2e/kWh x PUE 1.2 (our supplier, 2024, market-based)"
    result.stdout.fnmatch_lines([message])
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
    ("marker", "message"),
    [
        (
            "id='it'",
            "*test_it.py:4*unknown budget id 'it' in energy-budgets.toml; did you mean 'i'?*",
        ),
        ("task='chatt'", "*unknown task 'chatt' in *did you mean 'chat'? (known: chat)*"),
        ("task='chat'", "*energy-budgets.toml:5 and energy-budgets.toml:8 both limit energy per*"),
    ],
)
def test_a_test_with_an_ambiguous_limit_is_an_error(
    budgets: BudgetsPytester, marker: str, message: str
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
    result.stdout.fnmatch_lines([message])


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


def test_a_broken_link_is_an_error_and_not_a_missing_file(budgets: BudgetsPytester) -> None:
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


def test_a_file_without_marked_tests_loads_nothing_heavy(budgets: BudgetsPytester) -> None:
    heavy = ["torch", "codecarbon", "pynvml", "numpy", "pandas", "rich", "typer", "filelock"]
    source = f"import sys\n\ndef test_it():\n    assert not set({heavy}) & set(sys.modules)\n"
    budgets.path.write_text(GOOD, encoding="utf-8")
    budgets.inner.write(source)
    result = budgets.inner.run_process("--energy-country=USA", "--energy-region=CA", fresh=True)
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
    result = budgets.inner.run_process("--energy-country=USA", "--energy-region=CA", fresh=True)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["carbon: 179.064206313 gCO2e/kWh (CodeCarbon *California*"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--energy-country=FRA", "--energy-carbon-intensity=3 gCO2e/kWh"], "*keep one of them*"),
        (["--energy-country=Frankreich"], "--energy-country: *Frankreich*"),
        (["--energy-country=USA", "--energy-region=us-east-1"], "--energy-region: *us-east-1*"),
        (["--energy-region=california"], "--energy-region: *needs a country; name it too*"),
    ],
)
def test_an_unknown_country_or_region_ends_the_run(
    budgets: BudgetsPytester, options: list[str], message: str
) -> None:
    budgets.inner.write(IT)
    result = budgets.inner.run(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}"])


def test_a_region_goes_with_its_country_and_options_come_before_the_file(
    budgets: BudgetsPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD + '[carbon]\nintensity = "300 gCO2e/kWh"\nsource = "ours"\nyear = 2024\npue = 2\n'
    budgets.inner.pytester.makeini("[pytest]\nenergy_country = USA\nenergy_region = texas\n")

    def message(*options: str) -> str:
        budgets.run(text, IT, *options)
        return str(budgets.inner.record()["carbon"]["description"])

    assert "Texas" in message()
    assert "California" in message("--energy-region=california")
    monkeypatch.setenv("PYTEST_ENERGY_COUNTRY", "DEU")
    assert "Germany" in message()
    assert "x PUE 2" in message()
    assert "40 gCO2e/kWh" in message("--energy-carbon-intensity=40 gCO2e/kWh")


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
