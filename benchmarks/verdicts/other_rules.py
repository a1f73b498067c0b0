"""Rules that others use, each as a question: is this session over the reference?

Both sides are rounds in the order in which they were measured; `allowed` is a fraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median, variance

from scipy.special import stdtr
from scipy.stats import mannwhitneyu

ALPHA = 0.01
ALLOWED = 0.05
TEN = 10

Rounds = Sequence[float]


def one_shot(new: Rounds, old: Rounds, allowed: float = 0.0) -> bool:
    return new[0] > (1 + allowed) * old[0]


def one_shot_five_percent(new: Rounds, old: Rounds) -> bool:
    return one_shot(new, old, ALLOWED)


def mean_of_three(new: Rounds, old: Rounds) -> bool:
    return fmean(new[:3]) > fmean(old[:3])


def median_of_ten(new: Rounds, old: Rounds, allowed: float = ALLOWED) -> bool:
    return median(new[:TEN]) > (1 + allowed) * median(old[:TEN])


def welch(new: Rounds, old: Rounds) -> bool:
    """Welch's t-test, one-sided."""
    return welch_p(new, old) < ALPHA


def welch_two_sided(new: Rounds, old: Rounds) -> bool:
    p = welch_p(new, old)
    return 2 * min(p, 1 - p) < ALPHA


def welch_p(new: Rounds, old: Rounds) -> float:
    """The one-sided p-value for means that are equal."""
    a, b = variance(new) / len(new), variance(old) / len(old)
    degrees = (a + b) ** 2 / (a**2 / (len(new) - 1) + b**2 / (len(old) - 1))
    return float(stdtr(degrees, (fmean(old) - fmean(new)) / (a + b) ** 0.5))


def mann_whitney(new: Rounds, old: Rounds) -> bool:
    return bool(mannwhitneyu(new, old, alternative="greater").pvalue < ALPHA)


def mann_whitney_two_sided(new: Rounds, old: Rounds) -> bool:
    return bool(mannwhitneyu(new, old).pvalue < ALPHA)


def joules_ci(new: Rounds, old: Rounds, allowed: float = ALLOWED) -> bool:
    """`joules ci` of landauer-gap 0.8: three runs of each side that took turns.

    It fails when the median rose by more than the budget and the ranges have nothing in common.
    """
    ours, theirs = new[:3], old[:3]
    apart = min(ours) > max(theirs) or max(ours) < min(theirs)
    return apart and median(ours) > (1 + allowed) * median(theirs)
