"""What the cells of a table of tests hold: figures, limits and changes, in words of units.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pytest_energy.baselines.baseline import shown_sessions
from pytest_energy.limits.budget import limit_of
from pytest_energy.record.schema import ReferenceRecord, RunRecord, TestRecord, quantity_of
from pytest_energy.units import (
    Quantity,
    Scale,
    amount,
    carbon_scale,
    energy_scale,
    grouped,
    interval,
    per_unit,
    scale_for,
    signed_percent,
)


def scale_of(tests: Iterable[TestRecord]) -> Scale:
    """One unit of energy for all figures and limits."""
    return energy_scale(
        joules
        for test in tests
        for joules in (test.joules_per_unit, test.limit_joules_per_unit)
        if joules is not None
    )


def carbon_of(record: RunRecord) -> Scale | None:
    """One unit for the emissions of 1,000 units of work; None without a carbon factor."""
    if all(each.carbon is None for each in record.all_sessions):
        return None
    return carbon_scale(each.grams_per_unit * 1000 for each in record.tests if each.grams_per_unit)


def beyond_limit(test: TestRecord) -> str:
    """By how much a figure is over or under its limit; what a reference allows is none."""
    if test.fraction_of_limit is None or (test.budget is None and test.reference is not None):
        return "-"
    return signed_percent(test.fraction_of_limit - 1)


def beyond_reference(test: TestRecord) -> str:
    """By how much a figure is over or under the reference that it alternated with."""
    return "-" if test.reference is None else signed_percent(test.reference.ratio - 1)


def shown_grams(test: TestRecord, scale: Scale) -> str:
    """Emissions of 1,000 units."""
    return "-" if test.grams_per_unit is None else scale.show(test.grams_per_unit * 1000)


def shown_figure(test: TestRecord, scale: Scale) -> str:
    """What was compared: energy, or CPU time or FLOPs with their unit."""
    if test.figure is None:
        return "-"
    is_energy = test.quantity is Quantity.ENERGY
    return scale.show(test.figure) if is_energy else amount(test.figure, test.quantity)


def shown_interval(test: TestRecord, scale: Scale) -> str:
    if test.figure_interval is None:
        return "-"
    is_energy = test.quantity is Quantity.ENERGY
    shown = scale if is_energy else scale_for(test.quantity, test.figure_interval)
    return interval(*test.figure_interval, shown)


def shown_limit(test: TestRecord, scale: Scale) -> str:
    if test.budget is None:
        return _allowed(test.reference, scale)
    if test.limit_joules_per_unit is not None:
        return grouped(test.limit_joules_per_unit / scale.size)
    limit = limit_of(test.budget)
    if limit is None:
        return test.budget.limit
    return amount(limit.base_per_unit, limit.quantity)


def _allowed(reference: ReferenceRecord | None, scale: Scale) -> str:
    """What a candidate may use beside its reference."""
    if reference is None or reference.joules_per_unit is None:
        return "-"
    return scale.show(reference.joules_per_unit * (1 + reference.max_increase))


def changed_limits(
    record: RunRecord, show: Callable[[str], str]
) -> tuple[tuple[str, str, str, str, str], ...]:
    """What this branch changes in the budgets file: for what, old, new, change, where.

    show: how a text from outside is written.
    """
    return tuple(
        (
            show(each.subject),
            show(each.old),
            show(each.new),
            "-" if each.change is None else signed_percent(each.change),
            show(each.origin),
        )
        for each in record.limit_changes
    )


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A figure beside an earlier or another one, both in what was judged, for one unit.

    beside: what the old figure is of ("3 sessions"). change: the fraction that the new one is over
    it. allowed: the change from which the test fails, or would be too much.
    """

    beside: str
    old: float
    new: float
    change: float
    allowed: float | None

    def shown(self, value: float, test: TestRecord) -> str:
        """One of the two with its unit: "12.3 J / query"."""
        return per_unit(value, test.unit, quantity_of(test.method))


def changed(test: TestRecord) -> Changed | None:
    """What a test was compared with: the reference it alternated with, or its baseline."""
    new = test.figure
    if new is None:
        return None
    if (reference := test.reference) is not None:
        old = reference.figure(test.quantity)
        if old is None:
            return None
        return Changed(
            beside=reference.name,
            old=old,
            new=new,
            change=reference.ratio - 1,
            allowed=reference.max_increase,
        )
    found = test.baseline
    if found is None or found.increase is None or found.increase <= -1:
        return None
    return Changed(
        beside=shown_sessions(found.sessions),
        old=new / (1 + found.increase),
        new=new,
        change=found.increase,
        allowed=found.threshold,
    )
