"""One lock for the machine, so that two measured tests never overlap."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from filelock import FileLock


def machine_lock() -> FileLock:
    """The machine-wide lock; the kernel frees it when its holder dies."""
    # /tmp rather than TMPDIR, which differs between users and test runners. The folder isn't
    # sticky: in a sticky one Linux refuses to open another user's file (fs.protected_regular).
    base = Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())
    folder = base / "pytest-energy"
    try:
        folder.mkdir()
        folder.chmod(0o777)
    except FileExistsError:
        pass
    return FileLock(folder / "measuring.lock", mode=0o666)
