"""A virtual clock and a board with a known power trace, for tests without real time."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_energy.sensors.base import Channel, Kind, Provenance, Reading, Sensor
from pytest_energy.testing import VirtualTime


@dataclass
class VirtualBoard:
    """A counter that is refreshed every `period` + up to `jitter` seconds.

    The power is what work asks for, and falls with the time constant `decay` to less; the energy is
    integrated exactly. lag, power_lag: the counter, or the power, shows what was so long ago.
    latency: of a reading. halted: between such times the counter stands still, and what is used
    meanwhile is lost.
    """

    time: VirtualTime
    period: float
    phase: float
    jitter: float = 0.0
    idle_watts: float = 50.0
    decay: float = 0.0
    seed: int = 1
    lag: float = 0.0
    power_lag: float = 0.0
    latency: float = 20e-6
    halted: list[tuple[float, float]] = field(default_factory=list)
    readings: int = 0
    extra_joules: float = 0.0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        # From then on: watts, with so much more that falls, after so many joules.
        self._changes = [(0.0, self.idle_watts, 0.0, 0.0)]
        self._next = self.time.seconds + self.phase
        self._published = 1000.0
        self.true_joules_of_work = 0.0

    def work(
        self, seconds: float, watts: float, polling: Sensor | None = None, *, ends: bool = True
    ) -> None:
        """Use `watts` for some time, and fall to idle after it if the work ends there."""
        self.use(watts)
        before = self.energy(self.time.seconds)
        until = self.time.seconds + seconds
        pause = polling.poll_seconds(frozenset({"gpu:0", "gpu:1"})) if polling else math.inf
        while self.time.seconds + pause < until:
            self.time.pass_by(pause)
            assert polling is not None
            polling.poll()
        self.time.pass_by(until - self.time.seconds)
        self.true_joules_of_work += self.energy(self.time.seconds) - before
        if ends:
            self.use(self.idle_watts)

    def use(self, watts: float) -> None:
        """Draw so much from now on."""
        now = self.time.seconds
        more = max(self.watts_at(now) - watts, 0.0) if self.decay else 0.0
        self._changes.append((now, watts, more, self.energy(now)))

    def watts_at(self, seconds: float) -> float:
        start, watts, more, _ = self._change_at(seconds)
        return watts + (more * math.exp((start - seconds) / self.decay) if more else 0.0)

    def watts(self) -> float:
        """Read the power, which is `power_lag` old."""
        return self.watts_at(self.time.seconds - self.power_lag)

    def energy(self, seconds: float) -> float:
        start, watts, more, joules = self._change_at(seconds)
        fallen = -math.expm1((start - seconds) / self.decay) if more else 0.0
        return joules + watts * (seconds - start) + more * self.decay * fallen

    def joules(self) -> float:
        """Read the counter, which takes time."""
        self.readings += 1
        self.time.pass_by(self.latency)
        while self._next <= self.time.seconds:
            at = self._next - self.lag
            lost = sum(
                self.energy(min(at, until)) - self.energy(since)
                for since, until in self.halted
                if since < at
            )
            self._published = 1000.0 + self.energy(at) - lost
            self._next += self.period + self._rng.uniform(0, self.jitter)
        return self._published + self.extra_joules

    def _change_at(self, seconds: float) -> tuple[float, float, float, float]:
        return next(each for each in reversed(self._changes) if each[0] <= max(seconds, 0.0))


class ConstantSensor(Sensor):
    """A channel whose power is what the test says, for driving the protocol."""

    def __init__(self, time: VirtualTime, name: str, kind: Kind, watts: float) -> None:
        self._time = time
        self.watts = watts
        self._started = 0.0
        self.windows: list[float] = []
        self.abandoned = 0
        self._channel = Channel(
            name=name,
            kind=kind,
            source="constant power",
            provenance=Provenance.MEASURED,
            update_seconds=0.1,
            window_seconds=1.0,
        )

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
