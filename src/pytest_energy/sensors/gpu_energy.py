"""GPU energy counters, read on their own ticks.

A counter is refreshed every 20-100 ms, so a plain difference over T is wrong by up to period/T, and
low on average, because the work after the last refresh is missing. So a window opens on a tick and
closes on the first tick after the work; what the board used outside the work is taken off, going by
its power in the two tick intervals right after (see `gpu_corrections`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from statistics import fmean

from pytest_energy.sensors.base import (
    Channel,
    Clock,
    Kind,
    Provenance,
    Reading,
    Sensor,
    SensorFault,
)
from pytest_energy.sensors.gpu_corrections import (
    LEAST_LAG_SECONDS,
    Ending,
    Interval,
    Stretch,
    joules_after_work,
    lag_seconds,
)
from pytest_energy.sensors.gpu_counter import (
    History,
    ProbedCounters,
    Sighting,
    Tick,
    read_counter,
    watch,
)
from pytest_energy.sensors.nvml import Gpu, Nvml

AFTER_TICKS = 3
#: Of a period: a few intervals do not show all of a counter's jitter.
LEAST_SLACK = 0.05
#: Of a period: with more slack, the interval in which the work ended is unknown.
MOST_SLACK = 0.25
WINDOW_PERIODS = 10
MIN_WINDOW_SECONDS = 1.0
#: A window that opens and closes on refreshes is unbiased after three of them; ten reduce noise.
SLOW_WINDOW_SECONDS = 3.0
#: Of a period: often enough to see each value.
POLL_SHARE = 0.5
POLL_SECONDS = 0.04
#: Between two readings of the power, which are compared with the counter.
POWER_SECONDS = 0.02
POWERS_KEPT = 500


class GpuEnergy(Sensor):
    """`gpu:N` for every board whose energy counter moves.

    powers: read a board's watts, where it reports those of the instant.
    """

    def __init__(
        self,
        nvml: Nvml,
        clock: Clock,
        probed: ProbedCounters,
        powers: Mapping[Gpu, Callable[[], float]] | None = None,
    ) -> None:
        self._nvml = nvml
        self._clock = clock
        self._periods = probed.periods
        self._jitter = dict(probed.jitter)
        self._idle_watts = probed.idle_watts
        self._opening: dict[Gpu, Tick | SensorFault] = {}
        self._powers = powers or {}
        self._histories: dict[Gpu, History] = {}
        self._drawn: dict[Gpu, deque[tuple[float, float]]] = {}
        """Seconds and watts."""
        self._latest: dict[Gpu, float] = {}
        """When each counter was last seen to be refreshed."""
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
                window_seconds=_window_seconds(period),
                idle_watts=self._idle_watts.get(gpu),
            )
            for gpu, period in self._periods.items()
        )

    def open(self, names: frozenset[str]) -> None:
        wanted = [gpu for gpu in self._periods if gpu.channel in names]
        self._histories = {
            gpu: History(period=self._periods[gpu], ceiling_watts=gpu.ceiling_watts)
            for gpu in wanted
        }
        self._drawn = {gpu: deque(maxlen=POWERS_KEPT) for gpu in wanted if gpu in self._powers}
        seen = self._next_ticks(wanted, 1)
        self._opening = {gpu: _first(each) for gpu, each in seen.items()}
        self._started = self._clock.now()

    def poll_seconds(self, names: frozenset[str]) -> float:
        mine = [period for gpu, period in self._periods.items() if gpu.channel in names]
        return max(POLL_SHARE * min(mine), POLL_SECONDS) if mine else math.inf

    def poll(self) -> None:
        for gpu in self._histories:
            # A reading that fails is reported when the window closes.
            with suppress(SensorFault):
                self._see(gpu, read_counter(self._nvml, self._clock, gpu))

    def _see(self, gpu: Gpu, seen: Sighting) -> SensorFault | None:
        drawn = self._drawn.get(gpu)
        if drawn is not None and not (drawn and seen.latest < drawn[-1][0] + POWER_SECONDS):
            with suppress(SensorFault):  # the counter reports what is wrong
                # On a busy machine this thread may have to wait before, between and after.
                before, watts, after = self._clock.now(), self._powers[gpu](), self._clock.now()
                if after - before <= POWER_SECONDS:
                    drawn.append(((before + after) / 2, watts))
        return self._histories[gpu].see(seen)

    def close(self, ended: float) -> Mapping[str, Reading]:
        ticked = [gpu for gpu, each in self._opening.items() if isinstance(each, Tick)]
        after = self._next_ticks(ticked, AFTER_TICKS)
        return {
            gpu.channel: opening
            if isinstance(opening, SensorFault)
            else self._between(gpu, opening, after[gpu], ended)
            for gpu, opening in self._opening.items()
        }

    def abandon(self) -> None:
        self._histories = {}

    def _between(
        self, gpu: Gpu, opening: Tick, after: list[Tick] | SensorFault, ended: float
    ) -> Reading:
        if isinstance(after, SensorFault):
            return after
        values, drawn = self._histories[gpu].values(), self._drawn.get(gpu, ())
        usual_seconds = max(POLL_SECONDS, self._periods[gpu])
        if lag := lag_seconds(values, drawn, usual_seconds):
            return SensorFault(
                f"the energy counter lags {lag:.2f} s behind the board's power (expected: less "
                f"than {LEAST_LAG_SECONDS:g} s), so a window does not contain its work; measure "
                'another GPU, or only what the CPU uses: scope="cpu"',
                "counter-lags",
            )
        intervals = [
            Interval(
                later.seconds - earlier.seconds,
                later.joules - earlier.joules,
                later.slack + earlier.slack,
            )
            for earlier, later in pairwise(after)
        ]
        first, second = intervals
        # With several boards, the work begins when the last of them has ticked.
        head = max(self._started - opening.seconds, 0.0)
        joules = after[0].joules - opening.joules - second.watts * head
        worked, tail = ended - self._started, max(after[0].seconds - ended, 0.0)
        window = Stretch(worked, joules)
        lengths = [first.seconds, second.seconds, self._periods[gpu]]
        jitter = max(self._jitter.get(gpu, 0.0), max(lengths) - min(lengths))
        slack = max(jitter, LEAST_SLACK * self._periods[gpu]) + after[0].slack
        last = self._histories[gpu].last_interval(opening, after[0], fmean(lengths), slack)
        most = MOST_SLACK * self._periods[gpu]
        if last is None or last.slack > most or last.began - last.slack >= ended:
            return joules - joules_after_work(
                Ending(window=window, last=window, tail=tail), first, second
            )
        # That refresh came before the end of the work, and the work may have begun after it.
        earliest, latest = last.began - last.slack, min(last.began + last.slack, ended)
        before = second.watts * max(self._started - last.began, 0.0)
        end = Ending(
            window=window,
            last=Stretch(
                ended - max((earliest + latest) / 2, self._started),
                after[0].joules - last.joules - before,
            ),
            slack=(latest - earliest) / 2,
            tail=tail,
            last_watts=last.watts,
            doubt=last.doubt,
        )
        return joules - joules_after_work(end, first, second)

    def _next_ticks(self, gpus: Sequence[Gpu], count: int) -> dict[Gpu, list[Tick] | SensorFault]:
        """The next refreshes of each counter, all watched together."""
        patience = {gpu: (3 * count + 6) * self._periods[gpu] + 0.05 for gpu in gpus}
        found: dict[Gpu, list[Tick] | SensorFault] = {}
        watched = watch(
            self._nvml,
            self._clock,
            gpus,
            count,
            patience,
            self._periods,
            self._latest,
            self._see,
        )
        for gpu, seen in watched.items():
            if isinstance(seen, list) and seen:
                self._latest[gpu] = seen[-1].seconds
            if isinstance(seen, list) and len(seen) < count:
                found[gpu] = SensorFault(
                    f"no refresh of the energy counter was seen for {patience[gpu]:.2f} s "
                    f"(expected: every {self._periods[gpu] * 1000:.0f} ms), because the machine "
                    "is too busy; run the test without other load",
                    "counter-unseen",
                )
            else:
                found[gpu] = seen
        return found


def _first(seen: list[Tick] | SensorFault) -> Tick | SensorFault:
    return seen if isinstance(seen, SensorFault) else seen[0]


def _window_seconds(period: float) -> float:
    return max(min(WINDOW_PERIODS * period, SLOW_WINDOW_SECONDS), MIN_WINDOW_SECONDS)
