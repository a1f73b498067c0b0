"""What files of somebody else's branch can't make a command do: write elsewhere, or say markup."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from records import RECORD
from session_records import measured, session
from typer.testing import CliRunner

from pytest_energy.cli import app
from pytest_energy.record.file import write

LOOSE = 'schema = 1\n[[budget]]\ntests = "*::*"\nmax = "100 J / query"\n'


def command(*words: str | Path) -> tuple[int, str]:
    """Exit status and output; an exception of ours fails the test."""
    found = CliRunner().invoke(app, [str(each) for each in words])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


@dataclass(frozen=True)
class Places:
    """A project whose files somebody else chose, and a folder outside of it with the user's own."""

    project: Path
    outside: Path

    @property
    def record(self) -> Path:
        return self.outside / "record.json"

    def contents(self) -> dict[Path, str | None]:
        found = self.outside.rglob("*")
        return {each: each.read_text() if each.is_file() else None for each in found}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    found = Places(tmp_path / "project", tmp_path / "outside")
    for each in (found.project / "tests", found.project / ".git", found.outside):
        each.mkdir(parents=True)
    write(session(measured()), found.record)
    command("baseline", "update", found.record, "--folder", found.outside / "stored")
    (found.outside / "budgets.toml").write_text(LOOSE)
    (found.outside / "README.md").write_text("mine\n")
    monkeypatch.chdir(found.project)
    return found


FOLDER, BUDGETS, CARD = "energy-baselines", "energy-budgets.toml", "README.md"
#: The words of each command that writes, and what it writes.
WRITERS = {
    "update": (("baseline", "update", "RECORD", "--mode", "reset", "--folder"), FOLDER),
    "drop": (("baseline", "drop", "*", "--folder"), FOLDER),
    "suggest": (("budgets", "suggest", "RECORD", "--file"), BUDGETS),
    "tighten": (("budgets", "tighten", "RECORD", "--file"), BUDGETS),
    "model-card": (("model-card", "RECORD", "--readme"), CARD),
}


LINKS = ("itself", "file", "dangling")


def link(kind: str, written: str, places: Places) -> None:
    """Put a link where the command writes: the folder itself, a file in it, or what isn't there."""
    aims = {FOLDER: "stored", BUDGETS: "budgets.toml", CARD: "README.md"}
    aim = places.outside / ("missing" if kind == "dangling" else aims[written])
    path = places.project / written
    if kind == "file" and written == FOLDER:
        (name,) = (each.name for each in aim.iterdir())
        path.mkdir()
        (path / name).symlink_to(aim / name)
    else:
        path.symlink_to(aim)


#: What is typed from elsewhere may be a link, but nothing in a folder that is typed.
CASES = [
    *((writer, kind, where) for writer in WRITERS for kind in LINKS for where in (".", "tests")),
    *((writer, "file", "/") for writer in ("update", "drop")),
]


@pytest.mark.parametrize(("writer", "kind", "where"), CASES)
def test_no_command_writes_through_a_link_out_of_the_project(
    writer: str, kind: str, where: str, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, written = WRITERS[writer]
    link(kind, written, places)
    monkeypatch.chdir(where)
    before = places.contents()
    given = (places.record if each == "RECORD" else each for each in words)
    status, said = command(*given, os.path.relpath(places.project / written))
    assert (status, places.contents()) == (2, before), said
    assert "this is a link that leads out of the project" in said


@pytest.mark.parametrize("name", ["energy_baselines", "energy_budgets", "energy_lock_folder"])
@pytest.mark.parametrize("value", ["{outside}", "../outside", "link"])
def test_an_ini_file_names_nothing_outside(
    name: str, value: str, places: Places, pytester: pytest.Pytester
) -> None:
    (places.project / "link").symlink_to(places.outside)
    ini = places.project / "pytest.ini"
    ini.write_text(f"[pytest]\n{name} = {value.format(outside=places.outside)}\n")
    (places.project / "test_it.py").write_text("def test_it():\n    pass\n")
    before = places.contents()
    result = pytester.runpytest_inprocess("--rootdir", places.project, "-c", ini, places.project)
    assert (result.ret, places.contents()) == (4, before)
    result.stderr.fnmatch_lines([f"*{name} in pytest.ini: * is not inside the project; *"])


@pytest.mark.parametrize(
    "test_id",
    ["../other/t.py::test_x", "/t.py::test_x", "./t.py::test_x", "t.py::test[\ud800]", "", "t.py"],
)
def test_a_test_that_no_budget_can_name_gets_none(test_id: str, places: Places) -> None:
    write(session(measured(id=test_id), measured(id="t.py::test_x")), places.record)
    status, said = command("budgets", "suggest", places.record)
    assert status == 0
    assert "skipped, because no budget can name it: " in said
    assert command("budgets", "check") == (0, f"{BUDGETS}: 1 budget, 1 limit\n")


def parts(markdown: str) -> tuple[set[str], str]:
    """What a text is made of, and what it says outside of code."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(markdown)
    every = [each for one in tokens for each in (one, *(one.children or ()))]
    return {each.type for each in every}, "".join(
        each.content for each in every if each.type == "text"
    )


@pytest.mark.parametrize(
    "hostile",
    [
        "![x](https://evil.example/pixel.png)",
        "@everyone see https://evil.example and www.evil.example",
        "<img src=x onerror=alert(1)><!-- ",
        "[click](javascript:alert(1)) ~~gone~~ #12 GH-12 :tada:",
        "\x1b[2J\u202e\n::error::x\n# head",
    ],
)
def test_a_comparison_is_no_markup_whatever_the_records_hold(hostile: str, places: Places) -> None:
    for name, ratio in (("old", 1.0), ("new", 2.0)):
        about = replace(RECORD.run, uuid=name, versions={"torch": f"{name}{hostile}"})
        test = measured(7.0 * ratio, id=f"t.py::{hostile}", unit=hostile, model=hostile)
        write(replace(session(test), run=about), places.project / f"{name}.json")
    status, said = command("compare", "old.json", "new.json", "--markdown", "comment.md")
    assert status in (1, 2)
    text = (places.project / "comment.md").read_text()
    kinds, prose = parts(text)
    markup = {"image", "link_open", "html_inline", "html_block", "s_open", "heading_open"}
    assert not kinds & markup
    assert "torch" in prose  # the versions are printed
    for each in ("@everyone", "://", "www.evil", "#12", "GH-12", ":tada:"):
        assert each not in prose
    for each in ("\x1b", "\u202e", "\n::error", "\n# head"):
        assert each not in text + said


@pytest.mark.parametrize(
    "unit",
    ['query"\n[[budget]]\ntests = "*::*"\nmax = "1 kJ / query', "a b", "\x1b[2J", "x" * 999],
)
def test_a_unit_is_no_line_of_the_budgets_file(unit: str, places: Places) -> None:
    write(session(measured(unit=unit), measured(id="t.py::test_x")), places.record)
    command("budgets", "suggest", places.record)
    assert command("budgets", "check") == (0, f"{BUDGETS}: 1 budget, 1 limit\n")


@pytest.mark.parametrize("joules", [1e-99, 1e-20, 1e20, 1e90])
def test_a_figure_that_no_limit_can_hold_gets_none(joules: float, places: Places) -> None:
    budgets = places.project / BUDGETS
    budgets.write_text(LOOSE)
    write(session(measured(joules, id="t.py::test_x")), places.record)
    for each in ("suggest", "tighten"):
        command("budgets", each, places.record)
        assert budgets.read_text() == LOOSE
    assert command("budgets", "check")[0] == 0
