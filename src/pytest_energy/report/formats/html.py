"""One self-contained page for a browser, without a script."""

from __future__ import annotations

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.html.page import render_page
from pytest_energy.report.published import published


def render(record: RunRecord) -> str:
    """HTML with the verdict of the run at its top, and the red measurements first."""
    return render_page(record, published())
