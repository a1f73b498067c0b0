"""The table of the terminal summary and of `pytest-energy show`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pytest_energy.record import ChannelRecord, ReferenceRecord, RunRecord, TestRecord
from pytest_energy.report.regressions import beside, regression_notes
from pytest_energy.units import LimitError, figure, parse_limit, watt_hours_per_1000

UNBOUNDED = 10_000  # characters, to learn how wide a table would like to be

_STYLES = {
    "pass": "green",
    "close": "yellow",
    "inconclusive": "red",
    "unmeasured": "red",
    "fail": "bold red",
}


def render(record: RunRecord, width: int, *, colour: bool) -> str:
    """The table and its notes for a terminal of this width, ending in a newline."""
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
    )
    table = _table(record)
    needed = Measurement.get(console, console.options.update(width=UNBOUNDED), table).maximum
    if needed <= width:
        console.print(table)
    else:
        for part in _narrow_table(record, width):
            console.print(part)
    for note in _notes(record):
        # Indented lines are to be pasted, so they are never wrapped.
        for line in note.splitlines():
            console.print(Text(line), soft_wrap=line.startswith("    "))
    output = console.file
    assert isinstance(output, io.StringIO)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def _table(record: RunRecord) -> Table:
    """Everything of a test in one line, where the terminal is wide enough."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("test", "task"):
        table.add_column(head, no_wrap=True)
    for column in _columns(record):
        table.add_column(column.head, justify=column.justify, no_wrap=True)
    table.add_column("limit from", no_wrap=True)
    several = any(_channels(test) for test in record.tests)
    if several:
        table.add_column("channels, Wh/1000", no_wrap=True)
    compared = any(beside(test) for test in record.tests)
    if compared:
        table.add_column("beside its baseline", no_wrap=True)
    for test in record.tests:
        figures = [column.cell(test) for column in _columns(record)]
        channels = [_channels(test) or "-"] if several else []
        baseline = [beside(test) or "-"] if compared else []
        table.add_row(
            _name(test), test.task or "-", *figures, _origin(test) or "-", *channels, *baseline
        )
    return table


def _narrow_table(record: RunRecord, width: int) -> Iterator[RenderableType]:
    """Each test's name on a line of its own, its figures below it."""
    columns = _columns(record)
    rows: list[list[str | Text]] = [
        [column.cell(test) for column in columns] for test in record.tests
    ]
    heads: list[str | Text] = [column.head for column in columns]
    widths = [max(len(cell) for cell in cells) for cells in zip(heads, *rows, strict=True)]

    def line(cells: Sequence[str | Text]) -> Table:
        grid = Table.grid(padding=(0, 1))
        for column, column_width in zip(columns, widths, strict=True):
            grid.add_column(justify=column.justify, width=column_width, overflow="fold")
        grid.add_row(*cells)
        return grid

    yield line(heads)
    yield Text("-" * min(width, sum(widths) + len(widths) - 1), "dim")
    for test, cells in zip(record.tests, rows, strict=True):
        name = _name(test)
        for more in filter(None, (test.task, _origin(test))):
            name.append(f"  {more}", "dim")
        yield name
        yield line(cells)
        if channels := _channels(test):
            yield Text(f"  {channels}", "dim")
        if baseline := beside(test):
            yield Text(f"  {baseline}", "dim")


@dataclass(frozen=True)
class _Column:
    head: str
    justify: Literal["left", "right"]
    cell: Callable[[TestRecord], str | Text]


def _columns(record: RunRecord) -> list[_Column]:
    carbon = [_Column("gCO2e/1000", "right", _grams)] if record.carbon is not None else []
    return [
        _Column("Wh/1000", "right", _energy),
        *carbon,
        _Column("interval", "right", _interval),
        _Column("limit", "right", _limit),
        _Column("used", "right", _used),
        _Column("calls", "right", lambda test: str(sum(each.calls for each in test.rounds))),
        _Column("method", "left", lambda test: test.method or "-"),
        _Column("verdict", "left", _verdict),
    ]


def _name(test: TestRecord) -> Text:
    name = test.id if test.name is None else f"{test.id} {test.name}"
    if test.attempt > 1:
        name += f" (attempt {test.attempt})"
    about = [] if test.unit == "query" else [f"per {test.unit}"]
    if test.budget is not None and "CO2e" in test.budget.limit:
        about.append("carbon limit")
    return Text(f"{name} ({', '.join(about)})" if about else name, overflow="fold")


def _origin(test: TestRecord) -> str:
    if test.budget is not None:
        return test.budget.origin
    return f"against {test.reference.name}" if test.reference is not None else ""


def _channels(test: TestRecord) -> str:
    """Every channel with its figure and provenance, where there is more than one."""
    if len(test.channels) < 2:
        return ""
    gated = ", ".join(_channel(each) for each in test.channels if each.gated)
    others = ", ".join(_channel(each) for each in test.channels if not each.gated)
    return "; ".join(filter(None, (gated, others and f"not gated: {others}")))


def _channel(each: ChannelRecord) -> str:
    joules = each.joules_per_unit
    shown = "-" if joules is None else figure(watt_hours_per_1000(joules))
    return f"{each.name} {shown} {each.provenance}"


def _used(test: TestRecord) -> str:
    if test.used is None:
        return "-"
    if test.used < 0.001:
        return "<0.1%"
    return f"{test.used:.0%}" if test.used >= 0.1 else f"{test.used:.1%}"


def _grams(test: TestRecord) -> str:
    return "-" if test.grams_per_unit is None else figure(test.grams_per_unit * 1000)


def _verdict(test: TestRecord) -> Text:
    return Text(test.verdict, _STYLES.get(test.verdict, ""))


def _energy(test: TestRecord) -> str:
    if test.joules_per_unit is None:
        return "-"
    return figure(watt_hours_per_1000(test.joules_per_unit))


def _interval(test: TestRecord) -> str:
    if test.interval is None:
        return "-"
    low, high = (figure(watt_hours_per_1000(joules)) for joules in test.interval)
    return f"{low}..{high}"


def _limit(test: TestRecord) -> str:
    if test.budget is None:
        return _allowed(test.reference)
    if test.limit_joules_per_unit is not None:
        return figure(watt_hours_per_1000(test.limit_joules_per_unit))
    try:
        return f"{figure(parse_limit(test.budget.limit).base_per_unit * 1000)} cpu-ms"
    except LimitError:  # a record from elsewhere
        return test.budget.limit


def _allowed(reference: ReferenceRecord | None) -> str:
    """What a candidate may use beside its reference."""
    if reference is None or reference.joules_per_unit is None:
        return "-"
    joules = reference.joules_per_unit * (1 + reference.max_increase)
    return figure(watt_hours_per_1000(joules))


def told_of_lost(test_id: str) -> str:
    """What is said of a test whose worker process died."""
    return f"{test_id}: its worker process was lost while it ran, and with it what was measured"


def _notes(record: RunRecord) -> list[str]:
    lines = []
    if record.carbon is not None:
        lines.append(f"carbon: {record.carbon.told}")
    for test in record.tests:
        label = test.id.rpartition("::")[2] + (f" {test.name}" if test.name else "")
        if test.verdict in ("unmeasured", "inconclusive", "no-baseline"):
            lines.append(f"{label}: {test.reason}")
        lines += [f"{label}: {note}" for note in test.notes]
    lines += regression_notes(record)
    lines += [*record.machine.notes, *record.unused_budgets, *record.unused_baselines]
    lines += [told_of_lost(each) for each in record.lost_tests]
    return list(dict.fromkeys(lines))
