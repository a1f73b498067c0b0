"""Tasks on a logarithmic axis of Wh for 1,000 units, one line a task; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.report.by_task import TaskFigures
from pytest_energy.report.html.measurement import shortened
from pytest_energy.report.html.strip import Mark
from pytest_energy.units import power_of_ten, watt_hours_per_1000

_MARGIN = 3.0
#: Labels that fit below the axis on a phone.
_MOST_LABELS = 6


@dataclass(frozen=True)
class Line:
    """One task: where its own figures lie and those of others, in per cent of the width."""

    label: str
    own: tuple[float, ...]
    published: tuple[float, ...]


@dataclass(frozen=True)
class LogAxis:
    """grid: a mark for each power of ten; only some have words."""

    lines: tuple[Line, ...]
    grid: tuple[Mark, ...]


def log_axis(tasks: Sequence[TaskFigures]) -> LogAxis | None:
    """None where there are no figures."""
    values = [watt_hours_per_1000(j) for each in tasks for j in (*each.joules, *each.published)]
    if not values:
        return None
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)

    def place(exponent: float) -> float:
        return round(_MARGIN + (100 - 2 * _MARGIN) * (exponent - low) / (high - low), 1)

    def places(joules: Sequence[float]) -> tuple[float, ...]:
        return tuple(place(math.log10(watt_hours_per_1000(each))) for each in joules)

    step = math.ceil((high - low + 1) / _MOST_LABELS)
    grid = tuple(
        Mark(place(each), power_of_ten(each) if (each - low) % step == 0 else "")
        for each in range(low, high + 1)
    )
    lines = tuple(Line(_label(each), places(each.joules), places(each.published)) for each in tasks)
    return LogAxis(lines, grid)


def _label(figures: TaskFigures) -> str:
    per = "" if figures.unit == "query" else f", per {shortened(figures.unit)}"
    return f"{shortened(figures.task)}{per} ({figures.method})"
