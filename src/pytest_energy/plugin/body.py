"""A test's body as the work that is measured: it is called many times."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_energy.plugin.measuring import TestRun

_ADVICE = "put what happens once into a fixture, and what is measured into energy.measure"


# pytest.fail.Exception is public, but hidden from mypy by the way pytest attaches it.
class EnergyNotRepeated(pytest.fail.Exception):  # type: ignore[name-defined,misc]
    """The body can't be called again, so it isn't measured. `ended_in`: what the test ended in."""

    ended_in = "a body that can't be called twice"


@contextmanager
def measured_body(item: pytest.Function, test: TestRun) -> Iterator[None]:
    """While this holds, calling the test's body runs the whole protocol."""
    body: Callable[..., Any] = item.obj
    energy, found = test.energy, test.resolution
    count, units = found.declaration.count, found.declaration.units
    if not units:  # one count for whatever the limits name
        count, units = None, {each.unit: count or 1 for each in found.budgets}
    repeated = _RepeatedBody(item, test)

    if inspect.iscoroutinefunction(body):

        @functools.wraps(body)
        async def loop(**arguments: Any) -> Any:
            __tracebackhide__ = True
            work = functools.partial(repeated.awaited(body), **arguments)
            return await energy.measure_async(work, count=count, units=units)

    else:

        @functools.wraps(body)
        def loop(**arguments: Any) -> Any:
            __tracebackhide__ = True
            work = functools.partial(repeated.plain(body), **arguments)
            return energy.measure(work, count=count, units=units)

    item.obj = loop
    test.looping = True
    try:
        yield
    finally:
        item.obj = body
        test.looping = False


class _RepeatedBody:
    """The calls of one body."""

    def __init__(self, item: pytest.Function, test: TestRun) -> None:
        self._test = test
        self._checks = sys.modules.get("pytest_check.check_log")
        snapshots = [each for each in item.funcargs.values() if _is_snapshot(each)]
        self._snapshot: Any = snapshots[0] if snapshots else None
        self.calls = 0
        self._recursion = sys.getrecursionlimit()

    def plain(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """The body, whose later calls explain what they raise."""

        @functools.wraps(body)
        def again(**arguments: Any) -> Any:
            __tracebackhide__ = True
            self.calls += 1
            try:
                result = body(**arguments)
            except BaseException as error:
                self._add_note(error)
                raise
            self._check()
            return result

        return again

    def awaited(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """The same for a coroutine function."""

        @functools.wraps(body)
        async def again(**arguments: Any) -> Any:
            __tracebackhide__ = True
            self.calls += 1
            try:
                result = await body(**arguments)
            except BaseException as error:
                self._add_note(error)
                raise
            self._check()
            return result

        return again

    def _add_note(self, error: BaseException) -> None:
        if self.calls > 1 and isinstance(error, (Exception, pytest.fail.Exception)):
            error.add_note(f"energy: this was call {self.calls} of the body; {_ADVICE}")

    def _check(self) -> None:
        """Whether the body may be called again."""
        __tracebackhide__ = True
        if sys.getrecursionlimit() < self._recursion:  # what measures it needs its own depth
            sys.setrecursionlimit(self._recursion)
        if self._test.failure:
            why, ended_in = "a subtest failed", "a failed subtest"
        elif self._checks is not None and self._checks.get_num_failures():
            why, ended_in = "a check failed", "a failed check"
        elif self._snapshot is not None and self._snapshot.num_executions:
            why = f"the snapshots of call {self.calls + 1} would differ; {_ADVICE}"
            ended_in = EnergyNotRepeated.ended_in
        else:
            return
        error = EnergyNotRepeated(
            f"energy: unmeasured after call {self.calls} of the body: {why}", pytrace=False
        )
        error.ended_in = ended_in
        raise error


def _is_snapshot(value: object) -> bool:
    """Whether a fixture's value is syrupy's, which counts assertions through the whole test."""
    return type(value).__module__.partition(".")[0] == "syrupy" and hasattr(value, "num_executions")
