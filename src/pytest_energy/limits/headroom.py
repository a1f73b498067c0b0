"""How far a limit lies over what was measured, so that later sessions stay under it; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from pytest_energy.limits.budget import ESTIMATE_HEADROOM, HEADROOM
from pytest_energy.record.schema import CPU_TIME_METHOD, FLOPS_METHOD
from pytest_energy.rules.estimate import ALPHA, MIN_ROUNDS, Estimate
from pytest_energy.rules.limit import FEW_ROUNDS_PASS
from pytest_energy.rules.statistics import t_quantile
from pytest_energy.sensors.base import Provenance
from pytest_energy.units import percent

#: What is known of the spread between sessions before any is seen, and as how many it counts
#: (rule B of the design: means of one commit differ by 1-3 % from day to day).
SESSION_SD = 0.02
PRIOR_SESSIONS = 8
#: The share of later sessions that stay under the predicted end.
CONFIDENCE = 0.99
#: Headroom at least, once several sessions tell the spread.
SESSIONS_HEADROOM = 0.05
#: Of a figure's logarithm: one that lies between a tenth and ten times itself has 2.
LARGEST_VARIANCE = 100.0
#: A limit lies at least this far over the highest session, however the others are.
OVER_HIGHEST = 0.01


def upper_end(
    logs: Sequence[float], variances: Sequence[float], method: str, *, few_rounds: bool
) -> tuple[float, str]:
    """What another session stays under, and what set it, in words that follow "headroom".

    logs: of the sessions' centres. variances: of these logarithms within their sessions.
    few_rounds: whether one of them has no interval.
    """
    centre, highest = math.exp(fmean(logs)), math.exp(max(logs))
    if method == FLOPS_METHOD:  # the same in each session, so that none needs room
        return highest, ""
    expected = math.exp(_predicted_end(logs, variances))
    least = SESSIONS_HEADROOM
    if len(logs) == 1:
        estimated = method in (Provenance.ESTIMATED, CPU_TIME_METHOD)
        least = ESTIMATE_HEADROOM if estimated else HEADROOM
    candidates = {
        "": centre * (1 + least),
        " for the spread": expected,
        " to stay over the highest": highest * (1 + OVER_HIGHEST),
    }
    if few_rounds:
        # What is nearer to its limit is inconclusive.
        share = percent(1 - FEW_ROUNDS_PASS)
        why = f", since fewer than {MIN_ROUNDS} rounds pass only {share} under a limit"
        candidates[why] = max(expected, highest * (1 + OVER_HIGHEST)) / FEW_ROUNDS_PASS
    why, upper = max(candidates.items(), key=lambda each: each[1])
    return upper, why


def upper_end_of_one(found: Estimate, rounds: int, method: str) -> tuple[float, str]:
    """The same for one session: so a test's own summary suggests what `budgets suggest` does."""
    few = found.interval is None
    variances = [variance_within(found.centre, found.interval, rounds)]
    return upper_end([math.log(found.centre)], variances, method, few_rounds=few)


def _predicted_end(logs: Sequence[float], variances: Sequence[float]) -> float:
    """The logarithm that another session exceeds once in a hundred times (rule B).

    logs: the sessions' centres. variances: of these centres within their sessions.
    """
    k, within = len(logs), fmean(variances)
    between = max((variance(logs) if k > 1 else 0.0) - within, 0.0)
    degrees = PRIOR_SESSIONS - 1 + k
    tau2 = (PRIOR_SESSIONS * SESSION_SD**2 + (k - 1) * between) / degrees
    return fmean(logs) + t_quantile(CONFIDENCE, degrees) * math.sqrt((tau2 + within) * (1 + 1 / k))


def variance_within(centre: float, interval: tuple[float, float] | None, rounds: int) -> float:
    """Of the centre's logarithm, by half of its interval.

    By the half above, where that is less: the one below may reach to zero, for a part of a request.
    """
    if interval is None:
        return 0.0
    low, high = interval
    halves = [math.log(high / centre)] if 0 < centre <= high else []
    halves += [math.log(high / low) / 2] if 0 < low <= high else []
    if not halves:  # of a record that somebody made
        return LARGEST_VARIANCE
    quantile = t_quantile(1 - ALPHA / 4, max(rounds, MIN_ROUNDS) - 1)
    return min((min(halves) / quantile) ** 2, LARGEST_VARIANCE)
