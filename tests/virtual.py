"""A virtual clock and a board with a known power trace, for tests without real time."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_energy.sensors.base import (
    Channel,
    Clock,
    Kind,
    Provenance,
    Reading,
    Sensor,
)


class VirtualTime:
    """Time that passes only when somebody sleeps or works."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.clock = Clock(lambda: self.seconds, self.pass_by)

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class VirtualBoard:
    """A counter that is refreshed every `period` + up to `jitter` seconds.

    The power is `busy_watts` while work runs, decays to `idle_watts` with time constant `decay`
    after it; the energy is integrated exactly.
    """

    time: VirtualTime
    period: float
    phase: float
    jitter: float = 0.0
    idle_watts: float = 50.0
    decay: float = 0.0
    seed: int = 1
    readings: int = 0
    _changes: list[tuple[float, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._changes = [(0.0, 0.0, self.idle_watts)]
        self._next = self.time.seconds + self.phase
        self._published = 1000.0
        self.true_joules_of_work = 0.0

    def work(self, seconds: float, watts: float) -> None:
        """Use `watts` for some time."""
        self._publish()
        self._change(watts, 0.0)
        before = self._energy(self.time.seconds)
        self.time.pass_by(seconds)
        self.true_joules_of_work += self._energy(self.time.seconds) - before
        self._publish()
        self._change(self.idle_watts, watts - self.idle_watts if self.decay else 0.0)

    def joules(self) -> float:
        self.readings += 1
        self._publish()
        return self._published

    def _change(self, watts: float, decaying: float) -> None:
        now = self.time.seconds
        self._energy_at_change = self._energy(now)
        self._changes = [(now, decaying, watts)]

    _energy_at_change: float = 0.0

    def _energy(self, seconds: float) -> float:
        start, decaying, watts = self._changes[-1]
        span = seconds - start
        tail = decaying * self.decay * (1 - math.exp(-span / self.decay)) if self.decay else 0.0
        return self._energy_at_change + watts * span + tail

    def _publish(self) -> None:
        while self._next <= self.time.seconds:
            self._published = 1000.0 + self._energy(self._next)
            self._next += self.period + self._rng.uniform(0, self.jitter)


class ConstantSensor(Sensor):
    """A channel whose power is what the test says, for driving the protocol."""

    def __init__(self, time: VirtualTime, name: str, kind: Kind, watts: float) -> None:
        self._time = time
        self.watts = watts
        self._started = 0.0
        self.windows: list[float] = []
        self.abandoned = 0
        self._channel = Channel(name, kind, "constant power", Provenance.MEASURED, 0.1, 1.0)

    @property
    def channels(self) -> tuple[Channel, ...]:
        return (self._channel,)

    def open(self, names: frozenset[str]) -> None:
        self._started = self._time.seconds

    def close(self, ended: float) -> Mapping[str, Reading]:
        self.windows.append(ended - self._started)
        return {self._channel.name: self.watts * (ended - self._started)}

    def abandon(self) -> None:
        self.abandoned += 1
