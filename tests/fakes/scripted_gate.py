"""The whole measurement on a scripted sensor in virtual time, from job to records."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.limits.budget import Budget, Declaration, Scope
from pytest_energy.limits.limit import parse_limit
from pytest_energy.measurement.gate import Gate, GateSettings
from pytest_energy.measurement.judgement import Job
from pytest_energy.measurement.protocol import Limits
from pytest_energy.record.schema import TestRecord
from pytest_energy.sensors.base import Probe, Reading
from pytest_energy.sensors.discover import Choice
from pytest_energy.sensors.gpu_choice import GpuChoice
from pytest_energy.testing import ScriptedSensor, VirtualTime

Driver = Callable[[Generator[Any, Any, tuple[TestRecord, ...]]], tuple[TestRecord, ...]]
WATTS = 100.0


class NoisySensor(ScriptedSensor):
    """Each window is read a little too high or too low: `cv` is the coefficient of variation."""

    def __init__(self, time: VirtualTime, cv: float, seed: int) -> None:
        super().__init__(WATTS, time.clock)
        self._cv = cv
        self._random = random.Random(seed)

    def close(self, ended: float) -> Mapping[str, Reading]:
        factor = 1 + self._random.gauss(0, self._cv) if self._cv else 1.0
        return {
            name: reading * factor if isinstance(reading, float) else reading
            for name, reading in super().close(ended).items()
        }


class ScriptedGate:
    """A gate whose only gated sensor draws 100 W while virtual time passes."""

    def __init__(
        self, folder: Path, cv: float = 0.0, seed: int = 1, max_seconds: float = 60.0
    ) -> None:
        self.time = VirtualTime()
        self.sensor = NoisySensor(self.time, cv, seed)
        settings = GateSettings(
            choice=Choice(
                gpus=GpuChoice("none"), cpu_watts_per_core=4.0, cpu_counter_folder=folder / "none"
            ),
            limits=Limits(max_rounds=20, max_seconds=max_seconds),
            intensity=None,
            require_measured=False,
            lock_folder=folder,
            added=(Probe.of(self.sensor),),
        )
        self.gate = Gate(settings, self.time.clock, print)

    def job(self, *limits: str, units: tuple[str, ...] = ("query",)) -> Job:
        budgets = tuple(
            Budget(limit=parse_limit(each), origin="test_it.py:1", scope=Scope.MACHINE)
            for each in limits
        )
        return Job(
            test_id="test_it.py::test_it",
            declaration=Declaration(),
            budgets=budgets or (Budget(scope=Scope.MACHINE),),
            units=units,
        )


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScriptedGate]:
    """Makes gates on scripted sensors; work in virtual time uses no CPU time."""
    monkeypatch.setattr("pytest_energy.measurement.judgement.IDLE_SHARE", 0.0)

    def make(**options: Any) -> ScriptedGate:
        return ScriptedGate(tmp_path / "locks", **options)

    return make
