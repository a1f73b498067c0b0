"""The text of `pytest-energy compare`: for a terminal, in Markdown and as JSON."""

from __future__ import annotations

import io
import json
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from rich import box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pytest_energy.comparing.figures import label
from pytest_energy.comparing.outcome import (
    NOT_COMPARED,
    REGRESSED,
    Compared,
    ComparisonRecord,
    Outcome,
    Quantity,
    Side,
)
from pytest_energy.comparing.words import percent, signed
from pytest_energy.report.terminal import UNBOUNDED
from pytest_energy.units import figure, numbered, watt_hours_per_1000

_STYLES = {
    Outcome.WITHIN: "green",
    Outcome.IMPROVED: "green",
    Outcome.INCONCLUSIVE: "red",
    Outcome.INCOMPARABLE: "red",
    Outcome.REGRESSED: "bold red",
}
_NARROWEST = 40
_SHORT_COMMIT = 9


@dataclass(frozen=True)
class _Column:
    head: str
    justify: Literal["left", "right"]
    cell: Callable[[Compared], str]


def _columns(found: ComparisonRecord) -> list[_Column]:
    """Rule B' tells an interval from its pairs; rule B an increase that is allowed."""
    if any(len(each.pairs) > 1 for each in found.tests):
        spread = [
            _Column("interval", "right", _interval),
            _Column("pairs", "right", lambda each: str(len(each.pairs) or "-")),
        ]
    else:
        spread = [_Column("allowed", "right", _allowed)]
    return [
        _Column("reference", "right", lambda each: _amount(each, each.reference)),
        _Column("candidate", "right", lambda each: _amount(each, each.candidate)),
        _Column("ratio", "right", lambda each: "-" if each.ratio is None else f"{each.ratio:.3f}"),
        *spread,
        _Column("method", "left", lambda each: each.method or "-"),
        _Column("outcome", "left", lambda each: str(each.outcome)),
    ]


def render_comparison(found: ComparisonRecord, width: int, *, colour: bool) -> str:
    """The table and its sentences for a terminal of this width, ending in a newline."""
    width = max(width, _NARROWEST)
    output = io.StringIO()
    console = Console(
        file=output,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
    )
    for side, one in (("reference", found.reference), ("candidate", found.candidate)):
        console.print(Text(f"{side}: {_side(one)}"))
    if found.tests:
        table = _table(found)
        needed = Measurement.get(console, console.options.update(width=UNBOUNDED), table).maximum
        for part in [table] if needed <= width else _narrow_table(found, width):
            console.print(part)
    for line in [*_sentences(found), *found.notes, conclusion(found)]:
        console.print(Text("\n".join(textwrap.wrap(line, width, break_on_hyphens=False))))
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def _table(found: ComparisonRecord) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("test", no_wrap=True)
    for column in _columns(found):
        table.add_column(column.head, justify=column.justify, no_wrap=True)
    for each in found.tests:
        cells = [Text(column.cell(each)) for column in _columns(found)]
        cells[-1].stylize(_STYLES[each.outcome])
        table.add_row(Text(_name(each)), *cells)
    return table


def _narrow_table(found: ComparisonRecord, width: int) -> Iterator[RenderableType]:
    """Each test's name on a line of its own, its figures below it."""
    columns = _columns(found)
    rows = [[column.cell(each) for column in columns] for each in found.tests]
    heads = [column.head for column in columns]
    widths = [max(map(len, cells)) for cells in zip(heads, *rows, strict=True)]

    def line(cells: list[str], style: str = "") -> Table:
        grid = Table.grid(padding=(0, 1))
        for column, column_width in zip(columns, widths, strict=True):
            grid.add_column(justify=column.justify, width=column_width, overflow="fold")
        grid.add_row(*map(Text, cells[:-1]), Text(cells[-1], style))
        return grid

    yield line(heads)
    yield Text("-" * min(width, sum(widths) + len(widths) - 1), "dim")
    for each, cells in zip(found.tests, rows, strict=True):
        yield Text(_name(each), overflow="fold")
        yield line(cells, _STYLES[each.outcome])


def _name(each: Compared) -> str:
    per = f" (per {each.unit})" if each.unit not in ("", "query") else ""
    return label(each.id, each.name) + per


def _amount(each: Compared, value: float | None) -> str:
    if value is None:
        return "-"
    if each.quantity is Quantity.CPU_SECONDS:
        return f"{figure(value * 1000)} cpu-ms"
    return f"{figure(watt_hours_per_1000(value))} Wh/1000"


def _interval(each: Compared) -> str:
    if each.interval is None:
        return "-"
    low, high = each.interval
    return f"{low:.3f}..{high:.3f}"


def _allowed(each: Compared) -> str:
    return "-" if each.threshold is None else signed(each.threshold).replace(" ", "")


def _side(side: Side) -> str:
    commit = side.commit[:_SHORT_COMMIT] if side.commit else ""
    return ", ".join(filter(None, (side.name, commit and f"commit {commit}", side.about)))


def _sentences(found: ComparisonRecord) -> list[str]:
    """One for each test that is not simply within."""
    return [f"{_name(each)}: {each.reason}" for each in _told(found)]


def _told(found: ComparisonRecord) -> list[Compared]:
    return [each for each in found.tests if each.outcome is not Outcome.WITHIN]


def conclusion(found: ComparisonRecord) -> str:
    """The comparison in one sentence."""
    if found.problem:
        return f"could not compare: {found.problem}"
    numbers = Counter(each.outcome for each in found.tests)
    total = len(found.tests)
    if found.exit_status == REGRESSED:
        return f"regressed: {numbers[Outcome.REGRESSED]} of {numbered(total, 'figure')}"
    if found.exit_status == NOT_COMPARED:
        told = ", ".join(f"{number} {outcome}" for outcome, number in numbers.items())
        return f"could not compare: {told or 'no test was measured on both sides'}"
    improved = numbers[Outcome.IMPROVED]
    allowed = max(each.threshold or 0.0 for each in found.tests)
    return f"within {percent(allowed)}: {numbered(total, 'figure')}" + (
        f", {improved} of them improved" if improved else ""
    )


def markdown_of(found: ComparisonRecord) -> str:
    """The same for a comment on a pull request, ending in a newline."""
    lines = [
        f"**Energy: {_escaped(conclusion(found))}**",
        "",
        f"Reference: {_escaped(_side(found.reference))}. "
        f"Candidate: {_escaped(_side(found.candidate))}.",
    ]
    if found.tests:
        columns = _columns(found)
        heads = ["test", *(column.head for column in columns)]
        rules = ["---", *("--:" if one.justify == "right" else "---" for one in columns)]
        lines += ["", _row(heads), _row(rules)]
        for each in found.tests:
            cells = [_escaped(column.cell(each)) for column in columns]
            if each.outcome is not Outcome.WITHIN:
                cells[-1] = f"**{cells[-1]}**"
            lines.append(_row([_code(_name(each)), *cells]))
    sentences = [f"- {_code(_name(each))}: {_escaped(each.reason)}" for each in _told(found)]
    sentences += [f"- {_escaped(note)}" for note in found.notes]
    if sentences:
        lines += ["", *sentences]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """A code span that holds any text, also within a table."""
    plain = " ".join(text.split())
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{plain}{padding}{fence}".replace("|", "\\|")


def _escaped(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split()))


def json_of(found: ComparisonRecord) -> str:
    """Everything at full precision, versioned, ending in a newline."""
    head = {
        "schema": found.schema,
        "conclusion": conclusion(found),
        "exit_status": found.exit_status,
    }
    plain = {**head, **asdict(found)}
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"
