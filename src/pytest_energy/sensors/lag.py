"""Whether an energy counter shows what was used some time ago, going by the board's power; pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate, pairwise

#: Power readings may be behind the counter, and both are seen now and then only.
HARMLESS = [each / 100 for each in range(-20, 8, 2)]
HARMFUL = [each / 100 for each in range(8, 61, 2)]
#: A lag is believed that explains the counter so much better,
BETTER = 0.4
#: where the counter is otherwise off by this part of what it rose by.
MISMATCH = 0.005
#: The gain of a counter is within so much of that of the power.
GAINS = (0.8, 1.25)
FEWEST = 6


def lag_seconds(
    counted: Sequence[tuple[float, float]], drawn: Collection[tuple[float, float]]
) -> float:
    """How long ago it was what the counter shows; 0 where that is harmless or unknown.

    counted: (seconds, joules) when the counter was refreshed. drawn: (seconds, watts).
    """
    if min(len(counted), len(drawn)) < FEWEST:
        return 0.0
    power = _Integral(list(drawn))
    usual = min(_mismatch(counted, power, each) for each in HARMLESS)
    if usual <= MISMATCH * (counted[-1][1] - counted[0][1]):
        return 0.0
    late, lag = min((_mismatch(counted, power, each), each) for each in HARMFUL)
    return lag if late <= BETTER * usual else 0.0


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
