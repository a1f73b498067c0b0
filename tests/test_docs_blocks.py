"""Blocks of code in the pages: each is checked as far as it stands for itself.

Python is compiled, and its markers and calls of the fixture have to be possible; limits in a file
are read; commands and options exist; workflows are YAML. A page writes `% skip: next "why"` before
a block that can't be checked. tests/test_tutorial.py and tests/plugin/test_readme.py run theirs.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import tempfile
from pathlib import Path

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
    assert set(re.findall(r"--energy-[a-z-]+", text)) <= OPTIONS_OF_PYTEST
    for line in re.findall(r"^pytest-energy (.*)", text, re.MULTILINE):
        command = get_command(app)
        for word in line.split():
            command = getattr(command, "commands", {}).get(word, command)
        default = getattr(command, "default_command", "")
        command = getattr(command, "commands", {}).get(default, command)
        options = {flag for each in command.params for flag in each.opts}
        used = set(re.findall(r"(?<= )--[a-z-]+", f" {line}".partition(" -- ")[0]))
        assert used <= options | {"--help"}, line


def check_yaml(example: Example) -> None:
    """It is YAML."""
    yaml.safe_load(example.parsed)


SYBIL = Sybil(
    parsers=[
        CodeBlockParser("python", check_python),
        CodeBlockParser("toml", check_toml),
        CodeBlockParser("sh", check_commands),
        CodeBlockParser("yaml", check_yaml),
        SkipParser(),
    ]
)


def blocks_of(page: Path) -> list[Example]:
    return list(SYBIL.parse(page).examples())


BLOCKS = {
    f"{page.relative_to(ROOT)}:{block.line}": block
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    for block in blocks_of(page)
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=list(BLOCKS))
def test_a_block_can_be_used(block: Example) -> None:
    block.evaluate()


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
        ("yaml", "a: b: c"),
    ],
)
def test_a_block_that_cannot_be_used_is_found(language: str, text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```{language}\n{text}\n```\n", encoding="utf-8")
    (block,) = blocks_of(page)
    with pytest.raises((Exception, SystemExit)):
        block.evaluate()
