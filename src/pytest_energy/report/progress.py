"""How far a command is: a live line with the time left on a terminal, else lines or nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pytest_energy.report.printable import printable


@dataclass(frozen=True)
class Step:
    """What begins now, and how much is done before it.

    done: None where this is no part of `total`. total: None where it is unknown.
    """

    text: str
    done: float | None = None
    total: float | None = None


class LiveProgress:
    """A line that is drawn at each step and removed at the end of the `with` block.

    No thread draws it in between: that would use CPU time while something is measured.
    now: seconds of a clock. lines: whether each step is a line of its own, with the time since the
    start, where the stream is no terminal, such as the log of a CI job.
    """

    def __init__(
        self, stream: TextIO, now: Callable[[], float] | None = None, *, lines: bool = False
    ) -> None:
        self._lines = lines and not stream.isatty()
        self._progress = Progress(
            BarColumn(20),
            TextColumn("{task.description}", markup=False),
            TimeRemainingColumn(),
            console=Console(file=stream, highlight=False, markup=False, emoji=False),
            auto_refresh=False,
            speed_estimate_period=math.inf,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_time=now,
            disable=not stream.isatty(),
        )
        self._task = self._progress.add_task("", total=None, visible=False)

    def __enter__(self) -> LiveProgress:
        if not self._progress.disable:
            self._progress.start()
        self._progress.advance(self._task, 0)  # the start, from which rich counts the speed
        return self

    def __exit__(self, *_: object) -> None:
        if not self._progress.disable:  # before rich 15 a line break would be written
            self._progress.stop()

    def show(self, step: Step) -> None:
        """Draw the line anew."""
        if step.done is not None:
            # Not by update(total=...): that forgets the speed.
            self._progress.tasks[0].total = step.total
        self._progress.update(
            self._task, description=step.text, completed=step.done, visible=True, refresh=True
        )
        if self._lines:
            minutes, seconds = divmod(round(self._progress.tasks[0].elapsed or 0.0), 60)
            self.print(f"{minutes}:{seconds:02} {printable(step.text)}")

    def print(self, line: str) -> None:
        """Write a line that stays, above the live one."""
        self._progress.console.print(line, soft_wrap=True)
