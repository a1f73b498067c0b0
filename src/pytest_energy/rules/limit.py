"""Rule A: rounds against an absolute limit; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_energy.rules.estimate import LOOK_CONFIDENCE, LOOKS, MIN_ROUNDS, per_unit
from pytest_energy.rules.statistics import bounded_centre
from pytest_energy.rules.verdict import Verdict

#: How far over the limit (a logarithm) the upper end of a figure that is close may lie.
CLOSE_AT_WORST = math.log(1.10)
#: With fewer than five rounds there is no interval, so only a wide distance decides.
FEW_ROUNDS_PASS = 0.85
FEW_ROUNDS_FAIL = 1.15


def look(
    values: Sequence[float],
    limit: float,
    tolerance: float,
    *,
    final: bool,
    units: Sequence[float] = (),
    widest: float = math.inf,
) -> Verdict | None:
    """The verdict on these rounds against `limit` per unit, or None to go on.

    units: how many lie behind each value, 1 by default. What passes is under the limit by the sum
    over all units too. widest: half of an interval (a fraction) with which the first look decides.

    `tolerance` is a fraction (0.03) and carries the 1-3 % by which another session's mean differs.
    """
    if len(values) < MIN_ROUNDS:
        return few_rounds(per_unit(values, units), limit) if final else None
    if not final and len(values) not in LOOKS:
        return None
    centre = bounded_centre([math.log(value / limit) for value in values], units)
    half = centre.half_width(LOOK_CONFIDENCE)
    if not final and len(values) == LOOKS[0] and half > math.log1p(widest):
        return None
    verdict = _verdict(centre.value, half, tolerance, per_unit(values, units) <= limit)
    return verdict if final or verdict in (Verdict.FAIL, Verdict.PASS) else None


def undetectable(
    values: Sequence[float], limit: float, tolerance: float, units: Sequence[float], rounds: int
) -> float | None:
    """The difference below which nothing shows after `rounds`, where they will likely not decide.

    A fraction; None where they decide if the rounds to come are like these, or where these are too
    few to tell.
    """
    if not MIN_ROUNDS <= len(values) <= rounds:
        return None
    centre = bounded_centre([math.log(value / limit) for value in values], units)
    half = centre.half_width_after(LOOK_CONFIDENCE, len(values), rounds - len(values))
    verdict = _verdict(centre.value, half, tolerance, per_unit(values, units) <= limit)
    return math.expm1(half) if verdict is Verdict.INCONCLUSIVE else None


def _verdict(centre: float, half: float, tolerance: float, is_under: bool) -> Verdict:
    """Of an interval of logarithms around the limit. is_under: by the sum over all units."""
    if centre - half > math.log1p(tolerance):
        return Verdict.FAIL
    if centre + half < 0 and is_under:
        return Verdict.PASS
    return Verdict.CLOSE if centre + half <= CLOSE_AT_WORST else Verdict.INCONCLUSIVE


def few_rounds(centre: float, limit: float) -> Verdict:
    """The verdict where there are too few rounds for an interval."""
    ratio = round(centre / limit, 9)  # a division is not exact
    if ratio <= FEW_ROUNDS_PASS:
        return Verdict.PASS
    return Verdict.FAIL if ratio >= FEW_ROUNDS_FAIL else Verdict.INCONCLUSIVE
