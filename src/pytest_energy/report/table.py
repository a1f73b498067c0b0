"""One table for all reports of tests: a line a test where the width allows it, else a few.

No width breaks a figure or a word: where columns do not fit, each figure has its head beside it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

UNBOUNDED = 10_000  # characters, to learn how wide a table would like to be


@dataclass(frozen=True)
class Column:
    """The head of a column of figures."""

    head: str
    justify: Literal["left", "right"] = "right"


@dataclass(frozen=True)
class Row:
    """One test: its name, a cell for each column, and what else is known of it.

    beside: stands beside the name in a narrow table. below: stands in lines of its own there. Both
    are columns of a wide table.
    """

    name: Text
    cells: Sequence[str | Text]
    beside: Sequence[str] = ()
    below: Sequence[str] = ()


def console_of(width: int, *, colour: bool) -> Console:
    """A console that keeps what is printed; nothing from outside is markup there."""
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def printed(console: Console) -> str:
    """All that was printed, without blanks at the ends of lines."""
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def print_table(
    console: Console,
    columns: Sequence[Column],
    rows: Sequence[Row],
    beside: Sequence[str] = (),
    below: Sequence[str] = (),
    *,
    name: str = "test",
) -> None:
    """Print the rows.

    beside, below: heads of their further cells. name: head of the first column.
    """
    unbounded = console.options.update(width=UNBOUNDED)
    for heads in (below, ()):
        wide = _wide(name, columns, rows, beside, heads)
        if Measurement.get(console, unbounded, wide).maximum <= console.width:
            console.print(wide)
            for row in () if heads else rows:
                for each in filter(None, row.below):
                    console.print(Text(f"{row.name}: {each}", "dim"))
            return
    for part in _narrow(columns, rows, console.width):
        console.print(part)


def _wide(
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    beside: Sequence[str],
    below: Sequence[str],
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(name, no_wrap=True)
    for column in columns:
        table.add_column(column.head, justify=column.justify, no_wrap=True)
    heads = (*beside, *below)
    more = [(*row.beside, *row.below[: len(below)]) for row in rows]
    used = [index for index, _ in enumerate(heads) if any(cells[index] for cells in more)]
    for index in used:
        table.add_column(heads[index], no_wrap=True)
    for row, cells in zip(rows, more, strict=True):
        table.add_row(row.name, *row.cells, *(cells[index] or "-" for index in used))
    return table


def _narrow(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Iterator[RenderableType]:
    """Each test's name on a line of its own, its figures below it."""
    heads = [column.head for column in columns]
    widths = [
        max(len(cell) for cell in cells)
        for cells in zip(heads, *(row.cells for row in rows), strict=True)
    ]
    total = sum(widths) + len(widths) - 1
    fits = total <= width

    def line(cells: Sequence[str | Text]) -> Table:
        row = Table.grid(padding=(0, 1))
        for column, column_width in zip(columns, widths, strict=True):
            row.add_column(justify=column.justify, width=column_width)
        row.add_row(*cells)
        return row

    if fits:
        yield line(heads)
        yield Text("-" * total, "dim")
    for row in rows:
        name = row.name.copy()
        name.overflow = "fold"
        for each in filter(None, row.beside):
            name.append(f"  {each}", "dim")
        yield name
        if fits:
            yield line(row.cells)
        else:
            yield from _pairs(heads, row.cells, width)
        for each in filter(None, row.below):
            yield Text(f"  {each}", "dim")


def _pairs(heads: Sequence[str], cells: Sequence[str | Text], width: int) -> Iterator[Text]:
    """Lines of "head figure" pairs, as many on a line as fit; unknown figures are left out."""
    line = Text()
    for head, cell in zip(heads, cells, strict=True):
        if str(cell) == "-":
            continue
        pair = Text.assemble((f"{head} ", "dim"), cell)
        if line and len(line) + 2 + len(pair) > width:
            yield line
            line = Text()
        line.append("  ").append_text(pair)
    if line:
        yield line
