"""The run record as a JSON file."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_energy.record.plain import RecordError, from_plain, no_number, short, to_plain
from pytest_energy.record.project_files import read_file, write_text
from pytest_energy.record.schema import SCHEMA, RunRecord
from pytest_energy.units import numbered

#: What a session of a hundred thousand tests leaves is smaller.
LARGEST_BYTES = 1 << 28


def to_json(record: RunRecord) -> str:
    """The record as JSON at full precision."""
    return json.dumps(to_plain(record), indent=1, allow_nan=False) + "\n"


def write(record: RunRecord, path: Path) -> None:
    """Write the record, all or nothing. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, to_json(record))


def _written_by(data: object) -> str:
    """The version that wrote a file which this one can't read, or ""."""
    for key in ("run", "versions", "pytest-energy"):
        data = data.get(key) if isinstance(data, dict) else None
    return f" (written by pytest-energy {short(data)})" if isinstance(data, str) else ""


def read(path: Path) -> RunRecord:
    """Read a record. Raises RecordError with the path and what is wrong."""
    try:
        data = json.loads(read_file(path, LARGEST_BYTES), parse_constant=no_number)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not JSON ({error})") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise RecordError(
            f"{path}: schema {short(schema)} is not {SCHEMA}, the one this version reads"
            f"{_written_by(data)}; run records are written by pytest --energy-json PATH"
        )
    try:
        record = from_plain(RunRecord, data)
    except RecordError as error:
        raise RecordError(f"{path}: {error}{_written_by(data)}") from None
    assert isinstance(record, RunRecord)
    number = len(record.all_sessions)
    for index, test in enumerate(record.tests):
        if not 0 <= test.session < number:
            raise RecordError(
                f"{path}: record.tests[{index}].session is {test.session}, and the record has "
                f"{numbered(number, 'session')}"
            )
    return record
