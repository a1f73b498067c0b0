"""The sizes of requests that `energy.measure_generation` measures, and what each call did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_energy.errors import EnergyUsageError
from pytest_energy.limits.budget import (
    INPUT_PART,
    OUTPUT_PART,
    PART_UNITS,
    REQUEST_PART,
    Budget,
)
from pytest_energy.measurement.counting import Count, Units, check_units, counted
from pytest_energy.record.plain import spelled

_EXAMPLE = (
    "energy.measure_generation(generate, prompts={128: short, 1024: long}, new_tokens=(1, 64, 256))"
)


@dataclass(frozen=True)
class Sizes:
    """Requests of several sizes, the largest last; `functions` do one request each.

    counts: how the result of a request says its tokens, none where the sizes are believed.
    """

    functions: tuple[Callable[[], Any], ...]
    tokens: tuple[tuple[int, int], ...]
    counts: Mapping[str, Count]

    def units_of(self, index: int, result: Any) -> Units:
        """What one call did."""
        inputs, outputs = self.tokens[index]
        found = counted(self.counts, result)
        return {
            REQUEST_PART: 1.0,
            INPUT_PART: found.get("input-token", float(inputs)),
            OUTPUT_PART: found.get("output-token", float(outputs)),
        }


def sizes_of(
    generate: Callable[[Any, int], Any],
    prompts: Mapping[int, Any],
    new_tokens: Iterable[int],
    units: Mapping[str, Count] | None,
) -> Sizes:
    """Each prompt with each number of new tokens. Raises EnergyUsageError where that is no grid."""
    if not callable(generate):
        raise EnergyUsageError(f"{spelled(generate)} can't be called; write: {_EXAMPLE}")
    lengths = sorted(prompts) if isinstance(prompts, Mapping) and _are_sizes(prompts) else []
    numbers = sorted(set(new_tokens)) if _are_sizes(new_tokens) else []
    if len(lengths) < 2 or len(numbers) < 2:
        raise EnergyUsageError(
            "energy.measure_generation tells input from output by prompts of two or more lengths, "
            "a dict of their numbers of tokens, and two or more numbers of new tokens; write: "
            f"{_EXAMPLE}"
        )
    tokens = tuple((length, number) for length in lengths for number in numbers)
    return Sizes(
        tuple(partial(generate, prompts[length], number) for length, number in tokens),
        tokens,
        {} if units is None else check_units(units),
    )


def check_part_limits(budgets: Sequence[Budget]) -> None:
    """Raises EnergyUsageError for a limit that is for none of the parts."""
    for budget in budgets:
        limit = budget.limit
        if limit is not None and (budget.counts_flops or budget.unit not in PART_UNITS):
            parts = ", ".join(f'"... / {unit}"' for unit in PART_UNITS)
            raise EnergyUsageError(
                f'limit "{limit.text}" ({budget.origin}): energy.measure_generation judges the '
                f"parts of a request, by limits in joules or CPU time such as {parts}; for the "
                "whole of it use energy.measure"
            )


def _are_sizes(values: object) -> bool:
    return isinstance(values, Iterable) and all(
        isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in values
    )
