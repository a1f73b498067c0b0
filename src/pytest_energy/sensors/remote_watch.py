"""How often a counter of another machine is refreshed, as seen, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from pytest_energy.sensors.base import Channel, Clock, Provenance, SensorFault
from pytest_energy.sensors.remote_counters import Counter
from pytest_energy.sensors.remote_metrics import Sample

#: Refreshes that are watched before a counter is trusted; fewer where they take long.
PROBE_TICKS = 4
PROBE_SECONDS, MOST_PROBE_SECONDS = 20.0, 130.0
#: A shorter look says little of the idle power: a request takes some milliseconds, more or less.
LEAST_PROBE_SECONDS = 0.5
SAY_AFTER_SECONDS = 3.0
ERRATIC = 2.5
WINDOW_PERIODS, LEAST_PERIODS = 10, 3
MIN_WINDOW_SECONDS, SLOW_WINDOW_SECONDS = 1.0, 3.0
ROUNDS, WARMUP_SECONDS = 5, 3.0
#: Between two readings of a page while a refresh is waited for: this, and this part of the period.
POLL_SECONDS = 0.02
POLL_SHARE = 0.01
#: The counter is read afresh for each page where it changes at least so often.
FRESH_SECONDS = 0.1
FETCH_SECONDS = 5.0
#: For a page that fails now and then.
GRACE_SECONDS = 1.0
#: Inside a window; a page that takes longer is not waited for.
LOOK_SECONDS = 0.2
AFTER_TICKS = 3

#: Gives the samples of a page, or raises SensorFault; takes the seconds that it may take.
Look = Callable[[float], Sequence[Sample]]


@dataclass(frozen=True)
class Tick:
    """A refresh of a counter: when, about, and what it showed from then on."""

    seconds: float
    joules: float


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A counter that changes. period: seconds between two refreshes, 0 for one at each reading."""

    counter: Counter
    period: float
    idle_watts: float

    @property
    def window_seconds(self) -> float:
        usual = min(WINDOW_PERIODS * self.period, SLOW_WINDOW_SECONDS)
        return max(usual, LEAST_PERIODS * self.period, MIN_WINDOW_SECONDS)

    @property
    def test_seconds(self) -> float:
        """What a test takes at least, of five rounds after warm-up."""
        around = (0.5 + AFTER_TICKS - 0.5) * self.period
        return ROUNDS * (self.window_seconds + around) + WARMUP_SECONDS + 2 * around

    def channel(self, alias: str) -> Channel:
        metric = self.counter.metric
        return Channel(
            name=self.counter.channel,
            kind=metric.kind,
            source=f"{metric.metric} of {alias}",
            provenance=Provenance.MEASURED,
            update_seconds=self.period,
            window_seconds=self.window_seconds,
            shortest_seconds=max(self.period, LOOK_SECONDS),
            idle_watts=self.idle_watts,
            hardware=self.counter.hardware,
        )


def watch(
    alias: str,
    counters: Sequence[Counter],
    look: Look,
    clock: Clock,
    say: Callable[[str], None],
) -> list[Watched]:
    """All counters with their periods. Raises SensorFault for one that cannot be used."""
    ticks: dict[str, list[Tick]] = {each.channel: [] for each in counters}
    last: dict[str, tuple[float, float]] = {}
    readings = 0
    started = now = clock.now()
    is_said = False

    def is_known(seen: Sequence[Tick]) -> bool:
        took = now - started
        return len(seen) >= (2 if took >= PROBE_SECONDS else PROBE_TICKS) and (
            took >= LEAST_PROBE_SECONDS
        )

    answered = started
    while now - started < MOST_PROBE_SECONDS and not all(map(is_known, ticks.values())):
        before = clock.now()
        try:
            samples = look(FETCH_SECONDS)
            shown = [(each, each.joules(samples)) for each in counters]
        except SensorFault:
            now = clock.now()
            if now - answered > GRACE_SECONDS:
                raise
            clock.sleep(POLL_SECONDS)
            continue  # an exporter leaves out now and then what it could not read
        now = answered = clock.now()
        readings += 1
        for each, joules in shown:
            seen = last.get(each.channel)
            if seen is not None and joules != seen[1]:
                ticks[each.channel].append(Tick((seen[0] + now) / 2, joules))
            last[each.channel] = (before, joules)
        if not is_said and now - started > SAY_AFTER_SECONDS:
            is_said = True
            say(f"energy: waiting for {alias}, to see how often its counters are refreshed")
        clock.sleep(max(POLL_SECONDS, POLL_SHARE * (now - started)))
    found = []
    for each in counters:
        seen_ticks = ticks[each.channel]
        intervals = [later.seconds - earlier.seconds for earlier, later in pairwise(seen_ticks)]
        if not intervals:
            raise SensorFault(
                f"{each.metric.metric} ({each.channel}) did not change twice in "
                f"{now - started:.0f} s, so it stands still, or is refreshed too seldom",
                "counter-stalled",
            )
        if min(later.joules - earlier.joules for earlier, later in pairwise(seen_ticks)) < 0:
            raise SensorFault(
                f"{each.metric.metric} ({each.channel}) went back, so it was reset or wraps here; "
                "run the tests again",
                "counter-reset",
            )
        period = median(intervals)
        if max(intervals) > ERRATIC * min(intervals):
            period = max(intervals)
        if len(seen_ticks) >= readings - 1 and period < FRESH_SECONDS:
            period = 0.0
        rise = seen_ticks[-1].joules - seen_ticks[0].joules
        found.append(Watched(counter=each, period=period, idle_watts=rise / sum(intervals)))
    return found
