"""Rule B: a session against earlier sessions of the same test and hardware; pure.

Figures are energies (or CPU seconds) per unit. Inside the rule they are logarithms, so that a
difference is a relative one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from pytest_energy.rules.estimate import ALPHA
from pytest_energy.rules.statistics import bounded_centre, t_quantile

#: The increase that is allowed unless a user says otherwise.
MAX_INCREASE = 0.05
#: What is known beforehand of how much the means of sessions differ: a standard deviation, and what
#: it is worth in sessions. Another board of the same model adds the spread of boards' gains.
BETWEEN_SESSIONS = 0.02
BETWEEN_BOARDS = 0.05
PRIOR_SESSIONS = 8
#: How many sessions of a test are kept.
KEPT_SESSIONS = 10


@dataclass(frozen=True)
class Session:
    """One session's figure per unit, and the variance of that figure's logarithm."""

    centre: float
    variance: float


def session_of(values: Sequence[float]) -> Session:
    """The session whose rounds gave these values per unit; five or more."""
    centre = bounded_centre([math.log(value) for value in values])
    return Session(math.exp(centre.value), centre.variance)


@dataclass(frozen=True, kw_only=True)
class Change:
    """By how much a figure differs from earlier sessions, and what could be detected.

    increase: as a fraction (0.05 is 5 % more). threshold: the increase from which the rule fails.
    detectable_increase: the part of the threshold that chance could explain; a smaller
    `max_increase` can't be detected yet. detectable_increase_at_ten_sessions: the same, were there
    ten sessions on this board that differ as much as these.
    """

    increase: float
    threshold: float
    detectable_increase: float
    detectable_increase_at_ten_sessions: float

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
    """New sessions (usually one) against stored ones of the same test and hardware.

    How much sessions differ is estimated from the stored ones and a prior of 2 %, worth 8 sessions
    (5 % where none of them was measured on this board). `max_increase` is a fraction.
    """
    j, k = len(new), len(stored)
    means = [math.log(each.centre) for each in stored]
    of_new = fmean(each.variance for each in new) / j
    of_stored = fmean(each.variance for each in stored)
    spread = max(variance(means) - of_stored, 0.0) if k > 1 else 0.0

    def detectable(sessions: int, prior: float) -> float:
        degrees = PRIOR_SESSIONS + sessions - 1
        known = PRIOR_SESSIONS + k - 1
        between = (PRIOR_SESSIONS * prior**2 + (k - 1) * spread) / known
        error = math.sqrt(between * (1 / j + 1 / sessions) + of_new + of_stored / sessions)
        return math.expm1(t_quantile(1 - ALPHA, degrees) * error)

    here = detectable(k, BETWEEN_SESSIONS if same_board else BETWEEN_BOARDS)
    return Change(
        increase=math.expm1(fmean(math.log(each.centre) for each in new) - fmean(means)),
        threshold=max(max_increase, here),
        detectable_increase=here,
        detectable_increase_at_ten_sessions=detectable(KEPT_SESSIONS, BETWEEN_SESSIONS),
    )
