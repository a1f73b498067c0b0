"""Where a marker is written: file:line, for messages."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.plugin.measured_tests import MARKER


def origin_of(node: Any, item: pytest.Item, mark: pytest.Mark) -> str:
    """file:line of the marker, or of the test where the marker isn't spelled out in a file."""
    path = Path(getattr(node, "path", item.path))
    try:
        shown = path.relative_to(item.config.rootpath).as_posix()
    except ValueError:
        shown = path.name
    first_line = None
    if isinstance(node, pytest.Item) and item.location[1] is not None:
        first_line = item.location[1] + 1
    line = _marker_line(path, node.name, first_line, mark) or first_line
    return f"{shown}:{line}" if line else shown


def _marker_line(path: Path, name: str, first_line: int | None, mark: pytest.Mark) -> int | None:
    """The line where the module, the class `name` or the function on `first_line` is marked."""
    try:
        seen = path.stat()
    except OSError:
        return None
    found = _places(path, (seen.st_mtime_ns, seen.st_size))
    if first_line is not None:
        owners = [found.functions.get(first_line, [])]
    else:
        owners = found.classes.get(name, [])
        if path.name == Path(name).name:
            owners = [found.module, *owners]
    for places in owners:
        lines = [line for place in places for line in _lines_of(place, mark)]
        if lines:
            return lines[0] if len(lines) == 1 else None
    return None


@dataclass(frozen=True)
class _Places:
    """Where a file may spell out markers: by a function's first line, by class, and of all of it.

    There may be several classes of one name.
    """

    functions: Mapping[int, list[ast.expr]]
    classes: Mapping[str, list[list[ast.expr]]]
    module: list[ast.expr]


@lru_cache(maxsize=16)  # a file of thousands of tests is read once
def _places(path: Path, version: tuple[int, int]) -> _Places:  # noqa: ARG001  (tells a new one)
    functions: dict[int, list[ast.expr]] = {}
    classes: dict[str, list[list[ast.expr]]] = {}
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return _Places(functions, classes, [])
    for owner in ast.walk(tree):
        match owner:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                first = min([owner.lineno, *(each.lineno for each in owner.decorator_list)])
                functions.setdefault(first, owner.decorator_list)
            case ast.ClassDef():
                places = [*owner.decorator_list, *_pytestmarks(owner.body)]
                classes.setdefault(owner.name, []).append(places)
    return _Places(functions, classes, _pytestmarks(tree.body))


def _lines_of(place: ast.expr, mark: pytest.Mark) -> list[int]:
    """Lines on which an expression spells out this marker, with the same limit."""
    called = {id(each.func): each for each in ast.walk(place) if isinstance(each, ast.Call)}
    lines = []
    for each in ast.walk(place):
        if isinstance(each, ast.Attribute) and each.attr == MARKER:
            call = called.get(id(each))
            written = call.args[0] if call and call.args else None
            given = mark.args[0] if mark.args else None
            if not isinstance(written, ast.Constant) or written.value == given:
                lines.append(each.lineno)
    return lines


def _pytestmarks(body: list[ast.stmt]) -> list[ast.expr]:
    return [
        statement.value
        for statement in body
        if isinstance(statement, ast.Assign)
        and any(
            isinstance(each, ast.Name) and each.id == "pytestmark" for each in statement.targets
        )
    ]
