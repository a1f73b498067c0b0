"""Texts from outside as a terminal, an XML file or an annotation can show them.

Test ids, labels, tasks, paths and names of GPUs may hold escapes of a terminal, characters that
XML forbids, or a line that a CI system takes for a command. What is stored stays exact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from operator import is_
from typing import Any, TypeVar

Value = TypeVar("Value")

#: Fields whose texts have several lines by intention.
_SEVERAL_LINES = frozenset({"notes", "message", "reason"})
#: A line that GitHub takes for a command.
_COMMAND = re.compile(r"\n(?=\s*::)")
#: The same in a text of lines, and what GitHub, Azure and TeamCity take for one anywhere.
_COMMANDS = re.compile(r"^([ \t]*):(?=:)|#(?=#(?:vso|teamcity)?\[)", re.MULTILINE | re.IGNORECASE)


def printable(text: str, *, lines: bool = False) -> str:
    """The text with what can't be printed as escapes. lines: line ends stay, and no line is a
    command of a CI system.
    """
    if lines:
        each_line = _COMMAND.sub(" ", text).split("\n")
        return without_commands("\n".join(map(printable, each_line)))
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def without_commands(text: str) -> str:
    """The lines with a blank where GitHub would take one for a command, as wrapping may make it."""
    return _COMMANDS.sub(lambda found: f"{found[0]} ", text)


def all_printable(value: Value) -> Value:
    """Plain data or a dataclass with each text in it printable."""
    found: Any = _printable(value, lines=False)
    return found  # type: ignore[no-any-return]


def _printable(value: Any, *, lines: bool) -> Any:
    if type(value) is str:
        return printable(value, lines=lines)
    if value is None or isinstance(value, int | float):  # most of a record
        return value
    if isinstance(value, tuple):
        each_printable = tuple(_printable(each, lines=lines) for each in value)
        return value if all(map(is_, each_printable, value)) else each_printable
    if isinstance(value, Mapping):
        return {
            _printable(key, lines=False): _printable(each, lines=lines)
            for key, each in value.items()
        }
    if is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for each in fields(value):
            before = getattr(value, each.name)
            after = _printable(before, lines=each.name in _SEVERAL_LINES)
            if each.init and after is not before:
                changed[each.name] = after
        return replace(value, **changed) if changed else value
    return value
