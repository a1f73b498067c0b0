"""Figures that others published, from whoever offers them.

A distribution offers some by an entry point of the group below: a function that returns them.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from pytest_energy.report.by_task import Published

GROUP = "pytest_energy.published_figures"


def published() -> tuple[Published, ...]:
    """All that are offered here; one whose module is gone offers none."""
    found = []
    for each in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        try:
            figures = each.load()()
        except ModuleNotFoundError:
            continue
        found.append(figures)
    return tuple(found)
