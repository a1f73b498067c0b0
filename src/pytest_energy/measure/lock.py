"""One lock a device, so that two measurements never share one; the CPU is a device too."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock

#: /tmp rather than TMPDIR, which differs between users and test runners.
DEFAULT_FOLDER = Path("/tmp" if os.name == "posix" else tempfile.gettempdir(), "pytest-energy")
#: Its lock is taken by every measurement but those on one GPU alone.
CPU = "cpu"


class DeviceLocks:
    """The locks of this machine's devices; the kernel frees them when their holder dies."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where the folder can't be used."""
        self._folder = folder
        self._locks: dict[str, FileLock] = {}
        folder.mkdir(parents=True, exist_ok=True)
        # The folder isn't sticky: in a sticky one Linux refuses to open another user's file
        # (fs.protected_regular).
        if folder.stat().st_mode & 0o777 != 0o777 and folder.stat().st_uid == os.getuid():
            folder.chmod(0o777)
        with self.hold([CPU]):
            pass  # whether it can be taken

    @contextmanager
    def hold(self, devices: Iterable[str]) -> Iterator[None]:
        """Wait for all of these devices, and keep them from others meanwhile. Raises OSError."""
        with ExitStack() as held:
            # Always in the same order, so that two who wait never wait for one another.
            for device in sorted(set(devices)):
                held.enter_context(self._lock(device))
            yield

    def _lock(self, device: str) -> FileLock:
        if device not in self._locks:
            path = self._folder / f"{re.sub('[^A-Za-z0-9-]', '_', device)}.lock"
            # Held by the process: a window that a thread has left open is closed by another one.
            self._locks[device] = FileLock(path, mode=0o666, thread_local=False)
        return self._locks[device]
