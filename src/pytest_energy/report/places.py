"""Where a test is written, as the repository and its hosts name files."""

from __future__ import annotations

import posixpath
from typing import NamedTuple

from pytest_energy.record.schema import RunRecord, TestRecord


class Place(NamedTuple):
    """A file from the top of its repository, and a line; 0 where it is unknown."""

    file: str
    line: int


def place_of(record: RunRecord, test: TestRecord) -> Place | None:
    """The test's place; None for a file outside of the repository."""
    file, _, number = test.location.rpartition(":")
    line = int(number) if number.isascii() and number.isdecimal() and len(number) < 8 else 0
    if not file or not line:
        file = test.location or test.id.partition("::")[0]
    found = posixpath.normpath(posixpath.join(record.session_of(test).run.folder, file))
    if not file or found.startswith(("../", "/")) or found in (".", ".."):
        return None
    return Place(found, line)
