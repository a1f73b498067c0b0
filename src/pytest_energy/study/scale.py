"""`pytest-energy scale`: what figures add up to under traffic, and compared with a training."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from pytest_energy.carbon.intensity import EQUIVALENCES, Equivalence, equivalent
from pytest_energy.errors import InputError
from pytest_energy.report.table import Column, Row, console_of, print_table, printed
from pytest_energy.study.figures import caveats
from pytest_energy.study.unit_costs import UnitCost, UnitCosts
from pytest_energy.units import (
    DAYS_PER_YEAR,
    JOULES_PER_KWH,
    figure,
    grouped,
    plural,
    singular,
    watt_hours_per_1000,
)

_DAYS = {
    "second": 1 / 86_400,
    "minute": 1 / 1_440,
    "hour": 1 / 24,
    "day": 1.0,
    "week": 7.0,
    "month": DAYS_PER_YEAR / 12,
    "year": DAYS_PER_YEAR,
}
#: Units of work: the world's web searches of a century are fewer.
LARGEST_VOLUME = 1e18
#: Joules of a training: more than what the world uses in a year.
LARGEST_TRAINING = 3.6e24
_MULTIPLES = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}
_VOLUME = re.compile(
    r"\s*(?:(?P<whole>\d{1,3}(?:,\d{3})+|\d+)|(?P<decimal>\d+\.\d+)(?=\s*[kMB]\b))\s*"
    r"(?:(?P<multiple>[kMB])\b)?\s*(?P<unit>[A-Za-z][\w-]*)\s*"
    r"(?:/|\sper\s)\s*(?P<period>[a-z]+)\s*",
    re.ASCII,
)
#: Training takes megawatt-hours, so here a capital M is mega, and no other case is taken.
_KWH = {"Wh": 1e-3, "kWh": 1.0, "MWh": 1e3, "GWh": 1e6}
_TRAINING = re.compile(
    r"\s*(?P<amount>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)\s*(?P<symbol>[A-Za-z]+)\s*",
    re.ASCII,
)
_NARROWEST = 40


@dataclass(frozen=True)
class Volume:
    """How many units of work a service does."""

    units_per_day: float
    unit: str
    text: str
    """As its author wrote it."""


def parse_volume(text: str) -> Volume:
    """From "10M queries / day". Raises ValueError with an example that works."""
    match = _VOLUME.fullmatch(text)
    days = _DAYS.get(singular(match["period"])) if match else None
    if match is None or days is None or match["unit"] in _MULTIPLES:
        raise InputError(
            f"volume {text!r} is not a number of units per {', '.join(_DAYS)}; write it as "
            '"10M queries / day" (k is a thousand, M a million, B a billion)'
        )
    number = match["decimal"] or match["whole"].replace(",", "")
    units = float(number) * _MULTIPLES[match["multiple"] or ""]
    if not 0 < units <= LARGEST_VOLUME:
        raise InputError(
            f"volume {text!r} is not above zero, or too large: at most "
            f'{LARGEST_VOLUME:g}; write it as "10M queries / day"'
        )
    return Volume(units / days, singular(match["unit"]), text.strip())


def parse_training(text: str) -> float:
    """Joules of a training, from "1287 MWh". Raises ValueError with an example that works."""
    match = _TRAINING.fullmatch(text)
    if match is None or match["symbol"] not in _KWH:
        raise InputError(
            f"training {text!r} is not an amount in {', '.join(_KWH)} (case matters); "
            'write it as "1287 MWh"'
        )
    joules = float(match["amount"].replace(",", "")) * _KWH[match["symbol"]] * JOULES_PER_KWH
    if not 0 < joules <= LARGEST_TRAINING:
        raise InputError(
            f"training {text!r} is not above zero, or too large: at most "
            '1e9 GWh; write it as "1287 MWh"'
        )
    return joules


def joules_per_day(joules_per_unit: float, unit: str, volume: Volume) -> float:
    """Joules a day of this traffic. Raises ValueError where it counts another unit."""
    if volume.unit != unit:
        raise InputError(
            f'volume "{volume.text}" counts {plural(volume.unit)}, and the figure is for one '
            f'{unit}; write it as "10M {plural(unit)} / day"'
        )
    return joules_per_unit * volume.units_per_day


def parity(training_joules: float, joules_per_unit: float) -> int:
    """The number of units after which use has taken as much as training.

    As in Table 5 of the study (arXiv 2311.16863), where training includes fine-tuning.
    """
    return round(training_joules / joules_per_unit)


@dataclass(frozen=True)
class Training:
    """The energy of a training, and how its author wrote it."""

    joules: float
    text: str


def render_scaled(
    costs: UnitCosts, volume: Volume | None, training: Training | None, width: int
) -> str:
    """Each figure under the volume, compared with the training, or both; then every source.

    Raises InputError where no figure is for the unit that the volume counts; a figure for another
    unit is listed.
    """
    console = console_of(max(width, _NARROWEST), colour=False)

    def write(text: str) -> None:
        lines = textwrap.wrap(text, console.width, subsequent_indent="  ", break_on_hyphens=False)
        console.print(Text("\n".join(lines)))

    notes = list(costs.notes)
    fitting = [each for each in costs.found if volume is None or each.unit == volume.unit]
    if volume is not None and not fitting:
        joules_per_day(costs.found[0].joules_per_unit, costs.found[0].unit, volume)
    for cost in costs.found:
        if cost not in fitting:
            notes.append(f"{cost.label}: it is for one {cost.unit}, and the volume counts others")
            continue
        amount = figure(watt_hours_per_1000(cost.joules_per_unit))
        write(f"{cost.label}: {amount} Wh / 1000 {plural(cost.unit)} ({cost.evidence})")
        daily = None
        if volume is not None:
            daily = joules_per_day(cost.joules_per_unit, cost.unit, volume)
            columns = [Column("a day"), Column("a year")]
            print_table(console, columns, list(_amounts(cost, daily)), name=volume.text)
        if training is not None:
            units = parity(training.joules, cost.joules_per_unit)
            days = f", {grouped(training.joules / daily)} days of this volume" if daily else ""
            write(f"training of {training.text}: as much as {units:,} {plural(cost.unit)}{days}")
        console.print()
    for line in (*notes, *_sources(fitting, volume)):
        write(line)
    return printed(console)


def _amounts(cost: UnitCost, daily: float) -> Iterator[Row]:
    def row(name: str, day: float) -> Row:
        return Row(Text(name), [grouped(each) for each in (day, day * DAYS_PER_YEAR)])

    yield row("energy (kWh)", daily / JOULES_PER_KWH)
    for each in cost.intensities:
        pue = "" if each.pue == 1 else f" x PUE {each.pue:g}"
        yield row(f"carbon at {each.factor}{pue} (kgCO2e)", each.grams(daily) / 1000)
    for one in EQUIVALENCES:
        yield row(_sized(one), equivalent(daily, one))


def _sized(each: Equivalence) -> str:
    return f"{each.plural} of {round(each.kwh_each, 3):,g} kWh"


def _sources(costs: Sequence[UnitCost], volume: Volume | None) -> Iterator[str]:
    if volume is not None:
        yield f"a year is {DAYS_PER_YEAR:g} days of this volume"
        for intensity in dict.fromkeys(each for cost in costs for each in cost.intensities):
            yield f"carbon: {intensity}"
        for each in EQUIVALENCES:
            yield f"{_sized(each)}: {each.source}"
    sources = dict.fromkeys(cost.study_source for cost in costs if cost.study_source)
    if sources:
        yield f"figures of the study: {'; '.join(sources)}"
        yield from caveats()
