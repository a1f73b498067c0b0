"""Works that are measured alternately, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from virtual import ConstantSensor

from pytest_energy.measurement.meter import Meter
from pytest_energy.measurement.pairs import InterleavedRounds, run_interleaved
from pytest_energy.measurement.protocol import (
    Limits,
    Round,
    Setup,
)
from pytest_energy.sensors.base import Channel, Kind, Provenance
from pytest_energy.sensors.cpu_time import CpuTime
from pytest_energy.testing import VirtualTime

CHANNEL = Channel(
    name="gpu:0",
    kind=Kind.GPU,
    source="virtual",
    provenance=Provenance.MEASURED,
    update_seconds=0.1,
    window_seconds=1.0,
)


@dataclass
class PairsJudge:
    """Is done after so many rounds of each."""

    done_at: int | None = None
    channels: tuple[Channel, ...] = (CHANNEL,)
    window_seconds: float = 1.0
    lap_seconds: float = 0.0
    asked: list[list[int]] = field(default_factory=list)

    def is_done(self, measured: InterleavedRounds, *, final: bool) -> bool:
        self.asked.append([len(each) for each in measured])
        return len(measured[0]) == self.done_at


class Bench:
    """Drives works that take virtual seconds, and remembers which was called when."""

    def __init__(self, done_at: int | None = None) -> None:
        self.time = VirtualTime()
        self.sensor = ConstantSensor(self.time, "gpu:0", Kind.GPU, 100.0)
        self.judge = PairsJudge(done_at)
        self.called: list[int] = []

    def run(
        self, seconds: Callable[[int], float], works: int = 2, cycle: int = 1, **limits: float
    ) -> list[list[Round]]:
        setup = Setup(
            meter=Meter([self.sensor], CpuTime(4.0), lambda: None, self.time.clock),
            clock=self.time.clock,
            limits=Limits(int(limits.get("max_rounds", 20)), limits.get("max_seconds", 60.0)),
            candidates=["gpu:0"],
            warmup_seconds=3.0,
            progress=lambda rounds: None,
        )
        steps = run_interleaved(setup, cycle, works, lambda: self.judge)
        work = next(steps)
        while True:
            self.called.append(work)
            self.time.pass_by(seconds(work))
            try:
                work = steps.send({"query": 1.0})
            except StopIteration as stop:
                rounds, judge = stop.value
                assert judge is self.judge
                return list(rounds)


def blocks(called: list[int]) -> list[int]:
    """Which works were called, each row of calls once."""
    return [work for i, work in enumerate(called) if i == 0 or called[i - 1] != work]


def test_two_works_go_a_b_b_a() -> None:
    bench = Bench(done_at=4)
    rounds = bench.run(lambda work: 0.3)
    # Warm-up of each, then A B, B A, A B, B A: rows of the same work melt into one.
    assert blocks(bench.called) == [0, 1, 0, 1, 0, 1, 0]
    assert [[each.warmup for each in mine].count(False) for mine in rounds] == [4, 4]
    assert bench.judge.asked == [[n, n] for n in range(5)]


def test_many_works_go_forwards_and_backwards() -> None:
    bench = Bench(done_at=2)
    bench.run(lambda work: 0.3, works=4)
    assert blocks(bench.called) == [0, 1, 2, 3, 0, 1, 2, 3, 2, 1, 0]


def test_each_work_has_windows_that_are_long_enough() -> None:
    bench = Bench(done_at=5)
    rounds = bench.run(lambda work: 0.3 if work else 0.01)
    for mine in rounds:
        assert all(1.0 <= each.window.seconds <= 1.5 for each in mine if not each.warmup)


def test_each_work_sees_whole_cycles_of_the_inputs() -> None:
    rounds = Bench(done_at=5).run(lambda work: 0.3 if work else 0.01, cycle=4)
    assert all(each.calls % 4 == 0 for mine in rounds for each in mine if not each.warmup)


@pytest.mark.parametrize("works", [2, 5])
def test_each_work_but_the_first_has_the_time_of_one_measurement(works: int) -> None:
    bench = Bench()
    started = bench.time.seconds
    bench.run(lambda work: 1.0, works=works, max_seconds=30.0)
    assert 0.8 * 30 * (works - 1) <= bench.time.seconds - started <= 30 * (works - 1)


def test_at_most_as_many_pairs_as_rounds() -> None:
    rounds = Bench().run(lambda work: 0.01, max_rounds=7, max_seconds=1000)
    assert [sum(not each.warmup for each in mine) for mine in rounds] == [7, 7]


@pytest.mark.parametrize(("later", "alone"), [(0.001, 1), (3.0, 0)])
def test_a_first_call_that_was_all_of_warm_up_is_looked_at_again_alone(
    later: float, alone: int
) -> None:
    """A result that is cached then takes so little that many calls show it."""
    made = [0, 0]

    def seconds(work: int) -> float:
        made[work] += 1
        return 0.5 if work == 0 else 3.0 if made[1] == 1 else later

    warmup = [each for each in Bench(done_at=3).run(seconds, max_seconds=10.0)[1] if each.warmup]
    assert [each.calls for each in warmup[:1]] == [1]
    assert [each.calls >= 1000 for each in warmup[1:]] == [True] * alone
