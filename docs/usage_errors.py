"""The sentences that refuse what a user wrote, read from the source of the package."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache

from reason_codes import sources, texts, texts_by_name

#: They refuse only what this package gives them.
RULES = "rules/"
#: The classes of such errors; those derived from them are too.
ROOTS = {"EnergyError", "ValueError", "UsageError", "Refused"}
#: These have reason codes.
CODED = {"SensorFault", "Unmeasured"}
#: A list of sentences that are raised together, and what adds one.
LIST = "mistakes"
ADDS = {"append", "add", "add_unknown"}


@cache
def usage_errors() -> dict[str, list[str]]:
    """The sentences of each file; `...` stands for what differs from case to case."""
    trees = {name: tree for name, tree in sources().items() if not name.startswith(RULES)}
    classes = _derived(trees.values()) - CODED
    found = {name: sorted({*_sentences(tree, classes)}) for name, tree in trees.items()}
    return {name: sentences for name, sentences in found.items() if sentences}


def _derived(trees: Iterable[ast.Module]) -> set[str]:
    """The names of the roots and of all classes below them."""
    bases = {
        node.name: {_name(base) for base in node.bases}
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    found = set(ROOTS)
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def _sentences(tree: ast.Module, classes: set[str]) -> Iterator[str]:
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    outside = [each for each in tree.body if not isinstance(each, ast.FunctionDef | ast.ClassDef)]
    for scope in (*functions.values(), ast.Module(outside, [])):
        nodes = list(ast.walk(scope))
        for given in [given for node in nodes for given in _given(node, classes)]:
            for text in _possible(given, nodes, functions):
                # One word names something, and the sentence comes from elsewhere.
                if " " in text.replace("...", "").strip(" :;()"):
                    yield text


def _given(node: ast.AST, classes: set[str]) -> list[ast.expr]:
    """The arguments of an error that is raised, or what is added to a list of mistakes."""
    match node:
        case ast.Raise(exc=ast.Call(func=error, args=given)) if _name(error) in classes:
            return given
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method), args=given):
            # An example may follow: mistakes.add(place, why, example).
            return given[:2] if name == LIST and method in ADDS else []
    return []


def _possible(
    given: ast.expr, nodes: list[ast.AST], functions: dict[str, ast.FunctionDef]
) -> list[str]:
    """The texts that an expression may come to, also where a function of the file returns it."""
    if not isinstance(given, ast.Call):
        return texts(given, texts_by_name(nodes))
    inside = list(ast.walk(functions[name])) if (name := _name(given.func)) in functions else []
    returned = [node.value for node in inside if isinstance(node, ast.Return) and node.value]
    return [text for each in returned for text in texts(each, texts_by_name(inside))]


def _name(node: ast.AST) -> str:
    return ast.unparse(node).rpartition(".")[2]
