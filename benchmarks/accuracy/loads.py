"""Loads whose energy is known in closed form, and the power trace of a board that does them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random

IDLE_WATTS = 50.0
RAMP = (100.0, 300.0)
#: A window is longer than its name by a random part of this, so that its end has any phase too.
LONGER = 0.1


@dataclass(frozen=True)
class Piece:
    """A part of a load, in which the power runs straight from one value to another."""

    seconds: float
    first_watts: float
    last_watts: float

    def joules(self, span: float) -> float:
        slope = (self.last_watts - self.first_watts) / self.seconds
        return self.first_watts * span + slope * span**2 / 2


class Pattern:
    """Pieces that repeat; entered `offset` seconds after the beginning of the first."""

    def __init__(self, pieces: Sequence[Piece], offset: float) -> None:
        self._pieces = tuple(pieces)
        self._starts = list(accumulate((each.seconds for each in pieces), initial=0.0))
        self._sums = list(accumulate((each.joules(each.seconds) for each in pieces), initial=0.0))
        self._offset = offset
        self._before = self._since_first(offset)

    def joules(self, span: float) -> float:
        """The energy of the first `span` seconds."""
        return self._since_first(self._offset + span) - self._before

    def watts(self, span: float) -> float:
        """The power after `span` seconds."""
        _, within = divmod(self._offset + span, self._starts[-1])
        piece, start = self._at(within)
        share = (within - start) / piece.seconds
        return piece.first_watts + share * (piece.last_watts - piece.first_watts)

    def _since_first(self, span: float) -> float:
        cycles, within = divmod(span, self._starts[-1])
        piece, start = self._at(within)
        done = self._sums[self._starts.index(start)]
        return cycles * self._sums[-1] + done + piece.joules(within - start)

    def _at(self, within: float) -> tuple[Piece, float]:
        index = min(bisect_right(self._starts, within), len(self._pieces)) - 1
        return self._pieces[index], self._starts[index]


@dataclass(frozen=True)
class Load:
    """What a board does in a window.

    pieces: repeated to the end of the window, and entered anywhere. whole: they are shares of the
    whole window instead. tail: whether the power falls exponentially after the work, with a time
    constant between these seconds; otherwise it falls at once.
    """

    name: str
    pieces: tuple[Piece, ...]
    tail: tuple[float, float] = (0.0, 0.0)
    whole: bool = False

    def pattern(self, seconds: float, rng: Random) -> Pattern:
        if self.whole:
            # A little longer than the window, so that rounding never begins it again.
            longer = seconds * (1 + 1e-9)
            stretched = [replace(each, seconds=each.seconds * longer) for each in self.pieces]
            return Pattern(stretched, 0.0)
        return Pattern(self.pieces, rng.uniform(0, sum(each.seconds for each in self.pieces)))


def _square(period: float) -> tuple[Piece, ...]:
    return Piece(period / 2, 300.0, 300.0), Piece(period / 2, 100.0, 100.0)


TAIL = (0.05, 0.5)
_RAMP = (Piece(1.0, *RAMP),)
_PREFILL_DECODE_GAP = (
    Piece(0.060, 350.0, 350.0),
    Piece(0.310, 220.0, 240.0),
    Piece(0.045, 80.0, 80.0),
)
LOADS = (
    Load("constant", (Piece(1.0, 300.0, 300.0),)),
    Load("ramp", _RAMP, whole=True),
    Load("square 52 ms", _square(0.052)),
    Load("square 100 ms", _square(0.100)),
    Load("prefill-decode", _PREFILL_DECODE_GAP),
    Load("decaying tail", (Piece(1.0, 300.0, 300.0),), TAIL),
)
FALL = (0.015, 0.3)
#: Beyond the six: the power at the end of the work is not its mean, and falls from there.
ENDINGS = (
    Load("ramp, fall", _RAMP, FALL, whole=True),
    Load("burst, fall", (Piece(0.8, 50.0, 50.0), Piece(0.2, 300.0, 300.0)), FALL, whole=True),
    Load("prepare, fall", (Piece(2 / 3, 60.0, 60.0), Piece(1 / 3, 300.0, 300.0)), FALL, whole=True),
    Load("prefill, fall", _PREFILL_DECODE_GAP, FALL),
)


class Trace:
    """The power of a board as a function of time, of which only the latest past is kept."""

    def __init__(self, seconds: float) -> None:
        self._spans: deque[tuple[float, float, Callable[[float], float]]] = deque(maxlen=16)
        self._spans.append((seconds, 0.0, lambda span: IDLE_WATTS * span))

    def work(self, load: Load, start: float, seconds: float, rng: Random) -> float:
        """Append work and what follows it; returns the joules of the work."""
        pattern = load.pattern(seconds, rng)
        fall = rng.uniform(*load.tail)
        excess = pattern.watts(seconds) - IDLE_WATTS if fall else 0.0

        def after(span: float) -> float:
            fallen = -math.expm1(-span / fall) if fall else 0.0
            return IDLE_WATTS * span + excess * fall * fallen

        self._append(start, pattern.joules)
        self._append(start + seconds, after)
        return pattern.joules(seconds)

    def joules(self, seconds: float) -> float:
        """The energy from the beginning until then."""
        for start, before, joules in reversed(self._spans):
            if start <= seconds:
                return before + joules(seconds - start)
        raise LookupError("this part of the past is forgotten")

    def watts(self, seconds: float) -> float:
        """The power at that time, as good as it need be to be held against a counter."""
        return (self.joules(seconds) - self.joules(seconds - 1e-4)) / 1e-4

    def _append(self, start: float, joules: Callable[[float], float]) -> None:
        self._spans.append((start, self.joules(start), joules))
