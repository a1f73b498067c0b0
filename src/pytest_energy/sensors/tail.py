"""What a board still used between the end of the work and the first refresh after it; pure.

A board doesn't fall to its idle power at once. Its power is taken to fall exponentially from that
of the work; how fast, and to what, is read from the two refresh intervals after the first refresh.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: A smaller fall between the two intervals, as a part of how far the power has to fall, is noise.
FALL = 0.03
ROUNDS = 4
HALVINGS = 16  # to 0.02 % of the time constant
FASTEST_SECONDS, SLOWEST_SECONDS = 1e-3, 100.0


@dataclass(frozen=True)
class Interval:
    """Between two refreshes of a counter."""

    seconds: float
    joules: float

    @property
    def watts(self) -> float:
        return self.joules / self.seconds if self.seconds > 0 else 0.0


def tail_joules(
    joules: float, worked: float, tail: float, first: Interval, second: Interval
) -> float:
    """Joules of the `tail` seconds after the work, out of `joules` for the work and the tail.

    worked: seconds of work. first, second: the refresh intervals right after the tail.
    """
    settled = first.watts * tail
    found = settled
    for _ in range(ROUNDS):
        busy = (joules - found) / worked if worked > 0 else 0.0
        to_fall = busy - second.watts
        if busy <= first.watts or first.watts - second.watts <= FALL * to_fall:
            return settled
        fall = _fall_seconds((busy - first.watts) / to_fall, tail, first.seconds, second.seconds)
        after = _mean_excess(fall, tail, first.seconds)
        idle = (first.watts - busy * after) / (1 - after)
        found = idle * tail + (busy - idle) * tail * _mean_excess(fall, 0.0, tail)
    return found


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
