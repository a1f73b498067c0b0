"""How far a run is: a line for each finished model, and on a terminal a bar with the time left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TextIO

from pytest_energy.study.running.choice import Choice
from pytest_energy.study.running.twins import QUERIES, Twin

#: To make a model, beside its queries: for each, and for each of its parameters.
LOAD_SECONDS = 4.0
LOAD_SECONDS_PER_PARAMETER = 1.2e-8
BAR = 20


def expected_seconds(twin: Twin, choice: Choice, max_seconds: float) -> float | None:
    """How long a model takes, at most or about; None where nothing tells."""
    load = LOAD_SECONDS + LOAD_SECONDS_PER_PARAMETER * twin.parameters
    if not choice.full:
        return max_seconds + load
    if choice.device not in (None, "cpu") or choice.dtype not in twin.cpu_seconds:
        return None
    return QUERIES * twin.cpu_seconds[choice.dtype] + load


def duration(seconds: float) -> str:
    """Such as "40 s", "25 min" or "13 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


def bar(done: int, total: int, seconds_left: float | None, doing: str) -> str:
    """One line: [####----] 3 of 12, about 8 min left: fill-mask/distilbert"""
    full = round(BAR * done / total) if total else BAR
    left = "" if seconds_left is None else f", about {duration(seconds_left)} left"
    return f"[{'#' * full}{'-' * (BAR - full)}] {done} of {total}{left}: {doing}"


class Progress:
    """Writes to a stream; `now` gives seconds."""

    def __init__(
        self, stream: TextIO, now: Callable[[], float], choice: Choice, max_seconds: float
    ) -> None:
        self._stream = stream
        self._now = now
        self._choice = choice
        self._max_seconds = max_seconds
        self._expected: dict[str, float | None] = {}
        self._done: set[str] = set()
        self._began = now()
        self._drawn = False
        self.plan(choice.subjects())

    def plan(self, twins: Sequence[Twin]) -> None:
        """Which models are to be run."""
        self._expected = {
            each.name: expected_seconds(each, self._choice, self._max_seconds) for each in twins
        }
        self._began = self._now()

    def start(self, name: str) -> None:
        if self._stream.isatty():
            total = len(self._expected)
            self._write(bar(len(self._done), total, self._seconds_left(), name))
            self._drawn = True

    def end(self, name: str, outcome: str) -> None:
        """A model has ended; outcome says how, in words."""
        self._done.add(name)
        self.clear()
        counted = f"[{len(self._done):>{len(str(len(self._expected)))}}/{len(self._expected)}]"
        self._stream.write(f"{counted} {name}: {outcome}\n")
        self._stream.flush()

    def clear(self) -> None:
        if self._drawn:
            self._write("")
            self._drawn = False

    def _seconds_left(self) -> float | None:
        """Of what is expected, by how this run kept to it so far."""
        left = [each for name, each in self._expected.items() if name not in self._done]
        gone = [self._expected.get(name) for name in self._done]
        known_left = [each for each in left if each is not None]
        known_gone = [each for each in gone if each is not None]
        if len(known_left) < len(left):
            return None
        pace = (self._now() - self._began) / sum(known_gone) if known_gone else 1.0
        return pace * sum(known_left)

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()
