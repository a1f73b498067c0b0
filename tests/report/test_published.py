"""Figures that other distributions offer beside one's own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from pages import page_of
from test_html import RED, rendered, run_of

from pytest_energy.report.published import published

MODULE = """
from pytest_energy.report.by_task import Published

def offer():
    return Published(
        name="our lab", joules={"text-classification": (36.0,)}, units={"query"}, remarks=("<b>",)
    )
"""


def distribution(folder: Path, target: str) -> None:
    """An installed distribution with an entry point, as importlib finds it."""
    (folder / "our_lab.py").write_text(MODULE, encoding="utf-8")
    info = folder / "our_lab-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-lab\nVersion: 1\n", "utf-8")
    text = f"[pytest_energy.published_figures]\nour_lab = {target}\n"
    (info / "entry_points.txt").write_text(text, encoding="utf-8")


def test_another_distribution_offers_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path, "our_lab:offer")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    try:
        page = page_of(rendered(run_of(RED)))
    finally:
        sys.modules.pop("our_lab", None)
    (_, row) = page.one("table", class_="wide tasks").all("tr")
    assert row.all("td")[3].text == "1.35 to 10.0"
    section = page.one("section", id="tasks").text
    assert "our lab" in section
    assert "<b>" in section


def test_an_offer_whose_module_is_gone_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published()
    distribution(tmp_path, "no_such_module:offer")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert published() == before
    assert [each.name for each in before] == ["the study's models (a node of 8 GPUs)"]
