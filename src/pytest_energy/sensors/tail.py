"""What a board still used between the end of the work and the first refresh after it; pure.

A board doesn't fall to its idle power at once. Its power is taken to fall exponentially from that
at the end of the work. How fast, and to what, is read from the two refresh intervals after the
first refresh; from where, from the interval in which the work ended: its joules are those of the
last of the work and of the tail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

#: A smaller fall between the two intervals, as a part of how far the power has to fall, is noise.
FALL = 0.01
HALVINGS = 16  # to 0.02 % of the time constant, and better of the power
SHORTEST_SECONDS, LEAST_WATTS = 1e-6, 1e-3
FASTEST_SECONDS, SLOWEST_SECONDS = 1e-3, 100.0


@dataclass(frozen=True)
class Interval:
    """Between two refreshes of a counter; slack: seconds, give or take."""

    seconds: float
    joules: float
    slack: float = 0.0

    @property
    def watts(self) -> float:
        return self.joules / self.seconds if self.seconds > 0 else 0.0

    @property
    def noise_watts(self) -> float:
        return self.watts * self.slack / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Stretch:
    """So many seconds of work up to its end, and their joules together with those of the tail."""

    seconds: float
    joules: float


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What is known of the end of the work.

    window: all of it. last: from the last refresh inside it on, give or take `slack` seconds, since
    nobody saw when that came. tail: seconds from the end of the work to the next refresh.
    last_watts: in the whole interval before `last`, within a part `doubt`; None if it wasn't seen.
    """

    window: Stretch
    last: Stretch
    slack: float = 0.0
    tail: float
    last_watts: float | None = None
    doubt: float = 0.0


def tail_joules(end: Ending, first: Interval, second: Interval) -> float:
    """Joules of the tail. first, second: the refresh intervals right after it."""
    settled = first.watts * end.tail
    last, window = end.last, end.window
    if min(first.seconds, second.seconds, window.seconds) <= 0 or end.tail <= 0:
        return settled
    busy = max(each.joules / (each.seconds + end.tail) for each in (last, window))
    noise = max(FALL * (busy - second.watts), first.noise_watts + second.noise_watts)
    if first.watts - second.watts <= noise:
        return _unseen_fall(end, first, second, settled)

    def fallen(watts: float) -> float:
        return _fallen(watts, end.tail, first, second)

    usual = _busy_watts(window.joules, window.seconds, first.watts, fallen)
    low = _busy_watts(last.joules, last.seconds + end.slack, first.watts, fallen)
    high = _busy_watts(last.joules, last.seconds - end.slack, first.watts, fallen)
    busy = usual  # steady work is known better from all of the window
    if not low <= usual <= high:
        busy = _busy_watts(last.joules, last.seconds, first.watts, fallen)
    return max(min(fallen(busy), last.joules), settled)


def _unseen_fall(end: Ending, first: Interval, second: Interval, settled: float) -> float:
    """The tail where the power has fallen before the first refresh, so that nothing shows how fast.

    What the work before it can't have used is the tail's, as far as more than `slack` tells.
    """
    last = end.last_watts
    if last is None:
        return settled
    usual = (end.window.joules - settled) / end.window.seconds
    busy = usual if abs(last - usual) <= end.doubt * last else last
    found = end.last.joules - busy * end.last.seconds
    if busy <= first.watts or found - settled <= busy * end.slack:
        return settled
    seen = Interval(first.seconds, first.seconds * (second.watts + FALL * (busy - second.watts)))
    most = _fallen(busy, end.tail, seen, second)
    # Beyond that it's no fall: the work used more at its end than before.
    return max(min(found, most), settled) if found <= most + busy * end.slack else settled


def _busy_watts(
    joules: float, worked: float, least: float, fallen: Callable[[float], float]
) -> float:
    """The power of the work with which its joules and those of the tail add up."""
    low = max(least, LEAST_WATTS)
    high = max(joules / max(worked, SHORTEST_SECONDS), low)
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        if middle * worked + fallen(middle) > joules:
            high = middle
        else:
            low = middle
    return math.sqrt(low * high)


def _fallen(busy: float, tail: float, first: Interval, second: Interval) -> float:
    """Joules of the tail of a fall from `busy` watts."""
    if busy <= first.watts:
        return first.watts * tail
    part = (busy - first.watts) / (busy - second.watts)
    fall = _fall_seconds(part, tail, first.seconds, second.seconds)
    after = _mean_excess(fall, tail, first.seconds)
    idle = (first.watts - busy * after) / (1 - after)
    return idle * tail + (busy - idle) * tail * _mean_excess(fall, 0.0, tail)


def _fall_seconds(target: float, tail: float, first: float, second: float) -> float:
    """The time constant with which the two intervals have fallen as far as they have."""
    low, high = FASTEST_SECONDS, SLOWEST_SECONDS
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        fallen = 1 - _mean_excess(middle, tail, first)
        if fallen / (1 - _mean_excess(middle, tail + first, second)) > target:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def _mean_excess(fall: float, after: float, seconds: float) -> float:
    """What is left on average, over `seconds`, of an excess that began to fall `after` ago."""
    if seconds <= 0:
        return math.exp(-after / fall)
    return math.exp(-after / fall) * -math.expm1(-seconds / fall) * fall / seconds
