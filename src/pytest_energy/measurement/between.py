"""What happens between two rounds, in no window: look around, show progress, let others run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pytest_energy.measurement.conditions import Watch
from pytest_energy.measurement.coverage import Coverage
from pytest_energy.measurement.protocol import Round
from pytest_energy.measurement.sentences import outlook
from pytest_energy.measurement.turns import Turns

#: Called with all rounds so far after each one, and with what says how it will likely end, given
#: how many rounds the limits allow.
Progress = Callable[[Sequence[Round], Callable[[int], str]], None]


class Foreseeing(Protocol):
    """A judge that can say beforehand what its rounds will not show."""

    @property
    def coverage(self) -> Coverage: ...

    def undetectable(self, rounds: int) -> float | None:
        """The difference (a fraction) below which so many rounds will likely show nothing."""


SomeJudge = TypeVar("SomeJudge", bound=Foreseeing)


@dataclass(kw_only=True)
class BetweenRounds:
    """Called after each round. turns: with another process, or None."""

    watch: Watch
    progress: Progress
    turns: Turns | None
    _judge: Foreseeing | None = field(default=None, init=False)
    _settled: Sequence[Round] = field(default=(), init=False)

    def judged_by(self, judge: SomeJudge) -> SomeJudge:
        """Warm-up is over."""
        self._judge = judge
        if not self._settled:  # the first call was all of it, and only left connections tell
            self.watch.count_servers()
        self.watch.read_caches()
        if self.turns is not None:
            self.turns.next_round()
        return judge

    def __call__(self, rounds: Sequence[Round]) -> None:
        self.watch.look()
        if rounds[-1].warmup:  # what counts doesn't change between measured rounds
            self._settled = rounds[1:]
            self.watch.count_servers(self._settled)
        self.progress(rounds, self._outlook)
        if self.turns is not None and not rounds[-1].warmup:
            self.turns.next_round()

    def _outlook(self, rounds: int) -> str:
        judge = self._judge
        return "" if judge is None else outlook(judge.undetectable(rounds), judge.coverage)
