"""Tasks on a logarithmic axis of Wh for 1,000 units, one line a task; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.record.schema import CarbonRecord
from pytest_energy.report.by_task import TaskFigures
from pytest_energy.report.html.measurement import LONGEST_TEXT, shortened
from pytest_energy.report.html.strip import Mark
from pytest_energy.units import figure, power_of_ten, watt_hours_per_1000

_WATT_HOURS_PER_KWH = 1000.0
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
    """A line for each task.

    grid: a mark for each power of ten in Wh; only some have words. grams: the same in gCO2e, on a
    second scale; none without a carbon factor that holds for all. alternative: the picture in
    words, with the figures.
    """

    lines: tuple[Line, ...]
    grid: tuple[Mark, ...]
    grams: tuple[Mark, ...]
    alternative: str


def log_axis(tasks: Sequence[TaskFigures], carbon: CarbonRecord | None = None) -> LogAxis | None:
    """The picture in Wh, and in gCO2e where there is a factor; None where there are no figures."""
    values = [watt_hours_per_1000(j) for each in tasks for j in (*each.joules, *each.published)]
    if not values:
        return None
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)

    def place(exponent: float) -> float:
        return round(_MARGIN + (100 - 2 * _MARGIN) * (exponent - low) / (high - low), 1)

    def places(joules: Sequence[float]) -> tuple[float, ...]:
        return tuple(place(math.log10(watt_hours_per_1000(each))) for each in joules)

    def marks(first: int, last: int, shift: float) -> tuple[Mark, ...]:
        step = max(math.ceil((last - first + 1) / _MOST_LABELS), 1)
        return tuple(
            Mark(place(each - shift), power_of_ten(each) if (each - first) % step == 0 else "")
            for each in range(first, last + 1)
        )

    grams: tuple[Mark, ...] = ()
    if carbon is not None and carbon.grams_per_kwh * carbon.pue > 0:
        shift = math.log10(carbon.grams_per_kwh * carbon.pue / _WATT_HOURS_PER_KWH)
        grams = marks(math.ceil(low + shift), math.floor(high + shift), shift)
    return LogAxis(
        tuple(Line(_label(each), places(each.joules), places(each.published)) for each in tasks),
        marks(low, high, 0.0),
        grams,
        shortened("; ".join(map(_in_words, tasks)), LONGEST_TEXT),
    )


def range_of(joules: Sequence[float]) -> str:
    """Wh for 1,000 units, from the least to the most: "1.35 to 4.44"; "-" for none."""
    return range_in(list(map(watt_hours_per_1000, joules)))


def range_in(values: Sequence[float]) -> str:
    """The same of values in any unit."""
    if not values:
        return "-"
    low, high = figure(min(values)), figure(max(values))
    return low if low == high else f"{low} to {high}"


def _in_words(figures: TaskFigures) -> str:
    words = f"{_label(figures)} {range_of(figures.joules)} Wh"
    return f"{words}, published {range_of(figures.published)} Wh" if figures.published else words


def _label(figures: TaskFigures) -> str:
    per = "" if figures.unit == "query" else f", per {shortened(figures.unit)}"
    return f"{shortened(figures.task)}{per} ({figures.method})"
