"""The text of `pytest-energy scale`: what figures add up to under traffic and beside training."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_energy.carbon.intensity import EQUIVALENCES, Equivalence, equivalent
from pytest_energy.study.remarks import said_with_figures
from pytest_energy.study.traffic import Volume, joules_per_day, parity
from pytest_energy.study.unit_costs import UnitCost, UnitCosts
from pytest_energy.units import (
    DAYS_PER_YEAR,
    JOULES_PER_KWH,
    figure,
    grouped,
    plural,
    watt_hours_per_1000,
)

_NARROWEST = 40
_LABEL = 42
_AMOUNT = 17


@dataclass(frozen=True)
class Training:
    """The energy of a training, and how its author wrote it."""

    joules: float
    text: str


def render_scaled(
    costs: UnitCosts, volume: Volume | None, training: Training | None, width: int
) -> str:
    """Each figure under the volume, beside the training, or both; then every source.

    Raises ValueError where the volume counts another unit than every figure; where it is another
    than some, those are listed.
    """
    lines: list[str] = []
    notes = list(costs.notes)
    fitting = [each for each in costs.found if volume is None or each.unit == volume.unit]
    if volume is not None and not fitting:
        joules_per_day(costs.found[0].joules_per_unit, costs.found[0].unit, volume)
    for cost in costs.found:
        if cost not in fitting:
            notes.append(f"{cost.label}: it is for one {cost.unit}, which the volume doesn't count")
            continue
        lines += [*_head(cost, width), *_body(cost, volume, training, width), ""]
    lines += [part for note in notes for part in _wrapped(note, width)]
    lines += [part for source in _sources(fitting, volume) for part in _wrapped(source, width)]
    return "\n".join(lines) + "\n"


def _head(cost: UnitCost, width: int) -> list[str]:
    amount = f"{figure(watt_hours_per_1000(cost.joules_per_unit))} Wh / 1000 {plural(cost.unit)}"
    return _wrapped(f"{cost.label}: {amount} ({cost.evidence})", width)


def _body(
    cost: UnitCost, volume: Volume | None, training: Training | None, width: int
) -> Iterator[str]:
    daily = None
    if volume is not None:
        daily = joules_per_day(cost.joules_per_unit, cost.unit, volume)
        yield _row(volume.text, "a day", "a year")
        yield from _amounts(cost, daily)
    if training is not None:
        units = parity(training.joules, cost.joules_per_unit)
        sentence = f"training of {training.text}: as much as {units:,} {plural(cost.unit)}"
        if daily:
            sentence += f", {grouped(training.joules / daily)} days of this volume"
        yield from _wrapped(sentence, width)


def _amounts(cost: UnitCost, daily: float) -> Iterator[str]:
    def row(label: str, day: float, symbol: str = "") -> str:
        return _row(label, *(f"{grouped(each)}{symbol}" for each in (day, day * DAYS_PER_YEAR)))

    yield row("energy", daily / JOULES_PER_KWH, " kWh")
    for each in cost.intensities:
        pue = "" if each.pue == 1 else f" x PUE {each.pue:g}"
        yield row(f"carbon at {each.factor}{pue}", each.grams(daily) / 1000, " kgCO2e")
    for one in EQUIVALENCES:
        yield row(_sized(one), equivalent(daily, one))


def _row(label: str, day: str, year: str) -> str:
    return f"  {label:<{_LABEL}}{day:>{_AMOUNT}}{year:>{_AMOUNT}}"


def _sized(each: Equivalence) -> str:
    return f"{each.plural} of {round(each.kwh_each, 3):,g} kWh"


def _sources(costs: list[UnitCost], volume: Volume | None) -> Iterator[str]:
    if volume is not None:
        yield f"a year is {DAYS_PER_YEAR:g} days of this volume"
        for intensity in dict.fromkeys(each for cost in costs for each in cost.intensities):
            yield f"carbon: {intensity}"
        for each in EQUIVALENCES:
            yield f"{_sized(each)}: {each.source}"
    sources = dict.fromkeys(cost.study_source for cost in costs if cost.study_source)
    if sources:
        yield f"figures of the study: {'; '.join(sources)}"
        yield from said_with_figures()


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, max(width, _NARROWEST), subsequent_indent="  ", break_on_hyphens=False
    )
