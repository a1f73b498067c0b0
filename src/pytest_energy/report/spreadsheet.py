"""Cells of tables that spreadsheets and data frames read."""

from __future__ import annotations

#: A spreadsheet takes a text that begins so for a formula, and a CI system for a command.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "::", "##[")


def cell(value: object) -> object:
    """Exact numbers, empty for what is unknown, and texts that are no formula."""
    if isinstance(value, float):
        return repr(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
