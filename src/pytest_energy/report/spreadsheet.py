"""Cells of tables that spreadsheets and data frames read."""

from __future__ import annotations

from pytest_energy.report.printable import without_commands

#: A spreadsheet takes a text that begins so for a formula (with signs of full width too), and a CI
#: system for a command.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "::")  # noqa: RUF001


def cell(value: object) -> object:
    """Exact numbers, empty for what is unknown, and texts that are no formula."""
    if isinstance(value, float):
        return repr(value)
    if not isinstance(value, str):
        return value
    value = without_commands(value)
    return f"'{value}" if value.lstrip().startswith(_FORMULA) else value
