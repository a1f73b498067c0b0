"""What a counter that samples part of the time can tell at best, in closed form.

Such a counter adds, at every refresh, the mean power of the last `s` of `I` seconds, times I. So it
shows the power of a slow load as if it came (I - s)/2 later. A window that opens on a refresh
begins with the work: nothing from before comes in, but at its end the work of the last (I - s)/2
seconds, on average, is missing. How much is missing depends on where in the interval the work ends:
between nothing and I - s seconds.

A load that changes within an interval is worse: what isn't sampled isn't seen. If the load keeps
step with the counter, the same part is missed every time, and no length of the window helps.
"""

from __future__ import annotations

import math

from instruments import Instrument
from loads import IDLE_WATTS, LONGER, Load

#: The mean of 1 / length over all windows, as a part of 1 / (their shortest length).
MEAN_INVERSE = math.log1p(LONGER) / LONGER


def end_bias(instrument: Instrument, window: float, first_watts: float, mean_watts: float) -> float:
    """The mean relative error with a slow load of this power at first and on average."""
    interval = instrument.period + instrument.jitter / 2
    missing = (interval - instrument.sampled) / 2 * (first_watts - IDLE_WATTS)
    return -missing / (mean_watts * window) * MEAN_INVERSE


def end_worst(instrument: Instrument, window: float, last_watts: float, mean_watts: float) -> float:
    """The most that can be missing at the end, relative."""
    longest = instrument.longest - instrument.sampled
    return -longest * (last_watts - IDLE_WATTS) / (mean_watts * window)


def unseen_worst(instrument: Instrument, window: float, load: Load) -> float:
    """The largest relative error with a load that changes within an interval."""
    highest, lowest, mean = extremes(load)
    cycle = sum(each.seconds for each in load.pieces)
    joules = mean * window - (mean - lowest) * cycle  # the window may begin and end in a low
    unseen = 1 - instrument.sampled / instrument.longest
    inside = unseen * (highest - lowest) * window
    at_the_end = unseen * instrument.longest * (highest - IDLE_WATTS)
    return (inside + at_the_end) / joules


def locked_sd(instrument: Instrument, load: Load) -> float:
    """The relative sd, in windows of any length, with a square that keeps step with the counter.

    The sample lies in one half, or across an edge, where its mean is anything between the halves.
    """
    highest, lowest, mean = extremes(load)
    half = load.pieces[0].seconds
    return (highest - lowest) / 2 / mean * math.sqrt(1 - 2 / 3 * instrument.sampled / half)


def periods_needed(instrument: Instrument, watts: float, error: float) -> float:
    """How many periods a window takes until the mean error with a constant load is this small."""
    return -end_bias(instrument, instrument.period, watts, watts) / error


def extremes(load: Load) -> tuple[float, float, float]:
    """The highest, the lowest and the mean power."""
    ends = [watts for each in load.pieces for watts in (each.first_watts, each.last_watts)]
    joules = sum(each.joules(each.seconds) for each in load.pieces)
    return max(ends), min(ends), joules / sum(each.seconds for each in load.pieces)
