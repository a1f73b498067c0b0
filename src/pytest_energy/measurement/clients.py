"""Clients that keep requests in flight: threads, or coroutines in a loop of their own."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

from pytest_energy.errors import EnergyUsageError
from pytest_energy.measurement.calls import Function, awaited, called
from pytest_energy.measurement.counting import Count, counted
from pytest_energy.measurement.load import POLL_SECONDS, Traffic
from pytest_energy.record.plain import spelled
from pytest_energy.sensors.clock import sleep

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

CLIENT = "pytest-energy-client"
#: Each is a thread, or a task of an event loop.
MOST_IN_FLIGHT = 10_000
#: How long a request that is in flight when the test fails is waited for.
HANGS_SECONDS = 1.0


def levels_of(concurrency: int | Sequence[int]) -> tuple[int, ...]:
    """How many requests are in flight at once, each measured after the other."""
    try:
        levels = (concurrency,) if isinstance(concurrency, int) else tuple(concurrency)
    except TypeError:
        levels = ()
    if not levels or not all(
        isinstance(each, int) and not isinstance(each, bool) and 0 < each <= MOST_IN_FLIGHT
        for each in levels
    ):
        raise EnergyUsageError(
            f"concurrency={spelled(concurrency)} is neither a number of requests from 1 to "
            f"{MOST_IN_FLIGHT:,} nor several of them; write: "
            "energy.measure_load(request, PROMPTS, concurrency=(1, 4, 16))"
        )
    if len(set(levels)) < len(levels):
        raise EnergyUsageError(
            f"concurrency={spelled(concurrency)} has a number twice; keep one of them"
        )
    return levels


def level_name(name: str | None, level: int) -> str:
    """What one of several levels is called."""
    return f"{level} in flight" if name is None else f"{name}, {level} in flight"


@contextmanager
def event_loop(request: Callable[..., Any]) -> Iterator[asyncio.AbstractEventLoop | None]:
    """A loop in a thread of its own for a coroutine function, None for others.

    It is one for all levels, because a client of a library belongs to the loop that it was first
    used in.
    """
    if not inspect.iscoroutinefunction(request):
        yield None
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=CLIENT, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Clients:
    """While it is entered, so many clients make one request after the other.

    request: a function, or a coroutine function. inputs: what it is called with, one a request in a
    cycle; None to call it with nothing. result: of the latest request that ended well.
    """

    def __init__(
        self,
        request: Callable[..., Any],
        inputs: list[Any] | None,
        counts: Mapping[str, Count],
        traffic: Traffic,
        concurrency: int,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._request = request
        self._counts = counts
        self._concurrency = concurrency
        self._traffic = traffic
        self._inputs = None if inputs is None else itertools.cycle(inputs)
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._misuse: EnergyUsageError | None = None
        self.result: Any = None
        self._loop = loop
        self._waits: list[Callable[[float | None], object]] = []

    def __enter__(self) -> Self:
        if self._loop is not None:
            running = asyncio.run_coroutine_threadsafe(self._tasks(), self._loop)
            self._waits = [running.result]
            return self
        for _ in range(self._concurrency):
            thread = threading.Thread(target=self._thread, name=CLIENT, daemon=True)
            self._waits.append(thread.join)
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the requests in flight end; one that hangs is left alone where the test failed."""
        self._ends.set()
        for wait in self._waits:
            with suppress(TimeoutError):
                wait(HANGS_SECONDS if error is not None else None)

    def drive(self, steps: Generator[float, None, None] | None) -> None:
        """Let clients make requests as long as steps say; a few where nothing is measured.

        Raises what a client found wrong with the test itself.
        """
        with closing(steps or self._unmeasured()) as waits:
            for seconds in waits:
                sleep(seconds)
                if self._misuse is not None:
                    raise self._misuse

    async def drive_async(self, steps: Generator[float, None, None] | None) -> None:
        """The same for coroutines, in the loop that runs; without entering these clients."""
        tasks = asyncio.ensure_future(self._tasks())
        try:
            with closing(steps or self._unmeasured()) as waits:
                for seconds in waits:
                    await asyncio.sleep(seconds)
                    if self._misuse is not None:
                        raise self._misuse
        except BaseException:
            self._ends.set()
            await asyncio.wait([tasks], timeout=HANGS_SECONDS)
            tasks.cancel()
            raise
        self._ends.set()
        await tasks

    def _unmeasured(self) -> Generator[float, None, None]:
        while not self._traffic.finished:
            yield POLL_SECONDS

    def _bound(self) -> Function:
        if self._inputs is None:
            return self._request
        with self._lock:
            return partial(self._request, next(self._inputs))

    def _thread(self) -> None:
        while not self._ends.is_set():
            bound = self._bound()
            number = self._traffic.begin()
            try:
                result = called(self._request, bound)
            except Exception as error:  # whatever a client raises, this request failed
                self._failed(number, error)
            else:
                self._done(number, result)

    async def _tasks(self) -> None:
        await asyncio.gather(*(self._task() for _ in range(self._concurrency)))

    async def _task(self) -> None:
        while not self._ends.is_set():
            bound = self._bound()
            number = self._traffic.begin()
            try:
                result = await awaited(self._request, bound)
            except Exception as error:  # as in a thread
                self._failed(number, error)
                await asyncio.sleep(0)  # others may be waiting
            else:
                self._done(number, result)

    def _done(self, number: int, result: Any) -> None:
        try:
            units = counted(self._counts, result)
        except Exception as error:  # the user's own function counts
            self._failed(number, error)
            return
        self.result = result
        self._traffic.end(number, units)

    def _failed(self, number: int, error: Exception) -> None:
        if isinstance(error, EnergyUsageError):
            self._misuse = error
            self._ends.set()
        self._traffic.end(number, None, error)
