"""What was judged in one test, in one quantity: the figure, its interval, its limit, its rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.baselines.baseline import COMPARED_ROUNDS
from pytest_energy.limits.budget import limit_of
from pytest_energy.record.schema import TestRecord, values_per_unit
from pytest_energy.rules.baseline import session_of
from pytest_energy.units import Quantity, Scale, scale_for


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Joules, CPU seconds or FLOPs for one unit.

    limit: of the budget, or what the reference allows; None where there is none or it can't be
    read. rounds: the measured ones. reference, reference_rounds: of the work that alternated with
    it. sessions: of the baseline; their mean alone in records of earlier versions.
    """

    quantity: Quantity
    figure: float | None
    interval: tuple[float, float] | None
    limit: float | None
    rounds: tuple[float, ...]
    reference: float | None = None
    reference_rounds: tuple[float, ...] = ()
    sessions: tuple[float, ...] = ()

    @property
    def scale(self) -> Scale:
        """The unit that fits the figure, or the limit where there is no figure."""
        return scale_for(self.quantity, [each for each in (self.figure or self.limit,) if each])


def judged(test: TestRecord) -> Judged:
    """What was compared, with everything in the quantity of the limit."""
    reference = test.reference
    beside = None
    if reference is not None:
        beside = reference.figure(test.quantity)
    rounds = values_per_unit([each for each in test.rounds if not each.warmup], test.method)
    return Judged(
        quantity=test.quantity,
        figure=test.figure,
        interval=test.figure_interval,
        limit=_limit(test, beside),
        rounds=rounds,
        reference=beside,
        reference_rounds=()
        if reference is None
        else values_per_unit([each for each in reference.rounds if not each.warmup], test.method),
        sessions=_sessions(test, rounds),
    )


def _limit(test: TestRecord, reference: float | None) -> float | None:
    if test.budget is None:
        if test.reference is None or reference is None:
            return None
        return reference * (1 + test.reference.max_increase)
    if test.limit_joules_per_unit is not None:
        return test.limit_joules_per_unit
    limit = limit_of(test.budget)
    if limit is None or limit.quantity is not test.quantity:
        return None
    return limit.base_per_unit


def _sessions(test: TestRecord, rounds: Sequence[float]) -> tuple[float, ...]:
    found = test.baseline
    if found is None or found.increase is None or found.increase <= -1:
        return ()
    if found.session_figures:
        return found.session_figures
    if len(rounds) < COMPARED_ROUNDS:
        return ()
    # Rule B compares these rounds alone.
    return (session_of(rounds[:COMPARED_ROUNDS]).centre / (1 + found.increase),)
