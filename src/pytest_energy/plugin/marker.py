"""The marker is a function: its signature and docstring are its help."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from pytest_energy.errors import EnergyUsageError, InputError
from pytest_energy.limits.budget import ONE_PER_CALL, Budget, Declaration, MaxIncrease, Scope
from pytest_energy.limits.checks import fraction, limited_twice
from pytest_energy.limits.limit import LARGEST_COUNT, Limit, LimitError, parse_limit
from pytest_energy.limits.resolve import Subject
from pytest_energy.measurement.counting import check_units
from pytest_energy.plugin.marker_place import origin_of
from pytest_energy.plugin.measured_tests import MARKER as NAME
from pytest_energy.plugin.measured_tests import asks_for_fixture, test_id
from pytest_energy.record.plain import spelled
from pytest_energy.sensors.base import Provenance
from pytest_energy.units import Quantity, plural

EXAMPLE = f'@pytest.mark.{NAME}("2.1 Wh / 1000 queries", count=32)'
_EXAMPLE_OF_UNITS = 'units={"input-token": 128, "output-token": 64}'

#: Arguments of later versions, refused by name, because they would have no effect.
_LATER = {
    "tolerance": "set it for all tests, under [defaults] in energy-budgets.toml",
    "max_seconds": "set it for all tests, with --energy-max-seconds or under [defaults] in "
    "energy-budgets.toml",
}


class MarkerError(InputError):
    """A marker that can't be used; the message names the value, why, and an example that works."""


def energy_budget(
    limit: str | Sequence[str] | None = None,
    *,
    id: str | None = None,  # the name that users write
    task: str | None = None,
    model: str | None = None,
    count: int = 1,
    units: Mapping[str, int] | None = None,
    scope: str = "auto",
    max_increase: float | str | None = None,
    method: str | None = None,
    labels: Mapping[str, str | int | float | bool] | None = None,
) -> Declaration:
    """Measure the energy of this test and fail it over the limit.

    Args:
        limit: "2.1 Wh / 1000 queries", "35 mJ / token", "0.5 gCO2e per 1k queries",
            "120 cpu-ms / query" or "2.5 GFLOP / query"; or a list of them, one for each unit.
            Without one, energy-budgets.toml is asked; where it has none either, the test is
            measured and the line to paste is printed.
        id: The budget of energy-budgets.toml that holds.
        task: What is measured, such as "text-classification"; selects budgets of the file.
        model: The model that is measured; selects budgets of the file.
        count: How many of the limit's units one run of the test's body does.
        units: The same for several units by name, {"input-token": 128, "output-token": 64}.
        scope: "gpu", "cpu", "all" (every counter; needs one for the CPU), "machine" (a plugin's
            sensor of the whole machine), or "auto": gpu when one is in use, else cpu.
        max_increase: By how much it may rise over its baseline, as "5 %" or 0.05.
        method: The evidence that the limit is for, "measured", "integrated" or "estimated"; a
            figure that comes about in another way is unmeasured.
        labels: Further labels, for tables and records.
    """
    parsed = _limits(limit)
    quantities = {each.quantity for each in parsed}
    for name, value in (("id", id), ("task", task), ("model", model)):
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise MarkerError(f'{name}={spelled(value)} is not a name; for example {name}="gpt2"')
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise MarkerError(
            f"count={spelled(count)} is not a whole number of units from 1 up; "
            f"for example {EXAMPLE}"
        )
    if count > LARGEST_COUNT:
        raise MarkerError(f"count is larger than {LARGEST_COUNT:g}; for example {EXAMPLE}")
    if scope not in list(Scope):
        raise MarkerError(
            f"scope={spelled(scope)} is not known: "
            'write scope="gpu", scope="cpu", scope="all", scope="machine" or leave it out'
        )
    chosen = Scope(scope)
    if Quantity.CPU_TIME in quantities and chosen not in (Scope.AUTO, Scope.CPU):
        raise MarkerError(
            f"scope={spelled(scope)} with limit {spelled(limit)}: CPU time is counted on the "
            'CPU; leave scope out or write scope="cpu"'
        )
    if method is not None and method not in list(Provenance):
        raise MarkerError(
            f"method={spelled(method)} is not known: "
            'write method="measured", method="integrated", method="estimated" or leave it out'
        )
    counted_one_way = quantities & {Quantity.CPU_TIME, Quantity.FLOPS}
    if counted_one_way and method is not None:
        raise MarkerError(
            f"method={spelled(method)} with limit {spelled(limit)}: "
            f"{' and '.join(counted_one_way)} has one way "
            "to be counted; leave method out"
        )
    return Declaration(
        limits=parsed,
        id=id,
        task=task,
        model=model,
        count=count,
        units=_units(units),
        scope=chosen,
        max_increase=_max_increase(max_increase),
        method=None if method is None else Provenance(method),
        labels=_labels(labels),
    )


def _limits(limit: object) -> tuple[Limit, ...]:
    """The one limit, or each of a list."""
    if limit is None:
        return ()
    written = limit if isinstance(limit, list | tuple) else [limit]
    try:
        parsed = tuple(map(parse_limit, written))
    except LimitError as error:
        raise MarkerError(str(error)) from None
    if not parsed:
        raise MarkerError(f"limit={spelled(limit)} is an empty list; for example {EXAMPLE}")
    if twice := limited_twice(parsed):
        raise MarkerError(
            f"limit={spelled(limit)} has two limits of {twice}; keep one of them, for example "
            f"{EXAMPLE}"
        )
    return parsed


def _units(units: object) -> dict[str, int]:
    """How many of each unit one run of the body does."""
    if units is None:
        return {}
    try:
        given = check_units(units)  # type: ignore[arg-type]  # it is what is checked
    except EnergyUsageError as error:
        raise MarkerError(str(error)) from None
    numbers = {unit: int(value) for unit, value in given.items() if not callable(value)}
    if len(numbers) < len(given):
        raise MarkerError(
            "units has a function, and the body of a test has no result to count in: give "
            f"numbers, for example {_EXAMPLE_OF_UNITS}, or count in the test with the energy "
            "fixture, energy.measure(call, units=...)"
        )
    return numbers


def _max_increase(value: object) -> MaxIncrease | None:
    if value is None:
        return None
    try:
        return MaxIncrease(fraction(value))
    except ValueError as error:
        raise MarkerError(
            f'max_increase={spelled(value)}: {error}; for example max_increase="5 %"'
        ) from None


def _labels(labels: object) -> dict[str, str | int | float | bool]:
    if labels is None:
        return {}
    if not isinstance(labels, Mapping) or not all(
        isinstance(key, str)
        and (
            isinstance(value, str | bool)
            or (isinstance(value, int) and abs(value) < 1 << 63)
            or (isinstance(value, float) and math.isfinite(value))
        )
        for key, value in labels.items()
    ):
        raise MarkerError(
            f"labels={spelled(labels)} is not a dict of names to plain values; "
            'for example labels={"dtype": "bf16", "batch": 8}'
        )
    return {str(key): _plain(value) for key, value in labels.items()}


def _plain(value: str | int | float | bool) -> str | int | float | bool:
    """The plain value of an enum member or another subclass, as it is stored and pasted."""
    for plain in (bool, str, int, float):
        if isinstance(value, plain):
            return plain(value) if plain is not str else str.__str__(value)
    return value


def declaration_of(item: pytest.Item) -> Declaration | None:
    """What the nearest marker declares, or None without one.

    Raises MarkerError for a marker that can't be used, with its file and line.
    """
    nearest = next(iter(item.iter_markers_with_node(NAME)), None)
    if nearest is None:
        return None
    node, mark = nearest
    origin = origin_of(node, item, mark)
    try:
        declaration = _called(mark)
        check_measurable(item)
        if asks_for_fixture(item) and declaration.counts:
            raise MarkerError(
                f"{declaration.counts} in the marker of a test that asks for the energy fixture, "
                f"which counts itself: write energy.measure(call, {declaration.counts})"
            )
    except MarkerError as error:
        raise MarkerError(f"energy_budget ({origin}): {error}") from None
    increase = declaration.max_increase
    if increase is not None:
        increase = replace(increase, origin=origin)
    return replace(declaration, origin=origin, max_increase=increase)


def check_measurable(item: pytest.Item) -> None:
    """Raises MarkerError for what pytest doesn't call as a function."""
    if not isinstance(item, pytest.Function) or _is_unittest(item):
        raise MarkerError(
            f"{_kind(item)} can't be measured, because pytest does not call it as a function; "
            f"write a plain function: {EXAMPLE} above def test_...():"
        )


def subject_of(item: pytest.Item, declaration: Declaration) -> Subject:
    """What the entries of a budgets file are compared with."""
    if declaration.model:
        return Subject(test_id(item), frozenset({declaration.model}))
    models: set[str] = set()
    callspec = getattr(item, "callspec", None)
    if callspec is not None:
        # An id can't be split at its dashes: names of models contain dashes too.
        models |= {callspec.id, *(str(each) for each in getattr(callspec, "_idlist", ()))}
        models |= {each for each in callspec.params.values() if isinstance(each, str)}
    return Subject(test_id(item), frozenset(models))


def _called(mark: pytest.Mark) -> Declaration:
    signature = inspect.signature(energy_budget)
    for name, value in mark.kwargs.items():
        if name in signature.parameters:
            continue
        if name in _LATER:
            raise MarkerError(
                f"{name}={spelled(value)} isn't supported yet: {_LATER[name]}; for example "
                f"{EXAMPLE}"
            )
        raise MarkerError(
            f"unknown keyword {name}={spelled(value)}; "
            f"known are {', '.join(signature.parameters)}: "
            f"{EXAMPLE}"
        )
    if len(mark.args) > 1 or (mark.args and "limit" in mark.kwargs):
        extra = mark.args[1] if len(mark.args) > 1 else mark.kwargs["limit"]
        raise MarkerError(
            f"a second limit {spelled(extra)}: write several as a list, "
            f'@pytest.mark.{NAME}(["2 J / 1k input-tokens", "0.3 J / output-token"]); '
            f"for example {EXAMPLE}"
        )
    declaration = energy_budget(*mark.args, **mark.kwargs)
    return replace(
        declaration,
        count=declaration.count if "count" in mark.kwargs else None,
        scope=declaration.scope if "scope" in mark.kwargs else None,
    )


def check_counted(declaration: Declaration, budgets: Sequence[Budget]) -> None:
    """Check that the units of each limit are counted, for a test whose body is the work.

    Raises MarkerError for a limit whose units are not counted.
    """
    named = set(map(_counted_as, declaration.units))
    others = [each for each in budgets if _counted_as(each.unit) not in named]
    if len({_counted_as(each.unit) for each in others}) > 1:
        origins = " and ".join(f"{each.unit} ({each.origin})" for each in others)
        raise MarkerError(
            f"energy_budget: the limits of this test are per {origins}, and one count can't count "
            f"both: count each by its name, {_EXAMPLE_OF_UNITS}, in the marker or in "
            "energy.measure of the energy fixture"
        )
    for budget in others:
        if declaration.count is None and budget.unit not in ONE_PER_CALL and budget.limit:
            text = budget.limit.text
            raise MarkerError(
                f'energy_budget ({budget.origin}): limit "{text}" is per {budget.unit}, and '
                f"{plural(budget.unit)} are not counted: add how many one run of the body does: "
                f'@pytest.mark.{NAME}("{text}", count=128), '
                "or count in the test with the energy fixture"
            )


def _counted_as(unit: str) -> str:
    """All words for a call count alike."""
    return "call" if unit in ONE_PER_CALL else unit


def _is_unittest(item: pytest.Function) -> bool:
    # Not imported from _pytest.unittest: the class's name is the same in every pytest.
    return any(cls.__name__ == "TestCaseFunction" for cls in type(item).__mro__)


def _kind(item: pytest.Item) -> str:
    if isinstance(item, pytest.Function):
        return "a unittest.TestCase method"
    if type(item).__name__ == "DoctestItem":
        return "a doctest"
    return f"an item of type {type(item).__name__}"
