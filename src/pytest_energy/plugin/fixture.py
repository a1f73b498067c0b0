"""The `energy` fixture: measure a call, a coroutine, or one long run inside a test."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_energy.errors import EnergyUsageError
from pytest_energy.limits.budget import Budget
from pytest_energy.limits.checks import fraction
from pytest_energy.measurement.calls import Each, Function, Work, inputs_of, named
from pytest_energy.measurement.clients import Clients, event_loop, level_name, levels_of
from pytest_energy.measurement.counting import EXAMPLE, Count, counted, counts_for
from pytest_energy.measurement.extra_calls import ExtraCalls
from pytest_energy.measurement.load import Load, Traffic
from pytest_energy.measurement.work import WorkCount
from pytest_energy.plugin.comparison import works_of
from pytest_energy.plugin.generation import check_part_limits, sizes_of
from pytest_energy.record.plain import spelled
from pytest_energy.rules.paired import MAX_RATIO_INCREASE
from pytest_energy.sensors.base import Clock
from pytest_energy.sensors.clock import now, sleep

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pytest_energy.plugin.measuring import TestRun

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

SomeSteps = TypeVar("SomeSteps", bound=Generator[Any, Any, None])


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
        self._begun: list[Generator[Any, Any, None]] = []
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
        units: Mapping[str, Count] | None = None,
        name: str | None = None,
        repeat: bool = True,
    ) -> Any:
        """Run the protocol on `call()`, or on `call(x)` with the next of `inputs` each time.

        Args:
            call: The work, which is called as often as the protocol needs.
            inputs: Are passed to `call` in a cycle, one a call.
            count: Units that one call does (1), or a function of its result, such as len.
            tokens: The same for the unit token.
            images: The same for the unit image.
            units: Any units by name, {"input-token": 128, "output-token": len};
                `pytest_energy.usage` reads them from the results of common libraries.
            name: Needed for a second measurement in one test.
            repeat: False to use no input twice: the measurement ends when they run out, and the
                summary says how many were needed.

        Returns:
            The result of the last call.
        """
        if inspect.iscoroutinefunction(call):
            raise EnergyUsageError(
                f"energy.measure was given the coroutine function {named(call)}; "
                f"write: await energy.measure_async({named(call)}, ...)"
            )
        work = self._work(call, inputs, count, tokens, images, units, name, repeat)
        result = work.run()
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
        units: Mapping[str, Count] | None = None,
        name: str | None = None,
        repeat: bool = True,
    ) -> Any:
        """As `measure`, for a function that returns an awaitable: await energy.measure_async(f)."""
        work = self._work(call, inputs, count, tokens, images, units, name, repeat)
        result = await work.run_async()
        for counting in self._extra_calls(work, name):
            with counting as more:
                work.done(await more())
        return result

    def measure_generation(
        self,
        generate: Callable[[Any, int], Any],
        *,
        prompts: Mapping[int, Any],
        new_tokens: Iterable[int] = (1, 64, 256),
        units: Mapping[str, Count] | None = None,
        name: str | None = None,
    ) -> Any:
        """Measure what a request, a token in, and a token out cost, on a small grid of sizes.

        A limit names a part: "... / empty-request", "... / prefill-token", "... / decode-token".

        Args:
            generate: Makes one request, `generate(prompt, new_tokens)`, with exactly so many new
                tokens; a model in this process or a server.
            prompts: Two or more prompts by their numbers of tokens.
            new_tokens: Two or more numbers of tokens to generate.
            units: How to count "input-token" and "output-token" in a result, as in `measure`;
                without it the sizes are taken as they are given.
            name: Needed for a second measurement in one test.

        Returns:
            The last result.
        """
        if inspect.iscoroutinefunction(generate):
            raise EnergyUsageError(
                f"energy.measure_generation was given the coroutine function {named(generate)}; "
                f"write: await energy.measure_generation_async({named(generate)}, ...)"
            )
        work, take = self._generation(generate, prompts, new_tokens, units, name)
        return work.run(take)

    async def measure_generation_async(
        self,
        generate: Callable[[Any, int], Awaitable[Any]],
        *,
        prompts: Mapping[int, Any],
        new_tokens: Iterable[int] = (1, 64, 256),
        units: Mapping[str, Count] | None = None,
        name: str | None = None,
    ) -> Any:
        """As `measure_generation`, for a function that returns an awaitable."""
        work, take = self._generation(generate, prompts, new_tokens, units, name)
        return await work.run_async(take)

    def _generation(
        self,
        generate: Callable[[Any, int], Any],
        prompts: Mapping[int, Any],
        new_tokens: Iterable[int],
        units: Mapping[str, Count] | None,
        name: str | None,
    ) -> tuple[Work, Each]:
        sizes = sizes_of(generate, prompts, new_tokens, units)
        check_part_limits(self._budgets)
        steps = self._begin([name], lambda run: run.generation(name, len(sizes.functions)))
        work = Work(steps, sizes.functions, None, {}, [])

        def take(index: int, result: Any) -> None:
            work.units = sizes.units_of(index, result)

        return work, take

    def measure_load(
        self,
        request: Callable[..., Any],
        inputs: Iterable[Any] | None = None,
        *,
        concurrency: int | Sequence[int] = 16,
        count: Count | None = None,
        tokens: Count | None = None,
        images: Count | None = None,
        units: Mapping[str, Count] | None = None,
        name: str | None = None,
    ) -> Any:
        """Keep so many requests in flight, and measure windows of the steady state.

        Args:
            request: Makes one request, with the next of `inputs`; a function, which threads call,
                or a coroutine function, which runs in an event loop of its own.
            inputs: Are used in a cycle, one a request.
            concurrency: How many requests are in flight; several are measured one after the other.
            count: As in `measure`.
            tokens: As in `measure`.
            images: As in `measure`.
            units: As in `measure`.
            name: Needed for a second measurement in one test.

        Returns:
            The last result.
        """
        counting = {"count": count, "tokens": tokens, "images": images, "units": units}
        result = None
        with event_loop(request) as loop:
            for clients, steps in self._loads(request, inputs, concurrency, name, counting, loop):
                with clients:
                    clients.drive(steps)
                result = clients.result
        return result

    async def measure_load_async(
        self,
        request: Callable[..., Awaitable[Any]],
        inputs: Iterable[Any] | None = None,
        *,
        concurrency: int | Sequence[int] = 16,
        count: Count | None = None,
        tokens: Count | None = None,
        images: Count | None = None,
        units: Mapping[str, Count] | None = None,
        name: str | None = None,
    ) -> Any:
        """As `measure_load`, with coroutines in the test's own event loop (asyncio).

        So a client that a fixture has made in this loop can make the requests.
        """
        counting = {"count": count, "tokens": tokens, "images": images, "units": units}
        result = None
        for clients, steps in self._loads(request, inputs, concurrency, name, counting, None):
            await clients.drive_async(steps)
            result = clients.result
        return result

    def _loads(
        self,
        request: Callable[..., Any],
        inputs: Iterable[Any] | None,
        concurrency: int | Sequence[int],
        name: str | None,
        counting: Mapping[str, Any],
        loop: AbstractEventLoop | None,
    ) -> Iterator[tuple[Clients, Generator[float, None, None] | None]]:
        """For each number of requests in flight, the clients and what measures meanwhile."""
        if not callable(request):
            raise EnergyUsageError(
                f"energy.measure_load calls its request, and {spelled(request)} can't be called"
            )
        for budget in self._budgets:
            if budget.counts_flops:
                raise EnergyUsageError(
                    f"{budget.origin}: a limit in FLOPs is for energy.measure, where torch counts "
                    "one call at a time"
                )
        levels = levels_of(concurrency)
        items = inputs_of(inputs)
        counts = counts_for(self._budgets, **counting)
        for level in levels:
            load = Load(level, Traffic(Clock(now, sleep)))
            label = level_name(name, level) if len(levels) > 1 else name
            steps = self._begin([label], _loading(label, list(counts), load))
            yield Clients(request, items, counts, load.traffic, level, loop), steps

    def compare(
        self,
        reference: Function | Mapping[str, Function],
        candidate: Function | None = None,
        *,
        inputs: Iterable[Any] | None = None,
        count: Count | None = None,
        tokens: Count | None = None,
        images: Count | None = None,
        units: Mapping[str, Count] | None = None,
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
            units: As in `measure`.
            max_increase: How much more a candidate may use for a unit, as "3%" or 0.03; default:
                that of the marker or the budgets file, else 3 %.
            name: Needed for a second comparison in one test.

        Returns:
            The last result of each by its name ("reference" and "candidate").
        """
        works = works_of(reference, candidate)
        items = inputs_of(inputs)
        counts = counts_for(self._budgets, count=count, tokens=tokens, images=images, units=units)
        energy = [each for each in self._budgets if not each.counts_flops]
        asked = [each.max_increase.fraction for each in energy if each.max_increase]
        try:
            allowed = [*asked, MAX_RATIO_INCREASE][0]
            if max_increase is not None:
                allowed = fraction(max_increase)
        except ValueError as error:
            raise EnergyUsageError(
                f'max_increase={spelled(max_increase)}: {error}; for example max_increase="3%"'
            ) from None
        labels, functions = list(works), list(works.values())
        names = [label if name is None else f"{name}: {label}" for label in labels]
        cycle = len(items or [None])
        steps = self._begin(
            names[1:], lambda run: run.interleaved(names, list(counts), cycle, labels, allowed)
        )
        work = Work(steps, functions, items, counts, self.notes.setdefault(names[1], []))
        results: dict[int, Any] = {}
        work.run(results.__setitem__)
        for index, measured in enumerate(names[1:], start=1):
            for counting in self._extra_calls(work, measured, index):
                with counting as more:
                    work.done(more())
        return {labels[index]: result for index, result in results.items()}

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
        units: Mapping[str, int] | None = None,
        name: str | None = None,
    ) -> Iterator[None]:
        """Measure one long run: `with energy.window(count=1000): ...`.

        One run has no interval, so its verdict needs a distance of 15 % from the limit.
        """
        counts = counts_for(self._budgets, count=count, tokens=tokens, images=images, units=units)
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
        units: Mapping[str, Count] | None,
        name: str | None,
        repeat: bool,
    ) -> Work:
        if not callable(call):
            raise EnergyUsageError(
                f"energy.measure calls what it is given, and {spelled(call)} can't be called; "
                f"write: {EXAMPLE}"
            )
        items = inputs_of(inputs)
        counts = counts_for(self._budgets, count=count, tokens=tokens, images=images, units=units)
        if items is None and not repeat:
            raise EnergyUsageError(
                "repeat=False needs inputs, of which none is used again; write: "
                "energy.measure(model, inputs=PROMPTS, repeat=False)"
            )
        cycle = len(items or [None]) if repeat else 1
        steps = self._begin([name], lambda run: run.rounds(name, list(counts), cycle))
        notes = self.notes.setdefault(name, [])
        return Work(steps, [call], items, counts, notes, repeat=repeat)

    def _begin(
        self, names: Sequence[str | None], start: Callable[[TestRun], SomeSteps]
    ) -> SomeSteps | None:
        """The steps of what is measured under these names, or None where nothing is measured."""
        if self._ended:
            raise EnergyUsageError(
                "the body of the test has ended, and its verdict is final; measure in the body: "
                f"{EXAMPLE}"
            )
        for name in names:
            if name is not None and not (isinstance(name, str) and name.strip()):
                raise EnergyUsageError(f'name={spelled(name)} is not a name; write name="long"')
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


def _loading(
    name: str | None, units: Sequence[str], load: Load
) -> Callable[[TestRun], Generator[float, None, None]]:
    return lambda run: run.load(name, units, load)
