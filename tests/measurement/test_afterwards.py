"""Work that goes on once the last call has returned is in no figure, and so there is none."""

from __future__ import annotations

from typing import Any, cast

import pytest

from conftest import EnergyPytester
from pytest_energy.errors import code_of
from pytest_energy.measurement import afterwards
from pytest_energy.measurement.afterwards import Afterwards
from pytest_energy.measurement.meter import Window
from pytest_energy.measurement.protocol import Round
from pytest_energy.sensors.base import Device
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.process_tree import ProcessTree

needs_proc = pytest.mark.skipif(not ProcessTree().visible, reason="needs Linux's /proc")

#: A worker that a fixture starts: it works until the test is over, once it was asked to.
WORKER = """
    import asyncio, multiprocessing, threading, time
    from concurrent.futures import Future

    def work(asked, done):
        asked.wait()
        while not done.is_set():
            sum(range(1000))

    @pytest.fixture(params=["thread", "process"])
    def asked(request):
        kind = multiprocessing.get_context("fork") if request.param == "process" else threading
        asked, done = kind.Event(), kind.Event()
        make = kind.Process if request.param == "process" else kind.Thread
        worker = make(target=work, args=(asked, done))
        worker.start()
        yield asked
        done.set()
        asked.set()
        worker.join()
"""


@needs_proc
@pytest.mark.parametrize(
    "body",
    [
        "energy.measure(lambda: (asked.set(), spin(1)))",
        "energy.compare(lambda: spin(1), lambda: (asked.set(), spin(1)), max_increase='99%')",
        "with energy.window(): asked.set(); spin(20)",
    ],
)
def test_what_calls_leave_to_others_is_unmeasured(
    energy_pytester: EnergyPytester, body: str
) -> None:
    energy_pytester.write(
        WORKER + f"\n    @budget('1 kJ / query')\n    def test_it(energy, asked):\n        {body}\n"
    )
    energy_pytester.run_process().assert_outcomes(failed=2)
    for test in energy_pytester.tests().values():
        assert (test["verdict"], test["code"]) == ("unmeasured", "work-goes-on")
        assert "still ran 0.6 s after the last call (before the first: " in test["reason"]


@needs_proc
@pytest.mark.parametrize(
    "body",
    [
        pytest.param("asked.set(); energy.measure(lambda: spin(1))", id="busy before"),
        pytest.param(
            "t = threading.Timer(0.3, int); t.start(); energy.measure(lambda: spin(1)); t.join()",
            id="waits",
        ),
        pytest.param(
            "energy.measure(lambda: (threading.Thread(target=spin, args=(1,)).start(), spin(5)))",
            id="soon over",
        ),
    ],
)
def test_threads_that_are_no_rest_of_the_calls_change_nothing(
    energy_pytester: EnergyPytester, body: str
) -> None:
    energy_pytester.write(
        WORKER + f"\n    @budget('1 kJ / query')\n    def test_it(energy, asked):\n        {body}\n"
    )
    energy_pytester.run_process().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("last", "verdict"), [("pass", "unmeasured"), ("await asyncio.gather(*TASKS)", "pass")]
)
def test_tasks_that_nobody_awaits_are_unmeasured(
    energy_pytester: EnergyPytester, last: str, verdict: str
) -> None:
    energy_pytester.write(f"""
        import asyncio
        TASKS = []

        async def later():
            await asyncio.sleep(0)

        async def ask():
            spin(1)
            TASKS.append(asyncio.create_task(later()))
            {last}

        @budget("1 kJ / query")
        @pytest.mark.asyncio
        async def test_it(energy):
            await energy.measure_async(ask)
    """)
    energy_pytester.run()
    test = energy_pytester.tests()["test_it"]
    assert test["verdict"] == verdict
    if verdict == "unmeasured":
        assert "tasks of the event loop were not done after" in test["reason"]


class NoTree:
    """No process does anything."""

    def runnable(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("before", "busy", "after", "problem"),
    [
        (50.0, 300.0, 300.0, True),
        (50.0, 300.0, 120.0, False),  # it has fallen, and stays in a high state
        (50.0, 75.0, 75.0, False),  # light work, beside which that state is all there is to see
        (300.0, 310.0, 310.0, False),  # another one's work
    ],
)
def test_a_board_that_goes_on_working_is_unmeasured(
    monkeypatch: pytest.MonkeyPatch, before: float, busy: float, after: float, problem: bool
) -> None:
    monkeypatch.setattr(afterwards, "PATIENCE_SECONDS", 0.0)
    now = [before]
    board = Device(channel="gpu:0", name="virtual", power_limit_watts=400.0, watts=lambda: now[0])
    looks = Afterwards(cast(Any, NoTree()), [board], lambda: 0.0)
    looks.begin()
    now[0] = after
    window = Window(seconds=2.0, readings={"gpu:0": 2 * busy}, cpu_seconds=1.0)
    found = looks.end([Round(window, 10, {"query": 10.0}, warmup=False)])
    assert ("gpu:0 still drew 300 W" in found) is problem


def waiting(own: float, others: float | None, seconds: float = 0.4) -> Round:
    """A round of a test that keeps `own` of a core busy, and others so many cores."""
    window = Window(
        seconds=seconds,
        readings={},
        cpu_seconds=own * seconds,
        other_cpu_seconds=None if others is None else others * seconds,
    )
    return Round(window, 10, {"query": 10.0}, warmup=False)


@pytest.mark.parametrize(
    ("rounds", "after", "problem"),
    [
        ([waiting(0.08, 0.9)] * 5, 0.02, True),  # a daemon that a fixture left behind
        ([waiting(0.08, 2.4), waiting(0.1, 2.0), waiting(0.1, 2.2)], 0.3, True),
        ([waiting(0.08, 0.9)] * 5, 0.9, False),  # a neighbour that goes on
        ([waiting(0.08, 0.9)] * 4 + [waiting(0.08, 0.1)], 0.02, False),  # one that comes and goes
        ([waiting(0.95, 0.9)] * 5, 0.02, False),  # the test does its work itself
        ([waiting(0.08, 0.1)] * 5, 0.0, False),
        ([waiting(0.08, None)] * 5, 0.0, False),
        ([waiting(0.08, 0.9)], 0.02, False),  # too short to tell
    ],
)
def test_others_that_work_while_the_test_waits_and_no_longer_do_its_work(
    monkeypatch: pytest.MonkeyPatch, rounds: list[Round], after: float, problem: bool
) -> None:
    monkeypatch.setattr(afterwards, "GAP_SECONDS", 0.01)
    monkeypatch.setattr(real, "perf_counter", iter([0.0, 0.3]).__next__)
    monkeypatch.setattr(real, "process_time", lambda: 1.0)
    busy = iter([100.0, 100.0 + 0.3 * after])
    looks = Afterwards(cast(Any, NoTree()), [], busy.__next__)
    found = looks.outside(rounds)
    assert (code_of(found) == "work-outside") is problem
    assert bool(found) is problem


@needs_proc
def test_a_daemon_that_left_the_tree_is_seen_by_what_it_uses(
    energy_pytester: EnergyPytester,
) -> None:
    # A machine on which one core of another process is busy from question to question.
    energy_pytester.pytester.makeconftest("""
        import time

        from pytest_energy.measurement import gate

        ASKED = [0]

        class Machine:
            busy, seen, since = 100.0, 0, time.perf_counter()

            def __call__(self):
                now = time.perf_counter()
                if ASKED[0] > self.seen:
                    self.busy += now - self.since
                self.since, self.seen = now, ASKED[0]
                return self.busy + time.process_time()

        gate.busy_seconds = Machine()
    """)
    energy_pytester.write("""
        import time
        from conftest import ASKED

        def ask():
            ASKED[0] += 1
            spin(6)
            time.sleep(0.04)

        @budget("20 cpu-ms / query")
        def test_it(energy):
            energy.measure(ask)
    """)
    energy_pytester.run_process("--energy-max-seconds=4", quick=False).assert_outcomes(failed=1)
    test = energy_pytester.tests()["test_it"]
    assert (test["verdict"], test["code"]) == ("unmeasured", "work-outside")
    assert "and 0.00 right after the last call: they do a part of the work" in test["reason"]
