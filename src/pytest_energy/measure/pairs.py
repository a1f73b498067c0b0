"""Several works, measured alternately, so that what the machine does affects all of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

from pytest_energy.measure.meter import Meter
from pytest_energy.measure.protocol import (
    MARGIN,
    Limits,
    Round,
    Units,
    calls_for,
    feasible_cycle,
    one_round,
    warm_up,
)
from pytest_energy.sensors.base import Channel, Clock

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

#: The measured rounds of each work.
InterleavedRounds = Sequence[Sequence[Round]]


class PairsJudge(Protocol):
    """Says what is read once warm-up has shown what is in use, and when the rounds are enough."""

    @property
    def channels(self) -> tuple[Channel, ...]: ...

    @property
    def window_seconds(self) -> float: ...

    def is_done(self, measured: InterleavedRounds, *, final: bool) -> bool:
        """Whether nothing is left to decide; asked first without any round."""


SomeJudge = TypeVar("SomeJudge", bound=PairsJudge)


def run_interleaved(
    meter: Meter,
    clock: Clock,
    limits: Limits,
    candidates: Sequence[str],
    warmup_seconds: float,
    cycle: int,
    works: int,
    make_judge: Callable[[], SomeJudge],
    progress: Callable[[Sequence[Round]], None],
) -> Generator[int, Units, tuple[list[list[Round]], SomeJudge]]:
    """Warm every work up, then measure one round of each, alternately forwards and backwards.

    Of two works that is A B B A A B ..., so what drifts evenly favours neither. Gives all rounds of
    each work, warm-up first, and the judge. The arguments are those of `run_rounds`; each work
    but the first has the time that one measurement has.
    """
    max_seconds = limits.max_seconds * max(works - 1, 1)
    started = clock.now()
    rounds: list[list[Round]] = []
    for work in range(works):
        warm = warm_up(meter, clock, limits, candidates, warmup_seconds, cycle, progress, work=work)
        rounds.append((yield from warm))
    judge = make_judge()
    measured: list[list[Round]] = [[] for _ in range(works)]
    if judge.is_done(measured, final=False):
        return rounds, judge
    names = [channel.name for channel in judge.channels]
    aim = judge.window_seconds * MARGIN
    calls = [calls_for(each[-1], aim) for each in rounds]
    share = (started + max_seconds - clock.now()) / works
    cycle = min(feasible_cycle(each, cycle, share) for each in rounds)
    while True:
        before = clock.now()
        order = range(works) if len(measured[0]) % 2 == 0 else reversed(range(works))
        for work in order:
            latest = yield from one_round(
                meter,
                names,
                calls[work],
                judge.window_seconds,
                warmup=False,
                work=work,
                cycle=cycle,
            )
            measured[work].append(latest)
            rounds[work].append(latest)
            calls[work] = max(calls[work], calls_for(latest, aim))
        progress(rounds[0])
        took = clock.now() - before
        final = len(measured[0]) >= limits.max_rounds or clock.now() - started + took > max_seconds
        if judge.is_done(measured, final=final) or final:
            return rounds, judge
