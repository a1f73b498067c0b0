"""What an energy counter shows while a window is open; pure.

Two readings don't tell that a counter stood still between them, jumped, or began again near zero.
All that is seen of it in between does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pytest_energy.sensors.base import SensorFault
from pytest_energy.sensors.ticks import Sight, Tick

#: Of its periods: a counter that wasn't refreshed for so many has stopped.
STILL_PERIODS = 2.5
#: Quick counters are polled less often than they are refreshed.
STILL_SECONDS = 0.1
#: A reading may show a value that is one refresh old, and the one before it a new one.
LATE_PERIODS = 2
KEPT = 200


@dataclass(frozen=True)
class Step:
    """A value of a counter: it came after `after` and was there at `by`, in seconds."""

    after: float
    by: float
    joules: float


@dataclass(frozen=True)
class LastInterval:
    """The refresh interval in which the work ended, and the power in the one before.

    began: in seconds, give or take `slack`, since nobody saw that refresh come. joules: what the
    counter showed from then on. watts: before, within a part `doubt`; None where it wasn't seen.
    """

    began: float
    slack: float
    joules: float
    watts: float | None
    doubt: float


@dataclass
class Trail:
    """One counter, since the refresh on which its window opened.

    ceiling_watts: more than this the board can't draw.
    """

    period: float
    ceiling_watts: float
    fault: SensorFault | None = None
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=KEPT))
    _last: Sight | None = None
    _since: float = 0.0

    @property
    def still_seconds(self) -> float:
        """For how long at most a counter that works shows one value."""
        return max(STILL_PERIODS * self.period, STILL_SECONDS)

    def see(self, seen: Sight) -> SensorFault | None:
        """Take in a later reading; the first fault stays."""
        last = self._last
        if self.fault is None and last is not None:
            self.fault = self._compared(last, seen)
        if last is None or seen.joules != last.joules:
            self._since = seen.latest
            if last is not None:
                self.steps.append(Step(last.earliest, seen.latest, seen.joules))
        self._last = seen
        return self.fault

    def values(self) -> list[tuple[float, float]]:
        """When the counter was refreshed, about, and the joules that it showed from then on."""
        found: list[tuple[float, float]] = []
        period = self._usual_period()
        for each in self.steps:
            # It is the latest value before it was seen; some before it may not have been.
            earliest = max(each.after, each.by - period)
            expected = (earliest + each.by) / 2
            if found and period:
                before = found[-1][0]
                expected = before + (each.by - before) // period * period
            found.append((min(max(expected, earliest), each.by), each.joules))
        return found

    def _usual_period(self) -> float:
        """Between the first and the last refresh, which are polled for."""
        if not self.steps or not self.period:
            return self.period
        span = self.steps[-1].by - self.steps[0].by
        return span / max(round(span / self.period), 1)

    def last_interval(
        self, opening: Tick, closing: Tick, usual: float, slack: float
    ) -> LastInterval | None:
        """The interval that ends with `closing`; None where another value came in between.

        usual: seconds of an interval, give or take `slack`.
        """
        span = closing.seconds - opening.seconds
        number = max(round(span / usual), 1) if usual else 1
        interval, joules = span / number, closing.before_joules
        began = closing.seconds - interval
        if number == 1:
            is_whole = joules == opening.joules
            return LastInterval(opening.seconds, 0.0, joules, None, 0.0) if is_whole else None
        earlier = [Step(opening.seconds, opening.seconds, opening.joules)]
        earlier += [each for each in self.steps if opening.joules < each.joules < joules]
        latest = earlier[-1]
        intervals = max(round((began - (latest.after + latest.by) / 2) / interval), 1)
        watts = (joules - latest.joules) / interval if intervals == 1 else None
        return LastInterval(began, slack, joules, watts, 2 * slack / interval)

    def _compared(self, last: Sight, seen: Sight) -> SensorFault | None:
        joules = seen.joules - last.joules
        if joules < 0:
            return SensorFault(
                f"the energy counter went back from {last.joules:.3f} J to {seen.joules:.3f} J: it "
                "was reset in the window",
                "counter-reset",
            )
        seconds = seen.latest - last.earliest + LATE_PERIODS * self.period
        if joules > self.ceiling_watts * seconds:
            return implausible(
                f"the energy counter rose by {joules:,.1f} J within {seconds:.2f} s, which takes "
                f"{joules / seconds:,.0f} W",
                self.ceiling_watts,
            )
        still = seen.earliest - self._since
        if joules == 0 and still > self.still_seconds:
            return SensorFault(
                f"the energy counter stood still for {still:.2f} s or longer, though it is "
                f"refreshed every {self.period * 1000:.0f} ms",
                "counter-stalled",
            )
        return None


def implausible(what: str, ceiling_watts: float) -> SensorFault:
    """More than twice its limit no board draws: the reading is wrong."""
    return SensorFault(
        f"{what}, and the board can draw at most {ceiling_watts:,.0f} W (twice its limit): the "
        "reading is wrong",
        "implausible-power",
    )
