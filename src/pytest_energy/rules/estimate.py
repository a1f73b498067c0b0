"""The figure of some rounds, and the interval that it lies in; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pytest_energy.rules.statistics import Centre, bounded_centre, bounded_ratio

#: Numbers of rounds at which a rule may decide.
LOOKS = (5, 8, 13, 20)
MIN_ROUNDS = LOOKS[0]
MAX_ROUNDS = LOOKS[-1]
#: False alarms a test, over all looks, whatever else runs.
ALPHA = 0.01
#: Of each look: the share of all false alarms that falls to one end of its interval.
LOOK_CONFIDENCE = 1 - ALPHA / 4


@dataclass(frozen=True)
class Estimate:
    """The centre of the rounds per unit, and its interval where there are rounds enough."""

    centre: float
    interval: tuple[float, float] | None


def estimate(values: Sequence[float], units: Sequence[float] = ()) -> Estimate:
    """Centre and interval of values per unit, all above zero; `units` behind each, 1 by default.

    The interval holds the centre with the confidence that rule A uses at each look (99.5 %).
    """
    if len(values) < MIN_ROUNDS:
        return Estimate(per_unit(values, units), None)
    return _with_interval(bounded_centre([math.log(value) for value in values], units))


def estimate_ratio(ratios: Sequence[float]) -> Estimate:
    """The same of ratios, in which two works count alike."""
    logs = [math.log(ratio) for ratio in ratios]
    if len(ratios) < MIN_ROUNDS:
        return Estimate(math.exp(fmean(logs)), None)
    return _with_interval(bounded_ratio(logs))


def _with_interval(centre: Centre) -> Estimate:
    half = centre.half_width(LOOK_CONFIDENCE)
    interval = (math.exp(centre.value - half), math.exp(centre.value + half))
    return Estimate(math.exp(centre.value), interval)


def per_unit(values: Sequence[float], units: Sequence[float] = ()) -> float:
    """The sum over all units, for one unit: what a limit means."""
    weights = units or [1.0] * len(values)
    return math.fsum(w * value for w, value in zip(weights, values, strict=True)) / sum(weights)
