"""Requests kept in flight: throughput and latency beside energy, a line a measurement."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from pytest_energy.record.schema import LoadRecord, RunRecord, TestRecord
from pytest_energy.report.cells import shown_figure
from pytest_energy.report.table import Column, Row, print_table
from pytest_energy.units import Scale, figure, short_label

_HEADS = ("in flight", "requests/s", "units/s", "median s", "p99 s", "failed")


def print_loads(console: Console, record: RunRecord, scale: Scale) -> None:
    """The table of all loads; nothing where there is none."""
    rows = [
        Row(Text(load_name(test)), load_cells(test, test.load, scale))
        for test in record.tests
        if test.load is not None
    ]
    if rows:
        print_table(console, [Column(each) for each in load_heads(scale)], rows, name="load")


def load_heads(scale: Scale) -> tuple[str, ...]:
    """Of the cells of a load."""
    return (*_HEADS, f"{scale.symbol}/unit")


def load_name(test: TestRecord) -> str:
    return f"{short_label(test.id, test.name)} (per {test.unit})"


def load_cells(test: TestRecord, load: LoadRecord, scale: Scale) -> tuple[str, ...]:
    """Throughput and latency, and what one unit used."""
    made = test.explanation
    return (
        str(load.concurrency),
        figure(load.requests_per_second),
        "-" if made is None else figure(made.units_per_second),
        _seconds(load.median_seconds),
        _seconds(load.p99_seconds),
        f"{load.failed:,}",
        shown_figure(test, scale),
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else figure(value)
