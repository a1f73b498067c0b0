"""Results that have done nothing yet when a call returns are waited for or refused."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester
from pytest_energy.measurement.lazy import kind_of_lazy

HEAD = """
import asyncio
import functools
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

POOL = ThreadPoolExecutor(2)

def work(x=1):
    spin(3)
    return x

async def awork():
    spin(3)

async def astream():
    yield spin(3)

class Rows:
    def __init__(self):
        self.left = 3
    def __iter__(self):
        return self
    def __next__(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return work()

class Delayed:
    def __dask_graph__(self):
        return {"a": work}

class Query:
    def compute(self):
        return work()

class Tensor:
    def realize(self):
        return work()
    def numpy(self):
        return work()
"""
REFUSED = {
    "map(work, [1, 2])": "returned an iterator (map), whose work isn't done yet; write: lambda: l",
    "filter(work, [1, 2])": "an iterator (filter)",
    "zip(map(work, [1]))": "an iterator (zip)",
    "Rows()": "an iterator (Rows)",
    "iter(Rows())": "an iterator (Rows)",
    "(work(x) for x in [1])": "a generator",
    "[map(work, [1])]": "an iterator (map)",
    "{'a': awork()}": "an awaitable (coroutine)",
    "astream()": "a generator",
    "functools.partial(work, 1)": "a function (partial), whose work isn't done yet; write: lambda",
    "Query()": "a delayed computation (Query), whose work isn't done yet; write: lambda: <lambda>",
    "[Query()]": "a delayed computation (Query)",
    "Delayed()": "a delayed computation (Delayed)",
}
TEST = """
@budget("1 J / query")
def test_{number}(energy):
    energy.measure(lambda: {call})
"""


def test_lazy_results_are_refused(energy_pytester: EnergyPytester) -> None:
    tests = [TEST.format(number=i, call=call) for i, call in enumerate(REFUSED)]
    source = HEAD + "".join(tests)
    energy_pytester.pytester.makepyfile(
        test_it="import pytest\nfrom spin import spin\nbudget = pytest.mark.energy_budget\n"
        + source
    )
    result = energy_pytester.run()
    result.assert_outcomes(errors=len(REFUSED))
    output = result.stdout.str()
    for words in REFUSED.values():
        assert words in output


@pytest.mark.parametrize("other", ["update", "__dask_graph__", ""])
def test_results_that_can_compute_and_are_done_are_measured(other: str) -> None:
    def compute(self: object, *inputs: object) -> object:
        return inputs

    def compute_of(self: object, inputs: object) -> object:
        return inputs

    methods = {"compute": compute, other: lambda _: None} if other else {"compute": compute_of}
    assert kind_of_lazy(type("Done", (), methods)()) == ""


WAITED_FOR = {
    "Tensor()": "Tensor",
    "POOL.submit(work)": "Future",
    "[POOL.submit(work) for _ in range(2)]": "Futures",
    "ThreadPool(1).apply_async(work)": "AsyncResult",
    "started()": "Thread",
    "subprocess.Popen([sys.executable, '-c', 'sum(range(300_000))'])": "Popen",
}
STARTED = """
def started():
    thread = threading.Thread(target=work)
    thread.start()
    return thread
"""


@pytest.mark.untraced
@pytest.mark.parametrize("call", WAITED_FOR)
def test_what_runs_elsewhere_is_waited_for(energy_pytester: EnergyPytester, call: str) -> None:
    """Each call's work lies in its window, and nothing is left to do when pytest ends."""
    energy_pytester.pytester.makepyfile(
        test_it="import pytest\nfrom spin import spin\nbudget = pytest.mark.energy_budget\n"
        + HEAD
        + STARTED
        + TEST.format(number=0, call=call)
    )
    result = energy_pytester.run_process()
    result.assert_outcomes(passed=1)
    (test,) = energy_pytester.tests().values()
    assert test["cpu_seconds_per_unit"] >= 0.0025


def test_what_a_future_raises_fails_the_test(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        from concurrent.futures import ThreadPoolExecutor

        @budget("1 J / query")
        def test_it(energy):
            energy.measure(lambda: ThreadPoolExecutor(1).submit(lambda: 1 / 0))
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ZeroDivisionError*"])


def test_an_async_call_that_returns_a_task_is_refused(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        import asyncio

        async def work():
            spin(3)

        async def begun():
            return asyncio.create_task(work())

        @budget("1 J / query")
        def test_it(energy):
            asyncio.run(energy.measure_async(begun))
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*begun returned an awaitable (Task), whose work isn't done yet*"])
