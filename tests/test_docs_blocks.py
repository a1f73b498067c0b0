"""Blocks of code in the pages: each is checked as far as it stands for itself.

Python is compiled, and its markers and calls of the fixture have to be possible; limits in a file
are read; commands and options exist; workflows are YAML. A page writes `% skip: next "why"` before
a block that can't be checked. tests/test_tutorial.py and tests/plugin/test_readme.py run theirs.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, SkipParser
from typer.main import get_command

from pytest_energy.cli import app
from pytest_energy.limits.file import read_budgets
from pytest_energy.plugin.fixture import Energy
from pytest_energy.plugin.marker import energy_budget
from pytest_energy.plugin.options import COMMAND_LINE_ONLY, OPTIONS, SWITCHES

OPTIONS_OF_PYTEST = {each.flag for each in (*OPTIONS, *SWITCHES)} | {
    flag for flag, *_ in COMMAND_LINE_ONLY
}
#: Of pytest-energy-reporter, from which the page on migration leads away.
OPTIONS_OF_ANOTHER = {"--energy-iterations", "--energy-report-path"}
COMMANDS = get_command(app)
ROOT = Path(__file__).parents[1]
MARKER = "pytest.mark.energy_budget"


def check_python(example: Example) -> None:
    """It compiles, and what it calls of this package takes what it is given."""
    tree = ast.parse(example.parsed)
    compile(tree, example.path, "exec")
    for call in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
        called = ast.unparse(call.func)
        given = {each.arg: each.value for each in call.keywords if each.arg}
        owner, _, name = called.rpartition(".")
        if called == MARKER:
            values = [ast.literal_eval(each) for each in call.args]
            energy_budget(*values, **{key: ast.literal_eval(each) for key, each in given.items()})
        elif owner == "energy" and (method := getattr(Energy, name)):
            inspect.signature(method).bind(None, *call.args, **given)


def check_toml(example: Example) -> None:
    """It is part of a file of limits that can be used."""
    head = "" if "schema = " in example.parsed else "schema = 1\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "energy-budgets.toml"
        path.write_text(head + example.parsed, encoding="utf-8")
        read_budgets(path, example.path)


def check_commands(example: Example) -> None:
    """The shell can read it, and its commands and options of this package exist."""
    text = example.parsed
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    assert unknown_options(text) == set()
    for line in re.findall(r"^pytest-energy .*", text.replace("\\\n", " "), re.MULTILINE):
        check_line(line)


def check_line(line: str) -> None:
    """The command that it names takes its options; whether the values fit is not asked."""
    command: Any = COMMANDS
    words = shlex.split(line, comments=True)[1:]
    while commands := getattr(command, "commands", {}):
        default = getattr(command, "default_command", "")
        name = words.pop(0) if words and words[0] in commands else default
        if words[:1] == ["--help"]:
            return
        assert name in commands, f"no command of pytest-energy: {line}"
        command = commands[name]
    command.make_parser(command.context_class(command)).parse_args(words)


def unknown_options(text: str) -> set[str]:
    return set(re.findall(r"--energy-[a-z-]+", text)) - OPTIONS_OF_PYTEST


def check_yaml(example: Example) -> None:
    """It is YAML."""
    yaml.safe_load(example.parsed)


CHECKS = {"python": check_python, "toml": check_toml, "sh": check_commands, "yaml": check_yaml}
#: Outputs, which scripts write, and what the build of the site checks.
CHECKED_ELSEWHERE = {"text", "{eval-rst}", "{toctree}"}
SYBIL = Sybil(
    parsers=[*(CodeBlockParser(kind, check) for kind, check in CHECKS.items()), SkipParser()]
)


def blocks_of(page: Path) -> list[Example]:
    return list(SYBIL.parse(page).examples())


PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCKS = {
    f"{page.relative_to(ROOT)}:{block.line}": block for page in PAGES for block in blocks_of(page)
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=list(BLOCKS))
def test_a_block_can_be_used(block: Example) -> None:
    block.evaluate()


def test_each_block_is_of_a_kind_that_is_checked() -> None:
    kinds = {
        kind
        for page in PAGES
        for kind in re.findall(r"^ *```(\S+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert kinds == CHECKS.keys() | CHECKED_ELSEWHERE


def test_commands_and_options_in_sentences_exist() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert unknown_options(text) <= OPTIONS_OF_ANOTHER, page
        for line in re.findall(r"`(pytest-energy [^`]+)`", text):
            check_line(" ".join(line.split()))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "for:"),
        ("python", "@pytest.mark.energy_budget('2.1 Wh', cout=3)\ndef test(): ..."),
        ("python", "energy.measure(f, cuont=3)"),
        ("toml", "[[budget]]\nmax = '1 J'"),
        ("sh", "echo 'a"),
        ("sh", "pytest --energy-jsn=a"),
        ("sh", "pytest-energy report a --too csv"),
        ("sh", "pytest-energy reports a"),
        ("sh", "pytest-energy budgets checks"),
        ("yaml", "a: b: c"),
    ],
)
def test_a_block_that_cannot_be_used_is_found(language: str, text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```{language}\n{text}\n```\n", encoding="utf-8")
    (block,) = blocks_of(page)
    with pytest.raises((Exception, SystemExit)):
        block.evaluate()
