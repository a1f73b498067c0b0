"""What the rounds of a simulated session of known truth look like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from random import Random

SEED = 20231128
BURST_SHARE = 0.05
BURST = (0.1, 0.5)
FIRST_ROUND = 0.2
DRIFT = 0.0015
#: The mean of as many rounds is the truth of a session that drifts.
DRIFT_ROUNDS = 20


class Shape(StrEnum):
    """What a round suffers beside its random part."""

    STEADY = "steady"
    BURSTS = "bursts"
    FIRST = "first round"
    DRIFT = "drift"


@dataclass(frozen=True)
class Noise:
    """cv: coefficient of variation of rounds. between: standard deviation of sessions' means."""

    cv: float
    between: float = 0.0
    shape: Shape = Shape.STEADY

    def rounds(self, rng: Random, count: int) -> list[float]:
        """Rounds whose truth is 1, within one session."""
        return [math.exp(rng.gauss(0, self.cv)) * self._extra(rng, i) for i in range(count)]

    def session(self, rng: Random, truth: float, count: int) -> list[float]:
        """Rounds of one session among many whose truth is this."""
        mean = truth * math.exp(rng.gauss(0, self.between))
        return [mean * each for each in self.rounds(rng, count)]

    def _extra(self, rng: Random, index: int) -> float:
        if self.shape is Shape.BURSTS:
            return 1 + rng.uniform(*BURST) if rng.random() < BURST_SHARE else 1.0
        if self.shape is Shape.FIRST:
            return 1 + FIRST_ROUND if index == 0 else 1.0
        if self.shape is Shape.DRIFT:
            return 1 + DRIFT * (index - (DRIFT_ROUNDS - 1) / 2)
        return 1.0


def generator(*about: object) -> Random:
    """Random numbers that depend on nothing but the seed and what they are for."""
    return Random(" ".join(map(str, (SEED, *about))))
