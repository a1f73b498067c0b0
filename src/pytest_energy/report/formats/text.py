"""The table of the terminal summary, in lines of 100 characters."""

from __future__ import annotations

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.terminal import render as render_table

WIDTH = 100


def render(record: RunRecord) -> str:
    """The table and its notes, without colour."""
    return render_table(record, WIDTH, colour=False)
