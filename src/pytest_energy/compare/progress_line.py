"""One line that says how far a comparison is; nothing where nobody looks."""

from __future__ import annotations

from typing import TextIO

from pytest_energy.compare.turns import Progress


class ProgressLine:
    """Draws over itself on a terminal until cleared; writes nothing elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = False

    def __call__(self, doing: Progress | str) -> None:
        self._write(str(doing))

    def clear(self) -> None:
        if self._shown:
            self._write("")

    def _write(self, text: str) -> None:
        if self._stream.isatty():
            self._shown = True
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()
