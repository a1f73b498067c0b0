"""Where the keys of a TOML text stand: tomllib gives values without their lines."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, field, replace

#: Characters of a statement that are kept for messages.
LONGEST = 80
#: Of a value: the file may be something else, with secrets in it.
LONGEST_VALUE = 40
#: Characters of a reason, which may quote what is written.
LONGEST_REASON = 300

# Atomic groups instead of possessive ones, which Python before 3.11.5 matches wrongly
# (https://github.com/python/cpython/issues/106052).
_BLANK = re.compile(r"(?>(?:[ \t\n]++|#[^\n]*+)*)")
_COMMA = re.compile(rf"{_BLANK.pattern},?{_BLANK.pattern}")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_OPEN = re.compile(r"\[\[?[ \t]*")
_CLOSE = re.compile(r"[ \t]*\]\]?")
_BASIC = r'"(?>(?:[^"\\\n]++|\\.)*)"'
_LITERAL = r"'[^'\n]*+'"
_LONG = (
    # A long string may end in up to two more quotes, which belong to it.
    r'"""(?>(?:[^"\\]++|\\.|"(?!""))*)"{3,5}'
    r"|'''(?>(?:[^']++|'(?!''))*)'{3,5}"
)
_KEY = re.compile(rf"[\w-]++|{_BASIC}|{_LITERAL}", re.ASCII)
_SCALAR = re.compile(
    rf"{_LONG}|{_BASIC}(?!\")|{_LITERAL}(?!')"
    r"|[^\s,\]}#\"']++(?: [^\s,\]}#]++)?",  # a date may hold one space
    re.DOTALL,
)
#: Keys of a path such as a.b.c; the deepest that anybody needs has three.
MOST_KEYS = 16
#: A text that doesn't end is one to where it would: looked for again from each quote inside of it,
#: it would take a time that grows with the square of its length.
_OPAQUE = re.compile(
    r'"""(?>(?:[^"\\]++|\\.|"(?!""))*)(?:"{3,5})?'
    r"|'''(?>(?:[^']++|'(?!''))*)(?:'{3,5})?"
    r'|"(?>(?:[^"\\\n]++|\\.)*)"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
_DEEP = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{MOST_KEYS},}}", re.ASCII)


@dataclass(frozen=True)
class Place:
    """A key with its value, a table's header, or an array's item, and what stands inside it.

    line: where it begins, from 1 up; of a table that only other keys imply, where the first of them
    stands. written: its text, on one line and shortened when long; "" for the document itself.
    inside: by key in a table, by index in an array. key: of a key with a value, the key alone.
    """

    line: int
    written: str
    inside: dict[str | int, Place] = field(default_factory=dict)
    key: str = ""

    def at(self, *path: str | int) -> Place:
        """The place of a key path such as ("budget", 0, "max"). Raises KeyError for no place."""
        place = self
        for step in path:
            place = place.inside[step]
        return place


def places(text: str) -> Place:
    """The places of all keys in a text that tomllib has read without an error."""
    return _Scanner(text.replace("\r\n", "\n")).document()


def deepest_line(text: str) -> int | None:
    """The first line with a path of too many keys, before tomllib reads the text.

    What it keeps of a path grows with the square of its length: 40 kB take 1.6 GB.
    """
    masked = _OPAQUE.sub(lambda each: "_" + "\n" * each[0].count("\n"), text)
    found = _DEEP.search(masked)
    return None if found is None else masked.count("\n", 0, found.start()) + 1


def last_statement(text: str) -> int:
    """The line where a text that ends too early begins what it does not end."""
    scanner = _Scanner(text.replace("\r\n", "\n"))
    with suppress(ValueError, IndexError):
        scanner.document()
    return scanner.statement_line


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text on one line, with what can't be printed as escapes, cut where it is too long."""
    most = 2 * longest  # a text may be a megabyte
    line = re.sub(r"[ \t]*\n[ \t\n]*", " ", text[:most].strip(" \t\r\n"))
    line = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in line
    )
    fits = len(line) <= longest and len(text) <= most
    return line if fits else line[: longest - 3] + "..."


class _Unexpected(ValueError):
    """The text is not valid here."""


class _Scanner:
    """Walks once through a valid text; what tomllib has checked is not checked again."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = self._statement = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]

    @property
    def statement_line(self) -> int:
        """The line of the header or key that was last begun."""
        return self._line(self._statement)

    def document(self) -> Place:
        root = table = Place(1, "")
        self._take(_BLANK)
        while self._position < len(self._text):
            self._statement = self._position
            if self._text[self._position] == "[":
                table = self._header(root)
            else:
                self._pair(table)
            self._take(_BLANK)
        return root

    def _take(self, pattern: re.Pattern[str]) -> str:
        """The text of a pattern at the position, which moves behind it."""
        match = pattern.match(self._text, self._position)
        if match is None:
            raise _Unexpected
        self._position = match.end()
        return match[0]

    def _since(self, start: int, inside: dict[str | int, Place] | None = None) -> Place:
        """A place for what stands between `start` and the position."""
        written = self._text[start : min(self._position, start + 2 * LONGEST + 1)]
        return Place(self._line(start), shortened(written), {} if inside is None else inside)

    def _line(self, position: int) -> int:
        return bisect_left(self._newlines, position) + 1

    def _header(self, root: Place) -> Place:
        start = self._position
        is_list = self._take(_OPEN).startswith("[[")
        *parents, name = self._key()
        self._take(_CLOSE)
        parent = self._entered(root, parents, self._since(start))
        if is_list:
            items = parent.inside.setdefault(name, self._since(start)).inside
            return items.setdefault(len(items), self._since(start))
        # [a] may come after [a.b], which has made a place for it already.
        earlier = parent.inside.get(name)
        parent.inside[name] = self._since(start, earlier.inside if earlier else None)
        return parent.inside[name]

    def _pair(self, table: Place) -> None:
        start = self._position
        *parents, name = self._key()
        key = shortened(self._text[start : self._position])
        equals = self._take(_EQUALS)
        begin = self._position
        inside = self._value()
        value = shortened(
            self._text[begin : min(self._position, begin + 2 * LONGEST + 1)], LONGEST_VALUE
        )
        place = Place(self._line(start), f"{key}{equals}{value}", inside, key)
        self._entered(table, parents, place).inside[name] = place

    def _entered(self, table: Place, parents: list[str], first: Place) -> Place:
        """The table under these keys, which `first` implies; in a list of tables, the last one."""
        for part in parents:
            table = table.inside.setdefault(part, replace(first, inside={}))
            if 0 in table.inside:
                table = table.inside[len(table.inside) - 1]
        return table

    def _key(self) -> list[str]:
        parts = [self._take(_KEY)]
        while _DOT.match(self._text, self._position):
            self._take(_DOT)
            parts.append(self._take(_KEY))
        return [_unquoted(part) for part in parts]

    def _value(self) -> dict[str | int, Place]:
        """What stands inside the value at the position, which moves behind it."""
        opened = self._text[self._position]
        if opened not in "[{":
            self._take(_SCALAR)
            return {}
        value = Place(0, "")
        self._position += 1
        self._take(_BLANK)
        while self._text[self._position] not in "]}":
            if opened == "{":
                self._pair(value)
            else:
                start = self._position
                value.inside[len(value.inside)] = self._since(start, self._value())
            self._take(_COMMA)
        self._position += 1
        return value.inside


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    (name,) = tomllib.loads(f"{key} = 0")
    return name
