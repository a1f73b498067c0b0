"""Virtual instruments of known truth, read by the real sensors on a virtual clock.

GPU counters answer through NVML's place, RAPL through the files of a powercap tree.
"""

from __future__ import annotations

import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean, pstdev
from typing import cast

from fake_powercap import RANGE_UJ, UNIT_UJ, Energy, VirtualPowercap, Zone
from loads import LONGER, Load, Trace
from virtual import VirtualTime

from pytest_energy.sensors import rapl
from pytest_energy.sensors.base import Reading, Sensor, SensorFault
from pytest_energy.sensors.gpu_choice import Board
from pytest_energy.sensors.gpu_counter import probe_counters
from pytest_energy.sensors.gpu_energy import GpuEnergy
from pytest_energy.sensors.nvml import Gpu, Nvml

SEED = 20231128
WINDOWS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
READING_SECONDS = 20e-6
GPU = Gpu(Board(0, "GPU-a"), None, "virtual", None)


@dataclass(frozen=True)
class Instrument:
    """A counter of joules.

    period, jitter: it is refreshed every `period` + 0 to `jitter` seconds.
    sampled: at a refresh it adds the mean power of only so many seconds before, times the seconds
    since the last refresh (0: what was really used).
    shortest: for a shorter window the tool gives no figure. lag: the counter shows what was used
    so long ago.
    """

    name: str
    period: float
    jitter: float
    sampled: float = 0.0
    shortest: float = 0.0
    lag: float = 0.0

    @property
    def integrating(self) -> bool:
        return not self.sampled

    @property
    def longest(self) -> float:
        return self.period + self.jitter

    def asks(self, window: float) -> bool:
        """Whether the target holds for such windows: ten periods, of an integrating counter."""
        least = max(10 * self.period, self.shortest)
        return self.integrating and window >= least * (1 - 1e-9)


#: Its windows don't open on a refresh; they last 0.2 s or there is no figure.
RAPL = Instrument("RAPL, 1 ms, 61 uJ, wraps", 0.001, 0.0002, shortest=0.2)
QUICK = Instrument("20 ms, integrating", 0.020, 0.0016)
SLOW = Instrument("100 ms, integrating", 0.100, 0.008)
PART_TIME = Instrument("100 ms, samples 25 of 100 ms", 0.100, 0.008, 0.025)
LOCKED = Instrument("100 ms, samples 25 of 100 ms, no jitter", 0.100, 0.0, 0.025)
LAGGING = tuple(
    Instrument(f"100 ms, {lag * 1000:.0f} ms behind", 0.100, 0.008, lag=lag) for lag in (0.15, 0.3)
)
INSTRUMENTS = (RAPL, QUICK, SLOW, PART_TIME, LOCKED)


class Bench(ABC):
    """An instrument, its sensor and a clock."""

    trace: Trace

    @property
    @abstractmethod
    def now(self) -> float: ...

    @abstractmethod
    def pass_by(self, seconds: float) -> None: ...

    @abstractmethod
    def before(self, joules: float, rng: Random) -> None:
        """A window of about so many joules is about to begin."""

    @abstractmethod
    def sensor(self) -> Sensor: ...

    @abstractmethod
    def shown(self) -> float:
        """What the counter shows, in joules."""


class Counter:
    """The counter of a board, in whole millijoules since long ago."""

    def __init__(self, instrument: Instrument, time: VirtualTime, trace: Trace, rng: Random):
        self._instrument = instrument
        self._time = time
        self._trace = trace
        self._rng = rng
        self._latest = time.seconds - instrument.lag
        self._next = time.seconds + rng.uniform(0.3, 1) * instrument.period
        self._joules = 123456789.0

    def joules(self, gpu: Gpu = GPU) -> float:  # noqa: ARG002 (there is one board)
        self._time.pass_by(READING_SECONDS)
        while self._next <= self._time.seconds:
            shown = self._next - self._instrument.lag
            self._joules += self._counted(self._latest, shown)
            self._latest = shown
            self._next += self._instrument.period + self._rng.uniform(0, self._instrument.jitter)
        return math.floor(self._joules * 1000) / 1000

    def watts(self) -> float:
        self._time.pass_by(READING_SECONDS)
        return self._trace.watts(self._time.seconds)

    def _counted(self, since: float, until: float) -> float:
        sampled = self._instrument.sampled
        if not sampled:
            return self._trace.joules(until) - self._trace.joules(since)
        joules = self._trace.joules(until) - self._trace.joules(max(until - sampled, since))
        return joules / min(sampled, until - since) * (until - since)


class GpuBench(Bench):
    def __init__(self, instrument: Instrument, rng: Random) -> None:
        self._time = VirtualTime()
        self.trace = Trace(self._time.seconds - 1)
        self._counter = Counter(instrument, self._time, self.trace, rng)
        self._sensor: Sensor | None = None

    @property
    def now(self) -> float:
        return self._time.seconds

    def pass_by(self, seconds: float) -> None:
        """With the polls that a thread makes in real time."""
        ends = self.now + seconds
        if self._sensor is not None:
            pause = self._sensor.poll_seconds(frozenset({GPU.channel}))
            while self.now + pause < ends:
                self._time.pass_by(pause)
                self._sensor.poll()
        self._time.pass_by(ends - self.now)

    def before(self, joules: float, rng: Random) -> None:
        pass

    def sensor(self) -> Sensor:
        nvml = cast(Nvml, self._counter)
        probed = probe_counters(nvml, self._time.clock, [GPU])
        assert not probed.faults, probed.faults
        self._sensor = GpuEnergy(nvml, self._time.clock, probed, {GPU: self._counter.watts})
        return self._sensor

    def shown(self) -> float:
        return self._counter.joules()


class TracedEnergy(Energy):
    """A RAPL counter that follows a trace."""

    def __init__(self, zone: Zone, trace: Trace, seconds: float) -> None:
        super().__init__(zone, seconds)
        self._trace = trace

    def joules(self, seconds: float) -> float:
        return self._trace.joules(seconds)

    def wrap_after(self, seconds: float, joules: float) -> None:
        """Move the counter so that it starts again at 0 when so many more have been used."""
        left = RANGE_UJ - (self.joules(seconds) + joules) * 1e6
        self._start_units = int(left / UNIT_UJ)


class RaplBench(Bench):
    ZONE = "intel-rapl:0"

    def __init__(self, folder: Path, instrument: Instrument) -> None:
        zone = Zone("package-0", period=instrument.period, jitter=instrument.jitter)
        self._tree = VirtualPowercap(folder / "class" / "powercap", [zone])
        self.trace = Trace(self._tree.seconds - 1)  # a refresh before the beginning is asked for
        self._energy = TracedEnergy(zone, self.trace, self._tree.seconds - 1)
        self._tree.energies[self.ZONE] = self._energy

    @property
    def now(self) -> float:
        return self._tree.seconds

    def pass_by(self, seconds: float) -> None:
        self._tree.pass_by(seconds)

    def before(self, joules: float, rng: Random) -> None:
        self._energy.wrap_after(self.now, rng.uniform(0, 2) * joules)  # in half of the windows
        self._tree.show(self.now)

    def sensor(self) -> rapl.Rapl:
        found = rapl.probe(self._tree.root, self._tree.clock)
        assert found.sensors, found.problem
        (sensor,) = found.sensors
        assert isinstance(sensor, rapl.Rapl)
        return sensor

    def shown(self) -> float:
        raise NotImplementedError("what the sensor does is a plain difference already")

    def close(self) -> None:
        self._tree.close()


@dataclass(frozen=True)
class Cell:
    """What was found for one instrument, load and window length.

    errors: relative errors of all windows. refused: windows for which there was no number.
    """

    instrument: Instrument
    load: Load
    window: float
    reader: str
    errors: tuple[float, ...]
    refused: int

    @property
    def bias(self) -> float:
        return fmean(self.errors) if self.errors else math.nan

    @property
    def sd(self) -> float:
        return pstdev(self.errors) if self.errors else math.nan

    @property
    def worst(self) -> float:
        """The error that is largest in size, with its sign."""
        return max(self.errors, key=abs, default=math.nan)


def measure(
    instrument: Instrument, load: Load, window: float, phases: int, *, naive: bool = False
) -> Cell:
    """Measure as many windows of random phase; naive: as a difference of two readings."""
    reader = "naive" if naive else "ours"
    rng = Random(f"{SEED} {instrument.name} {load.name} {window} {reader}")
    with _bench(instrument, rng) as bench:
        read = _naive(bench) if naive else _sensed(bench)
        next(read)
        errors = []
        refused = 0
        for _ in range(phases):
            bench.pass_by(rng.uniform(0, 2 * instrument.period))
            seconds = window * rng.uniform(1, 1 + LONGER)
            bench.before(200.0 * seconds, rng)
            next(read)
            true = bench.trace.work(load, bench.now, seconds, rng)
            bench.pass_by(seconds)
            reading = next(read)
            if isinstance(reading, SensorFault):
                refused += 1
            else:
                errors.append(reading / true - 1)
    return Cell(instrument, load, window, reader, tuple(errors), refused)


def all_cells(phases: int, windows: Sequence[float], loads: Sequence[Load]) -> Iterator[Cell]:
    """Ours in every cell, and the naive difference wherever ours is something else."""
    for instrument in INSTRUMENTS:
        for load in loads:
            for window in windows:
                yield measure(instrument, load, window, phases)
                if instrument is not RAPL:
                    yield measure(instrument, load, window, phases, naive=True)


@contextmanager
def _bench(instrument: Instrument, rng: Random) -> Iterator[Bench]:
    if instrument is not RAPL:
        yield GpuBench(instrument, rng)
        return
    with tempfile.TemporaryDirectory() as folder:
        bench = RaplBench(Path(folder), instrument)
        try:
            yield bench
        finally:
            bench.close()


def _sensed(bench: Bench) -> Iterator[Reading]:
    """Probes; then, in turn, begins a window and ends it."""
    sensor = bench.sensor()
    (channel,) = sensor.channels
    try:
        yield 0.0
        while True:
            sensor.open(frozenset({channel.name}))
            yield 0.0
            yield sensor.close(bench.now)[channel.name]
    finally:
        if isinstance(sensor, rapl.Rapl):
            sensor.release()


def _naive(bench: Bench) -> Iterator[Reading]:
    yield 0.0
    while True:
        before = bench.shown()
        yield 0.0
        yield bench.shown() - before
