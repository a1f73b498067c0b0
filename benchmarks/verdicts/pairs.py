"""Rule B' by simulated pairs, measured alternately in one session, and of `joules ci`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import other_rules
from noise import Noise, Shape, generator
from other_rules import Rounds

from pytest_energy.rules.estimate import MAX_ROUNDS
from pytest_energy.rules.paired import MAX_RATIO_INCREASE, compare
from pytest_energy.rules.verdict import Verdict

SESSIONS = 4000
#: Of them, how many where a change is true: its rate needs fewer digits.
SHARE_OF_CHANGED = 0.25
TRUTHS = (1.00, 1.02, 1.03, 1.05, 1.08, 1.10)
NOISES = tuple(Noise(cv, 0.02, shape) for cv in (0.01, 0.03, 0.10) for shape in Shape)


@dataclass(frozen=True)
class Cell:
    """verdicts: how many sessions came to each. pairs: their mean number. joules_ci: how often it
    fails with the same allowed increase, on the first six runs of a session of its own order."""

    noise: Noise
    truth: float
    sessions: int
    verdicts: Mapping[Verdict, int]
    pairs: float
    joules_ci: float

    def rate(self, verdict: Verdict) -> float:
        return self.verdicts.get(verdict, 0) / self.sessions


def ratios(rounds: Rounds, truth: float) -> list[float]:
    """Candidate / reference of pairs in the order A B B A, where one work was done all the time."""
    pairs = zip(rounds[0::2], rounds[1::2], strict=False)
    return [
        truth * (first / second if index % 2 else second / first)
        for index, (first, second) in enumerate(pairs)
    ]


def judge(found: Sequence[float], allowed: float = MAX_RATIO_INCREASE) -> tuple[Verdict, int]:
    """Rule B''s verdict, and after how many of the pairs it fell."""
    for n in range(1, len(found) + 1):
        comparison = compare(found[:n], allowed, final=n == len(found))
        if comparison is not None:
            return comparison.verdict, n
    raise AssertionError("the last look decides")


def joules_ci(rounds: Rounds, truth: float, allowed: float = MAX_RATIO_INCREASE) -> bool:
    """The change is run first, then the base, three times."""
    new, old = [truth * each for each in rounds[0:6:2]], rounds[1:6:2]
    return other_rules.joules_ci(new, old, allowed)


def simulate(noise: Noise, truth: float, sessions: int) -> Cell:
    """Fewer sessions where a change is true."""
    sessions = sessions if truth == 1 else round(SHARE_OF_CHANGED * sessions)
    rng = generator("pairs", noise, truth)
    verdicts: Counter[Verdict] = Counter()
    pairs = 0
    reds = 0
    for _ in range(sessions):
        rounds = noise.session(rng, 1.0, 2 * MAX_ROUNDS)
        verdict, n = judge(ratios(rounds, truth))
        verdicts[verdict] += 1
        pairs += n
        reds += joules_ci(rounds, truth)
    return Cell(noise, truth, sessions, dict(verdicts), pairs / sessions, reds / sessions)


def all_cells(sessions: int) -> Iterator[Cell]:
    for noise in NOISES:
        for truth in TRUTHS:
            yield simulate(noise, truth, sessions)
