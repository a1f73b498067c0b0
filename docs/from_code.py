"""What the site says of options, commands and limits, as Markdown from the code itself.

Where a page writes `<!-- options -->`, conf.py puts what `options()` returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from notes import notes
from reason_codes import reason_codes
from typer.main import get_command
from typer.testing import CliRunner
from usage_errors import usage_errors

from pytest_energy.cli import app
from pytest_energy.limits.limit import SYMBOLS
from pytest_energy.plugin.options import COMMAND_LINE_ONLY, OPTIONS, SWITCHES

#: Columns of a command's help.
WIDTH = 84


def options() -> str:
    """Each setting, with its name in the ini file where it has one."""
    rows = [(f"`{each.flag} {each.metavar}`<br>`{each.ini}`", each.description) for each in OPTIONS]
    rows += [(f"`{each.flag}`<br>`{each.ini} = true`", each.description) for each in SWITCHES]
    rows += [(f"`{flag} {takes}`", text) for flag, takes, _, text in COMMAND_LINE_ONLY]
    return _table(("option", "does"), rows)


def commands() -> str:
    """The help of each command."""
    return "\n\n".join(
        f"## {name}\n\n```text\n{text}\n```" for name, text in _help_of_commands().items()
    )


def exit_statuses() -> str:
    """What the help of each command says of its exit status, and pytest's names for its own."""
    named = (f"{each.value} {each.name.lower().replace('_', ' ')}" for each in pytest.ExitCode)
    rows = [("`pytest`", ", ".join(named))]
    for name, text in _help_of_commands().items():
        if found := re.search(r"Exit status:? (.+?)\n\n", text, re.DOTALL):
            rows.append((f"`{name}`", " ".join(found[1].split())))
    return _table(("command", "exit status"), rows)


def units_of_measure() -> str:
    """The symbols that a limit may have."""
    symbols: dict[str, list[str]] = {}
    for symbol, (quantity, _) in SYMBOLS.items():
        symbols.setdefault(str(quantity), []).append(f"`{symbol}`")
    return _table(("limit of", "write"), [(of, " ".join(each)) for of, each in symbols.items()])


def messages(code: str) -> str:
    """The messages with one reason code."""
    return "\n>\n".join(f"> {each}" for each in reason_codes()[code])


def sentences(files: str, found: dict[str, list[str]]) -> str:
    """A list of what was found in files of the package, separated by blanks."""
    texts = (each for name in files.split() for each in found[name])
    return "\n".join(f"- `` {each} ``" for each in dict.fromkeys(texts))


def completed(page: str) -> str:
    """A page with its tables, messages, errors and notes."""
    parts = {
        "options": options,
        "commands": commands,
        "exit statuses": exit_statuses,
        "units of measure": units_of_measure,
    }
    for name, part in parts.items():
        if f"<!-- {name} -->" in page:
            page = page.replace(f"<!-- {name} -->", part())
    page = re.sub(r"<!-- messages: ([\w-]+) -->", lambda found: messages(found[1]), page)
    return re.sub(r"<!-- (errors|notes): (.+?) -->", _listed, page, flags=re.DOTALL)


def _listed(found: re.Match[str]) -> str:
    return sentences(found[2], notes() if found[1] == "notes" else usage_errors())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = ([each.replace("|", "\\|") for each in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _help_of_commands() -> dict[str, str]:
    runner = CliRunner(env={"TERMINAL_WIDTH": str(WIDTH), "COLUMNS": str(WIDTH)})
    found = {}
    for words in _commands(get_command(app)):
        text = runner.invoke(app, [*words, "--help"], prog_name="pytest-energy").stdout
        found[" ".join(("pytest-energy", *words))] = text.rstrip()
    return found


def _commands(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield words
    for name, each in inner.items():
        yield from _commands(each, *words, name)
