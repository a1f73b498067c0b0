"""What is shown while tests run: one line on a terminal for a long test, and long waits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from pytest_energy.report.printable import printable
from pytest_energy.sensors import clock

if TYPE_CHECKING:
    from pytest_energy.measurement.protocol import Round

AFTER_SECONDS = 2.0


def say(config: pytest.Config, sentence: str) -> None:
    """Show a sentence at once, also from a worker of pytest-xdist, which has the error output."""
    sentence = printable(sentence)
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        if reporter is not None and not hasattr(config, "workerinput"):
            reporter.ensure_newline()
            reporter.write_line(sentence)
        else:
            print(sentence, file=sys.__stderr__, flush=True)


class ProgressLine:
    """Called after each round with all of them so far; draws over itself until cleared.

    It is called also with what says how the measurement will likely end after so many rounds.

    The time left is what the limits allow: a measurement that is decided earlier ends earlier.
    reporter and capture are pytest's terminal reporter and capture manager, or None without them.
    """

    def __init__(
        self, reporter: Any, capture: Any, test_id: str, max_rounds: int, max_seconds: float
    ) -> None:
        self._reporter: Any = reporter if reporter is not None and reporter.isatty else None
        self._capture = capture
        self._test_id = test_id
        self._max_rounds = max_rounds
        self._max_seconds = max_seconds
        self._started = self._warm = clock.now()
        self._shown = False

    def __call__(self, rounds: Sequence[Round], outlook: Callable[[int], str]) -> None:
        now = clock.now()
        seconds = now - self._started
        left = max(self._max_seconds - seconds, 0.0)
        in_the_end = 0
        if measured := sum(1 for each in rounds if not each.warmup):
            pace = (now - self._warm) / measured
            left = min(left, pace * max(self._max_rounds - measured, 0))
            in_the_end = measured + int(left / pace if pace else 0)
            doing = f"round {measured} of at most {self._max_rounds}"
        else:
            self._warm = now
            doing = "warm-up"
        if self._reporter is not None and seconds >= AFTER_SECONDS:
            # A line that is too long is cut, so what a reader needs most comes first.
            expected = outlook(in_the_end)
            self._write(
                f"energy: {expected and f'{expected}, '}{seconds:.0f} s, {doing}, "
                f"{left:.0f} s left at most, {printable(self._test_id)}"
            )

    def clear(self) -> None:
        """Leave an empty line to whoever writes next."""
        if self._shown:
            self._write("")

    def _write(self, text: str) -> None:
        writer = self._reporter._tw
        uncaptured = self._capture.global_and_fixture_disabled if self._capture else nullcontext
        with uncaptured():
            if not self._shown:
                self._reporter.ensure_newline()
                self._shown = True
            writer.write("\r\x1b[K" + text[: writer.fullwidth - 1], flush=True)
