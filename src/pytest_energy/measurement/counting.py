"""Units of work: how the caller counts them, and which of them the limits need."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_energy.errors import EnergyUsageError
from pytest_energy.limits.budget import DEFAULT_UNIT, ONE_PER_CALL, PART_UNITS, Budget
from pytest_energy.limits.limit import LARGEST_COUNT
from pytest_energy.record.plain import spelled
from pytest_energy.units import plural, singular

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

EXAMPLE = "energy.measure(lambda: model(TEXTS), count=32)"
_EXAMPLE_OF_UNITS = 'units={"input-token": 128, "output-token": lambda result: len(result)}'

#: A number of units, or a function that counts them in the result of a call.
Count = float | Callable[[Any], float]
#: What one call did, by unit: {"query": 32.0, "token": 4096.0}.
Units = Mapping[str, float]

_NAME = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
#: The arguments of `measure` that count one unit each.
_ARGUMENTS = {"tokens": "token", "images": "image"}


def counts_for(
    budgets: Sequence[Budget],
    *,
    count: Count | None = None,
    tokens: Count | None = None,
    images: Count | None = None,
    units: Mapping[str, Count] | None = None,
) -> dict[str, Count]:
    """How units are counted: those of the limits, and what the caller counts beside them.

    The first is the unit of a test without a limit. Raises EnergyUsageError for a limit whose units
    are not counted, and for a count that can't be one.
    """
    given = _given(count, {"tokens": tokens, "images": images}, units)
    limited = [each for each in budgets if each.limit is not None]
    if not limited:
        return given if given and count is None else {DEFAULT_UNIT: count or 1, **given}
    found: dict[str, Count] = {}
    for budget in limited:
        counted = _count_of(budget.unit, given, count)
        if counted is None:
            raise EnergyUsageError(
                f"{_limit(budget)} is per {budget.unit}, and {plural(budget.unit)} are not "
                f"counted: {_how_to_count(budget.unit)}"
            )
        found[budget.unit] = counted
    _check_one_count([each for each in limited if _count_of(each.unit, given, None) is None])
    return {**given, **found}


def counted(counts: Mapping[str, Count], result: Any) -> Units:
    """What one call did. Raises EnergyUsageError for a count function without a number."""
    units = {}
    for unit, count in counts.items():
        number = count(result) if callable(count) else count
        if not _is_number(number) or number < 0:
            raise EnergyUsageError(
                f"the count function returned {spelled(number)}, not a number of {plural(unit)}; "
                "write: count=lambda result: len(result)"
            )
        units[unit] = float(number)
        if units[unit] and not 1 / LARGEST_COUNT <= units[unit] <= LARGEST_COUNT:
            raise EnergyUsageError(
                f"the count function returned {units[unit]:g}: it is too small or too large, "
                f"from {1 / LARGEST_COUNT:g} to {LARGEST_COUNT:g} units"
            )
    return units


def _given(
    count: Count | None,
    arguments: Mapping[str, Count | None],
    units: Mapping[str, Count] | None,
) -> dict[str, Count]:
    """What the caller counts by the name of its unit, in the singular."""
    for argument, value in (("count", count), *arguments.items()):
        if value is not None:
            _check_count(f"{argument}={spelled(value)}", value)
    given: dict[str, Count] = {
        _ARGUMENTS[argument]: value for argument, value in arguments.items() if value is not None
    }
    for unit, value in ({} if units is None else check_units(units)).items():
        if unit in given:
            raise EnergyUsageError(_twice(unit))
        given[unit] = value
    return given


def check_units(units: Mapping[str, Count]) -> dict[str, Count]:
    """Units by their names in the singular. Raises EnergyUsageError for what is none."""
    given: dict[str, Count] = {}
    if not isinstance(units, Mapping) or not units:
        raise EnergyUsageError(
            f"units={spelled(units)} is not a dict of units and their numbers; write: "
            f"{_EXAMPLE_OF_UNITS}"
        )
    for name, value in units.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise EnergyUsageError(
                f"units has {spelled(name)}, which is not the name of a unit: a limit can't name "
                f"it; write: {_EXAMPLE_OF_UNITS}"
            )
        unit = singular(name)
        if unit in given:
            raise EnergyUsageError(_twice(unit))
        _check_count(f"units[{spelled(name)}]={spelled(value)}", value)
        given[unit] = value
    return given


def _twice(unit: str) -> str:
    return f"{plural(unit)} are counted twice; keep one of the two: {_EXAMPLE_OF_UNITS}"


def _count_of(unit: str, given: Mapping[str, Count], count: Count | None) -> Count | None:
    """How a limit's unit is counted: by its name, by `count`, or as one for each call."""
    if unit in given or unit in _ARGUMENTS.values():  # which have arguments of their own
        return given.get(unit)
    if count is not None or unit not in ONE_PER_CALL:
        return count
    # All of these words mean one inference, so a limit per query counts the requests of a call.
    return next((given[each] for each in given if each in ONE_PER_CALL), 1)


def _how_to_count(unit: str) -> str:
    """Arguments that count a unit, with examples."""
    if unit in PART_UNITS:
        return "they are parts of a request; energy.measure_generation measures what each costs"
    argument = next((each for each, known in _ARGUMENTS.items() if known == unit), "count")
    if "-" in unit:  # one of several kinds
        return f'add units={{"{unit}": 128}} or units={{"{unit}": lambda result: len(result)}}'
    return f"add {argument}=128 or {argument}=lambda result: len(result)"


def _check_one_count(budgets: Sequence[Budget]) -> None:
    """`count` counts one kind of unit, however many words there are for a call."""
    if len({"call" if each.unit in ONE_PER_CALL else each.unit for each in budgets}) > 1:
        limits = " and ".join(map(_limit, budgets))
        raise EnergyUsageError(
            f"{limits} are limits of this test, and count= can't count both; count each by its "
            f"name: {_EXAMPLE_OF_UNITS}"
        )


def _check_count(shown: str, value: Count) -> None:
    if callable(value):
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise EnergyUsageError(
            f"{shown} is neither a whole number of units from 1 up nor a function of "
            f"the result; write: {EXAMPLE}"
        )
    if value > LARGEST_COUNT:
        raise EnergyUsageError(f"{shown} is larger than {LARGEST_COUNT:g}; write: {EXAMPLE}")


def _is_number(value: object) -> bool:
    try:
        return not isinstance(value, bool | str) and math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def _limit(budget: Budget) -> str:
    limit = budget.units_of
    return f'limit "{limit and limit.text}" ({budget.origin})'
