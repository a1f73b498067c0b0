"""Requests that are kept in flight, and windows of a steady state inside them.

The generator yields seconds to wait, in which others make the requests; so one protocol drives
threads and coroutines alike, and a test can drive it in virtual time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean, median

from pytest_energy.errors import EnergyUsageError, Reason
from pytest_energy.measurement.counting import Units
from pytest_energy.measurement.meter import Meter
from pytest_energy.measurement.protocol import (
    MARGIN,
    WARMUP_ROUNDS,
    WARMUP_SHARE,
    Round,
    Setup,
    SomeJudge,
    has_settled,
)
from pytest_energy.record.schema import LoadRecord
from pytest_energy.sensors.base import Clock
from pytest_energy.units import figure, numbered, percent

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

#: How often it is looked whether requests have finished.
POLL_SECONDS = 0.02
#: The requests in flight, on average over a window, as a share of those that were asked for.
KEPT = 0.95
#: More failed requests than this share leave no measurement.
FAILED = 0.01
#: Fewer requests have no 99th percentile.
LEAST_FOR_P99 = 100


@dataclass(frozen=True, kw_only=True)
class Request:
    """One that has ended. units: what it did, None where it failed."""

    started: float
    ended: float
    units: Units | None

    def share(self, since: float, until: float) -> float:
        """Which part of its time lies in a window."""
        if self.ended <= self.started:
            return float(since <= self.started < until)
        overlap = min(self.ended, until) - max(self.started, since)
        return max(overlap, 0.0) / (self.ended - self.started)


class Traffic:
    """The requests so far, those in flight too; shared by the threads that make them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.finished: list[Request] = []
        self.error: BaseException | None = None
        """What the first failed request raised."""
        self._in_flight: dict[int, float] = {}
        self._number = 0
        self._lock = threading.Lock()

    def begin(self) -> int:
        """A request goes out; gives its number."""
        with self._lock:
            self._number += 1
            self._in_flight[self._number] = self.clock.now()
            return self._number

    def end(self, number: int, units: Units | None, error: BaseException | None = None) -> None:
        """A request has ended, in an error where there are no units."""
        with self._lock:
            started = self._in_flight.pop(number)
            self.error = self.error or error
            self.finished.append(Request(started=started, ended=self.clock.now(), units=units))

    def pending(self, until: float) -> int:
        """How many that began before this moment are still in flight."""
        with self._lock:
            return sum(started < until for started in self._in_flight.values())

    def overlapping(self, since: float, until: float) -> tuple[Request, ...]:
        with self._lock:
            finished = list(self.finished)
        return tuple(each for each in finished if each.ended > since and each.started < until)


@dataclass(frozen=True)
class Span:
    """A window, and all requests that were in flight in it, once they have ended."""

    since: float
    until: float
    requests: tuple[Request, ...]

    @property
    def seconds(self) -> float:
        return self.until - self.since

    @property
    def in_flight(self) -> float:
        """How many requests there were on average."""
        return (
            sum(
                min(each.ended, self.until) - max(each.started, self.since)
                for each in self.requests
            )
            / self.seconds
        )

    @property
    def done(self) -> float:
        """Requests by the share of their time in it; failed ones are none."""
        return sum(
            each.share(self.since, self.until) for each in self.requests if each.units is not None
        )

    @property
    def units(self) -> Units:
        """What was done in it, by the same share."""
        units: dict[str, float] = {}
        for each in self.requests:
            share = each.share(self.since, self.until)
            for unit, number in (each.units or {}).items():
                units[unit] = units.get(unit, 0.0) + share * number
        return units

    @property
    def ended(self) -> list[Request]:
        return [each for each in self.requests if self.since <= each.ended < self.until]


@dataclass
class Load:
    """The windows of one measurement, and what was in flight in them."""

    concurrency: int
    traffic: Traffic
    spans: list[Span] = field(default_factory=list)

    @property
    def record(self) -> LoadRecord | None:
        """None before anything was measured."""
        if not self.spans:
            return None
        latencies = sorted(each.ended - each.started for each in self._ended(failed=False))
        position = math.ceil(0.99 * len(latencies)) - 1
        return LoadRecord(
            concurrency=self.concurrency,
            in_flight=fmean(each.in_flight for each in self.spans),
            requests=len(latencies),
            failed=len(self._ended(failed=True)),
            requests_per_second=sum(each.done for each in self.spans)
            / sum(each.seconds for each in self.spans),
            median_seconds=median(latencies) if latencies else None,
            p99_seconds=latencies[position] if len(latencies) >= LEAST_FOR_P99 else None,
        )

    @property
    def problem(self) -> str:
        """Why these windows are no measurement of this load, or ""."""
        failed = len(self._ended(failed=True))
        requests = len(self._ended(failed=False)) + failed
        if failed > FAILED * requests:
            raised = type(self.traffic.error).__name__
            return Reason(
                "failed-requests",
                f"{failed:,} of {numbered(requests, 'request')} failed (the first "
                f"with {raised}), and what a failed request uses is no cheap work; allowed: "
                f"{percent(FAILED)}",
            )
        least = min((each.in_flight for each in self.spans), default=math.inf)
        if least < KEPT * self.concurrency:
            return Reason(
                "load-not-kept",
                f"on average {figure(least)} of {self.concurrency} requests were in flight in one "
                f"of the windows (needed: {percent(KEPT)}): the client is busy elsewhere, such as "
                "with preparing inputs; make them beforehand, or ask for fewer at once",
            )
        return ""

    @property
    def note(self) -> str:
        failed = len(self._ended(failed=True))
        return f"{numbered(failed, 'request')} failed, and counted as no work" if failed else ""

    def window(
        self, meter: Meter, names: Sequence[str], seconds: float, patience: float, *, warmup: bool
    ) -> Generator[float, None, Round]:
        """One window while requests go on, and a wait until those in flight have ended.

        A request counts in the window by the share of its time in it.
        """
        with meter.window(names) as measured:
            opened = self.traffic.clock.now()
            while meter.running() < seconds:
                yield max(POLL_SECONDS, seconds / 20)
        window = measured.window
        closed = opened + window.seconds
        waited = self.traffic.clock.now()
        while pending := self.traffic.pending(closed):
            if self.traffic.clock.now() - waited > patience:
                raise EnergyUsageError(
                    f"{numbered(pending, 'request')} in flight did not end within "
                    f"{figure(patience)} s; give the client a timeout"
                )
            yield POLL_SECONDS
        span = Span(opened, closed, self.traffic.overlapping(opened, closed))
        if not warmup:
            self.spans.append(span)
        return Round(window, max(round(span.done), 1), span.units, warmup)

    def latency(self) -> float:
        """The median seconds of the latest requests."""
        latest = self.traffic.finished[-10 * self.concurrency :]
        return median(each.ended - each.started for each in latest)

    def _ended(self, *, failed: bool) -> list[Request]:
        """Requests that ended in a window."""
        return [
            each for span in self.spans for each in span.ended if (each.units is None) is failed
        ]


def run_load(
    setup: Setup, load: Load, make_judge: Callable[[], SomeJudge]
) -> Generator[float, None, tuple[list[Round], SomeJudge]]:
    """Wait for a steady state, then measure windows inside it until the judge is done.

    The state is steady once as many requests have ended as are in flight, and two windows in a row
    agree in their rate as rounds of warm-up do. A window is no shorter than a request. The other
    arguments are those of `run_rounds`.
    """
    clock, limits, warmup_seconds = setup.clock, setup.limits, setup.warmup_seconds
    window = partial(load.window, setup.meter)
    started = clock.now()
    ends = started + limits.max_seconds
    while len(load.traffic.finished) < load.concurrency:
        if clock.now() > ends:
            raise EnergyUsageError(
                f"{len(load.traffic.finished)} of the first {load.concurrency} requests ended "
                f"within {figure(limits.max_seconds)} s; give it more --energy-max-seconds"
            )
        yield POLL_SECONDS
    if load.traffic.error and all(each.units is None for each in load.traffic.finished):
        raise load.traffic.error
    rounds: list[Round] = []
    ramp_ends = started + limits.max_seconds * WARMUP_SHARE
    while len(rounds) < WARMUP_ROUNDS or not (
        (clock.now() - started >= warmup_seconds and has_settled(_paces(rounds)))
        or clock.now() >= ramp_ends
    ):
        seconds = max(warmup_seconds / WARMUP_ROUNDS, load.latency())
        rounds.append(
            (yield from window(setup.candidates, seconds, limits.max_seconds, warmup=True))
        )
        setup.progress(rounds)
    judge = make_judge()
    measured: list[Round] = []
    if judge.is_done(measured, final=False):
        return rounds, judge
    names = [channel.name for channel in judge.channels]
    seconds = max(judge.window_seconds * MARGIN, load.latency())
    while True:
        before = clock.now()
        measured.append((yield from window(names, seconds, limits.max_seconds, warmup=False)))
        setup.progress([*rounds, *measured])
        out_of_time = clock.now() + (clock.now() - before) > ends
        final = len(measured) >= limits.max_rounds or out_of_time or bool(load.problem)
        if judge.is_done(measured, final=final) or final:
            return [*rounds, *measured], judge


def _paces(rounds: Sequence[Round]) -> list[float]:
    """Logarithms of the time for one unit; one without any is far from all others."""
    counted = [(each.window.seconds, sum(each.units.values())) for each in rounds]
    return [math.log(seconds / units) if units else math.inf for seconds, units in counted]
