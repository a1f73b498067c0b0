"""Locks between processes: one for each device, and one for each folder of baselines.

Other users write to the default folder, so nothing in it is trusted. A lock is an empty file with
one name. Its holder writes a second file beside it, `.holder`, for those who wait: that file is
used only where it is empty or begins as ours do, never through a link, and its text is only shown.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_energy.sensors import clock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: /tmp rather than TMPDIR, which differs between users and test runners.
DEFAULT_FOLDER = Path("/tmp" if os.name == "posix" else tempfile.gettempdir(), "pytest-energy")
#: Every measurement takes this lock, but for those on one GPU alone.
CPU = "cpu"
#: A wait is reported once it is this long, and again at each of the later intervals.
REPORTED_AFTER_SECONDS = 5.0
REPORTED_EVERY_SECONDS = 60.0
POLL_SECONDS = 0.05
#: How often in a row a lock that is held may have no file: its folder may just have been removed.
MOST_MISSING = 20
#: What the file of a holder begins with, and its largest size.
_HEAD = b'{"pytest-energy holder": '
_LARGEST_BYTES = 1024
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class Locks:
    """The locks in one folder; the kernel frees them when their holder dies."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        """`report` takes a sentence about a long wait. Raises OSError for an unusable folder."""
        self._folder = folder
        self._report = report
        self._locks: dict[str, FileLock | _ForeignLock] = {}
        _make(folder)
        self._lock(CPU)

    @contextmanager
    def hold(self, names: Iterable[str], what: str = "") -> Iterator[str]:
        """Wait for all of these locks, and keep them from other processes. Raises OSError.

        what: what is measured, for those who wait. Gives a sentence where this process runs inside
        the measurement that it would wait for, which would never end: it then takes no lock.
        """
        with ExitStack() as held:
            # Always in the same order, so that two processes never wait for each other.
            for name in sorted(set(names)):
                if around := self._acquire(name):
                    yield around
                    return
                held.enter_context(self._held(name, what))
            yield ""

    def _acquire(self, name: str) -> str:
        """Wait for one lock; a sentence where its holder waits for us."""
        lock, started, report_after = self._lock(name), clock.now(), REPORTED_AFTER_SECONDS
        path, missing = Path(lock.lock_file), 0
        while True:
            try:
                lock.acquire(blocking=False)
                return ""
            except Timeout:
                holder = read_holder(path)
                # Where the file can't be made, filelock says that somebody else has it.
                missing = 0 if os.path.lexists(path) else missing + 1
                if missing >= MOST_MISSING:
                    raise FileNotFoundError(errno.ENOENT, "it can't be made", str(path)) from None
            except PermissionError:
                if isinstance(lock, _ForeignLock) or fcntl is None:
                    raise
                self._locks[name] = lock = _ForeignLock(path)
                continue
            if holder is not None and holder.is_around_us:
                return f"measured inside another measurement, {holder}, so without a lock"
            if clock.now() - started >= report_after:
                report_after += REPORTED_EVERY_SECONDS
                who = str(holder or "another process")
                if holder is not None and holder.is_stopped:
                    who += f", which is stopped; kill -CONT {holder.pid} continues it"
                self._report(f"energy: waiting for the lock {path}, held by {who}")
            clock.sleep(POLL_SECONDS)

    @contextmanager
    def _held(self, name: str, what: str) -> Iterator[None]:
        """A lock that has been acquired, until the end of this."""
        lock, owner = self._lock(name), os.getpid()
        path, is_outermost = Path(lock.lock_file), lock.lock_counter == 1
        try:
            if is_outermost:
                _write_holder(path, what)
            yield
        finally:
            if os.getpid() == owner:  # a fork that comes by here holds no lock
                if is_outermost:
                    _write_holder(path, None)
                lock.release()

    def _lock(self, name: str) -> FileLock | _ForeignLock:
        """Raises OSError where the file exists and is not an empty file with one name."""
        if name not in self._locks:
            path = self._folder / f"{re.sub('[^A-Za-z0-9-]', '_', name)}.lock"
            with suppress(FileNotFoundError):
                found = path.lstat()
                if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size:
                    raise OSError(
                        errno.EEXIST,
                        "this is no lock (an empty file with one name), so it is left as it is",
                        str(path),
                    )
            # Held by the process: another thread may close a window that one has left open.
            self._locks[name] = FileLock(path, mode=0o666, thread_local=False)
        return self._locks[name]


class _ForeignLock:
    """The lock of a file that another user has made in the folder of all users.

    filelock refuses it, because its owner could replace the file while it is held. Then two runs
    would measure at once, which their tests report; a machine without locks is worse.
    """

    def __init__(self, path: Path) -> None:
        self.lock_file = str(path)
        self.lock_counter = 0
        self._file = -1
        os.register_at_fork(after_in_child=self._forget)

    def acquire(self, *, blocking: bool) -> None:
        """Take it, or raise Timeout; it never waits. Raises OSError."""
        assert not blocking
        if not self.lock_counter:
            file = os.open(self.lock_file, os.O_RDWR | _SAFELY)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(file)
                if isinstance(error, BlockingIOError):
                    raise Timeout(self.lock_file) from None
                raise
            self._file = file
        self.lock_counter += 1

    def release(self) -> None:
        """Let go of it, as often as it was taken."""
        self.lock_counter -= 1
        if not self.lock_counter:
            os.close(self._file)

    def _forget(self) -> None:
        """A fork neither holds nor frees it."""
        if self.lock_counter:
            os.close(self._file)
            self.lock_counter = 0


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock, and what it measures."""

    pid: int
    what: str

    @property
    def is_stopped(self) -> bool:
        return _state_and_parent(self.pid)[0] in ("T", "t")

    @property
    def is_around_us(self) -> bool:
        """Whether it is this process, or one that this process descends from."""
        if self.pid in (os.getpid(), os.getppid()):
            return True
        pid = os.getppid()
        while pid > 1 and pid != self.pid:
            pid = int(_state_and_parent(pid)[1])
        return pid == self.pid

    def __str__(self) -> str:
        return f"{self.what or 'a measurement'} (process {self.pid})"


def read_holder(lock: Path) -> Holder | None:
    """The holder of a lock; None where it is unknown."""
    try:
        file = os.open(lock.with_suffix(".holder"), os.O_RDONLY | _SAFELY)
    except OSError:
        return None
    try:
        if not _is_ours(file):
            return None
        text = os.pread(file, _LARGEST_BYTES, 0)
    finally:
        os.close(file)
    try:
        ((pid, what),) = json.loads(text).values()
        shown = "".join(each if each.isprintable() else "?" for each in str(what))
        return Holder(int(pid), shown) if int(pid) > 0 else None
    except (ValueError, TypeError, AttributeError):
        return None


def _write_holder(lock: Path, what: str | None) -> None:
    """Write that this process holds the lock, or with None that no process does.

    Only the process that holds it calls this. Where the file cannot be written safely, it is not.
    """
    text = b""
    if what is not None:
        text = _HEAD + json.dumps([os.getpid(), what[:200]]).encode() + b"}\n"
    path = lock.with_suffix(".holder")
    with suppress(OSError):
        try:
            file = os.open(path, os.O_RDWR | _SAFELY)
        except FileNotFoundError:
            file = os.open(path, os.O_RDWR | _SAFELY | os.O_CREAT | os.O_EXCL, 0o666)
            with suppress(OSError):  # all users of the folder write it, whatever the umask
                os.fchmod(file, lock.stat().st_mode & 0o666)
        try:
            if _is_ours(file):
                os.pwrite(file, text, 0)
                os.ftruncate(file, len(text))
        finally:
            os.close(file)


def _is_ours(file: int) -> bool:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        return False
    return found.st_size == 0 or os.pread(file, len(_HEAD), 0) == _HEAD


def _state_and_parent(pid: int) -> tuple[str, str]:
    """State and parent of a process, "" and 0 where they are unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[0].decode(), fields[1].decode()
    except (OSError, IndexError):
        return "", "0"


def _make(folder: Path) -> None:
    """Make the folder where it is missing; one that exists is never changed.

    The default folder is made for all users of the machine, any other for its user alone. Raises
    OSError, also where the default folder is a link: its owner could point it anywhere.
    """
    if folder != DEFAULT_FOLDER:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    try:
        folder.mkdir()
    except FileExistsError:
        if folder.is_symlink():
            raise OSError(
                errno.ELOOP, "a link, which others could point anywhere", str(folder)
            ) from None
    else:
        # Sticky: no user removes another's file. There, Linux refuses to create a file that another
        # user has made (fs.protected_regular), so whatever exists is opened and never created.
        folder.chmod(0o1777)
