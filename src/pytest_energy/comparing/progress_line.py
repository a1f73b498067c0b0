"""One line that says how far a comparison is; nothing where nobody looks."""

from __future__ import annotations

from typing import TextIO

from pytest_energy.comparing.turns import Progress


class ProgressLine:
    """Draws over itself on a terminal until cleared; writes nothing elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = False

    def __call__(self, progress: Progress) -> None:
        self._write(told(progress))

    def clear(self) -> None:
        if self._shown:
            self._write("")

    def _write(self, text: str) -> None:
        if self._stream.isatty():
            self._shown = True
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()


def told(progress: Progress) -> str:
    """ "pair 2 of 5, reference, 40 s left"; after the fifth it may go on."""
    text = f"pair {progress.pair} of {progress.next_look}, {progress.side}"
    if progress.process_seconds is None:
        return text
    left = progress.processes_left * progress.process_seconds
    return f"{text}, {f'{left / 60:.0f} min' if left >= 120 else f'{left:.0f} s'} left"
