"""The table of the terminal summary and of `pytest-energy show`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_energy.record import RunRecord, TestRecord
from pytest_energy.units import JOULES_PER_WH, figure, parse_limit, plural

_STYLES = {
    "pass": "green",
    "close": "yellow",
    "inconclusive": "red",
    "unmeasured": "red",
    "fail": "bold red",
}
#: From this width on, everything of a test stands in one line.
WIDE = 132


def render(record: RunRecord, width: int, *, colour: bool) -> str:
    """The table and its notes for a terminal of this width, ending in a newline."""
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
    )
    console.print(_table(record, wide=width >= WIDE))
    for note in _notes(record):
        # Indented lines are to be pasted, so they are never wrapped.
        for line in note.splitlines():
            console.print(Text(line), soft_wrap=line.startswith("    "))
    output = console.file
    assert isinstance(output, io.StringIO)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


@dataclass(frozen=True)
class _Column:
    """Two facts of a test: side by side on a wide terminal, one above the other else."""

    upper: str
    lower: str
    justify: Literal["left", "right"]
    cells: Callable[[TestRecord], tuple[str | Text, str | Text]]


def _table(record: RunRecord, *, wide: bool) -> Table:
    columns = [
        _Column("test", "task", "left", lambda test: (_name(test), Text(test.task or "", "dim"))),
        _Column("Wh / 1000", "interval", "right", lambda test: (_energy(test), _interval(test))),
        _Column("limit", "used", "right", lambda test: (_limit(test), _used(test))),
        _Column("rounds", "calls", "right", _counts),
        _Column("method", "verdict", "left", lambda test: (test.method or "-", _verdict(test))),
    ]
    if record.carbon is not None:
        columns.insert(2, _Column("gCO2e", "/ 1000", "right", lambda test: (_grams(test), "")))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        heads = [column.upper, column.lower] if wide else [f"{column.upper}\n{column.lower}"]
        for head in heads:
            foldable = head.startswith(("test", "task"))
            table.add_column(head, justify=column.justify, overflow="fold", no_wrap=not foldable)
    for test in record.tests:
        pairs = [column.cells(test) for column in columns]
        if wide:
            table.add_row(*(cell for pair in pairs for cell in pair))
        else:
            table.add_row(*(Text.assemble(upper, "\n", lower) for upper, lower in pairs))
    return table


def _name(test: TestRecord) -> Text:
    name = test.id if test.name is None else f"{test.id} {test.name}"
    return Text(f"{name} (attempt {test.attempt})" if test.attempt > 1 else name)


def _counts(test: TestRecord) -> tuple[str, str]:
    rounds = sum(1 for each in test.rounds if not each.warmup)
    return str(rounds), str(sum(each.calls for each in test.rounds))


def _used(test: TestRecord) -> str:
    return "-" if test.used is None else f"{test.used:.0%}"


def _grams(test: TestRecord) -> str:
    return "-" if test.grams_per_unit is None else figure(test.grams_per_unit * 1000)


def _verdict(test: TestRecord) -> Text:
    return Text(test.verdict, _STYLES.get(test.verdict, ""))


def watt_hours_per_1000(joules_per_unit: float) -> float:
    return joules_per_unit * 1000 / JOULES_PER_WH


def _energy(test: TestRecord) -> str:
    if test.joules_per_unit is None:
        return "-"
    amount = figure(watt_hours_per_1000(test.joules_per_unit))
    return amount if test.unit == "query" else f"{amount} ({plural(test.unit)})"


def _interval(test: TestRecord) -> str:
    if test.interval is None:
        return "-"
    low, high = (figure(watt_hours_per_1000(joules)) for joules in test.interval)
    return f"{low}..{high}"


def _limit(test: TestRecord) -> str:
    if test.budget is None:
        return "-"
    if test.limit_joules_per_unit is not None:
        return figure(watt_hours_per_1000(test.limit_joules_per_unit))
    return f"{figure(parse_limit(test.budget.limit).base_per_unit * 1000)} cpu-ms"


def _notes(record: RunRecord) -> list[str]:
    lines = []
    if record.carbon is not None:
        carbon = record.carbon
        lines.append(f"carbon: {figure(carbon.grams_per_kwh)} gCO2e/kWh ({carbon.source})")
    for test in record.tests:
        label = test.id.rpartition("::")[2] + (f" {test.name}" if test.name else "")
        if test.verdict in ("unmeasured", "inconclusive"):
            lines.append(f"{label}: {test.reason}")
        lines += [f"{label}: {note}" for note in test.notes]
    return list(dict.fromkeys(lines))
