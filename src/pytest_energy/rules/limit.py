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
) -> Verdict | None:
    """The verdict on these rounds against `limit` per unit, or None to go on.

    units: how many lie behind each value, 1 by default. What passes is under the limit by the sum
    over all units too.

    `tolerance` is a fraction (0.03) and carries the 1-3 % by which another session's mean differs.
    """
    if len(values) < MIN_ROUNDS:
        return few_rounds(per_unit(values, units), limit) if final else None
    if not final and len(values) not in LOOKS:
        return None
    centre = bounded_centre([math.log(value / limit) for value in values], units)
    half = centre.half_width(LOOK_CONFIDENCE)
    if centre.value - half > math.log1p(tolerance):
        return Verdict.FAIL
    if centre.value + half < 0 and per_unit(values, units) <= limit:
        return Verdict.PASS
    if not final:
        return None
    return Verdict.CLOSE if centre.value + half <= CLOSE_AT_WORST else Verdict.INCONCLUSIVE


def few_rounds(centre: float, limit: float) -> Verdict:
    """The verdict where there are too few rounds for an interval."""
    ratio = round(centre / limit, 9)  # a division is not exact
    if ratio <= FEW_ROUNDS_PASS:
        return Verdict.PASS
    return Verdict.FAIL if ratio >= FEW_ROUNDS_FAIL else Verdict.INCONCLUSIVE
