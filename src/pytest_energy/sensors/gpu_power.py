"""GPU power, sampled and integrated: for boards without an energy counter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pytest_energy.sensors.base import (
    Channel,
    Clock,
    Kind,
    Provenance,
    Reading,
    Sensor,
    SensorFault,
)
from pytest_energy.sensors.nvml import Gpu

SAMPLE_SECONDS = 0.02
#: A gap of more than three periods between samples is a hole in the evidence. The period that
#: counts is the 100 ms at which drivers refresh power, not our quicker sampling.
UPDATE_SECONDS = 0.1
MAX_GAP_SECONDS = 3 * UPDATE_SECONDS
WINDOW_SECONDS = 1.0
#: Where only the 1 s average exists, a 1 s window is wrong by up to 44 %.
AVERAGED_WINDOW_SECONDS = 10.0


@dataclass(frozen=True)
class PowerReader:
    """Reads one board's watts, and whether as they are at that instant or as a 1 s average."""

    gpu: Gpu
    watts: Callable[[], float]
    instant: bool


@dataclass
class _Trace:
    samples: list[tuple[float, float]] = field(default_factory=list)
    fault: SensorFault | None = None


class GpuPower(Sensor):
    """`gpu:N` for every board that tells its power but has no usable energy counter."""

    def __init__(self, readers: Sequence[PowerReader], clock: Clock) -> None:
        self._readers = tuple(readers)
        self._clock = clock
        self._traces: dict[PowerReader, _Trace] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._started = 0.0

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(
            Channel(
                name=reader.gpu.channel,
                kind=Kind.GPU,
                source=f"NVML {'' if reader.instant else '1 s average '}power of {reader.gpu.name}",
                provenance=Provenance.INTEGRATED,
                update_seconds=UPDATE_SECONDS,
                window_seconds=seconds,
                shortest_seconds=seconds,
            )
            for reader in self._readers
            for seconds in (WINDOW_SECONDS if reader.instant else AVERAGED_WINDOW_SECONDS,)
        )

    def open(self, names: frozenset[str]) -> None:
        self._traces = {each: _Trace() for each in self._readers if each.gpu.channel in names}
        self._stop.clear()
        self._sample()
        if self._traces:
            self._thread = threading.Thread(
                target=self._run, name="pytest-energy power", daemon=True
            )
            self._thread.start()  # on a busy machine, this takes a while
        self._started = self._clock.now()

    def close(self, ended: float) -> Mapping[str, Reading]:
        self.abandon()
        self._sample()
        return {
            reader.gpu.channel: trace.fault or integrate(trace.samples, self._started, ended)
            for reader, trace in self._traces.items()
        }

    def abandon(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        for reader, trace in self._traces.items():
            try:
                watts = reader.watts()
            except SensorFault as fault:
                trace.fault = fault
                continue
            trace.samples.append((self._clock.now(), watts))


def integrate(samples: Sequence[tuple[float, float]], started: float, ended: float) -> Reading:
    """Joules between two times from samples of (seconds, watts), by the trapezoidal rule.

    The first and last sample stand for the moments before and after them.
    """
    if not samples:
        return SensorFault("there was no power reading in the window")
    points = [(started, samples[0][1])]
    points += [each for each in samples if started < each[0] < ended]
    last = next((watts for seconds, watts in samples if seconds >= ended), samples[-1][1])
    points.append((ended, last))
    gap = max(b[0] - a[0] for a, b in pairwise(points))
    if gap > MAX_GAP_SECONDS:
        return SensorFault(f"the power readings have a gap of {gap:.2f} s")
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
