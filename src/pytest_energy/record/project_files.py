"""Files of a project: read and written only where they are ordinary files inside of it.

Whoever sends a change to a project chooses what its files are: links to other people's files, pipes
that never end, names that no system takes. A path that is typed may lead anywhere; a path inside
the project may not lead out of it.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_energy.errors import EnergyError

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for a writer
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
#: Files of the kernel: they look ordinary and hold what processes keep to themselves.
_KERNEL = (Path("/proc"), Path("/sys"), Path("/dev"))
#: Memory that is a folder like any other.
_SHARED_MEMORY = Path("/dev/shm")


class Refused(OSError):
    """A file that isn't used, whatever the system would do with it; strerror says why."""


def target(path: Path, project: Path | None = None) -> Path:
    """Where a path leads; it need not be there yet.

    project: the current folder where it is None. Raises OSError for a path inside the project that
    leads out of it, links that loop, and a name that no system takes.
    """
    project = Path.cwd() if project is None else project
    if "\0" in str(path):
        raise Refused(errno.EINVAL, "the name holds a NUL character")
    found, root = Path(os.path.realpath(path)), Path(os.path.realpath(project))
    written = _absolute(path)
    try:
        found.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    else:
        if found.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    is_inside = any(written.is_relative_to(each) for each in (root, _absolute(project)))
    if is_inside and not found.is_relative_to(root):
        raise Refused(
            errno.EXDEV, "this is a link that leads out of the project; put the file itself here"
        )
    return found


def read_file(path: Path, largest_bytes: int, project: Path | None = None) -> bytes:
    """The bytes of an ordinary file. Raises OSError, whose strerror says why it isn't read."""
    found = target(path, project)
    if _is_of_the_kernel(found):
        raise Refused(errno.EINVAL, "this is not a regular file; write a text file")
    file = os.open(found, _FLAGS)
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            raise Refused(errno.EISDIR, "this is a directory; write a text file")
        if not stat.S_ISREG(mode):
            raise Refused(errno.EINVAL, "this is not a regular file; write a text file")
        with os.fdopen(os.dup(file), "rb") as opened:
            data = opened.read(largest_bytes + 1)
    finally:
        os.close(file)
    if len(data) > largest_bytes:
        raise Refused(errno.EFBIG, f"larger than {largest_bytes >> 20} MiB; write a smaller file")
    return data


@contextmanager
def writing(shown: str | Path) -> Iterator[None]:
    """Raise EnergyError that names the file or folder where what is done inside raises OSError."""
    try:
        yield
    except OSError as error:
        raise EnergyError(f"{shown} can't be written: {error.strerror}") from None


def _absolute(path: Path) -> Path:
    """The path as it is written, whatever links are on it."""
    return Path(os.path.normpath(Path.cwd() / path))


def _is_of_the_kernel(path: Path) -> bool:
    if path.is_relative_to(_SHARED_MEMORY):
        return False
    return any(path.is_relative_to(each) for each in _KERNEL)


def write_text(path: Path, text: str) -> None:
    """Write a file, all or nothing, with the permissions that it has. Raises OSError."""
    where = target(path)  # a link stays a link
    # A name that can be guessed could be a link that somebody put there: the name is random, and
    # a file that exists is never opened.
    scratch = where.with_name(f".{where.name[:200]}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    opened = os.open(scratch, flags | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(text.encode("utf-8"))
        if where.exists():
            shutil.copymode(where, scratch)
        scratch.replace(where)
    finally:
        scratch.unlink(missing_ok=True)
