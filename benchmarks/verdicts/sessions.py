"""Rule B by simulated sessions: a new one against stored ones, on one board or on several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from statistics import quantiles

import other_rules
from noise import Noise, Shape, generator
from other_rules import Rounds

from pytest_energy.rules.baseline import MAX_INCREASE, change, session_of
from pytest_energy.rules.estimate import MIN_ROUNDS

SESSIONS = 4000
#: Of them, how many where a change is true: its rate needs fewer digits.
SHARE_OF_CHANGED = 0.25
TRUTHS = (1.00, 1.05, 1.08, 1.10, 1.20)
STORED = (1, 3, 10)
BETWEEN = (0.0, 0.02, 0.05)
BOARD_SPREAD = 0.03
POOL = 4
#: Mann and Whitney take long.
SESSIONS_OF_OTHERS = 1000


class Boards(StrEnum):
    """Where sessions are measured: always on one board, the new one on a board of its own, or each
    on any of a pool of four."""

    ONE = "one board"
    NEW = "a new board"
    POOL = "a pool of 4"


@dataclass(frozen=True)
class Cell:
    """How often rule B failed, and the threshold's 5 %, 50 % and 95 % points."""

    noise: Noise
    boards: Boards
    stored: int
    truth: float
    sessions: int
    red: float
    thresholds: tuple[float, float, float]


def simulate(noise: Noise, boards: Boards, stored: int, truth: float, sessions: int) -> Cell:
    """Fewer sessions where a change is true."""
    sessions = sessions if truth == 1 else round(SHARE_OF_CHANGED * sessions)
    rng = generator("sessions", noise, boards, stored, truth)
    found = [_one(rng, noise, boards, stored, truth) for _ in range(sessions)]
    cuts = quantiles((threshold for _, threshold in found), n=20)
    red = sum(is_red for is_red, _ in found) / sessions
    return Cell(noise, boards, stored, truth, sessions, red, (cuts[0], cuts[9], cuts[18]))


def _one(
    rng: Random, noise: Noise, boards: Boards, stored: int, truth: float
) -> tuple[bool, float]:
    spread = 0.0 if boards is Boards.ONE else BOARD_SPREAD
    pool = POOL if boards is Boards.POOL else 1
    gains = [math.exp(rng.gauss(0, spread)) for _ in range(pool + 1)]
    places = [rng.randrange(pool) for _ in range(stored)]
    # The last board is the one that no stored session has.
    here = pool if boards is Boards.NEW else rng.randrange(pool)
    old = [session_of(noise.session(rng, gains[place], MIN_ROUNDS)) for place in places]
    new = session_of(noise.session(rng, truth * gains[here], MIN_ROUNDS))
    found = change([new], old, MAX_INCREASE, same_board=here in places)
    return found.is_regression, found.threshold


def one_board(sessions: int) -> Iterator[Cell]:
    for between in BETWEEN:
        for cv in (0.01, 0.03, 0.10):
            for stored in STORED:
                for truth in TRUTHS:
                    yield simulate(Noise(cv, between), Boards.ONE, stored, truth, sessions)


def several_boards(sessions: int) -> Iterator[Cell]:
    for boards in (Boards.NEW, Boards.POOL):
        for between in BETWEEN:
            for stored in STORED:
                for truth in TRUTHS:
                    yield simulate(Noise(0.03, between), boards, stored, truth, sessions)


OTHERS: Mapping[str, Callable[[Rounds, Rounds], bool]] = {
    "one shot": other_rules.one_shot_five_percent,
    "median 10": other_rules.median_of_ten,
    "Welch": other_rules.welch,
    "Mann-Wh.": other_rules.mann_whitney,
    "joules ci": other_rules.joules_ci,
}


@dataclass(frozen=True)
class Other:
    """How often each other rule was red on two sessions of ten rounds."""

    noise: Noise
    truth: float
    sessions: int
    red: Mapping[str, float]


def others(sessions: int) -> Iterator[Other]:
    for between in BETWEEN:
        for cv in (0.01, 0.03):
            for shape in (Shape.STEADY, Shape.BURSTS):
                for truth in (1.0, 1.1):
                    yield _other(Noise(cv, between, shape), truth, sessions)


def _other(noise: Noise, truth: float, sessions: int) -> Other:
    rng = generator("others", noise, truth)
    red = dict.fromkeys(["rule B", *OTHERS], 0)
    for _ in range(sessions):
        old = noise.session(rng, 1.0, other_rules.TEN)
        new = noise.session(rng, truth, other_rules.TEN)
        found = change(
            [session_of(new[:MIN_ROUNDS])],
            [session_of(old[:MIN_ROUNDS])],
            MAX_INCREASE,
            same_board=True,
        )
        red["rule B"] += found.is_regression
        for name, is_red in OTHERS.items():
            red[name] += is_red(new, old)
    return Other(noise, truth, sessions, {name: each / sessions for name, each in red.items()})
