"""The reason codes of verdicts and their messages, read from the source of the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest_energy

PACKAGE = Path(pytest_energy.__file__).parent
#: The commands of the study judge nothing.
ELSEWHERE = "study/"
#: Where a code is told from another text that stands beside it.
WITH_HYPHEN = re.compile(r"[a-z]+(-[a-z]+)+")


@cache
def sources() -> dict[str, ast.Module]:
    """The files of the package, by their paths in it."""
    return {
        name: ast.parse(each.read_text(encoding="utf-8"))
        for each in sorted(PACKAGE.rglob("*.py"))
        if not (name := each.relative_to(PACKAGE).as_posix()).startswith(ELSEWHERE)
    }


@cache
def reason_codes() -> dict[str, list[str]]:
    """Each code with its messages; `...` stands for what differs from case to case."""
    trees = list(sources().values())
    constants: dict[str, list[str]] = {}
    for tree in trees:
        constants |= texts_by_name(tree.body)
    found: dict[str, list[str]] = {}
    for tree in trees:
        for code, message in _coded(tree, constants):
            messages = found.setdefault(code, [])
            if message and message not in messages:
                messages.append(message)
    return dict(sorted(found.items()))


def _coded(tree: ast.AST, constants: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Codes with a message, "" where it comes from elsewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = constants | texts_by_name(list(ast.walk(node)))
            for each in ast.walk(node):
                if isinstance(each, ast.Call):
                    yield from _of_call(each, names)
            if node.name == "_code":  # chooses among codes of verdicts
                yield from ((code, "") for code in texts(node, {}) if WITH_HYPHEN.fullmatch(code))
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CODES":
            yield from ((code, "") for code in texts(node.value, {}))
        elif isinstance(node, ast.Call):  # outside of functions too
            yield from _of_call(node, constants)


def _of_call(call: ast.Call, names: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    called = ast.unparse(call.func).rpartition(".")[2]
    codes: list[str] = []
    messages = [""]
    if called == "Reason" and len(call.args) == 2:
        codes, messages = texts(call.args[0], names), texts(call.args[1], names)
    elif called == "SensorFault" and call.args:
        codes = texts(call.args[1], names) if len(call.args) > 1 else ["sensor-fault"]
        messages = texts(call.args[0], names)
    for each in call.keywords:
        if each.arg == "code":
            codes += [text for text in texts(each.value, names) if WITH_HYPHEN.fullmatch(text)]
    for code in codes:
        yield from ((code, message) for message in messages or [""])


def texts_by_name(nodes: list[ast.AST] | list[ast.stmt]) -> dict[str, list[str]]:
    """The texts that are assigned to each name."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        if not isinstance(node, ast.Assign):
            continue
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for name, text in pairs:
            if isinstance(name, ast.Name) and (of_name := texts(text, {})):
                found.setdefault(name.id, []).extend(of_name)
    return found


def texts(node: ast.AST, names: dict[str, list[str]]) -> list[str]:
    """The texts that an expression may come to; those of a name are in `names`."""
    match node:
        case ast.Constant(value=str(text)):  # one that str.format completes has its fields
            return [re.sub(r"\{\w+\}", "...", text)]
        case ast.JoinedStr(values=parts):
            written = [part.value if isinstance(part, ast.Constant) else "..." for part in parts]
            return ["".join(map(str, written))]
        case ast.Name(id=name):
            return names.get(name, [])
        case ast.IfExp(body=one, orelse=other):
            return [*texts(one, names), *texts(other, names)]
        case ast.Call() | ast.Subscript() | ast.Attribute() | ast.Compare():
            return []
    return [text for child in ast.iter_child_nodes(node) for text in texts(child, names)]
