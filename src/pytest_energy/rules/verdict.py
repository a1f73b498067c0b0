"""The decision rules: pure functions from rounds to a verdict.

Rule A judges rounds against an absolute limit, rule B a session against earlier ones, rule B' two
candidates that took turns. All values are energies (or CPU seconds) per unit; inside the rules they
are logarithms of a ratio, so a difference is a relative one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, variance

from pytest_energy.rules.statistics import Centre, bounded_centre, bounded_ratio, t_quantile

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
#: Rule B's prior of how much the means of sessions differ: its standard deviation, and what it is
#: worth in sessions. Another board of the same model adds the spread of boards' gains.
BETWEEN_SESSIONS = 0.02
BETWEEN_BOARDS = 0.05
PRIOR_SESSIONS = 8
#: Rule B' has seen enough when the ratio is known this well.
NARROW_RATIO = 0.01
#: The increase that a comparison allows unless a user says otherwise.
MAX_INCREASE = 0.05
MAX_RATIO_INCREASE = 0.03


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


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The one that counts where a test has several."""
    return max(verdicts, key=list(Verdict).index)


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
    half = centre.half_width(1 - ALPHA / 4)
    interval = (math.exp(centre.value - half), math.exp(centre.value + half))
    return Estimate(math.exp(centre.value), interval)


def per_unit(values: Sequence[float], units: Sequence[float] = ()) -> float:
    """The sum over all units, for one unit: what a limit means."""
    weights = units or [1.0] * len(values)
    return math.fsum(w * value for w, value in zip(weights, values, strict=True)) / sum(weights)


def look(
    values: Sequence[float],
    limit: float,
    tolerance: float,
    *,
    final: bool,
    units: Sequence[float] = (),
) -> Verdict | None:
    """Rule A: the verdict on these rounds against `limit` per unit, or None to go on.

    units: how many lie behind each value, 1 by default. What passes is under the limit by the sum
    over all units too.

    `tolerance` is a fraction (0.03) and carries the 1-3 % by which another session's mean differs.
    """
    if len(values) < MIN_ROUNDS:
        return _few(per_unit(values, units), limit) if final else None
    if not final and len(values) not in LOOKS:
        return None
    centre = bounded_centre([math.log(value / limit) for value in values], units)
    half = centre.half_width(1 - ALPHA / 4)
    if centre.value - half > math.log1p(tolerance):
        return Verdict.FAIL
    if centre.value + half < 0 and per_unit(values, units) <= limit:
        return Verdict.PASS
    if not final:
        return None
    return Verdict.CLOSE if centre.value + half <= CLOSE_AT_WORST else Verdict.INCONCLUSIVE


def _few(centre: float, limit: float) -> Verdict:
    ratio = round(centre / limit, 9)  # a division is not exact
    if ratio <= FEW_ROUNDS_PASS:
        return Verdict.PASS
    return Verdict.FAIL if ratio >= FEW_ROUNDS_FAIL else Verdict.INCONCLUSIVE


@dataclass(frozen=True)
class Session:
    """One session's figure per unit, and the variance of that figure's logarithm."""

    centre: float
    variance: float


def session_of(values: Sequence[float]) -> Session:
    """The session whose rounds gave these values per unit; five or more."""
    centre = bounded_centre([math.log(value) for value in values])
    return Session(math.exp(centre.value), centre.variance)


@dataclass(frozen=True)
class Change:
    """By how much a figure differs from earlier sessions, and what could be detected.

    increase: as a fraction (0.05 is 5 % more). threshold: the increase from which rule B fails.
    detectable_increase: the part of the threshold that chance could explain; a smaller
    `max_increase` can't be seen yet.
    """

    increase: float
    threshold: float
    detectable_increase: float

    @property
    def is_regression(self) -> bool:
        return self.increase > self.threshold

    @property
    def is_improvement(self) -> bool:
        """Whether the figure fell by more than the threshold."""
        return math.log1p(self.increase) < -math.log1p(self.threshold)


def change(
    new: Sequence[Session], stored: Sequence[Session], max_increase: float, *, same_board: bool
) -> Change:
    """Rule B: new sessions (usually one) against stored ones of the same test and hardware.

    How much sessions differ is estimated from the stored ones and a prior of 2 %, worth 8 sessions
    (5 % where none of them was measured on this board). `max_increase` is a fraction.
    """
    j, k = len(new), len(stored)
    means = [math.log(each.centre) for each in stored]
    within = fmean(each.variance for each in stored)
    spread = max(variance(means) - within, 0.0) if k > 1 else 0.0
    prior = BETWEEN_SESSIONS if same_board else BETWEEN_BOARDS
    degrees = PRIOR_SESSIONS + k - 1
    between = (PRIOR_SESSIONS * prior**2 + (k - 1) * spread) / degrees
    difference = fmean(math.log(each.centre) for each in new) - fmean(means)
    error = math.sqrt(
        between * (1 / j + 1 / k) + fmean(each.variance for each in new) / j + within / k
    )
    detectable = math.expm1(t_quantile(1 - ALPHA, degrees) * error)
    return Change(math.expm1(difference), max(max_increase, detectable), detectable)


@dataclass(frozen=True)
class Comparison:
    """A candidate beside its reference: the ratio of their figures, and the verdict on it.

    pairs: how many both rest on.
    """

    ratio: Estimate
    verdict: Verdict
    pairs: int


def compare(ratios: Sequence[float], max_increase: float, *, final: bool) -> Comparison | None:
    """Rule B': pairs of a candidate and its reference that took turns; None to go on.

    ratios: candidate / reference of each pair. `max_increase` is a fraction (0.03). It ends early
    once the ratio is known within 1 %, or lies on one side of `max_increase` alone. A pass is not
    given where the candidate could be 10 % over its reference, and more than `max_increase`.
    """
    if not final and len(ratios) not in LOOKS:
        return None
    found = estimate_ratio(ratios)
    if found.interval is None:
        return Comparison(found, _few(found.centre, 1 + max_increase), len(ratios))
    low, high = found.interval
    if found.centre > 1 + max_increase and low > 1:
        verdict = Verdict.FAIL
    elif high <= max(1 + max_increase, math.exp(CLOSE_AT_WORST)):
        verdict = Verdict.PASS
    else:
        verdict = Verdict.INCONCLUSIVE
    narrow = math.log(high / found.centre) <= NARROW_RATIO
    one_sided = high < 1 + max_increase or low > 1 + max_increase
    return Comparison(found, verdict, len(ratios)) if final or narrow or one_sided else None
