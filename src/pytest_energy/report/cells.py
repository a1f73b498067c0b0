"""What the cells of a table of tests hold: figures, limits and changes, in words of units.py."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_energy.baselines.baseline import shown_sessions
from pytest_energy.limits.limit import LimitError, parse_limit
from pytest_energy.record.schema import CPU_TIME_METHOD, ReferenceRecord, TestRecord
from pytest_energy.units import (
    CPU_TIME,
    Scale,
    cpu_time,
    energy_scale,
    figure,
    interval,
    per_unit,
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


def beyond_limit(test: TestRecord) -> str:
    """By how much a figure is over or under its limit."""
    return "-" if test.fraction_of_limit is None else signed_percent(test.fraction_of_limit - 1)


def shown_grams(test: TestRecord) -> str:
    return "-" if test.grams_per_unit is None else figure(test.grams_per_unit * 1000)


def is_cpu_time(test: TestRecord) -> bool:
    return test.method == CPU_TIME_METHOD and test.cpu_seconds_per_unit is not None


def shown_figure(test: TestRecord, scale: Scale) -> str:
    """What was compared: energy, or CPU time with its unit."""
    if is_cpu_time(test):
        return cpu_time(test.cpu_seconds_per_unit or 0.0)
    return "-" if test.joules_per_unit is None else scale.show(test.joules_per_unit)


def shown_interval(test: TestRecord, scale: Scale) -> str:
    if test.interval is None:
        return "-"
    if is_cpu_time(test):
        # The joules of an estimate are CPU seconds times watts, so both have the same spread.
        per_joule = (test.cpu_seconds_per_unit or 0.0) / (test.joules_per_unit or math.inf)
        return interval(test.interval[0] * per_joule, test.interval[1] * per_joule, CPU_TIME)
    return interval(*test.interval, scale)


def shown_limit(test: TestRecord, scale: Scale) -> str:
    if test.budget is None:
        return _allowed(test.reference, scale)
    if test.limit_joules_per_unit is not None:
        return scale.show(test.limit_joules_per_unit)
    try:
        return cpu_time(parse_limit(test.budget.limit).base_per_unit)
    except LimitError:  # a record from elsewhere
        return test.budget.limit


def _allowed(reference: ReferenceRecord | None, scale: Scale) -> str:
    """What a candidate may use beside its reference."""
    if reference is None or reference.joules_per_unit is None:
        return "-"
    return scale.show(reference.joules_per_unit * (1 + reference.max_increase))


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A figure beside an earlier or another one, both in joules or in CPU seconds for one unit.

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
        return per_unit(value, test.unit, is_cpu_time=test.method == CPU_TIME_METHOD)


def changed(test: TestRecord) -> Changed | None:
    """What a test was compared with: the reference it alternated with, or its baseline."""
    is_cpu = is_cpu_time(test)
    new = test.cpu_seconds_per_unit if is_cpu else test.joules_per_unit
    if new is None:
        return None
    if (reference := test.reference) is not None:
        old = reference.cpu_seconds_per_unit if is_cpu else reference.joules_per_unit
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
