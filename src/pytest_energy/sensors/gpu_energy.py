"""GPU energy counters, read on their own ticks.

A counter is refreshed every 20-100 ms, so a plain difference over T is wrong by up to period/T, and
low on average, because the work after the last refresh is missing. So a window opens on a tick and
closes on the first tick after the work; what the board used outside the work is taken off with
its power in the tick interval right after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from pytest_energy.sensors.base import (
    Channel,
    Clock,
    Kind,
    Provenance,
    Reading,
    Sensor,
    SensorFault,
)
from pytest_energy.sensors.nvml import Gpu, Nvml

POLL_SECONDS = 0.0005
PROBE_TICKS = 5
PROBE_SECONDS = 1.5
WINDOW_PERIODS = 10
MIN_WINDOW_SECONDS = 1.0


@dataclass(frozen=True)
class Tick:
    """One refresh of a counter: when it was seen, and the joules since the driver was loaded."""

    seconds: float
    joules: float


class GpuEnergy(Sensor):
    """`gpu:N` for every board whose energy counter moves."""

    def __init__(self, nvml: Nvml, clock: Clock, periods: Mapping[Gpu, float]) -> None:
        self._nvml = nvml
        self._clock = clock
        self._periods = dict(periods)
        self._opening: dict[Gpu, Tick | SensorFault] = {}
        self._started = 0.0

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(
            Channel(
                name=gpu.channel,
                kind=Kind.GPU,
                source=f"NVML energy counter of {gpu.name}",
                provenance=Provenance.MEASURED,
                update_seconds=period,
                window_seconds=max(WINDOW_PERIODS * period, MIN_WINDOW_SECONDS),
            )
            for gpu, period in self._periods.items()
        )

    def open(self, names: frozenset[str]) -> None:
        self._opening = self._next_ticks([gpu for gpu in self._periods if gpu.channel in names])
        self._started = self._clock.now()

    def close(self, ended: float) -> Mapping[str, Reading]:
        after = self._next_ticks([gpu for gpu in self._opening if self._ticked(gpu)])
        later = self._next_ticks([gpu for gpu in after if isinstance(after[gpu], Tick)])
        return {
            gpu.channel: self._between(opening, after.get(gpu), later.get(gpu), ended)
            for gpu, opening in self._opening.items()
        }

    def abandon(self) -> None:
        pass  # nothing is running between two readings

    def _ticked(self, gpu: Gpu) -> bool:
        return isinstance(self._opening[gpu], Tick)

    def _between(
        self,
        opening: Tick | SensorFault,
        after: Tick | SensorFault | None,
        later: Tick | SensorFault | None,
        ended: float,
    ) -> Reading:
        if isinstance(opening, SensorFault):
            return opening
        if not isinstance(after, Tick):
            return after or SensorFault("the energy counter was not read after the work")
        if not isinstance(later, Tick):
            return later or SensorFault("the energy counter was not read after the work")
        if not opening.joules <= after.joules <= later.joules:
            return SensorFault(
                f"the energy counter went back from {opening.joules:.3f} J to "
                f"{min(after.joules, later.joules):.3f} J: it was reset in the window"
            )
        # A counter without ticks may give the same moment twice.
        interval = later.seconds - after.seconds
        watts_after = (later.joules - after.joules) / interval if interval > 0 else 0.0
        outside = max(self._started - opening.seconds, 0) + max(after.seconds - ended, 0)
        return after.joules - opening.joules - watts_after * outside

    def _next_ticks(self, gpus: Sequence[Gpu]) -> dict[Gpu, Tick | SensorFault]:
        """The next refresh of each counter, all watched together."""
        patience = {gpu: 5 * self._periods[gpu] + 0.05 for gpu in gpus}
        found: dict[Gpu, Tick | SensorFault] = {}
        for gpu, seen in _watch(self._nvml, self._clock, gpus, 1, patience).items():
            if isinstance(seen, SensorFault):
                found[gpu] = seen
            elif not seen:
                found[gpu] = SensorFault(
                    f"the energy counter stood still for {patience[gpu]:.2f} s "
                    f"though it is refreshed every {self._periods[gpu] * 1000:.0f} ms"
                )
            else:
                found[gpu] = seen[0]
        return found


def probe(nvml: Nvml, clock: Clock, gpus: Sequence[Gpu]) -> tuple[dict[Gpu, float], dict[Gpu, str]]:
    """The refresh period in seconds of each counter that moves, and why others can't be used."""
    periods: dict[Gpu, float] = {}
    faults: dict[Gpu, str] = {}
    patience = dict.fromkeys(gpus, PROBE_SECONDS)
    for gpu, seen in _watch(nvml, clock, gpus, PROBE_TICKS, patience).items():
        if isinstance(seen, SensorFault):
            faults[gpu] = str(seen)
        elif len(seen) < 2:
            faults[gpu] = f"the energy counter did not move in {PROBE_SECONDS:g} s"
        else:
            periods[gpu] = median(
                later.seconds - earlier.seconds for earlier, later in pairwise(seen)
            )
    return periods, faults


def _watch(
    nvml: Nvml, clock: Clock, gpus: Sequence[Gpu], ticks: int, patience: Mapping[Gpu, float]
) -> dict[Gpu, list[Tick] | SensorFault]:
    """Watch counters until each has been refreshed `ticks` times, or its patience is over."""
    seen: dict[Gpu, list[Tick] | SensorFault] = {}
    last: dict[Gpu, tuple[float, float]] = {}
    started = clock.now()
    waiting = list(gpus)
    while waiting:
        for gpu in tuple(waiting):
            found = seen.setdefault(gpu, [])
            assert isinstance(found, list)
            before = clock.now()
            try:
                joules = nvml.joules(gpu)
            except SensorFault as fault:
                seen[gpu] = fault
                waiting.remove(gpu)
                continue
            if gpu in last and joules != last[gpu][1]:
                # The refresh lies between two readings: halfway is off by half a poll at most.
                found.append(Tick((last[gpu][0] + before) / 2, joules))
            last[gpu] = (before, joules)
            if len(found) >= ticks or before - started > patience[gpu]:
                waiting.remove(gpu)
        if waiting:
            clock.sleep(POLL_SECONDS)
    return seen
