"""The marker: what it takes, what it refuses, and where it is found."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from conftest import EnergyPytester, assert_estimated

#: Arguments of the marker, what the error says, and the body's arguments.
REFUSED = [
    ("5", "a string that names its unit, not a bare number", ""),
    ("'5'", "a bare number has no unit", ""),
    ("'0 J / query'", "a limit must be above zero", ""),
    ("'-1 J / query'", "a limit must be above zero", ""),
    ("'nan J / query'", "not a finite number", ""),
    ("float('nan')", "not a bare number", ""),
    ("'inf J / query'", "not a finite number", ""),
    ("'2,1 Wh / query'", "write decimals with a point", ""),
    ("'2 parsec / query'", "unknown unit 'parsec'", ""),
    ("'2 MWh / query'", "mWh or kWh?", ""),
    ("'2 J'", "for how many units of work", ""),
    ("'1 J / query', watts=3", "unknown keyword watts=3", ""),
    ("'1 J / query', max_increase=5", "max_increase=5: it is neither a fraction", ""),
    (
        "'1 J / query', max_increase=type('Odd', (), {'__repr__': lambda _: 1 / 0})()",
        "max_increase=a Odd: it is neither a fraction",
        "",
    ),
    ("'1 J / query', max_increase='5'", "max_increase='5': it is neither a fraction", ""),
    ("max_increase=-0.1", "max_increase=-0.1: it is neither a fraction", ""),
    ("max_increase=True", "max_increase=True: it is neither a fraction", ""),
    ("'1 J / query', tolerance=0.1", "tolerance=0.1 isn't supported yet", ""),
    ("id='classify'", "id='classify'", ""),
    ("'1 J / query', '2 J / query'", "a second limit '2 J / query'", ""),
    ("'1 J / query', limit='2 J / query'", "a second limit '2 J / query'", ""),
    ("'1 J / query', count=0", "count=0 is not a whole number of units", ""),
    ("'1 J / query', count=-3", "count=-3 is not", ""),
    ("'1 J / query', count=1.5", "count=1.5 is not", ""),
    ("'1 J / query', count=True", "count=True is not", ""),
    ("'1 J / query', count='8'", "count='8' is not", ""),
    ("'1 J / query', scope='tpu'", "scope='tpu' is not known", ""),
    ("'1 cpu-ms / query', scope='gpu'", "CPU time is counted on the CPU", ""),
    ("'1 J / query', task=3", "task=3 is not a name", ""),
    ("'1 J / query', model=''", "model='' is not a name", ""),
    ("'1 J / query', labels=['fp16']", "labels=['fp16'] is not a dict", ""),
    ("'1 J / query', labels={'a': float('nan')}", "is not a dict of names to plain values", ""),
    ("'35 mJ / token'", "is per token, and tokens are not counted", ""),
    ("'1 J / document'", "is per document, and documents are not counted", ""),
    ("'0.5 gCO2e / query'", "no carbon intensity is set", ""),
    ("'1 J / query', count=8", "which counts itself", "energy"),
    ("'1 J / token', units={'token': 8}", "energy.measure(call, units={'token': 8})", "energy"),
    ("'1 J / token', units={'word': 8}", "is per token, and tokens are not counted", ""),
    ("'1 J / token', units={'token': len}", "has no result to count in: give numbers", ""),
    ("'1 J / token', units={'token': 0}", "neither a whole number of units from 1 up", ""),
    ("'1 J / token', units=8", "units=8 is not a dict of units and their numbers", ""),
]


#: Each error shows how it is done.
EXAMPLES = (
    '"2.1 Wh / 1000 queries"',
    "--energy-",
    "count=",
    "units=",
    'scope="cpu"',
    "for example",
)


def test_a_bad_marker_is_an_error_of_its_test_before_anything_runs(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        "from pathlib import Path\n"
        + "".join(
            f"@budget({arguments})\ndef test_{i}({fixture}):\n    Path('ran').touch()\n\n"
            for i, (arguments, _, fixture) in enumerate(REFUSED)
        )
    )
    result = energy_pytester.run("-rE")
    result.assert_outcomes(errors=len(REFUSED))
    assert not (energy_pytester.pytester.path / "ran").exists()
    assert energy_pytester.record()["tests"] == []
    report = result.stdout.str()
    for i, (_, why, _) in enumerate(REFUSED):
        section = report.partition(f" ERROR at setup of test_{i} ")[2].partition("\n____")[0]
        line = next(line for line in section.splitlines() if line.startswith("energy_budget ("))
        assert line.startswith(f"energy_budget (test_it.py:{5 + 4 * i}): "), line
        assert why in line
        assert any(example in line for example in EXAMPLES), line


def test_a_marker_that_pytest_cannot_call_is_an_error(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        import unittest

        class TestOld(unittest.TestCase):
            @budget("1 J / query")
            def test_old(self):
                raise AssertionError("ran")
        """
    )
    energy_pytester.pytester.makepyfile(module_with_doctest='"""\n>>> 1 + 1\n2\n"""')
    energy_pytester.pytester.makeconftest(
        """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                if "doctest" in item.nodeid:
                    item.add_marker(pytest.mark.energy_budget("1 J / query"))
        """
    )
    result = energy_pytester.run("--doctest-modules")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "*a doctest can't be measured*",
            "*a unittest.TestCase method can't be measured*",
        ]
    )


def test_the_nearest_marker_wins_whole(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        pytestmark = budget("900 J / query", task="module", count=3)

        def test_module():
            spin()

        @pytest.mark.energy_budget("800 J / query", model="class")
        class TestClass:
            def test_class(self):
                spin()

            @pytest.mark.energy_budget(model="function")
            def test_function(self):
                spin()
        """
    )
    energy_pytester.run().assert_outcomes(passed=3)
    tests = energy_pytester.tests()
    # spelled `budget`, so only the file is known
    assert limit_of(tests["test_module"]) == ("900 J / query", "test_it.py")
    of_class = tests["TestClass::test_class"]
    assert limit_of(of_class) == ("800 J / query", "test_it.py:10")
    assert (of_class["task"], of_class["model"]) == (None, "class")
    of_function = tests["TestClass::test_function"]
    assert (of_function["budget"], of_function["model"]) == (None, "function")
    assert of_function["verdict"] == "no-budget"


def limit_of(test: dict[str, Any]) -> tuple[str, str]:
    return test["budget"]["limit"], test["budget"]["origin"]


def test_a_marker_that_a_fixture_adds_counts_too(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @pytest.fixture(params=["1 mJ / query", "nonsense"])
        def marked(request):
            request.applymarker(pytest.mark.energy_budget(request.param))

        def test_it(marked):
            spin()
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["energy: * mJ / query is over the limit of 1*", "energy_budget (*nonsense*"]
    )


def test_a_count_divides_the_body_and_the_limit_names_its_unit(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        @budget("900 J / 1k tokens", count=10)
        def test_tokens():
            spin(10)

        @budget("900 J / run")
        def test_run():
            spin(10)
        """
    )
    energy_pytester.run().assert_outcomes(passed=2)
    tests = energy_pytester.tests()
    assert (tests["test_tokens"]["unit"], tests["test_run"]["unit"]) == ("token", "run")
    assert_estimated(tests["test_tokens"], 0.001)
    assert_estimated(tests["test_run"], 0.01)


def test_pytest_lists_the_marker_with_its_signature(energy_pytester: EnergyPytester) -> None:
    result = energy_pytester.run("--markers")
    result.stdout.fnmatch_lines(
        [
            "@pytest.mark.energy_budget(limit=None, [*], id=None, task=None, model=None, count=1, "
            "units=None, scope='auto', max_increase=None, method=None, labels=None): Measure the *"
        ]
    )


def test_labels_task_and_model_reach_the_record(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("1 kJ/query", task="fill-mask", model="bert", labels={"dtype": "bf16", "batch": 8})
        def test_it():
            spin()
        """
    )
    energy_pytester.run("--strict-markers").assert_outcomes(passed=1)
    test = energy_pytester.tests()["test_it"]
    assert (test["task"], test["model"]) == ("fill-mask", "bert")
    assert test["labels"] == {"dtype": "bf16", "batch": 8}


def test_without_a_limit_the_printed_line_can_be_pasted(energy_pytester: EnergyPytester) -> None:
    source = """
        {marker}
        def test_it():
            spin(5)
        """
    energy_pytester.write(source.format(marker='@budget(model="t", count=2)'))
    # Rounds enough for an interval: a busy machine makes a single one doubtful.
    result = energy_pytester.run("--energy-max-seconds=4", quick=False)
    result.assert_outcomes(passed=1)
    line = next(line for line in result.outlines if "@pytest.mark.energy_budget(" in line)
    assert "count=2" in line
    assert "model='t'" in line
    energy_pytester.write(source.format(marker=line.strip()))
    again = energy_pytester.run("--energy-max-seconds=4", quick=False)
    again.assert_outcomes(passed=1)
    assert energy_pytester.tests()["test_it"]["verdict"] == "pass"


def test_the_origin_is_the_line_of_the_marker_that_counts(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @pytest.mark.energy_budget("8 kJ / query")
        @pytest.mark.energy_budget("9 kJ / query")
        def test_stacked():
            spin()

        @pytest.mark.parametrize(
            "number",
            [
                pytest.param(1, marks=pytest.mark.energy_budget("8 kJ / query")),
                pytest.param(2, marks=pytest.mark.energy_budget("9 kJ / query")),
            ],
        )
        def test_parameters(number):
            spin()
        """
    )
    energy_pytester.run().assert_outcomes(passed=3)
    found = {name: limit_of(each) for name, each in energy_pytester.tests().items()}
    assert found == {
        "test_stacked": ("9 kJ / query", "test_it.py:6"),
        "test_parameters[1]": ("8 kJ / query", "test_it.py:13"),
        "test_parameters[2]": ("9 kJ / query", "test_it.py:14"),
    }


def test_labels_of_enums_are_stored_and_pasted_as_plain_values(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        from enum import StrEnum

        class Dtype(StrEnum):
            BF16 = "bf16"

        @budget(labels={"dtype": Dtype.BF16})
        def test_it():
            spin()
        """
    )
    result = energy_pytester.run()
    result.stdout.fnmatch_lines(["*labels={'dtype': 'bf16'})"])


@pytest.mark.parametrize(
    "name", ["energy_buget", "energy_budgets", "energybudget", "enegry_budget"]
)
def test_a_marker_that_is_nearly_ours_is_an_error(
    energy_pytester: EnergyPytester, name: str
) -> None:
    energy_pytester.write(
        f"""
        @pytest.mark.{name}("1 kJ / query")
        def test_it():
            pass
        """
    )
    result = energy_pytester.run("-W", "ignore")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [f"*unknown marker '{name}' (test_it.py:5); did you mean @pytest.mark.energy_budget?*"]
    )


def test_markers_of_others_are_left_alone(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makeini("[pytest]\nmarkers =\n    energy_budgets: of another plugin\n")
    energy_pytester.write(
        """
        @pytest.mark.energy
        @pytest.mark.energy_report
        @pytest.mark.budget
        @pytest.mark.energy_budgets
        def test_it():
            pass
        """
    )
    energy_pytester.run("-W", "ignore").assert_outcomes(passed=1)


def test_a_file_of_many_tests_is_parsed_once_for_their_places(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed, parse = [], ast.parse

    def counting(source: bytes, *others: Any, **named: Any) -> Any:
        if not others and not named:  # pytest parses too, and names the file
            parsed.append(source)
        return parse(source, *others, **named)

    monkeypatch.setattr(ast, "parse", counting)
    for name in ("a", "longer"):
        energy_pytester.write(
            "".join(
                f"@budget('1 X / query')\ndef test_{name}_{each}(): pass\n" for each in range(20)
            )
        )
        result = energy_pytester.run()
        result.assert_outcomes(errors=20)
        result.stdout.fnmatch_lines(["*energy_budget (test_it.py:42): *"])
    assert len(parsed) == 2
