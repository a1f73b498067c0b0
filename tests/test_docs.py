"""Links between the pages that people read, and to the files of the repository, lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
