"""Several works that take turns, so that whatever the machine does, it does to all of them."""

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

#: The measured rounds of each work, one a turn.
Turns = Sequence[Sequence[Round]]


class Referee(Protocol):
    """Says what is read once warm-up has shown what is in use, and when the turns are enough."""

    @property
    def channels(self) -> tuple[Channel, ...]: ...

    @property
    def window_seconds(self) -> float: ...

    def is_done(self, turns: Turns, *, final: bool) -> bool:
        """Whether nothing is left to decide; asked first without any turn."""


SomeReferee = TypeVar("SomeReferee", bound=Referee)


def run_turns(
    meter: Meter,
    clock: Clock,
    limits: Limits,
    candidates: Sequence[str],
    warmup_seconds: float,
    cycle: int,
    works: int,
    appoint: Callable[[], SomeReferee],
    progress: Callable[[Sequence[Round]], None],
) -> Generator[int, Units, tuple[list[list[Round]], SomeReferee]]:
    """Warm every work up, then measure one round of each a turn, forwards and backwards by turns.

    Of two works that is A B B A A B ..., so what drifts evenly favours neither. Gives all rounds of
    each work, warm-up first, and the referee. The arguments are those of `run_rounds`; each work
    but the first has the time that one measurement has.
    """
    max_seconds = limits.max_seconds * max(works - 1, 1)
    started = clock.now()
    rounds: list[list[Round]] = []
    for work in range(works):
        warm = warm_up(meter, clock, limits, candidates, warmup_seconds, cycle, progress, work=work)
        rounds.append((yield from warm))
    referee = appoint()
    turns: list[list[Round]] = [[] for _ in range(works)]
    if referee.is_done(turns, final=False):
        return rounds, referee
    names = [channel.name for channel in referee.channels]
    aim = referee.window_seconds * MARGIN
    calls = [calls_for(each[-1], aim) for each in rounds]
    share = (started + max_seconds - clock.now()) / works
    cycle = min(feasible_cycle(each, cycle, share) for each in rounds)
    while True:
        before = clock.now()
        order = range(works) if len(turns[0]) % 2 == 0 else reversed(range(works))
        for work in order:
            latest = yield from one_round(
                meter,
                names,
                calls[work],
                referee.window_seconds,
                warmup=False,
                work=work,
                cycle=cycle,
            )
            turns[work].append(latest)
            rounds[work].append(latest)
            calls[work] = max(calls[work], calls_for(latest, aim))
        progress(rounds[0])
        took = clock.now() - before
        final = len(turns[0]) >= limits.max_rounds or clock.now() - started + took > max_seconds
        if referee.is_done(turns, final=final) or final:
            return rounds, referee
