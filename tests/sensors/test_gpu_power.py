"""Power samples of known age, added up."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from pytest_energy.sensors.base import SensorFault
from pytest_energy.sensors.gpu_power import UPDATE_SECONDS, integrate, unresolved

Power = Callable[[float], float]
STALE = 0.12


def work(seconds: float) -> float:
    """300 W from 0 s to 10 s, 50 W otherwise."""
    return 300.0 if 0 <= seconds < 10.0 else 50.0


def average(seconds: float) -> float:
    """Of the second before."""
    busy = max(min(seconds, 10.0) - max(seconds - 1.0, 0.0), 0.0)
    return 50.0 + 250.0 * busy


def bursts(seconds: float) -> float:
    return 300.0 if seconds % 0.137 < 0.05 else 50.0


def held(power: Power, phase: float) -> Power:
    """Refreshed every 100 ms."""
    return lambda seconds: power(math.floor((seconds + phase) / 0.1) * 0.1 - phase)


def sampled(power: Power, ended: float, late: float = 0.0) -> list[tuple[float, float]]:
    times = [-0.01 + late + 0.02 * each for each in range(int(ended / 0.02) + 3)]
    return [(each, power(each)) for each in times]


@pytest.mark.parametrize("phase", [0.0, 0.03, 0.06, 0.09])
@pytest.mark.parametrize("seconds", [1.0, 3.0, 10.0])
def test_the_first_sample_is_not_taken_for_the_work(phase: float, seconds: float) -> None:
    samples = sampled(held(work, phase), seconds)
    assert integrate(samples, 0.0, seconds, STALE) == pytest.approx(300.0 * seconds, rel=0.001)
    assert unresolved([each for each in samples if STALE < each[0] < seconds], 300.0) is None


@pytest.mark.parametrize("phase", [0.0, 0.05])
def test_an_average_stands_for_the_second_before(phase: float) -> None:
    samples = sampled(held(average, phase), 9.99)
    assert integrate(samples, 0.0, 9.99, STALE + 1.0) == pytest.approx(2997.0, rel=0.001)


def test_power_after_the_end_of_the_work_does_not_count() -> None:
    assert integrate(sampled(work, 10.0, 0.013), 0.0, 10.0, STALE) == pytest.approx(3000.0)


@pytest.mark.parametrize("phase", [0.0, 0.03, 0.06, 0.09])
def test_bursts_between_refreshes_are_not_resolved(phase: float) -> None:
    fault = unresolved(sampled(held(bursts, phase), 1.3), 180.0)
    assert isinstance(fault, SensorFault)
    assert fault.code == "power-unresolved"
    assert "changed by up to 250 W" in str(fault)


def test_changes_that_are_few_beside_the_samples_are_resolved() -> None:
    slow: Power = lambda seconds: 300.0 if seconds % 2 < 1 else 100.0  # noqa: E731
    assert unresolved(sampled(held(slow, 0.03), 10.0), 2000.0) is None
    ramp: Power = lambda seconds: 100.0 + 20 * seconds  # noqa: E731
    assert unresolved(sampled(held(ramp, 0.03), 10.0), 2000.0) is None


def test_no_sample_and_a_gap_are_no_figure() -> None:
    for samples in ([], [(0.1, 50.0), (0.2 + 4 * UPDATE_SECONDS, 50.0)]):
        assert isinstance(integrate(samples, 0.0, 1.0), SensorFault)
