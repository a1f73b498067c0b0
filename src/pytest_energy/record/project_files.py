"""Files of a project: read and written only where they are ordinary files inside of it.

Whoever sends a change to a project chooses what its files are: links to other people's files, pipes
that never end, names that no system takes. A path that is typed may lead anywhere; a path inside
the project may not lead out of it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_energy.errors import EnergyError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for a writer
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
#: Of the name of a file that is being written.
_RANDOM_BYTES = 8
#: Files of the kernel: they look ordinary and hold what processes keep to themselves.
_KERNEL = (Path("/proc"), Path("/sys"), Path("/dev"))
#: Memory that is a folder like any other.
_SHARED_MEMORY = Path("/dev/shm")


class Refused(OSError):
    """A file that isn't used, whatever the system would do with it; strerror says why."""


def target(path: Path, project: Path | None = None) -> Path:
    """Where a path leads; it need not be there yet.

    project: the current folder where it is None. Raises OSError for a path inside the project, or
    in a repository, that leads out of it, links that loop, a name that no system takes.
    """
    project = Path.cwd() if project is None else project
    if "\0" in str(path):
        raise Refused(errno.EINVAL, "the name holds a NUL character")
    found = Path(os.path.realpath(path))
    try:
        found.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    else:
        if found.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if any(_leads_out(path, found, each) for each in (project, *_repositories(path))):
        raise Refused(
            errno.EXDEV, "this is a link that leads out of the project; put the file itself here"
        )
    return found


def home_of(folder: Path, project: Path | None = None) -> Path:
    """What files in a folder may not lead out of: the project, or a folder outside of it itself."""
    root = Path(os.path.realpath(Path.cwd() if project is None else project))
    found = Path(os.path.realpath(folder))
    return root if found.is_relative_to(root) else found


def is_inside(path: Path, project: Path) -> bool:
    """Whether it leads into the project, or the repository around it."""
    found = Path(os.path.realpath(path))
    roots = (Path(os.path.realpath(each)) for each in (project, *_repositories(project)))
    return any(each in found.parents for each in roots)


def _leads_out(path: Path, found: Path, folder: Path) -> bool:
    """Whether a path is written as one inside the folder, and isn't."""
    root, written = Path(os.path.realpath(folder)), _absolute(path)
    is_inside = any(written.is_relative_to(each) for each in (root, _absolute(folder)))
    return is_inside and not found.is_relative_to(root)


def _repositories(path: Path) -> Iterator[Path]:
    """Those around a path as it is written: whoever sends a change to one chose what is in it."""
    written = _absolute(path)
    return (each for each in (written, *written.parents) if os.path.lexists(each / ".git"))


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


def write_text(path: Path, text: str, project: Path | None = None) -> None:
    """Write a file, all or nothing, with the permissions that it has. Raises OSError.

    A character that no file can hold (a lone surrogate) becomes an escape. A device or a pipe is
    refused: a file would take its place, where root runs this even that of /dev/null.
    """
    where = target(path, project)  # a link stays a link
    is_special = where.exists() and not where.is_file()
    if is_special or _is_of_the_kernel(where) or _is_of_the_kernel(_absolute(path)):
        raise Refused(errno.EINVAL, "this is not a regular file; give the path of a file")
    _remove_leftovers(where)
    scratch, opened = _scratch(where)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())  # else a crash of the machine could leave an empty file
            if where.exists():
                shutil.copymode(where, scratch)
            scratch.replace(where)
    finally:
        scratch.unlink(missing_ok=True)


def _scratch(where: Path) -> tuple[Path, int]:
    """A new file beside another, open and locked, so that no process takes it for one left."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    while True:
        # A name that can be guessed could be a link that somebody put there: the name is random,
        # and a file that exists is never opened.
        scratch = where.with_name(f"{_scratch_prefix(where)}{secrets.token_hex(_RANDOM_BYTES)}")
        opened = os.open(scratch, flags | getattr(os, "O_BINARY", 0), 0o666)
        if is_kept(opened):
            return scratch, opened


def is_kept(opened: int) -> bool:
    """Lock a new file, so that no process takes it for one that was left; close it if one has."""
    if fcntl is None:
        return True
    with suppress(OSError):  # a file system without locks, where nothing left is removed
        fcntl.flock(opened, fcntl.LOCK_EX)
    if os.fstat(opened).st_nlink:
        return True
    os.close(opened)
    return False


def _scratch_prefix(where: Path) -> str:
    return f".{where.name[:200]}."


def _remove_leftovers(where: Path) -> None:
    """Remove what a process that was killed while it wrote this file has left beside it.

    A process that still writes holds a lock on its file.
    """
    if fcntl is None:
        return
    ours = re.compile(re.escape(_scratch_prefix(where)) + f"[0-9a-f]{{{2 * _RANDOM_BYTES}}}")
    with suppress(OSError):
        for left in [each for each in where.parent.iterdir() if ours.fullmatch(each.name)]:
            with suppress(OSError):
                file = os.open(left, _FLAGS)
                try:
                    if stat.S_ISREG(os.fstat(file).st_mode):
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        left.unlink()
                finally:
                    os.close(file)
