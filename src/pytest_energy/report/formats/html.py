"""One self-contained page for a browser, without a script."""

from __future__ import annotations

from pytest_energy.errors import InputError
from pytest_energy.record.schema import RunRecord
from pytest_energy.report.published import published

try:
    from pytest_energy.report.html.page import render_page
except ModuleNotFoundError as error:
    if error.name != "jinja2":
        raise
    raise InputError(
        'report format html needs Jinja2: pip install "pytest-energy[report]"'
    ) from None


def render(record: RunRecord) -> str:
    """HTML with the verdict of the run at its top, and the red measurements first."""
    return render_page(record, published())
