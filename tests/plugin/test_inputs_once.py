"""Inputs that must not be used twice: `repeat=False`."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester

ONCE = """
SEEN = []

def call(x):
    SEEN.append(x)
    spin({milliseconds})

@budget("1 J / query")
def test_it(energy):
    energy.measure(call, inputs=range({inputs}), repeat=False)

def test_each_was_used_once():
    assert SEEN == list(range(len(SEEN))) and len(SEEN) <= {inputs}
"""


def measured(
    inner: EnergyPytester, inputs: int, milliseconds: float, max_seconds: float
) -> tuple[pytest.RunResult, dict[str, object]]:
    inner.write(ONCE.format(inputs=inputs, milliseconds=milliseconds))
    result = inner.run(f"--energy-max-seconds={max_seconds}")
    return result, inner.tests()["test_it"]


def test_the_summary_says_how_many_inputs_were_needed(energy_pytester: EnergyPytester) -> None:
    result, test = measured(energy_pytester, 100_000, 1, 0.3)
    result.assert_outcomes(passed=2)
    (note,) = [each for each in test["notes"] if "inputs were needed" in each]  # type: ignore[attr-defined]
    rounds: list[dict[str, float]] = test["rounds"]  # type: ignore[assignment]
    made = round(sum(each["calls"] for each in rounds))
    assert note == f"{made} of 100000 inputs were needed, each used once"


def test_inputs_that_do_not_last_for_a_round_are_an_error(energy_pytester: EnergyPytester) -> None:
    result, test = measured(energy_pytester, 5, 1, 60)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the 5 inputs were used up before one round was complete*"])
    assert test["verdict"] == "unmeasured"


def test_without_inputs_there_is_nothing_to_use_once(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write("def test_it(energy):\n    energy.measure(spin, repeat=False)\n")
    result = energy_pytester.run()
    result.stdout.fnmatch_lines(["*repeat=False needs inputs*"])


def test_coroutines_have_it_too(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        import asyncio

        async def call(x):
            spin(1)

        def test_it(energy):
            asyncio.run(energy.measure_async(call, inputs=[1, 2], repeat=False))
        """
    )
    energy_pytester.run().stdout.fnmatch_lines(["*the 2 inputs were used up*"])
