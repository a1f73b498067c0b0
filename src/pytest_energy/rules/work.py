"""The rules for what is counted exactly, FLOPs: no interval, and no chance; pure."""

from __future__ import annotations

import math

from pytest_energy.rules.baseline import Change
from pytest_energy.rules.verdict import Verdict

#: What floating-point arithmetic adds to a figure that is exact.
ROUNDING = 1e-12


def look(figure: float, limit: float) -> Verdict:
    """The verdict on an exact figure: over the limit is fail, at or under it is pass."""
    return Verdict.FAIL if figure > limit * (1 + ROUNDING) else Verdict.PASS


def change(new: float, stored: float, max_increase: float) -> Change:
    """An exact figure beside that of its stored sessions; any increase can be detected."""
    increase = new / stored - 1
    for exact in (0.0, max_increase):
        if math.isclose(1 + increase, 1 + exact, rel_tol=ROUNDING):
            increase = exact
    return Change(
        increase=increase,
        threshold=max_increase,
        detectable_increase=0.0,
        detectable_increase_at_ten_sessions=0.0,
    )
