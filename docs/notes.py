"""The sentences that no verdict and no error holds, read from the source of the package.

These are notes of the summary, lines of `pytest-energy doctor` and what commands say of a file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from reason_codes import reason_codes, sources, texts
from usage_errors import usage_errors

#: What is no sentence of its own has fewer words.
WORDS = 4
#: Files and folders whose texts another page has, or which are no messages.
ELSEWHERE = {
    "__init__.py": "reference/python.md",
    "carbon/": "usage-errors.md",
    "cli/": "reference/commands.md",  # the help
    "limits/": "usage-errors.md",
    "plugin/entry.py": "reference/python.md",  # the marker
    "plugin/hookspec.py": "usage-errors.md",
    "plugin/marker.py": "usage-errors.md",
    "plugin/options.py": "reference/options.md",
    "record/plain.py": "usage-errors.md",
    "report/": "reports.md",  # labels and headings
    "rules/": "",  # they refuse only what this package gives them
    "sensors/gpu_choice.py": "usage-errors.md",
    "sensors/remote_metrics.py": "usage-errors.md",
    "sensors/tdp.py": "usage-errors.md",
    "testing.py": "usage-errors.md",
    "usage.py": "usage-errors.md",
}
#: Of those, files which hold notes all the same.
HERE = {
    "limits/headroom.py",
    "limits/room.py",
    "limits/suggest.py",
    "report/advice.py",
    "report/doctor.py",
    "report/regressions.py",
    "report/terminal.py",
}


@cache
def notes() -> dict[str, list[str]]:
    """The sentences of each file; `...` stands for what differs from case to case."""
    elsewhere = {
        text
        for found in (reason_codes(), usage_errors())
        for sentences in found.values()
        for text in sentences
    }
    found = {
        name: [each for each in dict.fromkeys(_sentences(tree)) if each not in elsewhere]
        for name, tree in sources().items()
        if name in HERE or not name.startswith(tuple(ELSEWHERE))
    }
    return {name: sentences for name, sentences in found.items() if sentences}


def _sentences(tree: ast.Module) -> Iterator[str]:
    """Texts of several words that are no docstrings and no parts of another text."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            left_out.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            left_out |= {id(each) for each in node.values}
        if isinstance(node, ast.Constant | ast.JoinedStr):
            for text in texts(node, {}):
                if sum(word.isalpha() for word in text.replace("...", "").split()) >= WORDS:
                    yield re.sub(r"\s*\n(# ?)?\s*", " ", text).strip(" #;,")
