"""How Sphinx builds the site: `tox run -e docs`, then open .tox/docs/site/index.html."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from from_code import completed  # noqa: E402  (a script beside this one)

project = "pytest-energy"
author = "The pytest-energy authors"
copyright = author
version = release = version_of("pytest-energy")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
smartquotes = False  # messages and code in docstrings are to be copied and searched
default_role = "code"  # for what docstrings write in `backquotes`
myst_heading_anchors = 4  # so that links to headings are checked
autodoc_preserve_defaults = True
# Types of pytest and of Python cannot be looked up offline, and internal ones have no page.
nitpick_ignore_regex = [("py:.*", r"(?!pytest_energy\.(testing|sensors\.base|plugin)\.).*")]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["phone.css"]
html_js_files = ["accessible.js"]
html_title = f"pytest-energy {release}"
html_copy_source = html_show_sourcelink = html_show_sphinx = False
# Summaries of search results are fetched, which browsers refuse to pages opened from a folder.
html_show_search_summary = False


def readme() -> str:
    """The text of README.md with links as from the folder of the site."""
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\((?!\w+:|#)", "](../", text)
    return text.replace("](../docs/", "](")


def without_links_to_the_repository(text: str, folder: Path) -> str:
    """A link to what the site does not contain becomes the path in the repository, as code."""

    def plain(link: re.Match[str]) -> str:
        label, path = link["label"], (folder / link["path"]).resolve()
        if path.is_relative_to(DOCS) and not path.is_dir():
            return link[0]
        shown = f"`{path.relative_to(DOCS.parent)}`"
        return shown if label.strip("`") == shown.strip("`") else f"{label} ({shown})"

    return re.sub(r"(?<!!)\[(?P<label>[^]]+)\]\((?!\w+:|#)(?P<path>[^)#]+)[^)]*\)", plain, text)


def complete(_: Sphinx, page: str, source: list[str]) -> None:
    """Put into a page that Sphinx has read what stands elsewhere."""
    text = completed(source[0].replace("<!-- README -->", readme()))
    source[0] = without_links_to_the_repository(text, (DOCS / page).parent)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", complete)
