"""Rule A by simulated sessions against a limit of 1, beside what others would say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import other_rules
from noise import Noise, Shape, generator
from other_rules import Rounds

from pytest_energy.rules.estimate import MAX_ROUNDS
from pytest_energy.rules.limit import look
from pytest_energy.rules.verdict import Verdict

SESSIONS = 4000
TOLERANCE = 0.03
TRUTHS = (0.90, 1.00, 1.05, 1.08, 1.10)
CURVE = (0.95, 0.98, 1.00, 1.02, 1.03, 1.04, 1.05, 1.06, 1.08, 1.10, 1.12)
NOISES = tuple(
    Noise(cv, between, shape)
    for between in (0.0, 0.02)
    for cv in (0.01, 0.03, 0.10)
    for shape in Shape
)
#: For these the rates are asked for, pooled.
TARGET_NOISES = tuple(Noise(cv, 0.02, Shape.BURSTS) for cv in (0.01, 0.03))
WITHOUT_SESSION_TERM = tuple(Noise(cv, 0.0, Shape.BURSTS) for cv in (0.01, 0.03))
RED = (Verdict.FAIL, Verdict.INCONCLUSIVE)
LIMIT = [1.0] * other_rules.TEN

#: Rules that compare with the limit itself; the median of ten allows 5 % over it.
WITH_LIMIT: Mapping[str, Callable[[Rounds, Rounds], bool]] = {
    "one shot": other_rules.one_shot,
    "mean of 3": other_rules.mean_of_three,
    "median 10": other_rules.median_of_ten,
}
#: Rules that compare with another session, whose truth is the limit.
WITH_SESSION: Mapping[str, Callable[[Rounds, Rounds], bool]] = {"Welch": other_rules.welch}
OTHERS = (*WITH_LIMIT, *WITH_SESSION)


@dataclass(frozen=True)
class Cell:
    """What became of sessions of one noise and truth.

    verdicts: how many sessions came to each, by rule A. rounds: their mean number. others: how
    many were red by each other rule.
    """

    noise: Noise
    truth: float
    sessions: int
    verdicts: Mapping[Verdict, int]
    rounds: float
    others: Mapping[str, int]

    @property
    def red(self) -> float:
        return sum(self.verdicts.get(each, 0) for each in RED) / self.sessions

    def red_by(self, other: str) -> float:
        return self.others[other] / self.sessions


def judge(values: Rounds, max_rounds: int = MAX_ROUNDS) -> tuple[Verdict, int]:
    """Rule A's verdict against a limit of 1, and after how many of the rounds it fell."""
    for n in range(1, max_rounds + 1):
        verdict = look(values[:n], 1.0, TOLERANCE, final=n == max_rounds)
        if verdict is not None:
            return verdict, n
    raise AssertionError("the last look decides")


def simulate(noise: Noise, truth: float, sessions: int) -> Cell:
    rng = generator("limit", noise, truth)
    verdicts: Counter[Verdict] = Counter()
    others = dict.fromkeys(OTHERS, 0)
    rounds = 0
    for _ in range(sessions):
        values = noise.session(rng, truth, MAX_ROUNDS)
        reference = noise.session(rng, 1.0, other_rules.TEN)
        verdict, n = judge(values)
        verdicts[verdict] += 1
        rounds += n
        ten = values[: other_rules.TEN]
        for name, is_red in WITH_LIMIT.items():
            others[name] += is_red(ten, LIMIT)
        for name, is_red in WITH_SESSION.items():
            others[name] += is_red(ten, reference)
    return Cell(noise, truth, sessions, dict(verdicts), rounds / sessions, others)


def all_cells(sessions: int) -> Iterator[Cell]:
    for noise in NOISES:
        for truth in TRUTHS:
            yield simulate(noise, truth, sessions)


def curve(sessions: int) -> list[Cell]:
    """How often each rule is red, from under the limit to over it; for the picture."""
    return [simulate(TARGET_NOISES[-1], truth, sessions) for truth in CURVE]


@dataclass(frozen=True)
class Target:
    """What is asked of rule A at a truth; `at_most` says which side of `rate` is good."""

    truth: float
    rate: float
    at_most: bool

    def is_met(self, red: float) -> bool:
        return red <= self.rate if self.at_most else red >= self.rate


TARGETS = (Target(1.0, 0.03, True), Target(1.08, 0.90, False), Target(1.10, 0.98, False))


def pooled(cells: Sequence[Cell], noises: Sequence[Noise], truth: float) -> float:
    """The mean of the red rates at this truth over these noises."""
    red = [each.red for each in cells if each.noise in noises and each.truth == truth]
    return sum(red) / len(red)
