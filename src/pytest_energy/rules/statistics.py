"""Robust centre, its variance, and Student's t quantile, without scipy.

scipy costs 205 ms and 143 MB for one number; it is the oracle of the tests instead.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, median, variance

#: The scale of a normal sample from its median absolute deviation.
MAD_TO_SD = 1.4826
OUTLIER_SCALES = 5.0
SCALE_FLOOR = 0.003
SD_FLOOR = 0.001
TRIM = 0.2
#: A robust centre further than this (a logarithm) from the sum over all units would leave out
#: costs of the work itself; then the sum is the centre.
TRIM_BOUND = math.log(1.10)


@dataclass(frozen=True)
class Centre:
    """A centre with the variance of that centre (not of one value) and its degrees of freedom."""

    value: float
    variance: float
    degrees_of_freedom: int

    def half_width(self, probability: float) -> float:
        """Half the interval whose upper end lies at this quantile of Student's t."""
        return t_quantile(probability, self.degrees_of_freedom) * math.sqrt(self.variance)

    def half_width_after(self, probability: float, values: int, more: int) -> float:
        """The same after `more` values that vary as these `values` do."""
        spread = self.variance * (values / (values + more))
        return t_quantile(probability, self.degrees_of_freedom + more) * math.sqrt(spread)


def bounded_centre(values: Sequence[float], weights: Sequence[float] = ()) -> Centre:
    """The robust centre, or the sum over all units where the two differ by more than 10 %.

    values: logarithms of amounts per unit, five or more. weights: units behind each, 1 by default.
    What a busy machine adds to a few rounds is trimmed; what the work itself costs in a few of them
    is not. The sum over the units is the logarithm of the weighted mean amount, with the interval
    of that mean.
    """
    robust = robust_centre(values)
    weights = weights or [1.0] * len(values)
    middle = median(values)  # so that no exponential overflows
    amounts = [math.exp(value - middle) for value in values]
    total = sum(weights)
    pairs = list(zip(weights, amounts, strict=True))
    mean = sum(weight * amount for weight, amount in pairs) / total
    plain = middle + math.log(mean)
    if abs(plain - robust.value) <= TRIM_BOUND:
        return robust
    n = len(values)
    squares = sum((weight * (amount - mean)) ** 2 for weight, amount in pairs)
    spread = squares / total**2 * n / (n - 1) / mean**2
    return Centre(plain, max(spread, SD_FLOOR**2 / n), n - 1)


def bounded_ratio(values: Sequence[float]) -> Centre:
    """The same for logarithms of ratios, where neither side comes first.

    In place of the sum it has the geometric mean of the mean ratio and the inverse of the mean
    inverse ratio, which changes its sign alone when the two sides are exchanged.
    """
    robust = robust_centre(values)
    n = len(values)
    mean = math.log(fmean(math.exp(value) for value in values))
    inverse = math.log(fmean(math.exp(-value) for value in values))
    plain = (mean - inverse) / 2
    if abs(plain - robust.value) <= TRIM_BOUND:
        return robust
    return Centre(plain, max(variance(values), SD_FLOOR**2) / n, n - 1)


def robust_centre(values: Sequence[float]) -> Centre:
    """The mean, or the 20 % trimmed mean once a value lies far out.

    Far out is beyond 5 x 1.4826 median absolute deviations (floor 0.003) from the median. The
    trimmed mean comes with Yuen's variance (K. K. Yuen, Biometrika 61, 1974). One value's standard
    deviation is taken as at least 0.001. `values` are logarithms, so these floors are relative.
    Needs five values or more.
    """
    n = len(values)
    if n < 5:
        raise ValueError(f"a centre needs five values or more, not {n}")
    middle = median(values)
    scale = max(MAD_TO_SD * median(abs(value - middle) for value in values), SCALE_FLOOR)
    if all(abs(value - middle) <= OUTLIER_SCALES * scale for value in values):
        return Centre(fmean(values), max(variance(values), SD_FLOOR**2) / n, n - 1)
    ordered = sorted(values)
    cut = int(TRIM * n)
    kept = ordered[cut : n - cut]
    winsorised = [kept[0]] * cut + kept + [kept[-1]] * cut
    spread = max(variance(winsorised), SD_FLOOR**2)
    h = len(kept)
    return Centre(fmean(kept), (n - 1) * spread / (h * (h - 1)), h - 1)


def drift(values: Sequence[float], probability: float = 0.995) -> float:
    """The slope of a straight line through the values, one step apart; 0 where it may be chance.

    By least squares, tested with Student's t on both sides. Needs five values or more, else 0.
    """
    n = len(values)
    if n < 5:
        return 0.0
    middle, mean = (n - 1) / 2, fmean(values)
    spread = sum((i - middle) ** 2 for i in range(n))
    slope = sum((i - middle) * (value - mean) for i, value in enumerate(values)) / spread
    rest = sum((value - mean - slope * (i - middle)) ** 2 for i, value in enumerate(values))
    error = math.sqrt(max(rest / (n - 2), SD_FLOOR**2) / spread)
    return slope if abs(slope) > t_quantile(probability, n - 2) * error else 0.0


@lru_cache(maxsize=256)
def t_quantile(probability: float, degrees_of_freedom: int) -> float:
    """The quantile of Student's t for whole degrees of freedom; exact, by bisection.

    The distribution function is the finite sum in Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    if not 0.5 < probability < 1:
        raise ValueError(f"the probability lies between 0.5 and 1, not at {probability}")
    low, high = 0.0, 1.0
    while _t_cdf(high, degrees_of_freedom) < probability:
        low, high = high, high * 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _t_cdf(middle, degrees_of_freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _t_cdf(t: float, degrees_of_freedom: int) -> float:
    """P(T <= t) for t >= 0."""
    theta = math.atan(t / math.sqrt(degrees_of_freedom))
    cos2 = math.cos(theta) ** 2
    odd = degrees_of_freedom % 2
    term = math.cos(theta) if odd else 1.0
    total = term if degrees_of_freedom > 1 else 0.0
    for k in range(3 if odd else 2, degrees_of_freedom - 1, 2):
        term *= cos2 * (k - 1) / k
        total += term
    if odd:
        within = 2 / math.pi * (theta + math.sin(theta) * total)
    else:
        within = math.sin(theta) * total
    return 0.5 + within / 2


def f_tail(ratio: float, upper: int, lower: int) -> float:
    """P(F >= ratio) for a ratio of variances with these degrees of freedom, above and below.

    The regularised incomplete beta function, by its continued fraction (Lentz's method).
    """
    if ratio <= 0:
        return 1.0
    x = lower / (lower + upper * ratio)
    a, b = lower / 2, upper / 2
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - _beta_tail(1 - x, b, a)
    return _beta_tail(x, a, b)


def _beta_tail(x: float, a: float, b: float) -> float:
    """I_x(a, b), for x up to (a + 1) / (a + b + 2)."""
    log = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log + a * math.log(x) + b * math.log1p(-x)) / a if x > 0 else 0.0
    tiny = 1e-300
    fraction, c, d = 1.0, 1.0, 0.0
    for step in range(200):
        half = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        else:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        d = 1 / (1 + term * d or tiny)
        c = 1 + term / c or tiny
        fraction *= c * d
        if abs(1 - c * d) < 1e-13 and step:
            break
    return front * (fraction - 1)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rho: Pearson's correlation of the ranks, ties at their mean rank.

    None for fewer than three pairs, and where all of one side are equal: there is no order then.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values beside {len(second)}: they aren't pairs")
    if len(first) < 3:
        return None
    ranks, others = _ranks(first), _ranks(second)
    middle = (len(first) + 1) / 2
    both = sum((a - middle) * (b - middle) for a, b in zip(ranks, others, strict=True))
    spread = math.prod(sum((each - middle) ** 2 for each in side) for side in (ranks, others))
    return both / math.sqrt(spread) if spread else None


def _ranks(values: Sequence[float]) -> list[float]:
    """From 1 for the least; equal values share the mean of their ranks."""
    ordered = sorted(values)
    return [(bisect_left(ordered, each) + bisect_right(ordered, each) + 1) / 2 for each in values]
