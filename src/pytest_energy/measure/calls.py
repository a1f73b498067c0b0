"""The calls of a measurement: their arguments, what they did, and what can't be measured."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from statistics import median
from typing import Any, TypedDict

from pytest_energy.errors import EnergyError
from pytest_energy.limits.budget import Budget
from pytest_energy.limits.limit import LARGEST_COUNT
from pytest_energy.measure.lazy import kind_of_lazy, unsettled, waiting_for
from pytest_energy.sensors.accelerators import wait_for
from pytest_energy.sensors.clock import real

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

EXAMPLE = "energy.measure(lambda: model(TEXTS), count=32)"

#: What is measured.
Function = Callable[..., Any]
#: A number of units, or a function that counts them in the result of a call.
Count = int | Callable[[Any], int]
#: What one call did, by unit: {"query": 32.0, "token": 4096.0}.
Units = Mapping[str, float]
#: A measurement under way: yields the index of the function to call, and is sent what it did.
Steps = Generator[int, Units, None]


class EnergyUsageError(EnergyError):
    """The fixture was used in a way that can't be measured; shown as an ERROR of the test."""


class Work:
    """The calls of one measurement, of one function or of several alternately.

    steps: None to call each function once, unmeasured. inputs: what the functions are called with,
    one a call in a cycle; None to call them with nothing. notes: takes a sentence for the summary.
    """

    def __init__(
        self,
        steps: Steps | None,
        functions: Sequence[Function],
        inputs: list[Any] | None,
        counts: Mapping[str, Count],
        notes: list[str],
    ) -> None:
        self._steps = steps
        self._functions = tuple(functions)
        self._inputs = inputs
        self._counts = counts
        self._notes = notes
        self.units: Units = {}
        """What the latest call did."""

    @property
    def cycle(self) -> int:
        """How many calls see each input once."""
        return len(self._inputs or [None])

    def bound(self, index: int, call: int = 0) -> Function:
        """A function with the arguments of its call number `call`, from 0."""
        function = self._functions[index]
        if self._inputs is None:
            return function
        return partial(function, self._inputs[call % len(self._inputs)])

    def calls(self) -> Generator[tuple[int, Function]]:
        """Which function is to be called, with its arguments, for as long as calls are asked for.

        To be closed by whoever iterates: a call that raises must not leave a window open.
        """
        made = [0] * len(self._functions)
        if self._steps is None:
            for index in range(len(self._functions)):
                yield index, self.bound(index)
            return
        try:
            index = next(self._steps)
            while True:
                yield index, self.bound(index, made[index])
                made[index] += 1
                try:
                    index = self._steps.send(self.units)
                except StopIteration:
                    break
        finally:
            self._steps.close()
        self._tell_of_cycles(max(made))

    def done(self, result: Any) -> None:
        """Take what the latest call did."""
        self.units = counted(self._counts, result)

    def _tell_of_cycles(self, made: int) -> None:
        if self._inputs is None or made <= len(self._inputs):
            return
        inputs = len(self._inputs)
        self._notes.append(
            f"the {inputs} inputs were cycled: {made} calls saw each about "
            f"{made / inputs:.0f} times"
            if inputs > 1
            else f"the one input was used for all {made} calls"
        )


def empty_call_seconds(calls: int = 10_000, tries: int = 5) -> float:
    """The CPU time of a call of nothing on this machine, made as those of a measurement are.

    The median of a few tries, right after the measurement: a busy machine makes both longer.
    """
    return median(_seconds_of_nothing(calls) for _ in range(tries)) / calls


def _seconds_of_nothing(calls: int) -> float:
    def steps() -> Steps:
        units: dict[str, float] = {}
        for _ in range(calls):
            for unit, number in (yield 0).items():
                units[unit] = units.get(unit, 0.0) + number

    nothing = partial(lambda: None)
    work = Work(steps(), [nothing], None, {"query": 1}, [])
    started = real.thread_time()
    with closing(work.calls()) as made:
        for _, bound in made:
            work.done(called(nothing, bound))
    return float(real.thread_time() - started)


def called(function: Function, bound: Function) -> Any:
    """The result of one call, once it is computed. Raises EnergyUsageError for one that isn't."""
    result = bound()
    _compute(function, result)
    wait_for(result)
    return result


async def awaited(function: Function, bound: Function) -> Any:
    """The same for a function that returns an awaitable."""
    awaitable = bound()
    if inspect.isgenerator(awaitable) or inspect.isasyncgen(awaitable):
        _refuse_lazy(function, awaitable)
    if not inspect.isawaitable(awaitable):
        raise EnergyUsageError(
            f"{named(function)} returned {type(awaitable).__name__}, which can't be "
            f"awaited; write: {EXAMPLE}"
        )
    result = await awaitable
    _compute(function, result)
    wait_for(result)
    return result


def _compute(function: Function, result: Any) -> None:
    """Wait for a result, and for those in a container; refuse what has done nothing yet."""
    for part in unsettled(result):
        wait = waiting_for(part)
        if wait is not None:
            wait()
        else:
            _refuse_lazy(function, part)


def counted(counts: Mapping[str, Count], result: Any) -> Units:
    """What one call did. Raises EnergyUsageError for a count function without a number."""
    units = {}
    for unit, count in counts.items():
        counted = count(result) if callable(count) else count
        if not _is_number(counted) or counted < 0:
            raise EnergyUsageError(
                f"the count function returned {counted!r}, not a number of units; "
                "write: count=lambda result: len(result)"
            )
        units[unit] = float(counted)
        if units[unit] and not 1 / LARGEST_COUNT <= units[unit] <= LARGEST_COUNT:
            raise EnergyUsageError(
                f"the count function returned {units[unit]:g}: it is too small or too large, "
                f"from {1 / LARGEST_COUNT:g} to {LARGEST_COUNT:g} units"
            )
    return units


def inputs_of(inputs: object) -> list[Any] | None:
    if inputs is None:
        return None
    example = "write: energy.measure(model, inputs=[TEXT_1, TEXT_2])"
    if not isinstance(inputs, Iterable) or isinstance(inputs, str | bytes | Mapping):
        raise EnergyUsageError(
            f"inputs of type {type(inputs).__name__} is no list of inputs, one for each call; "
            f"{example}"
        )
    items = list(inputs)
    if not items:
        raise EnergyUsageError(f"inputs is empty, so there is nothing to call with; {example}")
    return items


def _refuse_lazy(call: Callable[..., Any], result: object) -> None:
    """Measuring what has done nothing yet would measure no work."""
    kind = kind_of_lazy(result)
    if not kind:
        return
    _close(result)
    if kind.startswith("an awaitable"):
        write = "await energy.measure_async(...), or in energy.compare: lambda: asyncio.run(work())"
    elif kind.startswith(("a function", "a delayed")):
        compute = "()()" if kind.startswith("a function") else "().compute()"
        write = f"lambda: {named(call)}{compute}"
    else:
        write = f"lambda: list({named(call)}())"
    raise EnergyUsageError(
        f"{named(call)} returned {kind}, whose work isn't done yet; write: {write}"
    )


def check_count(argument: str, value: Count | None) -> None:
    if value is None or callable(value):
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise EnergyUsageError(
            f"{argument}={value!r} is neither a whole number of units from 1 up nor a function of "
            f"the result; write: {EXAMPLE}"
        )
    if value > LARGEST_COUNT:
        raise EnergyUsageError(f"{argument} is larger than {LARGEST_COUNT:g}; write: {EXAMPLE}")


def _is_number(value: object) -> bool:
    try:
        return not isinstance(value, bool | str) and math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def named(call: Callable[..., Any]) -> str:
    return getattr(call, "__name__", repr(call))


def _close(awaitable: Any) -> None:
    """Spare the user a second, confusing warning that it was never awaited."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()


class Counts(TypedDict, total=False):
    """Arguments of `measure` that count units."""

    count: int
    tokens: int
    images: int


def counting(count: int | None, budgets: Sequence[Budget]) -> Counts:
    """The marker's count as the arguments of `measure` that count the limits' units."""
    number = count or 1
    counts: Counts = {}
    for budget in budgets:
        match budget.unit:
            case "token":
                counts["tokens"] = number
            case "image":
                counts["images"] = number
            case _:
                counts["count"] = number
    return counts
