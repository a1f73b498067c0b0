"""FLOPs of extra calls, unmeasured, as torch's own counter gives them."""

from __future__ import annotations

import pytest
from flop_bench import WORK

from conftest import EnergyPytester


@pytest.mark.parametrize(
    ("body", "flops_per_unit"),
    [
        ("@budget('1 kJ / query', count=4)\ndef test_it():\n    work(1000)", 250),
        (
            "@budget('1 kJ / token')\ndef test_it(energy):\n"
            "    energy.measure(work, inputs=[600, 6], tokens=3, count=lambda _: 2)",
            101,
        ),
        (
            "@pytest.mark.anyio\nasync def test_it(energy, anyio_backend_name):\n"
            "    async def call(): work(50)\n    await energy.measure_async(call)",
            50,
        ),
    ],
)
def test_flops_are_those_of_one_more_call_with_each_input(
    flop_bench: EnergyPytester, body: str, flops_per_unit: float
) -> None:
    flop_bench.write(
        f"{WORK}\n{body}\n\ndef test_calls():\n    assert calls[-1] and sum(calls) <= 2\n"
    )
    result = flop_bench.run_process("--energy-flops", "-v")
    assert result.ret == 0
    for name, test in flop_bench.tests().items():
        assert test["explanation"]["flops_per_unit"] == flops_per_unit, name
    result.stdout.fnmatch_lines(
        [f"*work: {flops_per_unit}* FLOP a *, as torch counts them; *FLOP*"]
    )


def test_each_candidate_has_its_own(flop_bench: EnergyPytester) -> None:
    works = "{'old': lambda: work(10), 'new': lambda: work(20), 'other': lambda: work(30)}"
    flop_bench.write(f"{WORK}\ndef test_it(energy):\n    energy.compare({works})\n")
    flop_bench.run_process("--energy-flops", "--energy-fail-on=none")
    found = {
        each["name"]: each["explanation"]["flops_per_unit"] for each in flop_bench.record()["tests"]
    }
    assert found == {"new": 20, "other": 30}


def test_nothing_more_is_called_unless_asked(flop_bench: EnergyPytester) -> None:
    flop_bench.write(
        f"{WORK}\n@budget('1 kJ / query')\ndef test_it():\n    work(9)\n"
        "def test_calls():\n    assert not any(calls)\n"
    )
    flop_bench.run_process().assert_outcomes(passed=2)
    assert flop_bench.tests()["test_it"]["explanation"]["flops_per_unit"] is None


def test_no_flops_are_not_countable(flop_bench: EnergyPytester) -> None:
    flop_bench.write(f"{WORK}\n@budget('1 kJ / query')\ndef test_it():\n    work(0)\n")
    flop_bench.run_process("--energy-flops").stdout.fnmatch_lines(
        ["*FLOPs are not countable: torch saw none in an extra call*"]
    )
    flop_bench.write("@budget('1 kJ / query')\ndef test_it():\n    spin()\n")
    flop_bench.run_process("--energy-flops").stdout.fnmatch_lines(
        ["*FLOPs are not countable: the test hasn't loaded torch*"]
    )


def test_an_error_of_the_extra_call_is_reported_and_fails_nothing(
    flop_bench: EnergyPytester,
) -> None:
    flop_bench.write(
        f"{WORK}\n@budget('1 kJ / query')\ndef test_it():\n    work(1)\n"
        "    if calls[-1]:\n        raise ValueError('no modes here')\n"
    )
    result = flop_bench.run_process("--energy-flops")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*FLOPs are not counted: one more call raised ValueError"])
