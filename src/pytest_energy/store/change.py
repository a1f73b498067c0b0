"""Change the folder of baselines as it is now on the disk, while others are kept out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_energy.store.baseline import Line
from pytest_energy.store.file import exclusively, read_folder, write_folder
from pytest_energy.store.update import Update


def change_folder(
    folder: Path, shown: str, change: Callable[[Sequence[Line]], Update]
) -> tuple[Update, tuple[str, ...]]:
    """What the change made of the lines, and the names of the files that were written.

    shown: what messages call the folder. Raises BaselineError, OSError, and what `change` raises.
    """
    with exclusively(folder):
        before = read_folder(folder, shown)
        found = change(before.lines)
        return found, write_folder(folder, before, found.lines) if found.changed else ()
