"""FLOPs of real torch modules, as limits and baselines."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester

pytestmark = pytest.mark.model

#: A product of 32 x 64 with 64 x 128: a multiplication and an addition for each.
LINEAR = 2 * 32 * 64 * 128
LAYERS = """
import torch

torch.set_num_threads(1)
X = torch.randn(32, 64)

def layers(number):
    return torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(number)))
"""


@pytest.mark.parametrize(("limit", "passes"), [(LINEAR, True), (LINEAR - 1, False)])
def test_a_linear_layer_has_two_flops_for_each_weight_and_row(
    energy_pytester: EnergyPytester, limit: int, passes: bool
) -> None:
    energy_pytester.write(
        f"{LAYERS}\nLINEAR = torch.nn.Linear(64, 128)\n"
        f"@budget('{limit} FLOP / query', count=100)\n"
        "def test_it():\n    for _ in range(100):\n        LINEAR(X)\n"
    )
    result = energy_pytester.run_process()
    result.assert_outcomes(passed=int(passes), failed=int(not passes))
    energy, work = energy_pytester.record()["tests"]
    assert work["flops_per_unit"] == LINEAR
    assert energy["joules_per_unit"] > 0


def test_one_percent_more_is_found_in_each_of_many_runs_and_nothing_else(
    energy_pytester: EnergyPytester,
) -> None:
    source = (
        LAYERS + "\n@pytest.mark.parametrize('run', range(10))\n"
        "@budget('1 GFLOP / query', max_increase='0.5%')\n"
        "def test_it(run, energy):\n    energy.measure(layers({}), inputs=[X, X[:16]])\n"
    )
    energy_pytester.write(source.format(100))
    energy_pytester.run_process("--energy-update=new").assert_outcomes(passed=10)
    energy_pytester.run_process().assert_outcomes(passed=10)
    tests = [each for each in energy_pytester.record()["tests"] if each["method"] == "flops"]
    # The inputs have 32 rows and 16.
    assert {each["flops_per_unit"] for each in tests} == {100 * 2 * 24 * 64 * 64}
    energy_pytester.write(source.format(101))
    energy_pytester.run_process().assert_outcomes(failed=10)
    tests = [each for each in energy_pytester.record()["tests"] if each["method"] == "flops"]
    assert {each["code"] for each in tests} == {"over-baseline"}
    assert [each["baseline"]["increase"] for each in tests] == [pytest.approx(0.01)] * 10
