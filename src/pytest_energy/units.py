"""Every number, unit, percentage, interval and label is formatted here, once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

JOULES_PER_WH = 3600.0
JOULES_PER_KWH = 3.6e6
DAYS_PER_YEAR = 365.0
#: Characters of a text that holds a number and a unit.
LONGEST_QUANTITY = 200


class Quantity(StrEnum):
    """What a limit or a figure counts; the value is the name people read."""

    ENERGY = "energy"
    CARBON = "carbon"
    CPU_TIME = "CPU time"
    FLOPS = "FLOPs"


_IRREGULAR = {"series": "series", "movies": "movie", "cookies": "cookie"}


def singular(word: str) -> str:
    """The singular of a unit's name: queries -> query, tokens -> token, boxes -> box."""
    lower = word.lower()
    if lower in _IRREGULAR:
        return _IRREGULAR[lower]
    if lower.endswith("ies") and len(lower) > 4:
        return lower[:-3] + "y"
    if lower.endswith(("ches", "shes", "xes", "sses")):
        return lower[:-2]
    if lower.endswith("s") and not lower.endswith(("ss", "us", "is")) and len(lower) > 2:
        return lower[:-1]
    return lower


def numbered(number: int, word: str) -> str:
    """ "1 model", "3 models"."""
    return f"1 {word}" if number == 1 else f"{number:,} {plural(word)}"


def plural(word: str) -> str:
    """The plural of a unit's name: query -> queries, token -> tokens, box -> boxes."""
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("ch", "sh", "x", "s")) else "s")


def for_one(unit: str) -> str:
    """ "a query", "an image"."""
    return f"{'an' if unit[:1].lower() in set('aeio') else 'a'} {unit}"


def watt_hours_per_1000(joules_per_unit: float) -> float:
    """The scale of the tables: Wh for 1,000 units."""
    return joules_per_unit * 1000 / JOULES_PER_WH


def figure(value: float) -> str:
    """A figure with three significant digits, for people; storage keeps full precision."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(abs(float(f"{value:.2e}"))))
    if digits > 7:
        return f"{value:.2e}"
    return f"{round(value, digits):.{max(digits, 0)}f}"


def grouped(value: float) -> str:
    """The same with its thousands apart: "1,250"."""
    text = figure(value)
    whole, point, rest = text.partition(".")
    return f"{int(whole):,}{point}{rest}" if whole.isdigit() else text


def power_of_ten(exponent: int) -> str:
    """The label of an axis: "0.001", "1", "1,000"; "1e-06" where it would be long."""
    return f"{10**exponent:,}" if 0 <= exponent <= 6 else f"{10.0**exponent:g}"


def time_and_power(units_per_second: float, watts: float, unit: str) -> str:
    """What makes the energy of one unit: "41.0 ms a query at 300 W"."""
    return f"{figure(1000 / units_per_second)} ms {for_one(unit)} at {figure(watts)} W"


def percent(fraction: float, *, exact: bool = False) -> str:
    """A share or a change without its sign: "182 %", "12 %", "3.1 %", "0.25 %".

    exact: with the digits that a user wrote in a setting, "12.5 %".
    """
    size = abs(fraction) * 100
    if exact:
        return f"{size:.12g} %"
    if 99 < size < 100:
        return f"{min(size, 99.9):.1f} %"
    if size >= 100:
        return f"{size:,.0f} %"
    if 0 < size < 0.01:
        return "<0.01 %"
    return f"{float(f'{size:.2g}'):g} %"


def signed_percent(fraction: float) -> str:
    """A change: "+12 %", "-3.1 %"."""
    return ("-" if fraction < 0 else "+") + percent(fraction)


@dataclass(frozen=True)
class Scale:
    """A unit to show figures in: its symbol, and its size in joules, CPU seconds or FLOPs."""

    symbol: str
    size: float

    def show(self, value: float) -> str:
        """The figure without its unit: "45.4"."""
        return figure(value / self.size)


_ENERGY = (
    Scale("uJ", 1e-6),
    Scale("mJ", 1e-3),
    Scale("J", 1.0),
    Scale("kJ", 1e3),
    Scale("MJ", 1e6),
)
#: As in limits.
_CARBON = (
    Scale("mgCO2e", 1e-3),
    Scale("gCO2e", 1.0),
    Scale("kgCO2e", 1e3),
)
#: CPU time is shown on the scale of its limits.
CPU_TIME = Scale("cpu-ms", 1e-3)


#: Floating-point operations; the last is for a limit of many long texts.
_FLOPS = (
    Scale("FLOP", 1.0),
    Scale("kFLOP", 1e3),
    Scale("MFLOP", 1e6),
    Scale("GFLOP", 1e9),
    Scale("TFLOP", 1e12),
    Scale("PFLOP", 1e15),
)


def energy_scale(joules: Iterable[float]) -> Scale:
    """The unit in which all of these are shown, one a column: the middle one fits it."""
    return _fitting(_ENERGY, joules)


def carbon_scale(grams: Iterable[float]) -> Scale:
    """The same for emissions."""
    return _fitting(_CARBON, grams)


def scale_for(quantity: Quantity, values: Iterable[float]) -> Scale:
    """The same for what is counted in joules, CPU seconds or FLOPs."""
    if quantity is Quantity.CPU_TIME:
        return CPU_TIME
    return _fitting(_FLOPS if quantity is Quantity.FLOPS else _ENERGY, values)


def _fitting(scales: Sequence[Scale], values: Iterable[float]) -> Scale:
    amounts = sorted(abs(each) for each in values if each)
    middle = amounts[(len(amounts) - 1) // 2] if amounts else 1.0
    fitting = [each for each in scales if each.size <= middle * 1.0005]
    return fitting[-1] if fitting else scales[0]


def energy(joules: float) -> str:
    """An amount in the unit of its size: "45.4 mJ", "1.20 kJ"."""
    scale = energy_scale([joules])
    return f"{scale.show(joules)} {scale.symbol}"


def amount(value: float, quantity: Quantity) -> str:
    """An amount of any quantity but carbon: "45.4 mJ", "23.1 cpu-ms", "2.50 GFLOP"."""
    scale = scale_for(quantity, [value])
    return f"{scale.show(value)} {scale.symbol}"


def all_flops(flops: float) -> str:
    """Operations with all their digits: "2,504,000,000 FLOP"."""
    return f"{round(flops, 2):,.15g} FLOP"


def per_unit(value: float, unit: str, quantity: Quantity = Quantity.ENERGY) -> str:
    """A figure for one unit of work: "45.4 mJ / query", "23.1 cpu-ms / query"."""
    return f"{amount(value, quantity)} / {unit}"


def interval(low: float, high: float, scale: Scale) -> str:
    """An interval in one unit, without it: "44.1 to 46.0"."""
    return f"{scale.show(low)} to {scale.show(high)}"


def label(test_id: str, name: str | None) -> str:
    """A measurement: its test's id, and its name where the test has several."""
    return f"{test_id} {name}" if name else test_id


def several(labels: Iterable[str]) -> str:
    """The only one of some tests, or how many there are: "test_it", "3 tests"."""
    different = list(dict.fromkeys(labels))
    return different[0] if len(different) == 1 else f"{len(different)} tests"


def short_label(test_id: str, name: str | None) -> str:
    """The same without the test's file."""
    return label(test_id.rpartition("::")[2], name)
