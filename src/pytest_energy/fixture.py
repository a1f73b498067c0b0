"""The `energy` fixture: measure a call, a coroutine, or one long run inside a test."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypedDict

from pytest_energy.budgets.budget import DEFAULT_UNIT, ONE_PER_CALL, Budget
from pytest_energy.measure.accelerators import wait_for

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

#: A number of units, or a function that counts them in the result of a call.
Count = int | Callable[[Any], int]

_EXAMPLE = "energy.measure(lambda: model(TEXTS), count=32)"


class EnergyUsageError(Exception):
    """The fixture was used in a way that can't be measured; shown as an ERROR of the test."""


#: What one call did, by unit: {"query": 32.0, "token": 4096.0}.
Units = Mapping[str, float]

#: One measurement: given its name, its units and how many calls see each input once, a generator
#: that yields for each call and takes what it did.
Start = Callable[[str | None, Sequence[str], int], Generator[None, Units, None]]


#: Counts what is done inside: gives a function that tells the number.
Counting = Callable[[], AbstractContextManager[Callable[[], int]]]


@dataclass(frozen=True)
class Starters:
    """How the plugin measures: by rounds, or in one window. None: run once, unmeasured.

    flops: counts FLOPs in one more call, None where they aren't asked for.
    """

    rounds: Start | None
    window: Start | None
    flops: Counting | None = None


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of one call, what the call did by unit, and in words why there are none, or ""."""

    flops: int
    units: Units
    problem: str = ""


class Energy:
    """Measures parts of a test. Asked for as the fixture `energy`.

    The limits come from the test's `energy_budget` marker and from energy-budgets.toml; without
    one, figures are only shown.
    """

    def __init__(self, budgets: Sequence[Budget], starters: Starters) -> None:
        self._budgets = tuple(budgets)
        self._starters = starters
        self.names: set[str | None] = set()
        """The measurements that were begun, None for the one without a name."""
        self.notes: dict[str | None, list[str]] = {}
        """Sentences for the summary, by measurement."""
        self.flops: dict[str | None, FlopCount] = {}
        """What one more call of each measurement did, where that was asked for."""
        self._begun: list[Generator[None, Units, None]] = []
        self._ended = False

    def end(self) -> None:
        """The test's body has ended; what would be measured from now on, nobody judges.

        A window that it left open would be in the way of the next test.
        """
        self._ended = True
        for steps in self._begun:
            with suppress(ValueError):  # a thread of the test is reading instruments at this moment
                steps.close()

    def measure(
        self,
        call: Callable[..., Any],
        *,
        inputs: Iterable[Any] | None = None,
        count: Count | None = None,
        tokens: Count | None = None,
        images: Count | None = None,
        name: str | None = None,
    ) -> Any:
        """Run the protocol on `call()`, or on `call(x)` with the next of `inputs` each time.

        count, tokens, images: units that one call does (1), or a function of its result.
        name: needed for a second measurement in one test. Returns the last call's result.
        """
        if inspect.iscoroutinefunction(call):
            raise EnergyUsageError(
                f"energy.measure was given the coroutine function {_named(call)}; "
                f"write: await energy.measure_async({_named(call)}, ...)"
            )
        work = self._work(call, inputs, count, tokens, images, name)
        result = None
        with closing(work.calls()) as calls:
            for arguments in calls:
                result = call(*arguments)
                if inspect.isawaitable(result):
                    _close(result)
                    raise EnergyUsageError(
                        f"{_named(call)} returned an awaitable to energy.measure; "
                        "write: await energy.measure_async(...)"
                    )
                _refuse_lazy(call, result)
                wait_for(result)
                work.done(result)
        with self._one_more(work, name) as more:
            if more is not None:
                work.done(call(*more))
        return result

    async def measure_async(
        self,
        call: Callable[..., Awaitable[Any]],
        *,
        inputs: Iterable[Any] | None = None,
        count: Count | None = None,
        tokens: Count | None = None,
        images: Count | None = None,
        name: str | None = None,
    ) -> Any:
        """As `measure`, for a function that returns an awaitable: await energy.measure_async(f)."""
        work = self._work(call, inputs, count, tokens, images, name)
        result = None
        with closing(work.calls()) as calls:
            for arguments in calls:
                awaitable = call(*arguments)
                _refuse_lazy(call, awaitable)
                if not inspect.isawaitable(awaitable):
                    raise EnergyUsageError(
                        f"{_named(call)} returned {type(awaitable).__name__}, which can't be "
                        f"awaited; write: {_EXAMPLE}"
                    )
                result = await awaitable
                _refuse_lazy(call, result)
                wait_for(result)
                work.done(result)
        with self._one_more(work, name) as more:
            if more is not None:
                work.done(await call(*more))
        return result

    @contextmanager
    def _one_more(self, work: _Work, name: str | None) -> Iterator[tuple[Any, ...] | None]:
        """One more call for its FLOPs, unmeasured: its arguments, or None where none is asked for.

        What it raises is told and fails nothing: the test has been measured.
        """
        if self._starters.flops is None:
            yield None
            return
        flops, problem = 0, ""
        try:
            with self._starters.flops() as counted:
                yield work.first_arguments
                flops = counted()
        except Exception as error:
            problem = f"FLOPs are not counted: one more call raised {type(error).__name__}"
        self.flops[name] = FlopCount(flops, work.units, problem)

    @contextmanager
    def window(
        self,
        *,
        count: int | None = None,
        tokens: int | None = None,
        images: int | None = None,
        name: str | None = None,
    ) -> Iterator[None]:
        """Measure one long run: `with energy.window(count=1000): ...`.

        One run has no interval, so its verdict needs a distance of 15 % from the limit.
        """
        counts = self._counts(count, tokens, images)
        if any(callable(each) for each in counts.values()):
            raise EnergyUsageError(
                "energy.window counts before the work: give a number, such as count=1000"
            )
        steps = self._begin(self._starters.window, name, counts, 1)
        if steps is None:
            yield
            return
        next(steps)
        try:
            yield
        except BaseException:
            steps.close()
            raise
        try:
            steps.send(_counted(counts, None))
        except StopIteration:
            return

    def _work(
        self,
        call: Callable[..., Any],
        inputs: Iterable[Any] | None,
        count: Count | None,
        tokens: Count | None,
        images: Count | None,
        name: str | None,
    ) -> _Work:
        if not callable(call):
            raise EnergyUsageError(
                f"energy.measure calls what it is given, and {call!r} can't be called; "
                f"write: {_EXAMPLE}"
            )
        items = _items(inputs)
        counts = self._counts(count, tokens, images)
        steps = self._begin(self._starters.rounds, name, counts, len(items or [None]))
        return _Work(steps, items, counts, self.notes.setdefault(name, []))

    def _counts(
        self, count: Count | None, tokens: Count | None, images: Count | None
    ) -> dict[str, Count]:
        """How units are counted: those of the limits, and what the caller counts beside them."""
        given = {"token": tokens, "image": images}
        for argument, value in (("count", count), ("tokens", tokens), ("images", images)):
            _check_count(argument, value)
        more = {unit: value for unit, value in given.items() if value is not None}
        if all(budget.limit is None for budget in self._budgets):
            # The first is the unit of a test without a limit.
            return more if more and count is None else {DEFAULT_UNIT: count or 1, **more}
        found: dict[str, Count] = {}
        for budget in self._budgets:
            counted = given.get(budget.unit, count)
            if counted is None and budget.unit in ONE_PER_CALL:
                counted = 1
            if counted is None:
                argument = f"{budget.unit}s" if budget.unit in given else "count"
                raise EnergyUsageError(
                    f"{_limit(budget)} is per {budget.unit}, and nobody counts them: "
                    f"add {argument}=128 or {argument}=lambda result: len(result)"
                )
            found[budget.unit] = counted
        self._check_one_count([each for each in self._budgets if each.unit not in given])
        return {**more, **found}

    def _check_one_count(self, budgets: Sequence[Budget]) -> None:
        """`count` counts one kind of unit, however many words there are for a call."""
        if len({"call" if each.unit in ONE_PER_CALL else each.unit for each in budgets}) > 1:
            limits = " and ".join(f"{_limit(each)}" for each in budgets)
            raise EnergyUsageError(
                f"{limits} are limits of this test, and count= can't count both; keep one of them, "
                "or write one per token or per image, which have counts of their own"
            )

    def _begin(
        self, start: Start | None, name: str | None, counts: Mapping[str, Count], cycle: int
    ) -> Generator[None, Units, None] | None:
        """The steps of a measurement, or None where nothing is to be measured."""
        if self._ended:
            raise EnergyUsageError(
                "the body of the test has ended, and its verdict was given; measure in the body: "
                f"{_EXAMPLE}"
            )
        if name in self.names:
            again = "a second measurement" if name is None else f"a second measurement {name!r}"
            raise EnergyUsageError(
                f'{again} in one test needs a name of its own: energy.measure(..., name="long")'
            )
        self.names.add(name)
        if start is None:
            return None
        steps = start(name, list(counts), cycle)
        self._begun.append(steps)
        return steps


class _Work:
    """The calls of one measurement: their arguments, and the units that their results hold."""

    def __init__(
        self,
        steps: Generator[None, Units, None] | None,
        inputs: list[Any] | None,
        counts: Mapping[str, Count],
        notes: list[str],
    ) -> None:
        self._steps = steps
        self._inputs = inputs
        self._counts = counts
        self._notes = notes
        self.units: Units = {}
        """What the latest call did."""

    @property
    def first_arguments(self) -> tuple[Any, ...]:
        return () if self._inputs is None else (self._inputs[0],)

    def calls(self) -> Generator[tuple[Any, ...]]:
        """The arguments of each call, for as long as the protocol asks for calls.

        To be closed by whoever iterates: a call that raises must not leave a window open.
        """
        made = 0
        try:
            if self._steps is not None:
                next(self._steps)
            while True:
                yield () if self._inputs is None else (self._inputs[made % len(self._inputs)],)
                made += 1
                if self._steps is None:
                    return
                try:
                    self._steps.send(self.units)
                except StopIteration:
                    break
        finally:
            if self._steps is not None:
                self._steps.close()
        if self._inputs is not None and made > len(self._inputs):
            inputs = len(self._inputs)
            self._notes.append(
                f"the {inputs} inputs were cycled: {made} calls saw each about "
                f"{made / inputs:.0f} times"
                if inputs > 1
                else f"the one input was used for all {made} calls"
            )

    def done(self, result: Any) -> None:
        self.units = _counted(self._counts, result)


def _counted(counts: Mapping[str, Count], result: Any) -> Units:
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
    return units


def _limit(budget: Budget) -> str:
    return f'limit "{budget.limit and budget.limit.text}" ({budget.origin})'


def _items(inputs: object) -> list[Any] | None:
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
    """A generator has done nothing yet: measuring it would measure no work."""
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise EnergyUsageError(
            f"{_named(call)} returned a generator, whose work isn't done yet; "
            f"write: energy.measure(lambda: list({_named(call)}()))"
        )


def _check_count(argument: str, value: Count | None) -> None:
    if value is None or callable(value):
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise EnergyUsageError(
            f"{argument}={value!r} is neither a whole number of units from 1 up nor a function of "
            f"the result; write: {_EXAMPLE}"
        )


def _is_number(value: object) -> bool:
    try:
        return not isinstance(value, bool | str) and math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def _named(call: Callable[..., Any]) -> str:
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
