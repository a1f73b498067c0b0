"""Checks of the values in energy-budgets.toml.

Each gives what a value means, or raises ValueError with the reason alone: file, line, the value as
written and an example are added where the table is read.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from typing import Literal, TypeVar

from pytest_energy.carbon.intensity import LARGEST_PUE, parse_intensity
from pytest_energy.limits.limit import Limit, LimitError, parse_limit
from pytest_energy.spelling import alike
from pytest_energy.units import LONGEST_QUANTITY, Quantity

#: Seconds and watts that somebody can mean.
LEAST, LARGEST = 1e-6, 1e9
#: kWh, GPUs or years: a whole number that somebody can mean.
LARGEST_WHOLE = 1_000_000

_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*", re.ASCII)
_WATTS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*W\s*", re.ASCII)

Choice = TypeVar("Choice", bound=StrEnum)


def near(word: str, known: Collection[str]) -> str | None:
    """The known word that is probably meant, in whatever case."""
    folded = {each.lower(): each for each in known}
    found = alike(word.lower(), folded)
    return folded[found[0]] if found else None


def table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("this is one table, with one bracket on each side")
    return value


def tables(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("there may be many, each under two brackets on each side")
    return value


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it is not a text in quotes")
    if not value.strip():
        raise ValueError("it is blank")
    return value


def labels(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        raise ValueError("it is not a table of labels")
    for name, word in value.items():
        if not isinstance(word, str):
            raise ValueError(f"the label {name} is not a text in quotes")
    return value


def test_ids(value: object) -> tuple[str, ...]:
    """Ids as pytest prints them, or patterns of such ids."""
    if isinstance(value, str):
        return (_test_id(value),)
    if not isinstance(value, list):
        raise ValueError("it is neither a text nor a list of texts")
    if not value:
        raise ValueError("the list is empty")
    mistakes = []
    for number, each in enumerate(value, start=1):
        try:
            _test_id(each)
        except ValueError as error:
            mistakes.append(f"item {number}: {error}")
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return tuple(value)


def _test_id(value: object) -> str:
    given = text(value)
    if any("\ud800" <= each <= "\udfff" for each in given):
        raise ValueError("it holds a character that no file can hold (a lone surrogate)")
    path, colons, _ = given.partition("::")
    usual = posixpath.normpath(path)
    if path != usual or path.startswith(("/", "..")) or "\\" in path:
        raise ValueError(
            "pytest prints ids with a path from its root folder, with single slashes and no dots"
        )
    if not colons and not {"*", "?"} & set(given):
        raise ValueError(f"it names no test, only a file; for all in it write {given}::*")
    return given


def one_of(choices: type[Choice]) -> Callable[[object], Choice]:
    def check(value: object) -> Choice:
        word = text(value)
        if word in list(choices):
            return choices(word)
        meant = near(word, tuple(choices))
        known = ", ".join(f'"{each}"' for each in choices)
        raise ValueError(
            f'not known (did you mean "{meant}"?)' if meant else f"choose from {known}"
        )

    return check


def whole(low: int, high: int = LARGEST_WHOLE) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            limits = f"from {low} up" if high == LARGEST_WHOLE else f"from {low} to {high}"
            raise ValueError(f"it is not a whole number {limits}")
        return value

    return check


def positive(value: object) -> float:
    """A finite number above zero."""
    number = _number(value)
    if not 0 < number < math.inf:
        raise ValueError("it is not a number above zero")
    return in_range(number)


def in_range(number: float) -> float:
    """The same number, where somebody can mean it."""
    if not LEAST <= number <= LARGEST:
        raise ValueError(f"it is too small or too large: from {LEAST:g} to {LARGEST:g}")
    return number


def pue(value: object) -> float:
    """The data centre's kWh for one kWh of its machines."""
    number = _number(value)
    if not 1 <= number <= LARGEST_PUE:
        raise ValueError(f"it is not a number from 1 up to {LARGEST_PUE:g}")
    return number


def fraction(value: object) -> float:
    """A fraction, from 0.03 or "3 %"."""
    share = _number(value) if not isinstance(value, str) else _matched(_PERCENT, value) / 100
    if not 0 <= share < 1:
        raise ValueError("it is neither a fraction from 0 to below 1 nor a percentage below 100 %")
    return share


def watts(value: object) -> float:
    """Watts, from 300 or "300 W"."""
    number = _number(value) if not isinstance(value, str) else _matched(_WATTS, value)
    if not 0 < number < math.inf:
        raise ValueError("it is not a number of watts above zero")
    return in_range(number)


def watts_per_core(value: object) -> float | Literal["tdp"]:
    if value == "tdp":
        return "tdp"
    number = _number(value)
    if not 0 < number < math.inf:
        raise ValueError('it is neither a number of watts above zero nor "tdp"')
    return in_range(number)


def intensity(value: object) -> float:
    """Grams of CO2e for one kWh."""
    if not isinstance(value, str):
        raise ValueError(f"it is a text that names its unit, not {_kind(value)}")
    try:
        return parse_intensity(_quantity(value))
    except ValueError as error:
        if "too small" in str(error):
            raise
        raise ValueError("it is not an amount above zero of gCO2e for one kWh") from None


def limit(value: object) -> Limit:
    if not isinstance(value, str):
        raise ValueError(f"a limit is a text that names its unit, not {_kind(value)}")
    try:
        return parse_limit(_quantity(value))
    except LimitError as error:
        raise ValueError(error.why) from None


def limits(value: object) -> tuple[Limit, ...]:
    """One limit, or a list with one for each unit."""
    if not isinstance(value, list):
        return (limit(value),)
    if not value:
        raise ValueError("the list is empty")
    found, mistakes = [], []
    for number, each in enumerate(value, start=1):
        try:
            found.append(limit(each))
        except ValueError as error:
            mistakes.append(f"item {number}: {error}")
    if mistakes:
        raise ValueError("; ".join(mistakes))
    if twice := limited_twice(found):
        raise ValueError(f"it has two limits of {twice}; keep one of them")
    return tuple(found)


def limited_twice(limits: Iterable[Limit]) -> str:
    """What two of these limits are both for, as "energy per token"; or ""."""
    seen = set()
    for each in limits:
        if (each.quantity, each.unit) in seen:
            return f"{each.quantity} per {each.unit}"
        seen.add((each.quantity, each.unit))
    return ""


def carbon_limit(value: object) -> Limit:
    found = limit(value)
    if found.quantity is not Quantity.CARBON:
        raise ValueError(f"it is a limit in {found.quantity}, not in carbon: write it as max")
    return found


def embodied(value: object) -> tuple[Limit, ...]:
    """Emissions of making the hardware, for a unit of work or for each of several."""
    found = tuple(map(_embodied, value if isinstance(value, list) else [value]))
    if not found or len({each.unit for each in found}) < len(found):
        raise ValueError("it is neither one amount nor a list with an amount for each unit")
    return found


def _embodied(value: object) -> Limit:
    try:
        found = limit(value)
    except ValueError:
        found = None
    if found is None or found.quantity is not Quantity.CARBON:
        raise ValueError("it is not an amount above zero of gCO2e for a number of units")
    return found


def _number(value: object) -> float:
    """NaN for what is no number: it fails every comparison."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _matched(pattern: re.Pattern[str], value: str) -> float:
    match = pattern.fullmatch(_quantity(value))
    return float(match[1]) if match else math.nan


def _quantity(value: str) -> str:
    # The patterns that read quantities are slow in texts of a megabyte.
    if len(value) > LONGEST_QUANTITY:
        raise ValueError(f"it is longer than {LONGEST_QUANTITY} characters")
    return value


def _kind(value: object) -> str:
    """What TOML calls it."""
    numbers: dict[type, str] = dict.fromkeys((int, float), "a bare number")
    kinds = {**numbers, bool: "a boolean", list: "an array", dict: "a table"}
    return kinds.get(type(value), "a date or time")
