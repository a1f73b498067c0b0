"""Rule B': a candidate and its reference, measured alternately in one session; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.rules.estimate import (
    LOOK_CONFIDENCE,
    LOOKS,
    MIN_ROUNDS,
    Estimate,
    estimate_ratio,
)
from pytest_energy.rules.limit import CLOSE_AT_WORST, few_rounds
from pytest_energy.rules.statistics import bounded_ratio
from pytest_energy.rules.verdict import Verdict

#: The ratio is known well enough within this (a logarithm).
NARROW_RATIO = 0.01
#: The increase that is allowed unless a user says otherwise.
MAX_RATIO_INCREASE = 0.03


@dataclass(frozen=True)
class Comparison:
    """A candidate compared with its reference: the ratio of their figures, and the verdict on it.

    pairs: how many both rest on.
    """

    ratio: Estimate
    verdict: Verdict
    pairs: int


def compare(ratios: Sequence[float], max_increase: float, *, final: bool) -> Comparison | None:
    """Pairs of a candidate and its reference, measured alternately; None to go on.

    ratios: candidate / reference of each pair. `max_increase` is a fraction (0.03). It ends early
    once the ratio is known within 1 %, or lies on one side of `max_increase` alone. A pass is not
    given where the candidate could be 10 % over its reference, and more than `max_increase`.
    """
    if not final and len(ratios) not in LOOKS:
        return None
    found = estimate_ratio(ratios)
    if found.interval is None:
        return Comparison(found, few_rounds(found.centre, 1 + max_increase), len(ratios))
    low, high = found.interval
    verdict = _verdict(low, found.centre, high, max_increase)
    narrow = math.log(high / found.centre) <= NARROW_RATIO
    one_sided = high < 1 + max_increase or low > 1 + max_increase
    return Comparison(found, verdict, len(ratios)) if final or narrow or one_sided else None


def undetectable(ratios: Sequence[float], max_increase: float, pairs: int) -> float | None:
    """The difference below which nothing shows after `pairs`, where they will likely not decide.

    A fraction; None where they decide if the pairs to come are like these, or where these are too
    few to tell.
    """
    if not MIN_ROUNDS <= len(ratios) <= pairs:
        return None
    centre = bounded_ratio([math.log(ratio) for ratio in ratios])
    half = centre.half_width_after(LOOK_CONFIDENCE, len(ratios), pairs - len(ratios))
    low, middle, high = (math.exp(centre.value + side * half) for side in (-1, 0, 1))
    is_open = _verdict(low, middle, high, max_increase) is Verdict.INCONCLUSIVE
    return math.expm1(half) if is_open else None


def _verdict(low: float, centre: float, high: float, max_increase: float) -> Verdict:
    if centre > 1 + max_increase and low > 1:
        return Verdict.FAIL
    is_within = high <= max(1 + max_increase, math.exp(CLOSE_AT_WORST))
    return Verdict.PASS if is_within else Verdict.INCONCLUSIVE
