"""Texts and tables of GitHub's and GitLab's Markdown, in which nothing from outside is markup.

A text from outside makes no link, no image, no HTML and no emoji, notifies nobody, refers to no
issue, and stays in its cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: Characters of one text from outside.
LONGEST = 300
#: Between the signs of a mention or an address; it is not shown.
_NOTHING = "&#8203;"
_SIGNS = re.compile(r"[\\`*{}\[\]<>#|~$&]|(?<![^\W_])_|_(?![^\W_])")
_BREAKS = (
    (re.compile(r"@"), f"&#64;{_NOTHING}"),
    (re.compile(r"(?<=&#35;)(?=\d)"), _NOTHING),  # an issue: #12, owner/name#12
    (re.compile(r"(?<=GH)(?=-\d)", re.IGNORECASE), _NOTHING),
    (re.compile(r"(?<=[!%])(?=[\d\"])"), _NOTHING),  # GitLab: a merge request, a milestone
    (re.compile(r":(?=//)"), f":{_NOTHING}"),
    (re.compile(r"(?<=www)(?=\.)", re.IGNORECASE), _NOTHING),
    (
        re.compile(r"(?<!:):(?=[a-z_+-][\w+-]*:)", re.IGNORECASE),
        f":{_NOTHING}",
    ),  # an emoji; no test's id
)
_BACKTICKS = re.compile(r"`+")


def clipped(text: str, longest: int = LONGEST) -> str:
    """The text in one line, and not longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def code(text: str, longest: int = LONGEST) -> str:
    """A name, a path or a limit, as it is; also in the cell of a table."""
    line = clipped(text, longest)
    if not line:
        return "-"
    if "|" in line and "\\" in line:  # readers differ in how they take a backslash before a pipe
        return f"<code>{_entities(line)}</code>"
    fence = "`" * (max(map(len, _BACKTICKS.findall(line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|")


def prose(text: str, longest: int = 2 * LONGEST) -> str:
    """A sentence; also in the cell of a table. Something has to stand before it in its line."""
    return _entities(clipped(text, longest))


def _entities(text: str) -> str:
    found = _SIGNS.sub(lambda sign: f"&#{ord(sign[0])};", text)
    for pattern, broken in _BREAKS:
        found = pattern.sub(broken, found)
    return found


def to_paste(lines: Sequence[str], indent: str) -> list[str]:
    """Lines of code in a block of their own."""
    longest = max((len(each) for line in lines for each in _BACKTICKS.findall(line)), default=0)
    fence = "`" * max(3, longest + 1)
    shown = [line if len(line) <= 4 * LONGEST else line[: 4 * LONGEST] + "..." for line in lines]
    return ["", *(indent + each for each in (fence, *shown, fence)), ""]


def table(heads: Sequence[str], right: Sequence[bool], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; `right` are the columns of figures."""
    marks = ["---:" if each else "---" for each in right]
    return [f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows)]


def fitting(lines: Sequence[str], largest: int, left_out: str) -> list[str]:
    """As many lines as these bytes hold; then `left_out` with the number of those that don't fit.

    left_out: a line with "{}" in it.
    """
    room = largest - len(left_out.encode()) - 10
    found: list[str] = []
    for index, line in enumerate(lines):
        room -= len(line.encode()) + 1
        if room < 0:
            return [*found, left_out.format(len(lines) - index)]
        found.append(line)
    return found
