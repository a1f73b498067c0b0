"""A TOML file with the places of its keys; whatever is wrong with it becomes one sentence."""

from __future__ import annotations

import codecs
import re
import tomllib
from pathlib import Path

from pytest_energy.errors import InputError
from pytest_energy.limits.toml_lines import (
    LONGEST_REASON,
    MOST_KEYS,
    Place,
    deepest_line,
    last_statement,
    places,
    shortened,
)
from pytest_energy.record.project_files import Refused, read_file

#: What people write is smaller; something else has the file's name.
LARGEST_BYTES = 1 << 20


class TomlFileError(InputError):
    """A file that holds no TOML; the message names file, line (where there is one) and reason."""


def read_text(path: Path, shown: str, project: Path | None = None) -> str:
    """A file's text; messages call the file `shown`.

    project: the folder that the file may not lead out of, the current one where it is None.
    Raises TomlFileError for what is no regular file, too large, or not UTF-8.
    """
    try:
        data = read_file(path, LARGEST_BYTES, project)
    except FileNotFoundError:
        raise TomlFileError(f"{shown}: there is no such file") from None
    except Refused as error:
        raise TomlFileError(f"{shown}: {error.strerror}") from None
    except OSError as error:
        raise TomlFileError(f"{shown}: can't be read: {error.strerror}") from None
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TomlFileError(
            f"{shown}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def parse_toml(text: str, shown: str) -> tuple[dict[str, object], Place]:
    """The document in a text, and the places of its keys. Raises TomlFileError."""
    if (line := deepest_line(text)) is not None:
        raise TomlFileError(f"{shown}:{line}: a path of more than {MOST_KEYS} keys")
    try:
        return tomllib.loads(text), places(text)
    except tomllib.TOMLDecodeError as error:
        reason, line, column = _syntax(str(error), text)
        # The line itself isn't shown: the file may be something else, with secrets in it.
        where = f"{shown}:{line}: not valid TOML{column}"
        raise TomlFileError(f"{where}: {shortened(reason, LONGEST_REASON)}") from None
    except RecursionError:
        raise TomlFileError(f"{shown}: arrays or tables are nested too deeply") from None
    except ValueError:
        # Python refuses to read integers of thousands of digits, and does not say where.
        longest = max(re.finditer(r"[\d_]*", text), key=lambda each: len(each[0]))
        line = text.count("\n", 0, longest.start()) + 1
        raise TomlFileError(f"{shown}:{line}: an integer of too many digits") from None


def _syntax(message: str, text: str) -> tuple[str, int, str]:
    """The reason, line and column in tomllib's message, which has no line for an unexpected end."""
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if match is None:
        return message, last_statement(text), ""
    return match[1], int(match[2]), f" at column {match[3]}"
