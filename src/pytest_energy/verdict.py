"""The decision rules: pure functions from rounds to a verdict.

Rule A judges rounds against an absolute limit. All values are energies (or CPU seconds) per unit;
inside the rule they are logarithms of the ratio to the limit, so a difference is a relative one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from pytest_energy.statistics import robust_centre

#: Numbers of rounds at which rule A may decide.
LOOKS = (5, 8, 13, 20)
MIN_ROUNDS = LOOKS[0]
MAX_ROUNDS = LOOKS[-1]
#: False alarms a test, over all looks, whatever else runs.
ALPHA = 0.01
CLOSE_AT_WORST = math.log(1.10)
#: With fewer than five rounds there is no interval, so only a wide distance decides.
FEW_ROUNDS_PASS = 0.85
FEW_ROUNDS_FAIL = 1.15


class Verdict(StrEnum):
    """What a comparison came to, from best to worst."""

    PASS = "pass"
    CLOSE = "close"
    NO_BUDGET = "no-budget"
    NO_BASELINE = "no-baseline"
    INCONCLUSIVE = "inconclusive"
    UNMEASURED = "unmeasured"
    FAIL = "fail"


#: Verdicts that fail a test unless the settings say otherwise.
RED = frozenset({Verdict.FAIL, Verdict.UNMEASURED, Verdict.INCONCLUSIVE})


@dataclass(frozen=True)
class Estimate:
    """The centre of the rounds per unit, and its interval where there are rounds enough."""

    centre: float
    interval: tuple[float, float] | None


def estimate(values: Sequence[float]) -> Estimate:
    """Centre and interval of values per unit, all above zero.

    The interval holds the centre with the confidence that rule A uses at each look (99.5 %).
    """
    logs = [math.log(value) for value in values]
    if len(values) < MIN_ROUNDS:
        return Estimate(math.exp(fmean(logs)), None)
    centre = robust_centre(logs)
    half = centre.half_width(1 - ALPHA / 4)
    interval = (math.exp(centre.value - half), math.exp(centre.value + half))
    return Estimate(math.exp(centre.value), interval)


def look(values: Sequence[float], limit: float, tolerance: float, *, final: bool) -> Verdict | None:
    """Rule A: the verdict on these rounds against `limit` per unit, or None to go on.

    `tolerance` is a fraction (0.03) and carries the 1-3 % by which another session's mean differs.
    """
    if len(values) < MIN_ROUNDS:
        return _few(values, limit) if final else None
    if not final and len(values) not in LOOKS:
        return None
    centre = robust_centre([math.log(value / limit) for value in values])
    half = centre.half_width(1 - ALPHA / 4)
    if centre.value - half > math.log1p(tolerance):
        return Verdict.FAIL
    if centre.value + half < 0:
        return Verdict.PASS
    if not final:
        return None
    return Verdict.CLOSE if centre.value + half <= CLOSE_AT_WORST else Verdict.INCONCLUSIVE


def _few(values: Sequence[float], limit: float) -> Verdict:
    ratio = round(estimate(values).centre / limit, 9)  # a logarithm and back is not exact
    if ratio <= FEW_ROUNDS_PASS:
        return Verdict.PASS
    return Verdict.FAIL if ratio >= FEW_ROUNDS_FAIL else Verdict.INCONCLUSIVE
