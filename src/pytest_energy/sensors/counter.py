"""Rules that all energy counters share: it stalled, it was reset, it shows too much.

A channel's name is put before each message where it is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from pytest_energy.sensors.base import Clock, SensorFault

Name = TypeVar("Name")

#: Of its periods: a counter that was not refreshed for so many has stalled.
STALLED_PERIODS = 2.5
#: A busy machine sees the refreshes of a quick counter late: it has more periods, between these
#: times.
QUICK_PERIODS = 20
QUICK_SECONDS = (0.02, 0.1)


def patience_seconds(period: float) -> float:
    """How long a counter that works shows one value; period: between two refreshes, in seconds."""
    least, most = QUICK_SECONDS
    return max(STALLED_PERIODS * period, min(max(QUICK_PERIODS * period, least), most))


def stalled(seconds: float, period: float) -> SensorFault | None:
    """The fault of a counter that showed one value for so many seconds; None if that is normal."""
    if seconds <= patience_seconds(period):
        return None
    return SensorFault(
        f"the energy counter stalled for at least {seconds:.2f} s ({_expected(period)}); run the "
        "test again",
        "counter-stalled",
    )


def stalled_after_work(
    periods: Mapping[Name, float],
    changed: Callable[[Collection[Name]], Collection[Name]],
    clock: Clock,
    poll_seconds: float,
) -> dict[Name, SensorFault]:
    """The counters that show one value since the work ended: they may have stopped during it.

    Returns once all others have changed. periods: seconds between two refreshes, by counter.
    changed: those of these counters that show another value than at the end of the work.
    """
    waiting, began, seconds = dict(periods), clock.now(), 0.0
    while waiting:
        for each in changed(tuple(waiting)):
            del waiting[each]
        seconds = clock.now() - began
        if all(seconds > patience_seconds(period) for period in waiting.values()):
            break
        clock.sleep(poll_seconds)
    return {
        each: SensorFault(
            f"the energy counter stalled for {seconds:.2f} s after the work ({_expected(period)}), "
            "so it may have stopped during the work; run the test again",
            "counter-stalled",
        )
        for each, period in waiting.items()
    }


def went_back(before: float, after: float) -> SensorFault:
    """The fault of a counter that showed `before` joules, and then less."""
    return SensorFault(
        f"the energy counter went back from {before:.3f} J to {after:.3f} J, so it was reset "
        "during the window; run the test again",
        "counter-reset",
    )


def too_much(
    joules: float, seconds: float, period: float, ceiling_watts: float
) -> SensorFault | None:
    """The fault of a counter that rose by more than its device can draw; None if it did not."""
    # Either reading may show a value that is one refresh old.
    drawable_seconds = seconds + 2 * period
    if joules <= ceiling_watts * drawable_seconds:
        return None
    return SensorFault(
        f"the energy counter rose by {joules:,.1f} J in {seconds:.3f} s, which takes "
        f"{joules / drawable_seconds:,.0f} W, and the device can draw at most {ceiling_watts:,.0f} "
        "W, so the counter was reset or the reading is wrong; run the test again",
        "implausible-power",
    )


def _expected(period: float) -> str:
    return f"expected a new value every {period * 1000:.3g} ms"
