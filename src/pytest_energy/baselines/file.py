"""The folder of baselines: JSON lines, one test and session a line, read and written whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from pytest_energy.baselines.baseline import (
    SCHEMA,
    Baselines,
    Key,
    Line,
    needed_rounds,
)
from pytest_energy.errors import InputError
from pytest_energy.limits.headroom import LARGEST_VARIANCE
from pytest_energy.limits.keys import MOST_MISTAKES
from pytest_energy.limits.limit import LARGEST_COUNT, LARGEST_FLOPS, LARGEST_LIMIT, LEAST_LIMIT
from pytest_energy.record.file import LARGEST_BYTES
from pytest_energy.record.hardware import file_name
from pytest_energy.record.plain import RecordError, from_plain, no_number, short, to_plain
from pytest_energy.record.project_files import home_of, read_file, target, write_text
from pytest_energy.record.schema import FLOPS_METHOD
from pytest_energy.units import label, numbered

#: Of the window of a session.
LEAST_SECONDS, LARGEST_SECONDS = 1e-9, 1e9
SUFFIX = ".jsonl"
_CONFLICT = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")
_MERGE = "a merge conflict: remove git's own lines, and keep the sessions of both sides"
_REMEDY = "take the line from git (git checkout -- {file}), or remove it: it is one session"


class BaselineError(InputError):
    """Baselines that can't be read; the message holds a line for each mistake, with its place."""


def read_folder(folder: Path, shown: str, project: Path | None = None) -> Baselines:
    """The lines of all files in a folder, which messages call `shown`; none where it isn't there.

    project: the folder that files may not lead out of, the current one where it is None.
    Raises BaselineError with all mistakes, each on a line.
    """
    try:
        paths = sorted(each for each in target(folder, project).iterdir() if each.suffix == SUFFIX)
    except FileNotFoundError:
        return Baselines()
    except OSError as error:
        raise BaselineError(f"{shown}: {error.strerror}; a folder is expected here") from None
    mistakes: list[str] = []
    home = home_of(folder, project)
    files = {path.name: _read(path, f"{shown}/{_named(path)}", mistakes, home) for path in paths}
    if mistakes:
        more = len(mistakes) - MOST_MISTAKES
        left_out = [f"{shown}: {numbered(more, 'more mistake')}"] if more > 0 else []
        raise BaselineError("\n".join([*mistakes[:MOST_MISTAKES], *left_out]))
    return Baselines(shown, files)


def write_folder(
    folder: Path, before: Baselines, lines: Iterable[Line], project: Path | None = None
) -> tuple[str, ...]:
    """Write the files whose lines differ from those before; gives their names. Raises OSError.

    Lines of one kind of hardware go where its others are, else into a file that is called after it.
    A file without lines is removed. Raises BaselineError for a line that can't be read back, and
    then nothing is written.
    """
    lines = tuple(lines)
    _check_readable(lines)
    homes = {line.hardware: name for name, found in before.files.items() for line in found}
    files: dict[str, list[Line]] = {name: [] for name in before.files}
    for line in lines:
        name = homes.setdefault(line.hardware, file_name(line.hardware))
        files.setdefault(name, []).append(line)
    written = []
    for name, found in files.items():
        text = text_of(found)
        if text == text_of(before.files.get(name, ())) and name in before.files:
            continue
        where = target(folder, project)
        where.mkdir(parents=True, exist_ok=True)
        if found:
            write_text(where / name, text, home_of(where, project))
        else:
            (where / name).unlink(missing_ok=True)
        written.append(name)
    return tuple(sorted(written))


def _check_readable(lines: Iterable[Line]) -> None:
    """Whether the next session can read what this one writes; a record may be made by anybody."""
    mistakes = []
    for line in lines:
        try:
            parse_line(_text(line).encode())
        except (BaselineError, ValueError) as error:
            mistakes.append(f"{label(line.test, line.name)}: not stored: {error}")
    if mistakes:
        raise BaselineError("\n".join((*mistakes, "nothing is written")))


def _text(line: Line) -> str:
    plain = to_plain(line)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    # A name that no encoding has, such as that of a file, is escaped.
    return text if _is_unicode(text) else json.dumps(plain, allow_nan=False)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= each <= "\udfff" for each in text)


def text_of(lines: Iterable[Line]) -> str:
    """A file's text: its lines in their order, at full precision."""
    ordered = sorted(lines, key=lambda each: each.order)
    return "".join(_text(each) + "\n" for each in ordered)


def _named(path: Path) -> str:
    """The name as messages have it, which have a line for each mistake."""
    return path.name if path.name.isprintable() else ascii(path.name)[1:-1]


def _read(path: Path, shown: str, mistakes: list[str], home: Path) -> tuple[Line, ...]:
    """The lines of one file; what is wrong with them is added to the mistakes."""
    try:
        data = read_file(path, LARGEST_BYTES, home)
    except OSError as error:
        mistakes.append(f"{shown}: can't be read: {error.strerror}")
        return ()
    found: dict[tuple[Key, str], tuple[int, Line]] = {}
    for number, written in enumerate(data.split(b"\n"), start=1):
        if not written.strip():
            continue
        if written.startswith(_CONFLICT):
            mistakes.append(f"{shown}:{number}: {_MERGE}")
            continue
        try:
            line = parse_line(written)
            first, same = found.setdefault((line.key, line.run), (number, line))
            if same != line:  # an equal one has come by both sides of a merge
                raise BaselineError(f"line {first} holds the same session with other figures")
        except BaselineError as error:
            mistakes.append(f"{shown}:{number}: {error}; {_REMEDY.format(file=shown)}")
    return tuple(line for _, line in found.values())


def parse_line(written: bytes) -> Line:
    """One line. Raises BaselineError with the reason alone."""
    try:
        data = json.loads(written.decode("utf-8"), parse_constant=no_number)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError too
        raise BaselineError(f"not JSON ({error})") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        why = "; upgrade pytest-energy" if newer else ""
        raise BaselineError(
            f"schema {short(schema)} is not {SCHEMA}, which this version reads{why}"
        )
    try:
        line = from_plain(Line, data, "the session")
    except RecordError as error:
        raise BaselineError(str(error)) from None
    assert isinstance(line, Line)
    _check(line)
    return line


def _check(line: Line) -> None:
    """Whether the figures can be compared with."""
    largest = LARGEST_FLOPS if line.method == FLOPS_METHOD else LARGEST_LIMIT
    ranges = (
        ("centre", line.centre, LEAST_LIMIT, largest),
        ("window", line.window, LEAST_SECONDS, LARGEST_SECONDS),
        ("variance", line.variance, 0.0, LARGEST_VARIANCE),
        ("n", line.n, 1, LARGEST_COUNT),
    )
    for name, value, least, most in ranges:
        if not least <= value <= most:
            raise BaselineError(
                f"{name} is {short(value)}, not a number from {least:g} to {most:g}"
            )
    if line.cheapest is not None and not 0 < line.cheapest <= LARGEST_SECONDS:
        raise BaselineError(
            f"cheapest is {short(line.cheapest)}, not a number over 0 and up to {LARGEST_SECONDS:g}"
        )
    needed = needed_rounds(line.method)
    if len(line.rounds) != needed:
        raise BaselineError(f"it has {len(line.rounds)} rounds, not {needed}")
    low, high = min(line.rounds), max(line.rounds)
    rounding = 1e-9  # a logarithm and back is not exact
    if not 0 < low * (1 - rounding) <= line.centre <= high * (1 + rounding):
        raise BaselineError(f"centre is {line.centre!r}, which its rounds don't have around it")
    try:
        datetime.fromisoformat(line.start)
    except ValueError:
        raise BaselineError(f"start is {short(line.start)}, not a date and time") from None
