"""What a verdict of rule A costs: rounds, seconds and queries, by the real protocol.

The protocol runs on a virtual clock, once for each length of a query and of windows; simulated
sessions then say after how many of its rounds the verdict falls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from limit import RED, judge
from noise import Noise, Shape, generator
from virtual import ConstantSensor, VirtualTime

from pytest_energy.measurement.meter import Meter
from pytest_energy.measurement.protocol import (
    WARMUP_SECONDS,
    Limits,
    Round,
    Setup,
    run_rounds,
)
from pytest_energy.rules.estimate import MAX_ROUNDS
from pytest_energy.rules.verdict import Verdict
from pytest_energy.sensors.base import Channel, Kind
from pytest_energy.sensors.cpu_time import CpuTime

SESSIONS = 2000
MAX_SECONDS = 60.0
#: Of the truth from the limit.
DISTANCES = (-0.5, -0.3, -0.2, -0.1, -0.05, -0.03, 0.0, 0.03, 0.05, 0.08, 0.1, 0.2, 0.5)
NOISES = (Noise(0.01, 0.02, Shape.BURSTS), Noise(0.03, 0.02, Shape.BURSTS))
QUERY_SECONDS = (0.01, 0.1, 1.0)
#: Ten periods of a 100 ms counter; a board that shows only an average over 1 s, for which the time
#: limit leaves five rounds at any distance.
COUNTER, AVERAGE = 1.0, 10.0
WINDOW_SECONDS = (COUNTER, AVERAGE)
#: AI Energy Score: ten runs of 1,000 queries, whatever the result.
SCORE_QUERIES = 10 * 1000


@dataclass(frozen=True)
class Plan:
    """How the protocol would go on if nothing decided it.

    seconds, queries: at the end of each measured round, warm-up included.
    """

    query_seconds: float
    window_seconds: float
    seconds: tuple[float, ...]
    queries: tuple[int, ...]


class Undecided:
    """A judge that is never done."""

    def __init__(self, channel: Channel, window_seconds: float) -> None:
        self.channels = (channel,)
        self.window_seconds = window_seconds
        self.lap_seconds = 0.0

    def counted(self, measured: Sequence[Round]) -> int:
        return len(measured)

    def is_done(self, measured: Sequence[Round], *, final: bool) -> bool:  # noqa: ARG002
        return False


def plan(query_seconds: float, window_seconds: float) -> Plan:
    """Run the protocol with one query a call, on a virtual clock."""
    time = VirtualTime()
    sensor = ConstantSensor(time, "gpu:0", Kind.GPU, 300.0)
    undecided = Undecided(sensor.channels[0], window_seconds)
    ends: list[float] = []
    started = time.seconds
    setup = Setup(
        meter=Meter([sensor], CpuTime(4.0), lambda: None, time.clock),
        clock=time.clock,
        limits=Limits(MAX_ROUNDS, MAX_SECONDS),
        candidates=["gpu:0"],
        warmup_seconds=WARMUP_SECONDS,
        progress=lambda _: ends.append(time.seconds - started),
    )
    steps = run_rounds(setup, 1, lambda: undecided)
    next(steps)
    while True:
        time.pass_by(query_seconds)
        try:
            steps.send({"query": 1.0})
        except StopIteration as stop:
            rounds: tuple[Round, ...] = stop.value[0]
            break
    measured = [index for index, each in enumerate(rounds) if not each.warmup]
    queries = [sum(each.calls for each in rounds[: index + 1]) for index in measured]
    return Plan(
        query_seconds, window_seconds, tuple(ends[index] for index in measured), tuple(queries)
    )


@dataclass(frozen=True)
class Cost:
    """Means over the sessions of one noise, distance and plan."""

    noise: Noise
    distance: float
    query_seconds: float
    window_seconds: float
    red: float
    rounds: float
    seconds: float
    queries: float


def costs(sessions: int) -> Iterator[Cost]:
    plans = [plan(query, window) for window in WINDOW_SECONDS for query in QUERY_SECONDS]
    for noise in NOISES:
        for distance in DISTANCES:
            rng = generator("cost", noise, distance)
            values = [noise.session(rng, 1 + distance, MAX_ROUNDS) for _ in range(sessions)]
            judged: dict[int, list[tuple[Verdict, int]]] = {}
            for each in plans:
                most = len(each.seconds)
                if most not in judged:
                    judged[most] = [judge(rounds, most) for rounds in values]
                found = judged[most]
                yield Cost(
                    noise,
                    distance,
                    each.query_seconds,
                    each.window_seconds,
                    fmean(verdict in RED for verdict, _ in found),
                    fmean(n for _, n in found),
                    fmean(each.seconds[n - 1] for _, n in found),
                    fmean(each.queries[n - 1] for _, n in found),
                )
