"""Change the folder of baselines while other processes are kept out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

from pytest_energy.baselines.baseline import Line
from pytest_energy.baselines.file import read_folder, write_folder
from pytest_energy.baselines.update import Update
from pytest_energy.record.lock import DEFAULT_FOLDER, Locks
from pytest_energy.record.project_files import writing


def change_folder(
    folder: Path,
    shown: str,
    change: Callable[[Sequence[Line]], Update],
    project: Path | None = None,
) -> tuple[Update, tuple[str, ...]]:
    """What the change made of the lines, and the names of the files that were written.

    shown: what messages call the folder. project: the folder that files may not lead out of, the
    current one where it is None. Raises EnergyError, and what `change` raises.
    """
    with writing(shown), _locked(folder):
        before = read_folder(folder, shown, project)
        found = change(before.lines)
        return found, write_folder(folder, before, found.lines, project) if found.changed else ()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out, so that none loses what another adds; no file is left beside it.

    There are sixteen locks for all folders of the machine: one for each would stay for ever.
    """
    name = sha256(os.path.realpath(folder).encode(errors="surrogateescape")).hexdigest()[:1]
    with ExitStack() as held:
        with suppress(OSError):  # without a usable folder for locks, the change goes on
            locks = Locks(DEFAULT_FOLDER, partial(print, file=sys.stderr))
            held.enter_context(locks.hold([f"baselines-{name}"], "a change of baselines"))
        yield
