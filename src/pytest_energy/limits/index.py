"""The entries of a budgets file that could name a test, found without a look at all of them; pure.

A file may hold ten thousand budgets, and each of a thousand tests looks for its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Any, Protocol

#: Patterns in one file: each is compiled, and compared with each test.
MOST_PATTERNS = 20_000
#: Whether a text fits a pattern.
Fits = Callable[[str], Any]


class Names(Protocol):
    """What an entry names."""

    @property
    def id(self) -> str | None: ...
    @property
    def tests(self) -> tuple[str, ...]: ...
    @property
    def task(self) -> str | None: ...
    @property
    def model(self) -> str | None: ...


class Index:
    """Positions of entries, by what one of them must be called, or must fit."""

    def __init__(self, entries: Sequence[Names]) -> None:
        self.tasks = frozenset(each.task for each in entries if each.task)
        self._called: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._fitting: dict[str, list[tuple[int, Fits]]] = defaultdict(list)
        for position, entry in enumerate(entries):
            if entry.id is not None:
                self._called["id", entry.id].append(position)
            for kind, name in _names(entry):
                if kind != "task" and is_pattern(name):
                    self._fitting[kind].append((position, _compiled(name).match))
                self._called[kind, name].append(position)

    def with_id(self, chosen: str) -> Sequence[int]:
        return self._called.get(("id", chosen), ())

    def candidates(
        self, test_id: str, tasks: Iterable[str], models: Iterable[str]
    ) -> Sequence[int]:
        """Positions, in the order of the file, of all entries that could name such a test."""
        named = {"test": (test_id,), "task": tasks, "model": models}
        found: set[int] = set()
        for kind, names in named.items():
            fitting = self._fitting[kind]
            for name in names:
                found.update(self._called.get((kind, name), ()))
                found.update([position for position, fits in fitting if fits(name)])
        return sorted(found)


def matches(pattern: str, text: str) -> bool:
    """Whether a text is a pattern, or fits it; only * and ? are special."""
    if pattern == text:
        return True
    return is_pattern(pattern) and _compiled(pattern).match(text) is not None


def _names(entry: Names) -> Iterator[tuple[str, str]]:
    """A test of the entry has at least one of these; none where only its id names tests."""
    if entry.tests:
        yield from (("test", each) for each in entry.tests)
    elif entry.model is not None and not (entry.task is not None and is_pattern(entry.model)):
        yield "model", entry.model
    elif entry.task is not None:
        yield "task", entry.task


def patterns(entry: Names) -> int:
    """How many names of an entry are patterns."""
    return sum(map(is_pattern, (*entry.tests, entry.model or "")))


def is_pattern(name: str) -> bool:
    """Whether it has a * or ?."""
    return "*" in name or "?" in name


@lru_cache(MOST_PATTERNS)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))
