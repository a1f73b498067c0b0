"""A board's energy counter beside its own power."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.errors import code_of
from pytest_energy.measurement.self_check import Sample, compared, disagreement, warning
from pytest_energy.record.schema import SelfCheckRecord


def samples(
    seconds: float, *, gain: float = 1.0, every: float = 0.02, watts: float = 100.0
) -> list[Sample]:
    """A counter that is refreshed every 100 ms, 30 ms after the first reading."""
    times = [index * every for index in range(int(seconds / every) + 1)]
    return [Sample(t, gain * watts * max(0.1 * ((t + 0.07) // 0.1), 0.0), watts) for t in times]


@given(st.floats(min_value=2.3, max_value=5), st.floats(min_value=0.2, max_value=3))
def test_the_gain_of_a_counter_is_found(seconds: float, gain: float) -> None:
    found = compared("gpu:0", samples(seconds, gain=gain))
    assert found is not None
    assert found.counter_joules / found.power_joules == pytest.approx(gain, rel=0.01)
    assert found.power_joules == pytest.approx(100 * found.seconds)


@pytest.mark.parametrize("found", [samples(1.9), samples(4, every=0.08), [], samples(4)[:1]])
def test_too_short_a_time_and_too_wide_gaps_are_compared_later(found: list[Sample]) -> None:
    assert compared("gpu:0", found) is None


def test_a_hole_in_the_readings_is_compared_later() -> None:
    seen = samples(5)
    assert compared("gpu:0", seen[:100] + seen[130:]) is None


@pytest.mark.parametrize(("counted", "warns"), [(116, True), (114, False), (86, False), (84, True)])
def test_a_difference_over_fifteen_percent_is_reported_with_both_figures(
    counted: float, warns: bool
) -> None:
    told = warning(SelfCheckRecord("gpu:0", 3.0, counted, 100.0))
    assert bool(told) is warns
    if warns:
        assert f"{counted}.0 J counted and 100.0 J of power integrated" in told


@pytest.mark.parametrize(("counted", "is_said"), [(50, True), (66, True), (67, False), (151, True)])
def test_a_third_is_too_much_for_any_figure(counted: float, is_said: bool) -> None:
    found = [SelfCheckRecord("gpu:0", 3.0, counted, 100.0)]
    told = disagreement(found, ["gpu:0"])
    assert bool(told) is is_said
    assert code_of(told) == ("counter-disagrees" if is_said else "")
    assert not disagreement(found, ["cpu:process"])
