"""The rules that GPU, CPU and Apple counters share."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from pytest_energy.sensors.counter import (
    patience_seconds,
    stalled,
    stalled_after_work,
    too_much,
    went_back,
)
from pytest_energy.testing import VirtualTime


@pytest.mark.parametrize(
    ("period", "seconds"),
    [(0.0, 0.02), (0.001, 0.02), (0.0015, 0.03), (0.02, 0.1), (0.1, 0.25), (1.0, 2.5)],
)
def test_a_counter_has_more_periods_the_quicker_it_is(period: float, seconds: float) -> None:
    assert patience_seconds(period) == pytest.approx(seconds)
    assert stalled(seconds * 0.99, period) is None
    fault = stalled(seconds * 1.01, period)
    assert fault is not None
    assert fault.code == "counter-stalled"


def test_a_message_says_what_was_expected_and_what_to_do() -> None:
    assert str(stalled(0.36, 0.00114)) == (
        "the energy counter stalled for at least 0.36 s (expected a new value every 1.14 ms); "
        "run the test again"
    )
    assert str(went_back(100.0, 0.5)) == (
        "the energy counter went back from 100.000 J to 0.500 J, so it was reset during the "
        "window; run the test again"
    )


def test_more_than_the_device_can_draw_is_a_fault() -> None:
    # Two periods more, because both readings may be one refresh old.
    assert too_much(120.0, 1.0, 0.1, ceiling_watts=100.0) is None
    fault = too_much(120.1, 1.0, 0.1, ceiling_watts=100.0)
    assert fault is not None
    assert fault.code == "implausible-power"
    assert "rose by 120.1 J in 1.000 s, which takes 100 W" in str(fault)


def test_after_the_work_only_counters_that_do_not_change_are_faults() -> None:
    time = VirtualTime()
    ends = {"quick": 100.0 + 0.001, "slow": 100.0 + 0.2, "dead": float("inf")}
    periods = {"quick": 0.001, "slow": 0.1, "dead": 0.001}

    def changed(waiting: Collection[str]) -> list[str]:
        return [each for each in waiting if time.seconds >= ends[each]]

    found = stalled_after_work(periods, changed, time.clock, 0.0005)
    assert list(found) == ["dead"]
    assert time.seconds == pytest.approx(100.2, abs=0.001)
    assert "it may have stopped during the work" in str(found["dead"])
