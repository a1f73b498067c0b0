"""Energy counters of other machines, which an exporter lists as a page of metrics.

A page shows a value that may be as old as the exporter's own interval, and the interval of a
Prometheus server in between. So a window opens on a refresh and closes on the second one after the
work, which is certain to contain all of it; what was used meanwhile without the work is taken off,
going by the power in the interval that follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_energy.sensors import remote_caches
from pytest_energy.sensors.base import (
    Access,
    Channel,
    Clock,
    Device,
    Kind,
    Reading,
    Sensor,
    SensorFault,
)
from pytest_energy.sensors.gpu_counter import History, Sighting
from pytest_energy.sensors.remote_caches import CacheCounts, PrefixCache, RemoteProbe
from pytest_energy.sensors.remote_counters import BOOT_TIME, Taken, find_counters
from pytest_energy.sensors.remote_metrics import KNOWN, Endpoint, RemoteMetric, Sample
from pytest_energy.sensors.remote_page import fetch, read_page
from pytest_energy.sensors.remote_watch import (
    AFTER_TICKS,
    FETCH_SECONDS,
    FRESH_SECONDS,
    GRACE_SECONDS,
    LOOK_SECONDS,
    POLL_SECONDS,
    POLL_SHARE,
    Look,
    Tick,
    Watched,
    watch,
)

LOOK_EVERY_SECONDS = 0.5
#: A refresh counts where it is known to this part of a period.
PRECISION = 0.1
#: More than this nothing of a kind draws.
CEILING_WATTS = {Kind.GPU: 3000.0, Kind.CPU: 1000.0, Kind.DRAM: 500.0, Kind.MACHINE: 50_000.0}
NOTHING_FOUND = """\
# Check the page; URL is the address that --energy-remote names:
curl "$URL"
# A counter that is not known here needs a [[remote]] table in the budgets file (docs/remote.md)."""
INSTALL = 'pip install "pytest-energy[remote]"'


def probe(
    endpoint: Endpoint,
    chosen: Sequence[RemoteMetric],
    clock: Clock,
    taken: Taken,
    say: Callable[[str], None],
    look: Look | None = None,
) -> RemoteProbe:
    """Read the page, and watch its counters until it is known how often they are refreshed.

    chosen: the counters that the user names, of all pages. taken: what others count. say: takes a
    sentence about a long wait. look: reads the page, for tests.
    """
    mine = tuple(each for each in chosen if each.endpoint in ("", endpoint.alias))
    energy = {each.metric for each in mine or KNOWN}
    wanted = energy | {BOOT_TIME} | remote_caches.NAMES
    looked = look or (lambda seconds: read_page(fetch(endpoint, seconds), wanted))
    kinds = {each.kind for each in mine or KNOWN}
    left_out: dict[str, str] = {}
    cache: PrefixCache | None = None

    def unavailable(access: Access, why: str, remedy: str) -> RemoteProbe:
        note = f"{endpoint.alias} is not measured: {why}; pytest-energy doctor says what to do"
        if cache is not None:
            note = f"{endpoint.alias}: {why}; its prefix cache is read"
        return RemoteProbe.unavailable(
            f"remote counters ({endpoint.alias})",
            access,
            kinds,
            f"{endpoint.alias}: {why}",
            remedy,
            notes=(note,),
            left_out=left_out,
            cache=cache,
        )

    try:
        samples = looked(FETCH_SECONDS)
        if remote_caches.counts_of(samples) is not None:
            cache = PrefixCache(endpoint.alias, lambda: _cache_of(looked))
        counters = find_counters(endpoint, samples, mine, taken, booted(), left_out)
        if not counters and left_out:
            return unavailable(Access.ABSENT, "; ".join(dict.fromkeys(left_out.values())), "")
        if not counters:
            names = ", ".join(sorted(energy))
            why = f"the page lists no energy counter (looked for {names})"
            return unavailable(Access.ABSENT, why, NOTHING_FOUND)
        watched = watch(endpoint.alias, counters, looked, clock, say)
    except ModuleNotFoundError:
        return unavailable(Access.ABSENT, "--energy-remote needs prometheus-client", INSTALL)
    except SensorFault as fault:
        absent = fault.code == "no-answer"
        return unavailable(Access.ABSENT if absent else Access.FAULTY, str(fault), NOTHING_FOUND)
    sensor = Remote(endpoint.alias, watched, clock, looked)
    notes = _notes(endpoint.alias, watched)
    for each in notes[1:]:
        say(each)
    return replace(
        RemoteProbe.of(sensor),
        devices=tuple(
            Device(channel=each.counter.channel, name=each.counter.hardware, id=each.counter.uuid)
            for each in watched
            if each.counter.hardware
        ),
        left_out=left_out,
        notes=notes,
        cache=cache,
    )


def _cache_of(look: Look) -> CacheCounts | None:
    try:
        return remote_caches.counts_of(look(FETCH_SECONDS))
    except SensorFault:
        return None


def booted() -> float | None:
    """When this machine was started, in seconds since 1970."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    return None


def _notes(alias: str, watched: Sequence[Watched]) -> tuple[str, ...]:
    names = ", ".join(each.counter.channel for each in watched)
    notes = [f"{names}: counts all that these do, whoever asked for it, while a test is measured"]
    slowest = max(watched, key=lambda each: each.period)
    if slowest.period >= 1.0:
        seconds = slowest.test_seconds
        notes.append(
            f"{alias}: its counters are refreshed every {slowest.period:.3g} s, so a test takes "
            f"{seconds:.0f} s or more; allow it with "
            f"--energy-max-seconds {math.ceil(1.2 * seconds / 10) * 10}, or let the exporter "
            "refresh more often"
        )
    return tuple(notes)


@dataclass(kw_only=True)
class _Open:
    """A counter in an open window.

    began: the refresh that the window opened on. unread: why the latest page did not show it.
    """

    watched: Watched
    history: History
    began: Tick | None = None
    fault: SensorFault | None = None
    unread: SensorFault | None = None
    ticks: list[Tick] = field(default_factory=list)
    last: tuple[float, float] | None = None
    """When the latest reading was begun, and its joules."""

    @property
    def interval(self) -> float:
        """Between two refreshes, or two readings of what is read afresh."""
        return max(self.watched.period, FRESH_SECONDS)

    def see(self, before: float, after: float, samples: Sequence[Sample]) -> None:
        """Take in a reading of the page that began and ended at these times."""
        try:
            joules, self.unread = self.watched.counter.joules(samples), None
        except SensorFault as fault:
            self.unread = fault
            return
        last, self.last = self.last, (before, joules)
        self.fault = self.fault or self.history.see(Sighting(before, after, joules))
        if not self.watched.period:
            if not self.ticks or before - self.ticks[-1].seconds >= FRESH_SECONDS:
                self.ticks.append(Tick((before + after) / 2, joules))
            return
        # It was refreshed some time between two readings, which must be known well enough.
        slack = max(PRECISION * self.watched.period, FRESH_SECONDS)
        if last is not None and joules != last[1] and before - last[0] <= slack:
            self.ticks.append(Tick((last[0] + after) / 2, joules))


class Remote(Sensor):
    """The counters of one page."""

    def __init__(self, alias: str, watched: Sequence[Watched], clock: Clock, look: Look) -> None:
        self._alias = alias
        self._watched = tuple(watched)
        self._clock = clock
        self._look = look
        self._open: list[_Open] = []
        self._started = 0.0

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(each.channel(self._alias) for each in self._watched)

    def open(self, names: frozenset[str]) -> None:
        self._open = []
        for each in self._watched:
            if each.counter.channel in names:
                ceiling = CEILING_WATTS[each.counter.metric.kind]
                period = max(each.period, FRESH_SECONDS)
                history = History(period=period, ceiling_watts=ceiling)
                self._open.append(_Open(watched=each, history=history))
        self._wait(1)
        for one in self._open:
            one.began = one.ticks[-1] if one.ticks else None
        self._started = self._clock.now()

    def poll_seconds(self, names: frozenset[str]) -> float:
        periods = [each.period for each in self._watched if each.counter.channel in names]
        return max(min(periods) / 2, LOOK_EVERY_SECONDS) if periods else math.inf

    def poll(self) -> None:
        with suppress(SensorFault):  # a page that still fails in the end is reported there
            self._see(LOOK_SECONDS)

    def close(self, ended: float) -> Mapping[str, Reading]:
        for each in self._open:
            each.ticks, each.last = [], None
        self._wait(AFTER_TICKS)
        return {each.watched.counter.channel: self._joules(each, ended) for each in self._open}

    def abandon(self) -> None:
        self._open = []

    def _joules(self, one: _Open, ended: float) -> Reading:
        if one.fault is not None:
            return one.fault
        assert one.began is not None
        first, second, third = one.ticks[:AFTER_TICKS]
        # What is read afresh has no delay.
        closing, later = (second, third) if one.watched.period else (first, third)
        idle_watts = (later.joules - closing.joules) / (later.seconds - closing.seconds)
        around = closing.seconds - one.began.seconds - (ended - self._started)
        return max(closing.joules - one.began.joules - idle_watts * around, 0.0)

    def _see(self, seconds: float) -> None:
        """Read the page once. Raises SensorFault."""
        before = self._clock.now()
        samples = self._look(seconds)
        after = self._clock.now()
        for each in self._open:
            each.see(before, after, samples)

    def _wait(self, count: int) -> None:
        """Until each counter was refreshed so many times; one that was not has a fault then."""
        started = self._clock.now()
        unread: SensorFault | None = None
        while waiting := [
            each for each in self._open if not each.fault and len(each.ticks) < count
        ]:
            try:
                self._see(FETCH_SECONDS)
                unread = None
            except SensorFault as fault:
                unread = fault
            waited = self._clock.now() - started
            for each in waiting:
                if waited > (count + 3) * each.interval + GRACE_SECONDS:
                    unseen = _unseen(waited, each.interval)
                    each.fault = each.fault or unread or each.unread or unseen
            shortest = min(each.interval for each in waiting)
            self._clock.sleep(max(POLL_SECONDS, POLL_SHARE * shortest))


def _unseen(waited: float, interval: float) -> SensorFault:
    return SensorFault(
        f"too few refreshes of the counter were seen in {waited:.2f} s (expected: every "
        f"{interval:.3g} s), because this machine or the network is too busy; run the test again",
        "counter-unseen",
    )
