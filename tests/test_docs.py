"""Links in the pages that people read lead somewhere, and what they list is all that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from notes import ELSEWHERE, HERE, notes
from reason_codes import reason_codes, sources
from rooms import PICTURE, WAY, layers, picture
from usage_errors import usage_errors

from pytest_energy.report.formats import names
from pytest_energy.rules.verdict import Verdict

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    each
    for folder in (
        "",
        "docs",
        "docs/ci",
        "docs/how-to",
        "docs/reference",
        "examples/*",
        "benchmarks",
    )
    for each in ROOT.glob(f"{folder}/*.md".lstrip("/"))
)


def anchors(page: Path) -> set[str]:
    """Headings as links name them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def broken_links(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    found = set()
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.add(link)
    return found


# proselint takes figures and formulas for mistakes, and Vale is fetched when it first runs; so
# what the language asks for stands here.
#: Filler, words that were used for a notion before it had a name, and phrases of no language.
WORDS_TO_AVOID = re.compile(
    r"\b(simply|just|easy|easily|obviously|please|very|in order to|utili[sz]e|leverage|strangers?"
    r"|crowd|crowded|told|tells of|slip of the pen|nobody's)\b",
    re.IGNORECASE,
)
PERCENT_WITHOUT_A_BLANK = re.compile(r"\d%")
WORD_TWICE = re.compile(r"\b([a-z]{2,})\s+\1\b")
BLOCK = re.compile(r"^```.*?^```$|^ {4}[^\n]*$", re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    """A page without code; two backquotes stand for what was in a line."""
    return re.sub(r"`[^`]*`", "``", BLOCK.sub("", page.read_text(encoding="utf-8")))


def found_in(style: re.Pattern[str], text: str) -> list[str]:
    return [line for line in text.splitlines() if style.search(line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_keep_the_style(page: Path) -> None:
    text = prose(page)
    assert found_in(WORDS_TO_AVOID, text) == []
    assert found_in(PERCENT_WITHOUT_A_BLANK, text) == []
    assert [each[0] for each in WORD_TWICE.finditer(text)] == []


def test_prose_is_what_is_no_code() -> None:
    assert found_in(WORDS_TO_AVOID, "It is\nvery easy.\nDo it.") == ["very easy."]
    assert found_in(PERCENT_WITHOUT_A_BLANK, "5 %\n5%") == ["5%"]
    assert WORD_TWICE.search("what the\nthe figure")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == set()


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title\n[a](#a-title) [b](#b) [c](c.md) [d](page.md#d)\n", encoding="utf-8")
    assert broken_links(page) == {"#b", "c.md", "page.md#d"}


def test_the_code_names_pages_that_exist() -> None:
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob(".github/**/*.yml"), ROOT / "action.yml"]
    named = {
        page
        for source in sources
        for page in re.findall(r"\bdocs/[\w/.-]+\.\w+", source.read_text(encoding="utf-8"))
    }
    assert "docs/reports.md" in named
    assert {page for page in named if not (ROOT / page).exists()} == set()


def test_each_page_of_the_site_has_a_place_in_its_navigation() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {
        each.relative_to(ROOT / "docs").with_suffix("").as_posix()
        for each in PAGES
        if each.is_relative_to(ROOT / "docs")
    }
    assert {page for page in pages - {"index"} if f"\n{page}\n" not in index} == set()


def test_each_reason_code_has_its_entry() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.*)$", page, re.MULTILINE)
    assert sorted(headings) == list(reason_codes())
    assert re.findall(r"^<!-- messages: (.*) -->$", page, re.MULTILINE) == headings


def test_reason_codes_are_found_with_their_messages() -> None:
    found = reason_codes()
    assert found["not-ended"] == ["its measurement did not run to the end"]
    assert len(found["children-unseen"]) == 3
    assert {"over-limit", "over-reference", "pynvml-shadowed", "no-torch"} <= set(found)


def test_each_usage_error_has_its_place() -> None:
    page = (ROOT / "docs" / "usage-errors.md").read_text(encoding="utf-8")
    named = " ".join(re.findall(r"<!-- errors: (.*?) -->", page, re.DOTALL)).split()
    assert sorted(named) == list(usage_errors())


def test_usage_errors_are_found_with_their_sentences() -> None:
    found = usage_errors()
    assert "a limit must be above zero" in found["limits/limit.py"]  # raised
    assert "a bare number has no unit" in found["limits/limit.py"]  # returned, then raised
    assert "...: the name holds a NUL character" in found["plugin/settings.py"]  # a list's
    assert "this is a directory; write a text file" in found["record/project_files.py"]
    assert all(" " in each for sentences in found.values() for each in sentences)


def test_each_note_has_its_place() -> None:
    page = (ROOT / "docs" / "notes.md").read_text(encoding="utf-8")
    named = " ".join(re.findall(r"<!-- notes: (.*?) -->", page, re.DOTALL)).split()
    assert sorted(named) == sorted(notes())
    for place, other in ELSEWHERE.items():
        assert any(name.startswith(place) for name in sources()), place
        assert not other or (ROOT / "docs" / other).exists()
    assert sources().keys() >= HERE


def test_notes_are_found_with_their_sentences() -> None:
    found = notes()
    assert (
        "the CPU's energy is estimated: ...; run pytest-energy doctor for details"
        in (found["sensors/discover.py"])
    )
    assert "no permission for the RAPL counters" in found["sensors/powercap.py"]
    assert "CPU seconds of the process tree in the window closed last." not in str(found)
    assert "whether others used ... is unknown" in str(found["measurement/conditions.py"])
    coded = {each for messages in reason_codes().values() for each in messages}
    assert not coded & {each for sentences in found.values() for each in sentences}


def first_cells(page: str, head: str) -> set[str]:
    """The words in the first column of a table."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(f"| {head} |")[2]
    table = text.partition("\n\n")[0]
    cells = re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"[a-z][a-z-]+", cell.replace(".py", ""))}


def test_each_verdict_is_explained() -> None:
    assert first_cells("verdicts.md", "verdict") == set(Verdict)


def test_each_report_format_is_listed() -> None:
    assert first_cells("reports.md", "format") == set(names())


def test_the_picture_of_the_folders_shows_the_contract() -> None:
    found = layers((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert PICTURE.read_text(encoding="utf-8") == picture(found), "run: python docs/rooms.py"
    rooms = {room for layer in found for room in layer}
    assert first_cells("architecture.md", "folder") == rooms
    assert set(WAY) <= rooms


def test_a_room_that_is_added_is_drawn() -> None:
    assert picture([["upper", "beside"], ["lower"]]).count('<rect class="room"') == 3
