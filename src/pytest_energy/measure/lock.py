"""One lock for the machine, so that two measured tests never overlap."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from filelock import FileLock


def machine_lock() -> FileLock:
    """The machine-wide lock; the kernel frees it when its holder dies. Raises OSError."""
    # /tmp rather than TMPDIR, which differs between users and test runners. The folder isn't
    # sticky: in a sticky one Linux refuses to open another user's file (fs.protected_regular).
    base = Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())
    folder = base / "pytest-energy"
    folder.mkdir(exist_ok=True)
    if folder.stat().st_mode & 0o777 != 0o777 and folder.stat().st_uid == os.getuid():
        folder.chmod(0o777)
    # Held by the process: a window that a thread has left open is closed by another one.
    return FileLock(folder / "measuring.lock", mode=0o666, thread_local=False)
