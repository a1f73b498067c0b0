"""The lines of a TOML text's keys."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.limits.toml_lines import LONGEST_VALUE, Place, places, shortened

Path = tuple[str | int, ...]

BUDGETS = """\
# [not.a.header] and "no text
schema = 1  # = 2

[defaults]
scope = "gpu"

[[budget]]
id = "a"
tests = [
    "one",  # ], "two"
    '''
    [three]
    ''', "four",
]
max = "1 J / query"

[[budget]] # again
  id = "b"
"""


def lines(place: Place, path: Path = ()) -> dict[Path, int]:
    """The line of each key path below a place."""
    found = {}
    for step, inner in place.inside.items():
        found[*path, step] = inner.line
        found |= lines(inner, (*path, step))
    return found


def paths(value: object, path: Path = ()) -> set[Path]:
    """The key paths of a document that tomllib has read."""
    steps: Any = ()
    if isinstance(value, dict | list):
        steps = value.items() if isinstance(value, dict) else enumerate(value)
    found = set()
    for step, inner in steps:
        found |= {(*path, step)} | paths(inner, (*path, step))
    return found


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_file_of_budgets(newline: str) -> None:
    assert lines(places(BUDGETS.replace("\n", newline))) == {
        ("schema",): 2,
        ("defaults",): 4,
        ("defaults", "scope"): 5,
        ("budget",): 7,
        ("budget", 0): 7,
        ("budget", 0, "id"): 8,
        ("budget", 0, "tests"): 9,
        ("budget", 0, "tests", 0): 10,
        ("budget", 0, "tests", 1): 11,
        ("budget", 0, "tests", 2): 13,
        ("budget", 0, "max"): 15,
        ("budget", 1): 17,
        ("budget", 1, "id"): 18,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("\n# no newline at the end", {}),
        ("a.b = 1\na.c = 2", {("a",): 1, ("a", "b"): 1, ("a", "c"): 2}),
        ("a . 'b.c' . \"d\\u0065\" = 1", {("a",): 1, ("a", "b.c"): 1, ("a", "b.c", "de"): 1}),
        ('"#" = 1\n"" = 2', {("#",): 1, ("",): 2}),
        ("[ a . b ]\n[a]\n", {("a",): 2, ("a", "b"): 1}),
        ("[a.b]\n[a.c]\n", {("a",): 1, ("a", "b"): 1, ("a", "c"): 2}),
        (
            "[[a]]\n[a.b]\nc = 1\n[[a]]\n[a.b]\n",
            {
                ("a",): 1,
                ("a", 0): 1,
                ("a", 0, "b"): 2,
                ("a", 0, "b", "c"): 3,
                ("a", 1): 4,
                ("a", 1, "b"): 5,
            },
        ),
        (
            "[[a]]\n[[a.b]]\n[[a.b]]",
            {("a",): 1, ("a", 0): 1, ("a", 0, "b"): 2} | {("a", 0, "b", 0): 2, ("a", 0, "b", 1): 3},
        ),
        ("a = {b = 1, c.d = 2}", {("a",): 1, ("a", "b"): 1, ("a", "c"): 1, ("a", "c", "d"): 1}),
        (
            'a = {b = """\n\n""", c = 2}',
            {("a",): 1, ("a", "b"): 1, ("a", "c"): 3},
        ),
        (
            'a = [ {b = 1},\n\n {c = "}"} , {} ]\nd = 2',
            {("a",): 1, ("a", 0): 1, ("a", 0, "b"): 1, ("a", 1): 3, ("a", 1, "c"): 3}
            | {("a", 2): 3, ("d",): 4},
        ),
        ("a = [\n[\n],\n]\nb = []", {("a",): 1, ("a", 0): 2, ("b",): 5}),
        ('a = """\nb = 1\n"""\nc = 2', {("a",): 1, ("c",): 4}),
        ('a = """x\n\\""" b = 1\n""\n"""""\nc = 2', {("a",): 1, ("c",): 5}),
        ("a = '''x\n''\\'''''\nc = 2", {("a",): 1, ("c",): 3}),
        (
            'a = ""\nb = \'\'\nc = """"""\nd = "\\\\"\n',
            {("a",): 1, ("b",): 2, ("c",): 3, ("d",): 4},
        ),
        (
            "a = 1979-05-27 07:32:00\nb = [1979-05-27 07:32:00 , 2]",
            {("a",): 1, ("b",): 2} | {("b", 0): 2, ("b", 1): 2},
        ),
        ("a = +inf#\nb = 0xf", {("a",): 1, ("b",): 2}),
    ],
)
def test_lines(text: str, expected: dict[Path, int]) -> None:
    assert lines(places(text)) == expected
    assert set(expected) == paths(tomllib.loads(text))


def test_a_value_is_quoted_as_written() -> None:
    place = places(
        'a.b   = "x"  # why\n[ c ] # d\n[[e]]\nf = [ 1,\n  "\u2028\x9b" ]\n'
        f'g = {{h = 1}}\ni = "{"x" * 100}"\n'
    )
    assert place.at("a", "b").written == 'a.b   = "x"'
    assert place.at("a").written == 'a.b   = "x"'
    assert place.at("c").written == "[ c ]"
    assert place.at("e", 0).written == "[[e]]"
    assert place.at("e", 0, "f").written == 'f = [ 1, "\\u2028\\x9b" ]'
    assert place.at("e", 0, "f", 0).written == "1"
    assert place.at("e", 0, "g", "h").written == "h = 1"
    assert place.at("e", 0, "i").written == 'i = "' + "x" * (LONGEST_VALUE - 4) + "..."
    with pytest.raises(KeyError):
        place.at("e", 1)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("x" * 10, "x" * 10),
        ("x" * 11, "xxxxxxx..."),
        ("\nx \n\n y\n", "x y"),
        ("x\n" + " " * 100, "x..."),
        ("\u2028\u2028", "\\u2028\\..."),
    ],
)
def test_shortened(text: str, short: str) -> None:
    assert shortened(text, 10) == short


class Document:
    """A text of TOML that grows, with the line of everything in it."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Path, int] = {}
        self._names = 0

    def write(self, *parts: str) -> None:
        self.text += self.draw(st.sampled_from(parts))

    def mark(self, path: Path) -> None:
        self.lines[path] = self.text.count("\n") + 1

    def name(self) -> tuple[str, str]:
        """A new key, as written and as meant."""
        self._names += 1
        key = f"k{self._names}"
        forms = [(key, key), (f'"{key}"', key), (f"'{key}.#'", f"{key}.#")]
        forms += [(f'"\\"{key}\\u005d"', f'"{key}]')]
        found: tuple[str, str] = self.draw(st.sampled_from(forms))
        return found

    def blank(self) -> None:
        self.write("", "", "\n", " \t", '# k1 = """\n', "\n\n# [k1] '\n  ")

    def pair(self, table: Path, depth: int = 0) -> None:
        names = [self.name() for _ in range(self.draw(st.integers(1, 2)))]
        path = table
        for _, meant in names:
            path = (*path, meant)
            self.mark(path)
        self.text += self.draw(st.sampled_from([".", " . "])).join(each for each, _ in names)
        self.write("=", " = ", "\t=")
        self.value(path, depth)

    def value(self, path: Path, depth: int) -> None:
        kinds = ["scalar", "scalar", "array", "table"] if depth < 2 else ["scalar"]
        kind = self.draw(st.sampled_from(kinds))
        if kind == "scalar":
            self.write(*SCALARS)
            return
        self.write("[" if kind == "array" else "{")
        for index in range(self.draw(st.integers(0, 3))):
            if index:
                self.write(",", " , ")
            if kind == "table":
                self.pair(path, depth + 1)
                continue
            self.blank()
            self.mark((*path, index))
            self.value((*path, index), depth + 1)
            self.blank()
        self.write("]" if kind == "array" else "}")


SCALARS = [
    "1", "-1.5e3", "true", "1979-05-27", "1979-05-27 07:32:00", "0xbeef", "nan", '""', "''",
    '"# \\" ]"', "'[k1]\\'", '""""""', "''''''", '"""\n[k1]\nk1 = 1\n\n"""', '"""\\""" ""\n"""""',
    "'''\nk2 = {'\n'''''", '"""a\\\n  b"""',
]  # fmt: skip


@st.composite
def documents(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[str, dict[Path, int]]:
    """A valid document of tables, lists of tables and all kinds of values, and its lines."""
    document = Document(draw)
    table: Path = ()
    for _ in range(draw(st.integers(0, 4))):
        for _ in range(draw(st.integers(0, 3))):
            document.blank()
            document.pair(table)
            document.write("\n", " # ['\n", "\t\n")
        document.blank()
        if document.text and not document.text.endswith("\n"):
            document.text += "\n"
        written, meant = document.name()
        table = (meant,)
        document.mark(table)
        if draw(st.booleans()):
            document.write(f"[{written}]\n", f" [ {written} ]# [x]\n")
            continue
        for index in range(draw(st.integers(1, 3))):
            table = (meant, index)
            document.mark(table)
            document.write(f"[[{written}]]\n", f"\t[[ {written} ]] #\n")
            document.pair(table)
            document.text += "\n"
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return document.text.replace("\n", newline), document.lines


@settings(deadline=None)
@given(documents())
def test_lines_are_those_of_the_layout(document: tuple[str, dict[Path, int]]) -> None:
    text, expected = document
    assert paths(tomllib.loads(text)) == set(expected)
    assert lines(places(text)) == expected
