"""The tail of a window, from what the two refresh intervals after it tell."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.sensors.tail import Interval, tail_joules


def fallen(busy: float, idle: float, fall: float, start: float, seconds: float) -> float:
    """Joules of an exponential fall, from `start` after the work on."""
    excess = (busy - idle) * fall * (math.exp(-start / fall) - math.exp(-(start + seconds) / fall))
    return idle * seconds + excess


@given(
    busy=st.floats(min_value=60, max_value=1000),
    idle=st.floats(min_value=5, max_value=50),
    fall=st.floats(min_value=0.05, max_value=1.0),
    tail=st.floats(min_value=0.0, max_value=0.1),
)
def test_an_exponential_fall_is_found_again(
    busy: float, idle: float, fall: float, tail: float
) -> None:
    first = Interval(0.1, fallen(busy, idle, fall, tail, 0.1))
    second = Interval(0.104, fallen(busy, idle, fall, tail + 0.1, 0.104))
    truth = fallen(busy, idle, fall, 0.0, tail)
    found = tail_joules(busy * 1.0 + truth, 1.0, tail, first, second)
    assert found == pytest.approx(truth, abs=0.003 * busy)


@given(
    joules=st.floats(min_value=0, max_value=1e4),
    worked=st.floats(min_value=0, max_value=10),
    tail=st.floats(min_value=0, max_value=0.2),
    first=st.floats(min_value=0, max_value=100),
    second=st.floats(min_value=0, max_value=100),
    seconds=st.just(0.0) | st.floats(min_value=1e-4, max_value=0.2),
)
def test_whatever_is_read_it_stays_between_settled_and_busy(
    joules: float, worked: float, tail: float, first: float, second: float, seconds: float
) -> None:
    one, two = Interval(seconds, first), Interval(0.1, second)
    found = tail_joules(joules, worked, tail, one, two)
    assert math.isfinite(found)
    settled = one.watts * tail
    busy = joules / worked * tail if worked > 0 else settled
    assert min(settled, busy) - 1e-6 <= found <= max(settled, busy) + 1e-6


def test_without_a_fall_the_interval_after_tells_alone() -> None:
    assert tail_joules(300.0, 1.0, 0.05, Interval(0.1, 5.0), Interval(0.1, 5.0)) == 2.5
    assert tail_joules(300.0, 1.0, 0.05, Interval(0.1, 5.0), Interval(0.1, 5.4)) == 2.5
