"""Sensors to windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_energy.measure.accelerators import synchronise
from pytest_energy.sensors.base import Clock, Reading, Sensor, SensorFault
from pytest_energy.sensors.cpu_time import CpuTime


@dataclass(frozen=True)
class Window:
    """The interval between two readings.

    seconds: of the work alone. readings: joules, or why there is no number, by channel name.
    cpu_seconds: of the process tree.
    """

    seconds: float
    readings: Mapping[str, Reading]
    cpu_seconds: float

    def joules(self, names: Sequence[str]) -> float:
        """The sum over these channels. Raises SensorFault where one has no number."""
        total = 0.0
        for name in names:
            reading = self.readings[name]
            if isinstance(reading, SensorFault):
                raise SensorFault(f"{name}: {reading}")
            total += reading
        return total


class Meter:
    """Opens and closes windows on all sensors together, each with its own edges."""

    def __init__(self, gpu_sensors: Sequence[Sensor], cpu_time: CpuTime, clock: Clock) -> None:
        self._gpu_sensors = tuple(gpu_sensors)
        self._cpu_time = cpu_time
        self._clock = clock
        self._names: frozenset[str] = frozenset()
        self._started = 0.0

    def open(self, names: Sequence[str]) -> None:
        """Begin a window on these channels; CPU time is always counted."""
        self._names = frozenset(names)
        synchronise()
        for sensor in self._gpu_sensors:
            sensor.open(self._names)
        self._cpu_time.open(self._names)
        self._started = self._clock.now()

    def elapsed(self) -> float:
        """Seconds since the window was opened."""
        return self._clock.now() - self._started

    def close(self) -> Window:
        """End the window at this moment, once devices have finished what they were given."""
        synchronise()
        ended = self._clock.now()
        readings: dict[str, Reading] = dict(self._cpu_time.close(ended))
        for sensor in reversed(self._gpu_sensors):
            readings |= sensor.close(ended)
        kept = {name: readings[name] for name in readings if name in self._names}
        return Window(ended - self._started, kept, self._cpu_time.cpu_seconds)

    def abandon(self) -> None:
        """End a window whose work raised."""
        for sensor in self._gpu_sensors:
            sensor.abandon()
