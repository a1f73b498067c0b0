"""Warm-up, rounds and looks on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from virtual import ConstantSensor

from pytest_energy.measurement.meter import Meter
from pytest_energy.measurement.protocol import (
    Limits,
    Round,
    Setup,
    run_rounds,
    run_window,
)
from pytest_energy.rules.estimate import MAX_ROUNDS
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
class Judge:
    """Is done after so many rounds."""

    done_at: int | None = None
    channels: tuple[Channel, ...] = (CHANNEL,)
    window_seconds: float = 1.0
    lap_seconds: float = 0.0
    asked: list[int] = field(default_factory=list)
    told_final: bool = False

    def counted(self, measured: Sequence[Round]) -> int:
        return len(measured)

    def is_done(self, measured: Sequence[Round], *, final: bool) -> bool:
        self.asked.append(len(measured))
        self.told_final = final
        return len(measured) == self.done_at


@dataclass(frozen=True)
class Found:
    rounds: tuple[Round, ...]

    @property
    def measured(self) -> tuple[Round, ...]:
        return tuple(each for each in self.rounds if not each.warmup)


class Bench:
    """Drives the protocol with calls that take virtual seconds."""

    def __init__(self, done_at: int | None = None) -> None:
        self.time = VirtualTime()
        self.sensor = ConstantSensor(self.time, "gpu:0", Kind.GPU, 100.0)
        self.meter = Meter([self.sensor], CpuTime(4.0), lambda: None, self.time.clock)
        self.judge = Judge(done_at)
        self.messages: list[int] = []

    def run(
        self,
        seconds_of_call: Callable[[int], float],
        *,
        max_rounds: int = MAX_ROUNDS,
        max_seconds: float = 60.0,
        warmup_seconds: float = 3.0,
        cycle: int = 1,
    ) -> Found:
        setup = Setup(
            meter=self.meter,
            clock=self.time.clock,
            limits=Limits(max_rounds, max_seconds),
            candidates=["gpu:0"],
            warmup_seconds=warmup_seconds,
            progress=lambda rounds: self.messages.append(len(rounds)),
        )
        steps = run_rounds(setup, cycle, lambda: self.judge)
        next(steps)
        made = 0
        while True:
            self.time.pass_by(seconds_of_call(made))
            made += 1
            try:
                steps.send({"query": 1.0, "token": 3.0})
            except StopIteration as stop:
                return Found(stop.value[0])


def test_warm_up_takes_two_rounds_and_three_seconds() -> None:
    found = Bench().run(lambda made: 0.01)
    warm = [each for each in found.rounds if each.warmup]
    assert len(warm) >= 2
    assert 3.0 <= sum(each.window.seconds for each in warm) < 5.0


@pytest.mark.parametrize("from_call", [30, 200, 500])
def test_calls_that_come_to_take_longer_end_in_time(from_call: int) -> None:
    # In warm-up, in the first round after it, and in a later one.
    bench = Bench()
    began = bench.time.clock.now()
    bench.run(lambda made: 0.01 if made < from_call else 1.0, max_seconds=10.0)
    assert bench.time.clock.now() - began < 10.0 + 2 * 1.0


def test_laps_are_as_long_as_calls_after_a_slow_first_one_need() -> None:
    """Which is all of warm-up; laps of one such call would be no longer than reading the clocks."""
    bench = Bench()
    bench.judge.lap_seconds, bench.judge.window_seconds = 0.005, 0.2
    found = bench.run(lambda made: 3.0 if made == 0 else 1e-4, max_seconds=10.0, max_rounds=3)
    laps = [lap for each in found.measured for lap in each.window.laps]
    assert len(found.measured) == 3
    assert found.rounds[0].calls == 1
    assert min(lap.seconds for lap in laps[:-1]) >= 0.0025


def test_warm_up_goes_on_until_two_rounds_agree() -> None:
    found = Bench().run(lambda made: 0.05 if made < 55 else 0.01)
    pace = [each.window.seconds / each.calls for each in found.rounds if each.warmup]
    assert pace[2] > 0.02  # three seconds are over within this round
    assert pace[-2:] == pytest.approx([0.01, 0.01])
    # What was compiled in the first call alone is over at once.
    compiled = Bench().run(lambda made: 2.0 if made == 0 else 0.01)
    assert sum(each.window.seconds for each in compiled.rounds if each.warmup) < 7.0


def test_warm_up_ends_at_a_quarter_of_the_time_though_nothing_settles() -> None:
    bench = Bench()
    found = bench.run(lambda made: 0.01 * 1.001**made, max_seconds=60.0)
    warm = [each for each in found.rounds if each.warmup]
    assert sum(each.window.seconds for each in warm) < 20.0


def test_windows_are_as_long_as_the_channel_needs() -> None:
    found = Bench().run(lambda made: 0.01)
    assert len(found.measured) == MAX_ROUNDS
    assert all(1.0 <= each.window.seconds < 1.3 for each in found.measured)
    assert all(
        each.units == {"query": each.calls, "token": 3 * each.calls} for each in found.measured
    )


def test_a_call_that_becomes_quicker_still_fills_its_windows() -> None:
    found = Bench().run(lambda made: 1.0 if made < 3 else 0.01)
    assert all(each.window.seconds >= 1.0 for each in found.measured)


def test_the_protocol_stops_when_it_is_decided() -> None:
    bench = Bench(done_at=8)
    found = bench.run(lambda made: 0.02)
    assert len(found.measured) == 8
    assert bench.judge.asked == list(range(9))
    assert not bench.judge.told_final


@pytest.mark.parametrize("cycle", [3, 7, 100, 700])
def test_rounds_are_whole_cycles_of_the_inputs(cycle: int) -> None:
    found = Bench().run(lambda made: 0.01, cycle=cycle)
    assert found.measured
    assert all(each.calls % cycle == 0 for each in found.measured)
    assert sum(each.calls for each in found.rounds if each.warmup) >= cycle


def test_calls_that_fill_a_window_are_whole_cycles_too() -> None:
    """The inputs become quicker than warm-up said, so that a cycle no longer fills a window."""
    found = Bench().run(lambda made: 1.0 if made < 10 else 0.01, cycle=7)
    assert all(each.calls % 7 == 0 and each.window.seconds >= 1 for each in found.measured)


def test_a_cycle_that_outlasts_the_time_is_cut_and_not_counted() -> None:
    """Later inputs cost far more than those that warm-up saw, and the cycle doesn't end."""
    found = Bench().run(lambda made: 0.01 if made < 600 else 10.0, cycle=600)
    assert [each.calls < 600 for each in found.measured] == [True]
    later = Bench().run(lambda made: 0.1 if made < 230 else 3.0, cycle=50)
    assert [each.calls for each in later.measured] == [50] * len(later.measured) != []


def test_inputs_of_unequal_cost_settle() -> None:
    """Two rounds of whole cycles agree, however much their calls differ."""
    found = Bench().run(lambda made: 2.0 if made % 5 == 4 else 0.05, cycle=5)
    warm = sum(each.window.seconds for each in found.rounds if each.warmup)
    assert warm <= 0.05 + 2 * 2.2 + 0.01


def test_a_cycle_that_would_take_far_longer_is_not_waited_for() -> None:
    found = Bench().run(lambda made: 0.01, cycle=10_000)
    assert all(each.window.seconds < 1.3 for each in found.measured)


def test_progress_is_reported_after_every_round() -> None:
    bench = Bench()
    found = bench.run(lambda made: 0.02)
    assert bench.messages == list(range(1, len(found.rounds) + 1))


def test_the_time_limit_ends_the_rounds_before_it_is_passed() -> None:
    bench = Bench()
    started = bench.time.seconds
    found = bench.run(lambda made: 2.0, max_seconds=20.0)
    assert len(found.measured) > 1
    assert bench.judge.told_final
    assert 14.0 < bench.time.seconds - started <= 20.0


def test_a_call_longer_than_the_time_limit_is_measured_once() -> None:
    found = Bench().run(lambda made: 100.0, max_seconds=60.0)
    assert [each.warmup for each in found.rounds] == [True, False]


@pytest.mark.parametrize("cycle", [1, 7])
def test_a_time_limit_shorter_than_a_window_still_fills_one(cycle: int) -> None:
    (only,) = Bench().run(lambda made: 0.01, max_seconds=0.4, cycle=cycle).measured
    assert 1.0 <= only.window.seconds < 1.3


def test_the_number_of_rounds_is_limited() -> None:
    assert len(Bench().run(lambda made: 0.01, max_rounds=3).measured) == 3


def test_work_that_no_sensor_sees_ends_after_warm_up() -> None:
    bench = Bench(done_at=0)
    assert bench.run(lambda made: 0.01).measured == ()
    assert bench.judge.asked == [0]


def test_work_that_raises_leaves_no_window_open() -> None:
    bench = Bench()
    steps = run_window(bench.meter, ["gpu:0"], lambda: bench.judge)
    next(steps)
    with pytest.raises(RuntimeError, match="out of memory"):
        steps.throw(RuntimeError("out of memory"))
    assert bench.sensor.abandoned == 1
    assert bench.judge.asked == []


def test_a_window_is_one_round() -> None:
    bench = Bench()
    steps = run_window(bench.meter, ["gpu:0"], lambda: bench.judge)
    next(steps)
    bench.time.pass_by(7.0)
    with pytest.raises(StopIteration) as stop:
        steps.send({"query": 1000.0})
    (only,), _ = stop.value.value
    assert (only.units, only.calls, only.warmup) == ({"query": 1000.0}, 1, False)
    assert only.window.joules(["gpu:0"]) == pytest.approx(700.0)
