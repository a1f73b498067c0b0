"""Which test items are ours; without imports, because pytest asks at every start."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

MARKER = "energy_budget"
FIXTURE = "energy"


def is_measured(item: Any) -> bool:
    """Whether a test item has the marker or asks for our fixture."""
    return asks_for_fixture(item) or item.get_closest_marker(MARKER) is not None


@lru_cache(maxsize=256)
def is_misspelled(name: str) -> bool:
    """Whether a marker's name is nearly ours."""
    if name == MARKER or abs(len(name) - len(MARKER)) > 2:
        return False
    from difflib import SequenceMatcher

    plain = name.lower().replace("_", "")
    return SequenceMatcher(None, plain, MARKER.replace("_", "")).ratio() > 0.9


def asks_for_fixture(item: Any) -> bool:
    """Whether a test item asks for our fixture, and not for another one of the same name."""
    if FIXTURE not in getattr(item, "fixturenames", ()):
        return False
    if FIXTURE in getattr(getattr(item, "callspec", None), "params", ()):
        return False
    definitions = item._fixtureinfo.name2fixturedefs.get(FIXTURE, ())
    return bool(definitions) and definitions[-1].func.__module__ == "pytest_energy.plugin.entry"


def location_of(item: Any) -> str:
    """Where a test is written, as file:line from the root folder."""
    file, line, _ = item.location
    shown = str(file).replace("\\", "/")
    return shown if line is None else f"{shown}:{line + 1}"


def test_id(item: Any) -> str:
    """An item's node id, without the group that pytest-xdist adds to it (--dist loadgroup)."""
    groups = [
        str(mark.args[0] if mark.args else mark.kwargs.get("name", "default"))
        for mark in item.iter_markers("xdist_group")
    ]
    known: str = item.nodeid
    for group in (*groups, "_".join(groups), "_".join(reversed(groups))):
        if group and known.endswith(f"@{group}") and hasattr(item.config, "workerinput"):
            return known.removesuffix(f"@{group}")
    return known
