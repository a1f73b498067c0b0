"""Inputs that are used once, on a virtual clock: what counts when they run out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from virtual import ConstantSensor

from pytest_energy.errors import EnergyUsageError
from pytest_energy.measurement.calls import Steps, Work
from pytest_energy.measurement.meter import Meter
from pytest_energy.measurement.protocol import (
    Limits,
    Round,
    Setup,
    run_rounds,
)
from pytest_energy.sensors.base import Channel, Kind
from pytest_energy.sensors.cpu_time import CpuTime
from pytest_energy.testing import VirtualTime


@dataclass
class Judge:
    """Is never done before the end."""

    channels: tuple[Channel, ...]
    window_seconds: float = 1.0
    lap_seconds: float = 0.0
    finals: list[int] = field(default_factory=list)
    """Rounds at the looks that were said to be the last."""

    def counted(self, measured: Sequence[Round]) -> int:
        return len(measured)

    def is_done(self, measured: Sequence[Round], *, final: bool) -> bool:
        if final:
            self.finals.append(len(measured))
        return False


class Bench:
    """Calls of 0.1 s, so that warm-up takes about 3 s, and a round 1.1 s."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.notes: list[str] = []
        self._time = VirtualTime()
        self.sensor = ConstantSensor(self._time, "gpu:0", Kind.GPU, 100.0)
        self.judge = Judge(self.sensor.channels)

    def call(self, x: int) -> None:
        self.seen.append(x)
        self._time.pass_by(0.1)

    def run(self, inputs: int) -> None:
        meter = Meter([self.sensor], CpuTime(4.0), lambda: None, self._time.clock)

        setup = Setup(
            meter=meter,
            clock=self._time.clock,
            limits=Limits(20, 60.0),
            candidates=["gpu:0"],
            warmup_seconds=3.0,
            progress=lambda rounds: None,
        )

        def steps() -> Steps:
            yield from run_rounds(setup, 1, lambda: self.judge)

        given = list(range(inputs))
        work = Work(steps(), [self.call], given, {"query": 1}, self.notes, repeat=False)
        with closing(work.calls()) as calls:
            for _, bound in calls:
                work.done(bound())


def test_the_rounds_until_then_count() -> None:
    bench = Bench()
    bench.run(100)
    assert bench.seen == list(range(100))
    (rounds,) = bench.judge.finals
    assert 5 <= rounds <= 7  # of 1.1 s, in the 10 s of all inputs without the 3 s of warm-up
    assert bench.notes == [
        "100 of 100 inputs were needed, each used once; the measurement ended with them"
    ]


def test_inputs_beyond_what_is_needed_are_not_used() -> None:
    bench = Bench()
    bench.run(10_000)
    assert bench.judge.finals == [20]
    assert bench.notes == [f"{len(bench.seen)} of 10000 inputs were needed, each used once"]


@pytest.mark.parametrize("inputs", [1, 20, 35])
def test_without_one_whole_round_there_is_no_figure(inputs: int) -> None:
    bench = Bench()
    with pytest.raises(EnergyUsageError, match=f"the {inputs} inputs were used up before one"):
        bench.run(inputs)
    assert bench.seen == list(range(inputs))
    assert bench.judge.finals == []
