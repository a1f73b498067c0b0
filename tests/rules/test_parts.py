"""The parts of a request: the fit against an oracle, its intervals, and the test for linearity."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from pytest_energy.rules.parts import Cell, Fit, fit, look
from pytest_energy.rules.statistics import f_tail
from pytest_energy.rules.verdict import Verdict

SIZES = [(length, number) for length in (128, 1024) for number in (1, 64, 256)]
TRUE = (2.0, 0.003, 0.04)


def linear(inputs: float, outputs: float) -> float:
    return TRUE[0] + TRUE[1] * inputs + TRUE[2] * outputs


def simulated(
    cv: float,
    source: random.Random,
    cost: Callable[[float, float], float] = linear,
    passes: int = 5,
) -> Fit:
    found = fit(
        [
            Cell(
                inputs,
                outputs,
                tuple(cost(inputs, outputs) * source.gauss(1, cv) for _ in range(passes)),
            )
            for inputs, outputs in SIZES
        ]
    )
    assert found is not None
    return found


@given(st.lists(st.floats(0.1, 100), min_size=6, max_size=6))
def test_the_fit_is_that_of_non_negative_least_squares(figures: list[float]) -> None:
    cells = [Cell(*size, (each,)) for size, each in zip(SIZES, figures, strict=True)]
    found = fit(cells)
    assert found is not None
    rows = np.array([[1.0, *size] for size in SIZES]) / np.array(figures)[:, None]
    scales = np.linalg.norm(rows, axis=0)
    expected, _ = optimize.nnls(rows / scales, np.ones(len(SIZES)))
    centres = [each.centre for each in (found.request, found.inputs, found.outputs)]
    assert np.array(centres) * scales == pytest.approx(expected, abs=1e-7)
    assert found.missed == pytest.approx(1 - rows @ (expected / scales), abs=1e-7)
    assert found.is_linear is None


@given(st.floats(1e-3, 1e3), st.integers(1, 30), st.integers(1, 200))
def test_the_tail_of_f_is_exact(ratio: float, upper: int, lower: int) -> None:
    assert f_tail(ratio, upper, lower) == pytest.approx(
        stats.f.sf(ratio, upper, lower), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize("cv", [0.01, 0.03, 0.10, 0.20])
def test_linear_costs_are_called_not_linear_in_one_of_a_hundred_runs(cv: float) -> None:
    """The stated rate is 1 %; 150 runs show more than four with a probability of 2 %."""
    source = random.Random(20261129)
    found = [simulated(cv, source) for _ in range(150)]
    assert sum(each.is_linear is False for each in found) <= 4
    for part, truth in (("request", TRUE[0]), ("inputs", TRUE[1]), ("outputs", TRUE[2])):
        intervals = [getattr(each, part).interval for each in found]
        assert sum(not low <= truth <= high for low, high in intervals) <= 4


def test_what_is_not_linear_is_found() -> None:
    def attention(inputs: float, outputs: float) -> float:
        return linear(inputs, outputs) + 2e-5 * inputs * outputs

    source = random.Random(1)
    found = [simulated(0.03, source, attention) for _ in range(30)]
    assert all(each.is_linear is False for each in found)
    assert {
        look(each.outputs, 1.0, 0.03, is_linear=each.is_linear, final=True) for each in found
    } == {Verdict.INCONCLUSIVE}


def test_a_small_misfit_is_no_matter_however_sure() -> None:
    def almost(inputs: float, outputs: float) -> float:
        return linear(inputs, outputs) * (1.02 if (inputs, outputs) == (1024, 64) else 1.0)

    found = simulated(0.0001, random.Random(1), almost)
    assert 0.005 < max(map(abs, found.missed)) < 0.05
    assert found.is_linear is True


def test_sizes_in_one_line_cannot_be_told_apart() -> None:
    assert fit([Cell(n * 10, n, (float(n),)) for n in (1, 2, 3, 4)]) is None
    assert fit([Cell(128, n, (float(n),)) for n in (1, 64, 256)]) is None


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(0.9, Verdict.FAIL), (1.1, Verdict.PASS), (1.0, Verdict.CLOSE), (0.0, None)],
)
def test_a_part_beside_its_limit(factor: float, verdict: Verdict | None) -> None:
    found = simulated(0.005, random.Random(1))
    limit = TRUE[2] * (factor or 1.0)
    assert look(found.outputs, limit, 0.03, is_linear=True, final=factor != 0.0) is verdict


def test_limits_at_the_truth_rarely_fail() -> None:
    source = random.Random(7)
    found = [simulated(0.03, source) for _ in range(100)]
    verdicts = [look(each.outputs, TRUE[2], 0.03, is_linear=True, final=True) for each in found]
    assert verdicts.count(Verdict.FAIL) <= 1
