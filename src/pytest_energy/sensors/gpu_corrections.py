"""Corrections of a window on a GPU's energy counter; pure.

`joules_after_work`: what the board still used between the end of the work and the first refresh
after it. `lag_seconds`: by how much the counter is behind the power.

A board does not fall to its idle power at once. Its power is taken to fall exponentially from that
at the end of the work. How fast, and to what, is read from the two refresh intervals after the
first refresh; from where, from the interval in which the work ended: its joules are those of the
last of the work and of the tail.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

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
    that refresh was not seen. tail: seconds from the end of the work to the next refresh.
    last_watts: in the whole interval before `last`, within a part `doubt`; None if it was not seen.
    """

    window: Stretch
    last: Stretch
    slack: float = 0.0
    tail: float
    last_watts: float | None = None
    doubt: float = 0.0


def joules_after_work(end: Ending, first: Interval, second: Interval) -> float:
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
    """The tail where the power has fallen before the first refresh, so that its speed is unknown.

    What the work before it cannot have used is the tail's, as far as it exceeds `slack`.
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
    # More than that is no fall: the work used more at its end than before.
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


# A counter that lags behind the power

#: Power readings may be behind the counter, and both are seen now and then only.
HARMLESS = [each / 100 for each in range(-20, 8, 2)]
HARMFUL = [each / 100 for each in range(8, 61, 2)]
LEAST_LAG_SECONDS = HARMFUL[0]
#: A lag counts if it explains the counter so much better,
BETTER = 0.4
#: where the counter is otherwise off by this part of what it rose by.
MISMATCH = 0.005
#: The gain of a counter is within so much of that of the power.
GAINS = (0.8, 1.25)
FEWEST = 6
#: Samples of the power that lie further apart than so many times the usual.
LATE = 1.25
#: What a change between two samples adds to the mismatch, as a part of what it may be off. It may
#: have come half the time earlier or later, and the root mean square of a step is half of it.
DOUBT = 0.075
DOUBT_UNSEEN = 0.25


def lag_seconds(
    counted: Sequence[tuple[float, float]],
    drawn: Collection[tuple[float, float]],
    usual_seconds: float,
) -> float:
    """By how many seconds the counter is behind the power; 0 where that is harmless or unknown.

    counted: (seconds, joules) when the counter was refreshed. drawn: (seconds, watts), read every
    `usual_seconds` unless the machine was too busy.
    """
    if min(len(counted), len(drawn)) < FEWEST:
        return 0.0
    samples = list(drawn)
    longest = LATE * usual_seconds
    power = _Integral(samples)
    usual = min(_mismatch(counted, power, each) for each in HARMLESS)
    known = max(MISMATCH * (counted[-1][1] - counted[0][1]), _doubt(samples, longest))
    if usual <= known:
        return 0.0
    late, lag = min((_mismatch(counted, power, each), each) for each in HARMFUL)
    return lag if late <= BETTER * usual else 0.0


def _doubt(samples: Sequence[tuple[float, float]], longest: float) -> float:
    """Joules by which the integral may be off, because power changes between two samples.

    It changed at any time between the two; where they are further apart than `longest`, the sum of
    what that may amount to counts, because nobody knows what else happened.
    """
    seen = unseen = 0.0
    for (since, first), (until, last) in pairwise(samples):
        change = (until - since) * abs(last - first)
        if until - since <= longest:
            seen = math.hypot(seen, DOUBT * change)
        else:
            unseen += DOUBT_UNSEEN * change
    return seen + unseen


class _Integral:
    """Joules since the first sample, by the trapezoidal rule; steady before and after."""

    def __init__(self, samples: Sequence[tuple[float, float]]) -> None:
        self._samples = samples
        self._times = [seconds for seconds, _ in samples]
        pieces = [(b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(samples)]
        self._sums = list(accumulate(pieces, initial=0.0))

    def at(self, seconds: float) -> float:
        index = bisect_right(self._times, seconds) - 1
        if index < 0 or index == len(self._times) - 1:
            since, watts = self._samples[max(index, 0)]
            return self._sums[max(index, 0)] + watts * (seconds - since)
        (since, first), (until, last) = self._samples[index : index + 2]
        share = (seconds - since) / (until - since)
        mean = first + share * (last - first) / 2
        return self._sums[index] + mean * (seconds - since)


def _mismatch(counted: Sequence[tuple[float, float]], power: _Integral, lag: float) -> float:
    """How far the counter is from the power of so long ago: joules, root mean square."""
    joules = [each for _, each in counted]
    expected = [power.at(seconds - lag) for seconds, _ in counted]
    middle, base = sum(joules) / len(joules), sum(expected) / len(expected)
    spread = sum((each - base) ** 2 for each in expected)
    common = sum((a - middle) * (b - base) for a, b in zip(joules, expected, strict=True))
    gain = min(max(common / spread, GAINS[0]), GAINS[1]) if spread > 0 else 1.0
    apart = [a - middle - gain * (b - base) for a, b in zip(joules, expected, strict=True)]
    return math.sqrt(sum(each**2 for each in apart) / len(apart))
