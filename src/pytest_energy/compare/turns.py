"""Two candidates take turns, A B B A A B ..., until enough is known or time is up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.compare.figures import CANDIDATE, REFERENCE
from pytest_energy.compare.pairs import Pair, Rule, is_undecided
from pytest_energy.record.schema import RunRecord

#: Fewer tell nothing.
LEAST_PAIRS = 3


@dataclass(frozen=True)
class Plan:
    """How pairs of pytest processes are run.

    arguments: pytest's, in `folder`. max_pairs: pairs at most. max_seconds: seconds at most, but
    for the first three pairs.
    """

    arguments: tuple[str, ...]
    folder: Path
    rule: Rule
    max_pairs: int
    max_seconds: float


@dataclass(frozen=True)
class Progress:
    """What is going on: the pair and the side that run, and the mean seconds of those before.

    next_look: the number of pairs after which it may end. processes_left: until then, this one
    too. process_seconds: None at first.
    """

    pair: int
    side: str
    next_look: int
    processes_left: int
    process_seconds: float | None

    def __str__(self) -> str:
        text = f"pair {self.pair} of {self.next_look}, {self.side}"
        if self.process_seconds is None:
            return text
        left = self.processes_left * self.process_seconds
        return f"{text}, {f'{left / 60:.0f} min' if left >= 120 else f'{left:.0f} s'} left"


#: Called with what is going on now.
Tell = Callable[[Progress | str], None]


def take_turns(
    runs: tuple[Callable[[], RunRecord], Callable[[], RunRecord]],
    plan: Plan,
    now: Callable[[], float],
    tell: Tell,
) -> list[Pair]:
    """The pairs that were run, at least three where more could tell more.

    runs: one process of the reference, one of the candidate. now: seconds on a clock.
    """
    started = now()
    pairs: list[Pair] = []
    longest = 0.0
    while True:
        pair_started = now()
        number = len(pairs) + 1
        next_look = min([look for look in plan.rule.looks if look >= number] or [plan.max_pairs])
        records: dict[int, RunRecord] = {}
        for side in (0, 1) if number % 2 else (1, 0):
            done = 2 * len(pairs) + len(records)
            seconds = (now() - started) / done if done else None
            left = 2 * next_look - done
            tell(Progress(number, (REFERENCE, CANDIDATE)[side], next_look, left, seconds))
            records[side] = runs[side]()
        pairs.append((records[0], records[1]))
        longest = max(longest, now() - pair_started)
        if number >= plan.max_pairs or not is_undecided(pairs, plan.rule):
            return pairs
        if number >= LEAST_PAIRS and now() - started + longest > plan.max_seconds:
            return pairs
