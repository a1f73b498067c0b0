"""The rules on real measurements: commits measured in two collections, so nothing has changed.

An increase is made by multiplying the new side. benchmarks/data says where the figures are from.
"""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, stdev

import other_rules
import pairs
from other_rules import TEN, Rounds

from pytest_energy.rules.baseline import MAX_INCREASE, change, session_of
from pytest_energy.rules.estimate import MIN_ROUNDS
from pytest_energy.rules.verdict import Verdict

FILE = Path(__file__).parent.parent / "data" / "energytrackr.csv"
TRUTHS = (1.00, 1.05, 1.08, 1.10)
COLLECTIONS = (
    ("jsoup_sorted", "jsoup_sorted_4"),
    ("jsoup_sorted_6", "jsoup_sorted_7"),
    ("jsoup_sorted_7", "jsoup_sorted_8"),
)
THREE = ("jsoup_sorted_6", "jsoup_sorted_7", "jsoup_sorted_8")
ALL = 30

#: Name, rule and the rounds that it sees of each side, at most.
OTHERS: Sequence[tuple[str, Callable[[Rounds, Rounds], bool], int]] = (
    ("one shot, 5 %", other_rules.one_shot_five_percent, 1),
    ("median, 5 %", other_rules.median_of_ten, TEN),
    ("joules ci, 5 %", other_rules.joules_ci, 3),
    *(
        (name, is_red, rounds)
        for name, is_red in (
            ("Welch, 1 %", other_rules.welch),
            ("Welch, 1 %, two-sided", other_rules.welch_two_sided),
            ("Mann-Whitney, 1 %", other_rules.mann_whitney),
            ("Mann-Whitney, 1 %, two-sided", other_rules.mann_whitney_two_sided),
        )
        for rounds in (MIN_ROUNDS, TEN, ALL)
    ),
)

#: Joules of every repetition, by collection and commit.
Data = Mapping[str, Mapping[str, Rounds]]


@dataclass(frozen=True)
class Case:
    """A new session of a commit, and earlier ones of the same commit."""

    new: Rounds
    old: tuple[Rounds, ...]


def load(path: Path = FILE) -> Data:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[row["collection"]][row["commit"]].append(float(row["joules"]))
    return found


def in_two(data: Data) -> list[Case]:
    """Each commit of each two collections, in both directions."""
    return [
        Case(data[new][commit], (data[old][commit],))
        for one, other in COLLECTIONS
        for new, old in ((one, other), (other, one))
        for commit in sorted(data[new].keys() & data[old].keys())
    ]


def in_three(data: Data) -> list[Case]:
    """Each commit of the three collections, each of them as the new one in turn."""
    commits = sorted(set.intersection(*(set(data[each]) for each in THREE)))
    return [
        Case(data[new][commit], tuple(data[old][commit] for old in THREE if old != new))
        for new in THREE
        for commit in commits
    ]


@dataclass(frozen=True)
class Row:
    """How often a rule was red, by truth; `threshold` is the median of rule B's."""

    rule: str
    rounds: int
    cases: int
    red: Mapping[float, float]
    threshold: float | None = None


def rule_b(name: str, cases: Sequence[Case], rounds: int) -> Row:
    red = {}
    thresholds = []
    for truth in TRUTHS:
        changes = [
            change(
                [session_of([truth * each for each in case.new[:rounds]])],
                [session_of(each[:rounds]) for each in case.old],
                MAX_INCREASE,
                same_board=True,
            )
            for case in cases
        ]
        red[truth] = sum(each.is_regression for each in changes) / len(cases)
        thresholds = [each.threshold for each in changes]
    return Row(name, rounds, len(cases), red, median(thresholds))


def other(
    name: str, is_red: Callable[[Rounds, Rounds], bool], cases: Sequence[Case], rounds: int
) -> Row:
    """Another rule, which knows one earlier session."""
    red = {
        truth: sum(
            is_red([truth * each for each in case.new[:rounds]], case.old[0][:rounds])
            for case in cases
        )
        / len(cases)
        for truth in TRUTHS
    }
    return Row(name, rounds, len(cases), red)


def rule_b_rows(data: Data) -> Iterator[Row]:
    for rounds in (MIN_ROUNDS, TEN, ALL):
        yield rule_b("rule B, K = 1", in_two(data), rounds)
    for rounds in (MIN_ROUNDS, ALL):
        yield rule_b("rule B, K = 2", in_three(data), rounds)


def other_rows(data: Data) -> Iterator[Row]:
    cases = in_two(data)
    for name, is_red, rounds in OTHERS:
        yield other(name, is_red, cases, rounds)


@dataclass(frozen=True)
class Shift:
    """By how much the commits of one collection differ from themselves in another one."""

    new: str
    old: str
    commits: int
    mean: float
    sd: float


def shifts(data: Data) -> Iterator[Shift]:
    for old, new in COLLECTIONS:
        commits = sorted(data[new].keys() & data[old].keys())
        found = [
            fmean(map(math.log, data[new][each])) - fmean(map(math.log, data[old][each]))
            for each in commits
        ]
        yield Shift(new, old, len(commits), fmean(found), stdev(found))


@dataclass(frozen=True)
class PairRow:
    """Rule B' and `joules ci` on neighbouring repetitions of a commit in one collection."""

    pairs: int
    commits: int
    truth: float
    verdicts: Mapping[Verdict, int]
    mean_pairs: float
    joules_ci: float

    def rate(self, verdict: Verdict) -> float:
        return self.verdicts.get(verdict, 0) / self.commits


def pair_rows(data: Data) -> Iterator[PairRow]:
    sets: dict[int, list[Rounds]] = defaultdict(list)
    for commits in data.values():
        for rounds in commits.values():
            sets[len(rounds) // 2].append(rounds)
    for number, sessions in sorted(sets.items()):
        for truth in TRUTHS:
            found = [pairs.judge(pairs.ratios(each, truth)) for each in sessions]
            red = [pairs.joules_ci(each, truth) for each in sessions]
            yield PairRow(
                number,
                len(sessions),
                truth,
                dict(Counter(verdict for verdict, _ in found)),
                fmean(n for _, n in found),
                fmean(red),
            )
