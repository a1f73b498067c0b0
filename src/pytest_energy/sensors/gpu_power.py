"""GPU power, sampled and integrated: for boards without an energy counter."""

from __future__ import annotations

import math
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
from pytest_energy.units import percent

SAMPLE_SECONDS = 0.02
#: A gap of more than three periods between samples is unmeasured time. The period that
#: counts is the 100 ms at which drivers refresh power, not our quicker sampling.
UPDATE_SECONDS = 0.1
MAX_GAP_SECONDS = 3 * UPDATE_SECONDS
WINDOW_SECONDS = 1.0
#: Where only the 1 s average exists, a 1 s window is wrong by up to 44 %.
AVERAGED_WINDOW_SECONDS = 10.0
AVERAGE_SECONDS = 1.0
#: An error of this part of the figure, from when the power changed between two readings, is too
#: much.
UNRESOLVED = 0.05


@dataclass(frozen=True)
class PowerReader:
    """Reads one board's watts, and whether as they are at that instant or as a 1 s average.

    idle_watts: before anything was measured.
    """

    gpu: Gpu
    watts: Callable[[], float]
    instant: bool
    idle_watts: float | None = None

    @property
    def stale_seconds(self) -> float:
        """How old its value may be."""
        return UPDATE_SECONDS + SAMPLE_SECONDS + (0.0 if self.instant else AVERAGE_SECONDS)


@dataclass
class _Trace:
    samples: list[tuple[float, float]] = field(default_factory=list)
    fault: SensorFault | None = None


class GpuPower(Sensor):
    """`gpu:N` for every board that reports its power but has no usable energy counter."""

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
                idle_watts=reader.idle_watts,
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
            reader.gpu.channel: trace.fault or self._joules(reader, trace.samples, ended)
            for reader, trace in self._traces.items()
        }

    def _joules(
        self, reader: PowerReader, samples: Sequence[tuple[float, float]], ended: float
    ) -> Reading:
        fresh = self._started + reader.stale_seconds
        joules = integrate(samples, self._started, ended, reader.stale_seconds)
        if isinstance(joules, SensorFault) or not reader.instant:
            return joules
        inside = [each for each in samples if fresh <= each[0] < ended]
        return unresolved(inside, joules) or joules

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
            if watts > reader.gpu.ceiling_watts:
                trace.fault = SensorFault(
                    f"the power reads {watts:,.0f} W, and the board can draw at most "
                    f"{reader.gpu.ceiling_watts:,.0f} W (twice its power limit), so the reading is "
                    "wrong; run the test again",
                    "implausible-power",
                )
            trace.samples.append((self._clock.now(), watts))


def integrate(
    samples: Sequence[tuple[float, float]],
    started: float,
    ended: float,
    stale_seconds: float = 0.0,
) -> Reading:
    """Joules between two times from samples of (seconds, watts), by the trapezoidal rule.

    stale_seconds: a sample that was taken sooner after `started` may show what was before; the
    first later one stands for all this time, as the last one does for the end.
    """
    inside = [each for each in samples if started < each[0] < ended]
    if not inside:
        return SensorFault(
            "the power was not read during the window; run the test without other load", "power-gap"
        )
    times = [started, *(seconds for seconds, _ in inside), ended]
    gap = max(later - earlier for earlier, later in pairwise(times))
    if gap > MAX_GAP_SECONDS:
        return SensorFault(
            f"the power was not read for {gap:.2f} s (expected: at most {MAX_GAP_SECONDS:.1f} s); "
            "run the test without other load",
            "power-gap",
        )
    fresh = [each for each in inside if each[0] >= started + stale_seconds] or inside[-1:]
    points = [(started, fresh[0][1]), *fresh, (ended, fresh[-1][1])]
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))


def unresolved(samples: Sequence[tuple[float, float]], joules: float) -> SensorFault | None:
    """Why these samples are too few: the power changed more quickly than it is refreshed.

    When it changed between two refreshes is unknown, so each change is an error of its own.
    """
    changes = [
        (later[0], later[1] - earlier[1])
        for earlier, later in pairwise(samples)
        if later[1] != earlier[1]
    ]
    apart = [later[0] - earlier[0] for earlier, later in pairwise(changes)]
    period = min([*apart, UPDATE_SECONDS])
    error = period * math.sqrt(sum(watts**2 for _, watts in changes) / 12)
    if error <= UNRESOLVED * joules:
        return None
    most = max(abs(watts) for _, watts in changes)
    return SensorFault(
        f"the power changed by up to {most:.0f} W between readings that lie {period * 1000:.0f} ms "
        f"apart, which makes the figure uncertain by about {percent(error / joules)} (allowed: "
        f"{percent(UNRESOLVED)}); measure longer calls, or use a board with an energy counter",
        "power-unresolved",
    )
