"""The functions that `energy.compare` measures alternately."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pytest_energy.errors import EnergyUsageError
from pytest_energy.measurement.calls import Function, named
from pytest_energy.record.plain import spelled


def works_of(
    reference: Function | Mapping[str, Function], candidate: Function | None
) -> Mapping[str, Function]:
    """The functions to be compared by name, that of the reference first."""
    works: dict[str, Any] = {"reference": reference, "candidate": candidate}
    if isinstance(reference, Mapping):
        works = dict(reference)
        if candidate is not None or len(works) < 2:
            raise EnergyUsageError(f"{_wrong(works, candidate)}; write: {_COMPARE_MANY}")
    for label, work in works.items():
        if not isinstance(label, str) or not label.strip():
            raise EnergyUsageError(f"{spelled(label)} is not a name; write: {_COMPARE_MANY}")
        if not callable(work):
            raise EnergyUsageError(
                f"energy.compare calls what it is given, and the {label}, {spelled(work)}, "
                f"can't be called; write: {_COMPARE}"
            )
        if inspect.iscoroutinefunction(work):
            raise EnergyUsageError(
                f"energy.compare was given the coroutine function {named(work)}, and calls "
                f"plain functions only; outside an event loop write: "
                f"lambda: asyncio.run({named(work)}())"
            )
    return works


_COMPARE = "energy.compare(lambda: old_model(TEXTS), lambda: new_model(TEXTS), count=32)"
_COMPARE_MANY = 'energy.compare({"eager": eager, "compiled": compiled}, inputs=TEXTS)'


def _wrong(works: Mapping[str, Function], candidate: Function | None) -> str:
    if candidate is not None:
        return "energy.compare was given functions by name and a second argument"
    return f"energy.compare was given {len(works)} functions, and takes two or more"
