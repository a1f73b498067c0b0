"""What the figures of a run add up to, in things that people know."""

from __future__ import annotations

import textwrap

from pytest_energy.carbon.intensity import (
    LEAST_EQUIVALENT,
    PHONE_CHARGE,
    equivalent,
    in_words,
    readable_units,
)
from pytest_energy.record.schema import RunRecord, TestRecord
from pytest_energy.units import DAYS_PER_YEAR, JOULES_PER_KWH, grouped, plural, short_label

#: Units a day for which the summary tells what a figure adds up to.
_A_MILLION = 1_000_000


def adds_up(record: RunRecord, width: int) -> list[str]:
    """Each figure with its limit, then the source, wrapped; nothing without figures.

    Figures of which a million units make nothing that people know are left out.
    """
    lines = [_line(test) for test in record.tests if _is_readable(test)]
    if not lines:
        return []
    each = PHONE_CHARGE
    lines.append(f"a {each.name} is {each.kwh_each:g} kWh ({each.source})")
    return [part for line in lines for part in textwrap.wrap(line, width, break_on_hyphens=False)]


def _is_readable(test: TestRecord) -> bool:
    joules = test.joules_per_unit
    return joules is not None and equivalent(joules * _A_MILLION, PHONE_CHARGE) >= LEAST_EQUIVALENT


def _line(test: TestRecord) -> str:
    assert test.joules_per_unit is not None
    label = short_label(test.id, test.name)
    limit = test.limit_joules_per_unit
    # One scale for both, or a figure far under its limit would look larger.
    least = test.joules_per_unit if limit is None else min(test.joules_per_unit, limit)
    units = readable_units(least, PHONE_CHARGE)
    line = f"{label}: {in_words(test.joules_per_unit, test.unit, units, PHONE_CHARGE)}"
    if limit is not None:
        line += f"; its limit: {in_words(limit, test.unit, units, PHONE_CHARGE)}"
    daily = test.joules_per_unit * _A_MILLION / JOULES_PER_KWH
    return (
        f"{line}; {_A_MILLION:,} {plural(test.unit)} a day: {grouped(daily)} kWh a day, "
        f"{grouped(daily * DAYS_PER_YEAR)} kWh a year"
    )
