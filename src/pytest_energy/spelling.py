"""Which known words somebody may have meant, in a time that no input can make long; pure."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Collection
from itertools import takewhile

#: How many known words are compared letter by letter, and up to which length: comparing takes a
#: time that grows with the product of both lengths.
MOST_COMPARED, LONGEST_COMPARED = 20, 100


def alike(word: str, known: Collection[str], number: int = 1, cutoff: float = 0.6) -> list[str]:
    """The known words that are spelled most like this one, the best first."""
    if len(word) > LONGEST_COMPARED:
        return []
    short = [each for each in known if len(each) <= LONGEST_COMPARED]
    if len(short) > MOST_COMPARED:
        # A typo leaves what stands before and behind it.
        short = heapq.nlargest(MOST_COMPARED, short, key=lambda each: _shared_ends(word, each))
    return difflib.get_close_matches(word, short, n=number, cutoff=cutoff)


def _shared_ends(one: str, other: str) -> int:
    return _shared_start(one, other) + _shared_start(one[::-1], other[::-1])


def _shared_start(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
