"""HTML as tests read it: parsed without forgiving anything, and asked for what it holds."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

_VOID = frozenset({"meta", "link", "br", "hr", "img", "input", "wbr"})
#: Attributes through which a page asks for something.
_REFERENCES = ("src", "href", "srcset", "action", "data", "poster", "xlink:href", "formaction")


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = (each if isinstance(each, str) else each.text for each in self.children)
        return " ".join("".join(parts).split())

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """The elements below it with this tag and these attributes (`class_` for class)."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            each
            for each in self._below()
            if (not tag or each.tag == tag)
            and all(each.attributes.get(name) == value for name, value in wanted.items())
        ]

    def one(self, tag: str = "", **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found

    def _below(self) -> Iterator[Element]:
        for each in self.children:
            if isinstance(each, Element):
                yield each
                yield from each._below()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {self.get_starttag_text()}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def page_of(text: str) -> Element:
    """The page as a tree; elements that are not closed in turn are a mistake."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [reader.root]
    return reader.root


def assert_is_closed(page: Element) -> None:
    """Nothing in it asks for something elsewhere, runs, or is styled but by its one style."""
    for each in page.all():
        assert each.tag not in {"script", "iframe", "object", "embed", "form", "base"}, each
        assert "style" not in each.attributes, each
        assert not any(name.startswith("on") for name in each.attributes), each
        for name in _REFERENCES:
            value = each.attributes.get(name, "#")
            assert value.startswith(("#", "data:image/svg+xml,")), (each.tag, name, value)
    (style,) = page.all("style")
    css = "".join(map(str, style.children))
    assert not re.search(r"url\(|@import|expression", css)
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy


def assert_is_accessible(page: Element) -> None:
    """Landmarks, headings in order, captions, names of pictures, ids that are there and unique."""
    assert page.one("html").attributes["lang"] == "en"
    for landmark in ("header", "main", "footer", "nav", "h1", "title"):
        assert len(page.all(landmark)) == 1, landmark
    levels = [int(each.tag[1]) for each in page.all() if re.fullmatch(r"h[1-6]", each.tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in page.all("table"):
        assert table.one("caption").text
        assert all(each.attributes.get("scope") for each in table.all("th"))
        columns = {len(row.all("th") + row.all("td")) for row in table.all("tr")}
        assert len(columns) == 1, table.text
    for picture in page.all("svg"):
        is_inner = "viewBox".lower() in picture.attributes
        if not is_inner and picture.attributes.get("aria-hidden") != "true":
            assert picture.attributes["role"] == "img"
            assert picture.attributes["aria-label"]
    ids = [each.attributes["id"] for each in page.all() if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    for each in page.all():
        if (target := each.attributes.get("href", "")).startswith("#"):
            assert target[1:] in ids, target
        for name in each.attributes.get("aria-labelledby", "").split():
            assert name in ids
