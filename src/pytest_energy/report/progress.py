"""How far a command is: a live line with the time left on a terminal, else nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


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
    now: seconds of a clock.
    """

    def __init__(self, stream: TextIO, now: Callable[[], float] | None = None) -> None:
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

    def print(self, line: str) -> None:
        """Write a line that stays, above the live one."""
        self._progress.console.print(line, soft_wrap=True)
