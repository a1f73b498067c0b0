"""Several units of one call: counted, limited, stored and shown."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester

GENERATE = """
    def generate():
        spin(4)
        return {"prompt": "a b c d", "text": "e f"}

    UNITS = {
        "input-tokens": lambda result: len(result["prompt"].split()),
        "output-token": lambda result: len(result["text"].split()),
        "request": 1,
    }
"""


def test_each_limit_has_its_own_unit(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        GENERATE
        + """
    @budget(["0.9 kJ / 1k input-tokens", "0.001 mJ / output-token", "900 J / query"])
    def test_it(energy):
        energy.measure(generate, units=UNITS)
    """
    )
    result = energy_pytester.run("-v")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*is over the limit of 0.00100 mJ / output-token (test_it.py:*",
            "  a call: 4.00 input-tokens, 2.00 output-tokens, 1.00 requests*",
        ]
    )
    tests = energy_pytester.record()["tests"]
    assert [(each["unit"], each["verdict"]) for each in tests] == [
        ("input-token", "pass"),
        ("output-token", "fail"),
        ("query", "pass"),
    ]
    for each in tests[0]["rounds"]:
        calls = each["calls"]
        assert each["all_units"] == {
            "input-token": 4 * calls,
            "output-token": 2 * calls,
            "request": calls,
            "query": calls,
        }
    inputs, outputs, queries = (each["joules_per_unit"] for each in tests)
    assert outputs == pytest.approx(2 * inputs)
    assert queries == pytest.approx(4 * inputs)


def test_the_marker_counts_several_units_of_a_body(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
    COUNTED = {"input-tokens": 4, "output-token": 2}
    LIMITS = ["0.9 kJ / 1k input-tokens", "0.001 mJ / output-token"]

    @budget([*LIMITS, "900 J / query"], units=COUNTED)
    def test_limited():
        spin(4)

    @budget([*LIMITS, "0.9 kJ / document"], count=3, units=COUNTED)
    async def test_async():
        spin(4)

    @budget(units=COUNTED)
    def test_new():
        spin(4)
    """
    )
    result = energy_pytester.run("-p", "asyncio", "-o", "asyncio_mode=auto")
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        ["*energy_budget(* / input-token\", units={'input-token': 4, 'output-token': 2})"]
    )
    found: dict[str, list[tuple[str, float]]] = {}
    for each in energy_pytester.record()["tests"]:
        calls = sum(one["calls"] for one in each["rounds"])
        units = sum(one["units"] for one in each["rounds"])
        found.setdefault(each["id"].partition("::")[2], []).append((each["unit"], units / calls))
    assert found == {
        "test_limited": [("input-token", 4), ("output-token", 2), ("query", 1)],
        "test_async": [("input-token", 4), ("output-token", 2), ("document", 3)],
        "test_new": [("input-token", 4)],
    }


def test_limits_of_the_file_may_be_a_list(energy_pytester: EnergyPytester) -> None:
    (energy_pytester.pytester.path / "energy-budgets.toml").write_text(
        """
schema = 1

[[budget]]
task = "chat"
max = [
    "0.9 kJ / 1k input-tokens",
    "0.001 mJ / output-token",
]
"""
    )
    energy_pytester.write(
        GENERATE
        + """
    @budget(task="chat")
    def test_it(energy):
        energy.measure(generate, units=UNITS)
    """
    )
    energy_pytester.run().assert_outcomes(failed=1)
    found = [
        (each["budget"]["origin"], each["unit"], each["verdict"])
        for each in energy_pytester.record()["tests"]
    ]
    assert found == [
        ("energy-budgets.toml:7", "input-token", "pass"),
        ("energy-budgets.toml:8", "output-token", "fail"),
    ]


MISUSED = {
    "units={}": "units={} is not a dict of units and their numbers",
    "units=3": "units=3 is not a dict",
    'units={"a b": 1}': "units has 'a b', which is not the name of a unit",
    'units={"token": 0}': "units['token']=0 is neither a whole number",
    'units={"token": 3}, tokens=3': "tokens are counted twice",
    'units={"query": 3, "queries": 3}': "queries are counted twice",
    'units={"query": lambda result: "x"}': "returned 'x', not a number of queries",
    'units={"output-token": 3}': 'add units={"input-token": 128}',
    "units=usage.openai()": "no usage in NoneType; usage.openai expects an answer",
}


def test_units_that_cannot_be_counted_are_an_error(energy_pytester: EnergyPytester) -> None:
    limits = {7: '"1 J / input-token"'}
    energy_pytester.write(
        "from pytest_energy import usage\n\n"
        + "".join(
            f"@budget({limits.get(i, '')})\ndef test_{i}(energy):\n"
            f"    energy.measure(spin, {arguments})\n\n"
            for i, arguments in enumerate(MISUSED)
        )
    )
    result = energy_pytester.run()
    result.assert_outcomes(errors=len(MISUSED))
    report = result.stdout.str()
    for i, why in enumerate(MISUSED.values()):
        section = report.partition(f" ERROR at call of test_{i} ")[2].partition("\n____")[0]
        assert why in section


def test_a_limit_per_query_counts_the_requests_of_a_call(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("900 J / query")
        def test_it(energy):
            energy.measure(spin, units={"request": 8})

        def test_window(energy):
            with energy.window(units={"output-token": 100, "request": 2}):
                spin(300)
        """
    )
    energy_pytester.run().assert_outcomes(passed=2)
    found = {
        name: (test["unit"], {each["units"] / each["calls"] for each in test["rounds"]})
        for name, test in energy_pytester.tests().items()
    }
    assert found == {"test_it": ("query", {8}), "test_window": ("output-token", {100})}
