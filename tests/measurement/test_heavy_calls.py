"""Work that is heavy in some of its calls: what a limit means is the sum over all of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from virtual import ConstantSensor

from pytest_energy.measurement.meter import Meter
from pytest_energy.measurement.protocol import (
    Limits,
    Round,
    Setup,
    run_rounds,
)
from pytest_energy.rules.estimate import MAX_ROUNDS, estimate
from pytest_energy.rules.limit import look
from pytest_energy.rules.verdict import Verdict
from pytest_energy.sensors.base import Channel, Kind, Provenance
from pytest_energy.sensors.cpu_time import CpuTime
from pytest_energy.testing import VirtualTime

TRUTH = 1.68
LIGHT = 0.6
GREEN = (Verdict.PASS, Verdict.CLOSE)


@dataclass
class Judge:
    """Rule A on the seconds of a call, as multiples of what the limit allows."""

    limit: float
    verdict: Verdict | None = None
    figure: float = 0.0
    window_seconds: float = 0.2
    lap_seconds: float = 0.0
    channels: tuple[Channel, ...] = (
        Channel(
            name="cpu:0",
            kind=Kind.CPU,
            source="virtual",
            provenance=Provenance.MEASURED,
            update_seconds=0.0,
            window_seconds=0.2,
        ),
    )

    def counted(self, measured: Sequence[Round]) -> int:
        return len(measured)

    def is_done(self, measured: Sequence[Round], *, final: bool) -> bool:
        values = [each.window.seconds / each.calls for each in measured]
        if values:
            calls = [float(each.calls) for each in measured]
            self.verdict = look(values, self.limit, 0.15, final=final, units=calls)
            self.figure = estimate(values, calls).centre / self.limit
        return self.verdict is not None


def judged(limit: float, seconds_of_call: Callable[[int], float], *, cycle: int = 1) -> Judge:
    time = VirtualTime()
    judge = Judge(limit)
    sensor = ConstantSensor(time, "cpu:0", Kind.CPU, 10.0)
    setup = Setup(
        meter=Meter([sensor], CpuTime(4.0), lambda: None, time.clock),
        clock=time.clock,
        limits=Limits(MAX_ROUNDS, 60.0),
        candidates=["cpu:0"],
        warmup_seconds=0.5,
        progress=lambda rounds: None,
    )
    steps = run_rounds(setup, cycle, lambda: judge)
    next(steps)
    made = 0
    while True:
        time.pass_by(seconds_of_call(made))
        made += 1
        try:
            steps.send({"query": 1.0})
        except StopIteration:
            return judge


def heavy_each(period: int, phase: int, limit: float, noise: float, seed: int) -> Judge:
    """A body whose calls cost 168 % of the limit on average, and 60 % but for one in a period."""
    rng = random.Random(seed)
    heavy = period * TRUTH - (period - 1) * LIGHT

    def seconds(made: int) -> float:
        cost = heavy if made % period == phase else LIGHT
        return limit * cost * max(rng.gauss(1, noise), 0.5)

    return judged(limit, seconds)


@pytest.mark.parametrize("limit", [0.002, 0.01, 0.05, 0.3, 1.0])
def test_a_body_that_is_heavy_on_each_sixth_call_is_never_green(limit: float) -> None:
    found = [
        heavy_each(6, phase, limit, noise, seed)
        for phase in range(6)
        for noise in (0.01, 0.1)
        for seed in range(5)
    ]
    assert [each.verdict for each in found if each.verdict in GREEN] == []
    assert all(each.figure > 1.25 for each in found)


@pytest.mark.parametrize(("period", "limit"), [(2, 0.3), (3, 0.3), (50, 0.002), (50, 0.01)])
def test_so_is_one_of_another_period(period: int, limit: float) -> None:
    found = [
        heavy_each(period, phase, limit, 0.03, phase) for phase in range(0, period, 1 + period // 9)
    ]
    assert [each.verdict for each in found if each.verdict in GREEN] == []


@pytest.mark.parametrize("limit", [0.01, 0.3, 1.0])
def test_heavy_inputs_count_in_whole_cycles(limit: float) -> None:
    costs = [0.6] * 7 + [(16.8 - 4.2) / 3] * 3
    judge = judged(limit, lambda made: limit * costs[made % 10], cycle=10)
    assert judge.verdict is Verdict.FAIL
    assert judge.figure == pytest.approx(TRUTH)


def test_work_of_uneven_cost_under_its_limit_passes() -> None:
    """Its heavy calls count, and it is under the limit with them."""
    judge = judged(0.1, lambda made: 0.1 * (2.0 if made % 6 == 5 else 0.2))
    assert judge.verdict is Verdict.PASS
    assert judge.figure == pytest.approx(0.5, rel=0.1)
