"""The calls of a measurement: their arguments, what they did, and what can't be measured."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from pytest_energy.errors import EnergyUsageError
from pytest_energy.measurement.counting import EXAMPLE, Count, Units, counted
from pytest_energy.measurement.lazy import kind_of_lazy, unsettled, waiting_for
from pytest_energy.measurement.meter import Lap
from pytest_energy.measurement.protocol import InputsUsedUp
from pytest_energy.sensors.accelerators import wait_for
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.reference import reference_seconds

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

MOST_INPUTS = 1_000_000
#: More than half of a mebibyte, so that the interpreter takes a whole one. The other half holds
#: 1,000 frames, as many as its limit of recursion allows.
_ROOM_WORDS = 66_000
_Result = TypeVar("_Result")
#: What is measured.
Function = Callable[..., Any]
#: Called after each call, with the index of its function and its result.
Each = Callable[[int, Any], None]
#: A measurement under way: yields the index of the function to call, and is sent what it did.
Steps = Generator[int, Units, None]


class Work:
    """The calls of one measurement, of one function or of several alternately.

    steps: None to call each function once, unmeasured. inputs: what the functions are called with,
    one a call in a cycle; None to call them with nothing. notes: takes a sentence for the summary.
    repeat: False to end the measurement when each input was used once.
    """

    def __init__(
        self,
        steps: Steps | None,
        functions: Sequence[Function],
        inputs: list[Any] | None,
        counts: Mapping[str, Count],
        notes: list[str],
        *,
        repeat: bool = True,
    ) -> None:
        self._repeat = repeat
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
                    if self._is_used_up(made[index]):
                        self._steps.throw(InputsUsedUp())
                except StopIteration:
                    break
                except InputsUsedUp:
                    raise EnergyUsageError(
                        f"the {made[index]} inputs were used up before one round was complete, and "
                        "repeat=False uses none again: pass more inputs, or leave repeat out"
                    ) from None
        finally:
            self._steps.close()
        self._tell_of_cycles(max(made))

    def run(self, each: Each | None = None) -> Any:
        """Make all calls, and return the result of the last one.

        each: called after every call, with the index of its function and its result.
        """
        return with_room(partial(self._run, each))

    def _run(self, each: Each | None) -> Any:
        result = None
        with closing(self.calls()) as calls:
            for index, bound in calls:
                result = called(self._functions[index], bound)
                self._done(index, result, each)
        return result

    async def run_async(self, each: Each | None = None) -> Any:
        """The same for functions that return awaitables."""
        result = None
        with closing(self.calls()) as calls:
            for index, bound in calls:
                result = await awaited(self._functions[index], bound)
                self._done(index, result, each)
        return result

    def _done(self, index: int, result: Any, each: Each | None) -> None:
        self.done(result)
        if each is not None:
            each(index, result)

    def done(self, result: Any) -> None:
        """Take what the latest call did."""
        self.units = counted(self._counts, result)

    def _is_used_up(self, made: int) -> bool:
        return not self._repeat and self._inputs is not None and made >= len(self._inputs)

    def _tell_of_cycles(self, made: int) -> None:
        if self._inputs is not None and not self._repeat:
            needed = f"{made} of {len(self._inputs)} inputs were needed, each used once"
            ended = "; the measurement ended with them" if self._is_used_up(made) else ""
            self._notes.append(needed + ended)
            return
        if self._inputs is None or made <= len(self._inputs):
            return
        inputs = len(self._inputs)
        self._notes.append(
            f"the {inputs} inputs were cycled: {made} calls saw each about "
            f"{made / inputs:.0f} times"
            if inputs > 1
            else f"the one input was used for all {made} calls"
        )


def with_room(function: Callable[[], _Result]) -> _Result:
    """Call this where the interpreter needs no memory for the frames of what it calls.

    Frames lie in chunks of 16 KB. A loop whose calls begin a new chunk takes it from the system and
    gives it back each time, which takes longer than many a call, until Python 3.15 and the later
    releases of 3.13 and 3.14 (https://github.com/python/cpython/issues/142183). Whether work meets
    that depends on how deep the stack is, and so on pytest's other plugins and workers.
    """
    return function()


# A frame that may hold so much gets a chunk of its own, which the frames above it share.
with_room.__code__ = with_room.__code__.replace(co_stacksize=_ROOM_WORDS)


def empty_laps(calls: int = 1_000, laps: int = 40) -> list[Lap]:
    """Laps of calls that do nothing, made as those of a measurement are, in a fifth of a second."""
    return [_lap_of_nothing(calls) for _ in range(laps)]


def _lap_of_nothing(calls: int) -> Lap:
    def steps() -> Steps:
        units: dict[str, float] = {}
        for _ in range(calls):
            for unit, number in (yield 0).items():
                units[unit] = units.get(unit, 0.0) + number

    work = Work(steps(), [partial(lambda: None)], None, {"query": 1}, [])
    before = reference_seconds()
    began, started = real.perf_counter(), real.thread_time()
    work.run()
    cpu_seconds, seconds = real.thread_time() - started, real.perf_counter() - began
    return Lap(
        position=0,
        calls=calls,
        units={},
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        before=before,
        after=reference_seconds(),
    )


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


def inputs_of(inputs: object) -> list[Any] | None:
    if inputs is None:
        return None
    example = "write: energy.measure(model, inputs=[TEXT_1, TEXT_2])"
    if not isinstance(inputs, Iterable) or isinstance(inputs, str | bytes | Mapping):
        raise EnergyUsageError(
            f"inputs of type {type(inputs).__name__} is no list of inputs, one for each call; "
            f"{example}"
        )
    items = list(islice(inputs, MOST_INPUTS + 1))
    if len(items) > MOST_INPUTS:
        raise EnergyUsageError(
            f"inputs has more than {MOST_INPUTS:,} members, or no end; inputs are used again by "
            f"themselves; {example}"
        )
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


def named(call: Callable[..., Any]) -> str:
    if isinstance(call, partial):
        return named(call.func)
    return getattr(call, "__name__", repr(call))


def _close(awaitable: Any) -> None:
    """Spare the user a second, confusing warning that it was never awaited."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
