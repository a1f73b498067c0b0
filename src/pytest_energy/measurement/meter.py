"""Sensors to windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from pytest_energy.measurement.turns import Turns
from pytest_energy.measurement.watcher import Poll, Watcher
from pytest_energy.sensors.accelerators import synchronise
from pytest_energy.sensors.base import Clock, Reading, Sensor, SensorFault
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.cpu_time import CpuTime
from pytest_energy.sensors.reference import reference_seconds


@dataclass(frozen=True, kw_only=True)
class Lap:
    """A short piece of a window, as far as this process's own CPU time shows it.

    position: its first call's place in the cycle of inputs. before, after: CPU seconds of the fixed
    work of `sensors.reference`, timed around it.
    """

    position: int
    calls: int
    units: Mapping[str, float]
    seconds: float
    cpu_seconds: float
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Window:
    """The interval between two readings.

    seconds: of the work alone. readings: joules, or why there is no number, by channel name.
    cpu_seconds: of the process tree. other_cpu_seconds: of all other processes on the machine,
    or None where nothing tells. involuntary_switches: how often this process had to leave a core.
    waited_seconds: for a core, by the thread that measures; None where the system doesn't say.
    laps: the same in short pieces, where CPU time is what decides.
    """

    seconds: float
    readings: Mapping[str, Reading]
    cpu_seconds: float
    other_cpu_seconds: float | None = None
    involuntary_switches: int | None = None
    waited_seconds: float | None = None
    laps: tuple[Lap, ...] = ()

    @property
    def ran_seconds(self) -> float:
        """Those in which the thread that measures did not wait for a core."""
        return max(self.seconds - (self.waited_seconds or 0.0), 0.0)

    def joules(self, names: Sequence[str]) -> float:
        """The sum over these channels. Raises SensorFault where one has no number."""
        total = 0.0
        for name in names:
            reading = self.readings[name]
            if isinstance(reading, SensorFault):
                raise SensorFault(f"{name}: {reading}", reading.code)
            total += reading
        return total


class Measured:
    """What `Meter.window` measured, once its block has ended."""

    window: Window


class Meter:
    """Opens and closes windows on all sensors together, each with its own edges.

    counters: opened in this order and closed in the reverse, so those that wait for a tick come
    first. machine_busy: CPU seconds of all processes, or None where nothing tells. watcher: polls
    at all of them in a window; None where time is virtual. turns: with another process, lap by lap.
    """

    def __init__(
        self,
        counters: Sequence[Sensor],
        cpu_time: CpuTime,
        machine_busy: Callable[[], float | None],
        clock: Clock,
        watcher: Watcher | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._turns = turns
        self._watcher = watcher
        self._counters = tuple(counters)
        self._cpu_time = cpu_time
        self._machine_busy = machine_busy
        self._clock = clock
        self._names: frozenset[str] = frozenset()
        self._busy: float | None = None
        self._started = 0.0
        self._is_open = False
        self._aside = 0.0
        self._reference = self._lap_cpu = self._lap_started = 0.0

    @contextmanager
    def window(self, names: Sequence[str], *, laps: bool = False) -> Iterator[Measured]:
        """A window on these channels around what happens inside. laps: `lap` is called in it."""
        measured = Measured()
        self.open(names, laps=laps)
        try:
            yield measured
        except BaseException:
            self.abandon()
            raise
        measured.window = self.close()

    def open(self, names: Sequence[str], *, laps: bool = False) -> None:
        """Begin a window on these channels; CPU time is always counted. laps: `lap` is called."""
        self._names = frozenset(names)
        synchronise()
        for sensor in self._counters:
            sensor.open(self._names)
        self._busy = self._machine_busy()
        if self._watcher is not None:
            self._watcher.start(self._polls(), self._cpu_time.forks)
        self._cpu_time.open(self._names)
        self._is_open = True
        self._aside = 0.0
        if laps:
            self._begin_lap(real.process_time() - self._watching())
        self._started = self._clock.now()

    def lap(self, position: int, calls: int, units: Mapping[str, float]) -> Lap:
        """End a lap, in which these calls did these units, and begin the next one."""
        cpu, now = real.process_time(), self._clock.now()
        seconds = now - self._lap_started
        cpu -= self._watching()
        cpu_seconds = max(cpu - self._lap_cpu, 0.0)
        before = self._reference
        after = self._let_other_run() if self._turns is not None else None
        self._begin_lap(cpu)
        return Lap(
            position=position,
            calls=calls,
            units=units,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            before=before,
            after=self._reference if after is None else after,
        )

    def running(self) -> float:
        """Seconds since the window was opened; what devices were given may still be under way."""
        return self._clock.now() - self._started

    def elapsed(self) -> float:
        """Seconds since the window was opened, all work done that devices were given in them."""
        synchronise()
        return self.running()

    def close(self) -> Window:
        """End the window at this moment, once devices have finished what they were given."""
        synchronise()
        ended = self._clock.now()
        self._stop_looking()
        readings: dict[str, Reading] = dict(self._cpu_time.close(ended))
        busy = self._machine_busy()
        for sensor in reversed(self._counters):
            readings |= sensor.close(ended)
        kept = {name: readings[name] for name in readings if name in self._names}
        own = self._cpu_time.cpu_seconds
        neighbours = None
        if busy is not None and self._busy is not None:
            neighbours = max(busy - self._busy - own, 0.0)
        return Window(
            seconds=ended - self._started,
            readings=kept,
            cpu_seconds=own,
            other_cpu_seconds=neighbours,
            involuntary_switches=self._cpu_time.involuntary_switches,
            waited_seconds=self._cpu_time.waited_seconds,
        )

    def abandon(self) -> None:
        """End a window whose work raised."""
        self._stop_looking()
        for sensor in self._counters:
            sensor.abandon()

    def _begin_lap(self, ended: float) -> None:
        """Time the fixed work; what that takes belongs to no lap and no window.

        ended: the CPU time until here, without the watcher's.
        """
        self._reference = reference_seconds()
        self._lap_started = self._clock.now()
        self._lap_cpu = real.process_time() - self._watching()
        self._aside += self._lap_cpu - ended

    def _let_other_run(self) -> float:
        """Time the fixed work, then wait for the next turn, without what others use meanwhile."""
        assert self._turns is not None
        reference, before = reference_seconds(), self._machine_busy()
        self._turns.lap()
        after = self._machine_busy()
        if self._busy is not None and before is not None and after is not None:
            self._busy += after - before
        return reference

    def _watching(self) -> float:
        """CPU seconds of the watcher in this window so far."""
        return self._watcher.cpu_seconds if self._watcher is not None else 0.0

    def _polls(self) -> list[Poll]:
        sensors = (*self._counters, self._cpu_time)
        return [
            Poll(partial(self._poll, each), seconds, str(number))
            for number, each in enumerate(sensors)
            if (seconds := each.poll_seconds(self._names)) < math.inf
        ]

    def _poll(self, sensor: Sensor) -> None:
        if self._is_open:
            sensor.poll()

    def _stop_looking(self) -> None:
        self._is_open = False
        if self._watcher is not None:
            self._watcher.stop()
        wakeups = self._watcher.wakeups if self._watcher is not None else 0
        self._cpu_time.discount(self._watching() + self._aside, wakeups)
