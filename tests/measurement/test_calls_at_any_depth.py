"""What a call costs, whatever the depth of the stack from which a measurement is started."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from pytest_energy.measurement.calls import Steps, Work, empty_laps

resource = pytest.importorskip("resource")

CALLS = 200


def at_depth(depth: int, function: Callable[[], float]) -> float:
    return function() if depth == 0 else at_depth(depth - 1, function)


def leaf() -> int:
    return 1


def work() -> int:
    return leaf() + leaf()


def page_faults() -> int:
    """Of this thread; memory that is taken from the system and given back shows in them."""
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    return int(resource.getrusage(who).ru_minflt)


def faults_per_call(function: Callable[[], int] = work) -> float:
    def steps() -> Steps:
        for _ in range(CALLS):
            yield 0

    before = page_faults()
    Work(steps(), [function], None, {"query": 1}, []).run()
    return (page_faults() - before) / CALLS


def test_no_depth_makes_a_measured_call_take_memory_from_the_system() -> None:
    # 180 frames are more than one chunk of the interpreter's stack, so one of them begins another.
    worst = max(range(180), key=lambda depth: at_depth(depth, faults_per_call))
    assert at_depth(worst, faults_per_call) < 0.5


def test_a_call_of_nothing_costs_the_same_at_every_depth() -> None:
    def faults() -> float:
        before = page_faults()
        laps = empty_laps(calls=CALLS, laps=1)
        return (page_faults() - before) / sum(each.calls for each in laps)

    assert max(at_depth(depth, faults) for depth in range(180)) < 0.5


def test_deep_work_has_room_too() -> None:
    def deep(frames: int) -> int:
        return leaf() if frames == 0 else deep(frames - 1)

    assert max(faults_per_call(partial(deep, frames)) for frames in range(100, 700, 5)) < 0.5
