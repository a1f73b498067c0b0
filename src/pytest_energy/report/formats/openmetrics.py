"""OpenMetrics text, for Prometheus's push gateway and everything that reads its format."""

from __future__ import annotations

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.exposition import exposition, families
from pytest_energy.report.printable import all_printable


def render(record: RunRecord) -> str:
    """Gauges for each figure, its limit and its verdict."""
    return exposition(families(all_printable(record)))
