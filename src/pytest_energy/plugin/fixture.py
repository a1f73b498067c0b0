"""The `energy` fixture: measure a call, a coroutine, or one long run inside a test."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pytest_energy.limits.budget import DEFAULT_UNIT, ONE_PER_CALL, Budget
from pytest_energy.limits.checks import fraction
from pytest_energy.measure.calls import (
    EXAMPLE,
    Count,
    EnergyUsageError,
    Function,
    Steps,
    Work,
    awaited,
    called,
    check_count,
    counted,
    inputs_of,
    named,
)
from pytest_energy.measure.extra_calls import ExtraCalls
from pytest_energy.measure.work import WorkCount
from pytest_energy.rules.paired import MAX_RATIO_INCREASE
from pytest_energy.sensors.clock import now
from pytest_energy.units import plural

if TYPE_CHECKING:
    from pytest_energy.plugin.measuring import TestRun

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines


class Energy:
    """Measures parts of a test. Asked for as the fixture `energy`.

    The limits come from the test's `energy_budget` marker and from energy-budgets.toml; without
    one, figures are only shown.
    """

    def __init__(
        self,
        budgets: Sequence[Budget],
        measuring: TestRun | None,
        *,
        counts_flops: bool,
        most_seconds: float,
    ) -> None:
        """`measuring` measures; with None, the work is run once, unmeasured.

        counts_flops: whether FLOPs are counted without a limit too. most_seconds: for counting.
        """
        self._budgets = tuple(budgets)
        self._measuring = measuring
        wanted = counts_flops or any(each.counts_flops for each in budgets)
        self._counts_flops = wanted and measuring is not None
        self._most_seconds = most_seconds
        self.names: set[str | None] = set()
        """The measurements that were begun, None for the one without a name."""
        self.notes: dict[str | None, list[str]] = {}
        """Sentences for the summary, by measurement."""
        self.flops: dict[str | None, WorkCount] = {}
        """What extra calls of each measurement did, where that was asked for."""
        self._begun: list[Steps] = []
        self._ended = False

    def end(self) -> None:
        """The test's body has ended, so nothing can be measured any more.

        A window that it left open would block the next test.
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

        Args:
            call: The work, which is called as often as the protocol needs.
            inputs: Are passed to `call` in a cycle, one a call.
            count: Units that one call does (1), or a function of its result, such as len.
            tokens: The same for the unit token.
            images: The same for the unit image.
            name: Needed for a second measurement in one test.

        Returns:
            The result of the last call.
        """
        if inspect.iscoroutinefunction(call):
            raise EnergyUsageError(
                f"energy.measure was given the coroutine function {named(call)}; "
                f"write: await energy.measure_async({named(call)}, ...)"
            )
        work = self._work(call, inputs, count, tokens, images, name)
        result = None
        with closing(work.calls()) as calls:
            for _, bound in calls:
                result = called(call, bound)
                work.done(result)
        for counting in self._extra_calls(work, name):
            with counting as more:
                work.done(more())
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
            for _, bound in calls:
                result = await awaited(call, bound)
                work.done(result)
        for counting in self._extra_calls(work, name):
            with counting as more:
                work.done(await more())
        return result

    def compare(
        self,
        reference: Function | Mapping[str, Function],
        candidate: Function | None = None,
        *,
        inputs: Iterable[Any] | None = None,
        count: Count | None = None,
        tokens: Count | None = None,
        images: Count | None = None,
        max_increase: str | float | None = None,
        name: str | None = None,
    ) -> dict[str, Any]:
        """Measure a candidate and its reference, A B B A, and fail where it costs more.

        `energy.compare(old, new)`, or `energy.compare({"eager": f, "compiled": g, ...})`, which
        ranks all against the first. It needs no marker.

        Args:
            reference: The work to compare with, or all functions by their names.
            candidate: The work that may use `max_increase` more.
            inputs: As in `measure`; each function sees the same ones.
            count: As in `measure`.
            tokens: As in `measure`.
            images: As in `measure`.
            max_increase: How much more a candidate may use for a unit, as "3%" or 0.03; default:
                that of the marker or the budgets file, else 3 %.
            name: Needed for a second comparison in one test.

        Returns:
            The last result of each by its name ("reference" and "candidate").
        """
        works = _works(reference, candidate)
        items = inputs_of(inputs)
        counts = self._counts(count, tokens, images)
        energy = [each for each in self._budgets if not each.counts_flops]
        asked = [each.max_increase.fraction for each in energy if each.max_increase]
        try:
            allowed = [*asked, MAX_RATIO_INCREASE][0]
            if max_increase is not None:
                allowed = fraction(max_increase)
        except ValueError as error:
            raise EnergyUsageError(
                f'max_increase={max_increase!r}: {error}; for example max_increase="3%"'
            ) from None
        labels, functions = list(works), list(works.values())
        names = [label if name is None else f"{name}: {label}" for label in labels]
        cycle = len(items or [None])
        steps = self._begin(
            names[1:], lambda run: run.interleaved(names, list(counts), cycle, labels, allowed)
        )
        work = Work(steps, functions, items, counts, self.notes.setdefault(names[1], []))
        results: dict[str, Any] = {}
        with closing(work.calls()) as calls:
            for index, bound in calls:
                result = called(functions[index], bound)
                work.done(result)
                results[labels[index]] = result
        for index, measured in enumerate(names[1:], start=1):
            for counting in self._extra_calls(work, measured, index):
                with counting as more:
                    work.done(more())
        return results

    def _extra_calls(
        self, work: Work, name: str | None, index: int = 0
    ) -> Iterator[AbstractContextManager[Function]]:
        """One more call with each input, unmeasured, in which torch counts; none unless asked for.

        What a call raises is noted, and its error is none of the test's: that has been measured.
        """
        if not self._counts_flops or self._measuring is None:
            return
        counter = ExtraCalls(work, index)
        yield counter.one()  # which loads what torch counts with
        ends = now() + self._most_seconds
        while counter.goes_on and now() < ends:
            yield counter.one()
        self.flops[name] = counter.count
        self._measuring.judge_flops(name)

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
        steps = self._begin([name], lambda run: run.window(name, list(counts)))
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
            steps.send(counted(counts, None))
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
    ) -> Work:
        if not callable(call):
            raise EnergyUsageError(
                f"energy.measure calls what it is given, and {call!r} can't be called; "
                f"write: {EXAMPLE}"
            )
        items = inputs_of(inputs)
        counts = self._counts(count, tokens, images)
        cycle = len(items or [None])
        steps = self._begin([name], lambda run: run.rounds(name, list(counts), cycle))
        return Work(steps, [call], items, counts, self.notes.setdefault(name, []))

    def _counts(
        self, count: Count | None, tokens: Count | None, images: Count | None
    ) -> dict[str, Count]:
        """How units are counted: those of the limits, and what the caller counts beside them."""
        given = {"token": tokens, "image": images}
        for argument, value in (("count", count), ("tokens", tokens), ("images", images)):
            check_count(argument, value)
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
                    f"{_limit(budget)} is per {budget.unit}, and {plural(budget.unit)} are not "
                    f"counted: add {argument}=128 or {argument}=lambda result: len(result)"
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
        self, names: Sequence[str | None], start: Callable[[TestRun], Steps]
    ) -> Steps | None:
        """The steps of what is measured under these names, or None where nothing is measured."""
        if self._ended:
            raise EnergyUsageError(
                "the body of the test has ended, and its verdict is final; measure in the body: "
                f"{EXAMPLE}"
            )
        for name in names:
            if name in self.names:
                again = "a second measurement" if name is None else f"a second measurement {name!r}"
                raise EnergyUsageError(
                    f'{again} in one test needs a name of its own; add name="long" to the call'
                )
        self.names |= set(names)
        if self._measuring is None:
            return None
        steps = start(self._measuring)
        self._begun.append(steps)
        return steps


def _works(
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
            raise EnergyUsageError(f"{label!r} is not a name; write: {_COMPARE_MANY}")
        if not callable(work):
            raise EnergyUsageError(
                f"energy.compare calls what it is given, and the {label}, {work!r}, can't be "
                f"called; write: {_COMPARE}"
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


def _limit(budget: Budget) -> str:
    limit = budget.units_of
    return f'limit "{limit and limit.text}" ({budget.origin})'
