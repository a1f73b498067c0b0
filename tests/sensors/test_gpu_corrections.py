"""The tail of a window, from what the refresh intervals around it tell."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.sensors.gpu_corrections import Ending, Interval, Stretch, joules_after_work


def fallen(busy: float, idle: float, fall: float, start: float, seconds: float) -> float:
    """Joules of an exponential fall, from `start` after the work on."""
    excess = (busy - idle) * fall * (math.exp(-start / fall) - math.exp(-(start + seconds) / fall))
    return idle * seconds + excess


def steady(busy: float, tail: float, tails: float) -> Ending:
    """A second of work at one power, of which the last 50 ms lie after the last refresh."""
    return Ending(
        window=Stretch(1.0, busy + tails), last=Stretch(0.05, 0.05 * busy + tails), tail=tail
    )


@given(
    usual=st.floats(min_value=60, max_value=1000),
    busy=st.floats(min_value=60, max_value=1000),
    idle=st.floats(min_value=5, max_value=50),
    fall=st.floats(min_value=0.05, max_value=1.0),
    tail=st.floats(min_value=0.0, max_value=0.1),
)
def test_an_exponential_fall_is_found_again(
    usual: float, busy: float, idle: float, fall: float, tail: float
) -> None:
    first = Interval(0.1, fallen(busy, idle, fall, tail, 0.1))
    second = Interval(0.104, fallen(busy, idle, fall, tail + 0.1, 0.104))
    truth = fallen(busy, idle, fall, 0.0, tail)
    window = Stretch(1.0, 0.95 * usual + 0.05 * busy + truth)
    end = Ending(window=window, last=Stretch(0.05, 0.05 * busy + truth), tail=tail)
    assert joules_after_work(end, first, second) == pytest.approx(
        truth, abs=0.005 * max(busy, usual)
    )


@given(
    watts=st.tuples(*[st.floats(min_value=0, max_value=1000)] * 3),
    worked=st.floats(min_value=0, max_value=10),
    last=st.floats(min_value=0, max_value=0.1),
    slack=st.floats(min_value=0, max_value=0.02),
    tail=st.floats(min_value=0, max_value=0.2),
    first=st.floats(min_value=0, max_value=100),
    second=st.floats(min_value=0, max_value=100),
    seconds=st.just(0.0) | st.floats(min_value=1e-4, max_value=0.2),
)
def test_whatever_is_read_it_stays_between_settled_and_all(
    watts: tuple[float, float, float],
    worked: float,
    last: float,
    slack: float,
    tail: float,
    first: float,
    second: float,
    seconds: float,
) -> None:
    one, two = Interval(seconds, first), Interval(0.1, second)
    usual, busy, before = watts
    joules = busy * (last + tail)
    end = Ending(
        window=Stretch(worked + last, usual * worked + joules),
        last=Stretch(last, joules),
        slack=slack,
        tail=tail,
        last_watts=before,
        doubt=0.1,
    )
    found = joules_after_work(end, one, two)
    assert math.isfinite(found)
    settled = one.watts * tail
    most = max(settled, end.window.joules, joules)
    assert settled - 1e-6 <= found <= most + 1e-4


def test_without_a_fall_only_the_interval_after_counts() -> None:
    end = steady(300.0, 0.05, 2.5)
    assert joules_after_work(end, Interval(0.1, 5.0), Interval(0.1, 5.0)) == 2.5
    # Less than the moments of the refreshes are known by is no fall.
    later = Interval(0.1, 4.0, 0.02)
    assert joules_after_work(end, Interval(0.1, 5.0, 0.01), later) == 2.5


def test_a_fall_that_nobody_saw_is_what_the_work_can_not_have_used() -> None:
    idle = Interval(0.1, 5.0)

    def found(last_watts: float | None, slack: float) -> float:
        end = steady(300.0, 0.05, 2.5 + 3.75)
        end = replace(end, last_watts=last_watts, slack=slack, doubt=0.05)
        return joules_after_work(end, idle, idle)

    assert found(300.0, 0.0) == pytest.approx(6.25, rel=0.05)
    assert found(300.0, 0.02) == 2.5  # within what its beginning is known by
    assert found(None, 0.0) == 2.5  # the power at the end wasn't seen
