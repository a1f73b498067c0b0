"""What is said of a counter whose readings can't be the work's: it stood still, or was reset."""

from __future__ import annotations

from pytest_energy.sensors.base import SensorFault

#: Of its periods: a counter that wasn't refreshed for so many has stopped.
STILL_PERIODS = 20


def stood_still(label: str, seconds: float, period: float) -> SensorFault:
    """In the window; `period` is how often the counter is refreshed, in seconds."""
    return SensorFault(
        f"the energy counter of {label} stood still for {seconds:.2f} s "
        f"though it is refreshed every {period * 1000:.3g} ms",
        "counter-stalled",
    )


def stopped_after(label: str, seconds: float, period: float) -> SensorFault:
    """For so many seconds after the work, so that nobody knows when it stopped."""
    return SensorFault(
        f"the energy counter of {label} stood still for {seconds:.2f} s after the work, though it "
        f"is refreshed every {period * 1000:.3g} ms: it may have stopped before",
        "counter-stalled",
    )


def beyond(label: str, joules: float, seconds: float, period: float, ceiling_watts: float) -> str:
    """Why so many joules can't be, or "": more than `ceiling_watts` nothing can draw."""
    # Either reading may show a value that is one refresh old.
    drawable_seconds = seconds + 2 * period
    if joules <= ceiling_watts * drawable_seconds:
        return ""
    return (
        f"{joules:,.1f} J in {seconds:.3f} s implies {joules / drawable_seconds:,.0f} W, and "
        f"{label} can draw at most {ceiling_watts:,.0f} W: the counter was reset"
    )
