"""The text of `pytest-energy compare`: for a terminal, in Markdown and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from rich.text import Text

from pytest_energy.compare.outcome import (
    NOT_COMPARED,
    REGRESSED,
    Compared,
    ComparisonRecord,
    Outcome,
    Quantity,
    Side,
)
from pytest_energy.record.schema import quantity_of
from pytest_energy.report.markdown_text import code, prose, table
from pytest_energy.report.printable import all_printable, without_commands
from pytest_energy.report.table import Column, Row, console_of, print_table, printed
from pytest_energy.units import (
    Scale,
    amount,
    energy_scale,
    label,
    numbered,
    percent,
    signed_percent,
)

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
    """Rule B' gives an interval from its pairs; rule B an allowed increase."""
    if any(len(each.pairs) > 1 for each in found.tests):
        spread = [
            _Column("interval", "right", _interval),
            _Column("pairs", "right", lambda each: str(len(each.pairs) or "-")),
        ]
    else:
        spread = [_Column("allowed", "right", _allowed)]
    joules = [
        value
        for each in found.tests
        for value in (each.reference, each.candidate)
        if value is not None and each.quantity is Quantity.JOULES
    ]
    scale = energy_scale(joules)
    unit = f" ({scale.symbol})" if joules else ""
    return [
        _Column(f"reference{unit}", "right", lambda each: _amount(each, each.reference, scale)),
        _Column(f"candidate{unit}", "right", lambda each: _amount(each, each.candidate, scale)),
        _Column("ratio", "right", lambda each: "-" if each.ratio is None else f"{each.ratio:.3f}"),
        *spread,
        _Column("method", "left", lambda each: each.method or "-"),
        _Column("outcome", "left", lambda each: str(each.outcome)),
    ]


def render_comparison(found: ComparisonRecord, width: int, *, colour: bool) -> str:
    """The table and its sentences for a terminal of this width, ending in a newline."""
    found = all_printable(found)
    width = max(width, _NARROWEST)
    console = console_of(width, colour=colour)
    for side, one in (("reference", found.reference), ("candidate", found.candidate)):
        console.print(Text(f"{side}: {shown_side(one)}"))
    if found.tests:
        columns = _columns(found)
        rows = []
        for each in found.tests:
            cells = [Text(column.cell(each)) for column in columns]
            cells[-1].stylize(_STYLES[each.outcome])
            rows.append(Row(Text(_name(each)), cells))
        print_table(console, [Column(each.head, each.justify) for each in columns], rows)
    reasons = [f"{_name(each)}: {each.reason}" for each in _with_reasons(found)]
    for line in [*reasons, *found.notes, conclusion(found)]:
        console.print(Text("\n".join(textwrap.wrap(line, width, break_on_hyphens=False))))
    return without_commands(printed(console))


def _name(each: Compared) -> str:
    per = f" (per {each.unit})" if each.unit not in ("", "query") else ""
    return label(each.id, each.name) + per


def _amount(each: Compared, value: float | None, scale: Scale) -> str:
    if value is None:
        return "-"
    return (
        scale.show(value)
        if each.quantity is Quantity.JOULES
        else amount(value, quantity_of(each.method))
    )


def _interval(each: Compared) -> str:
    if each.interval is None:
        return "-"
    low, high = each.interval
    return f"{low:.3f} to {high:.3f}"


def _allowed(each: Compared) -> str:
    return "-" if each.threshold is None else signed_percent(each.threshold)


def shown_side(side: Side) -> str:
    """ "main, commit 0123456789" """
    commit = side.commit[:_SHORT_COMMIT] if side.commit else ""
    return ", ".join(filter(None, (side.name, commit and f"commit {commit}", side.about)))


def _with_reasons(found: ComparisonRecord) -> list[Compared]:
    """The tests whose outcome needs a sentence."""
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
        sentence = ", ".join(f"{number} {outcome}" for outcome, number in numbers.items())
        return f"could not compare: {sentence or 'no test was measured on both sides'}"
    improved = numbers[Outcome.IMPROVED]
    allowed = max(each.threshold or 0.0 for each in found.tests)
    return f"within {percent(allowed)}: {numbered(total, 'figure')}" + (
        f", {improved} of them improved" if improved else ""
    )


def markdown_of(found: ComparisonRecord) -> str:
    """The same for a comment on a pull request, ending in a newline."""
    found = all_printable(found)
    lines = [
        f"**Energy: {prose(conclusion(found))}**",
        "",
        f"Reference: {prose(shown_side(found.reference))}. "
        f"Candidate: {prose(shown_side(found.candidate))}.",
    ]
    if found.tests:
        columns = _columns(found)
        heads = ["test", *(column.head for column in columns)]
        rows = []
        for each in found.tests:
            cells = [prose(column.cell(each)) for column in columns]
            if each.outcome is not Outcome.WITHIN:
                cells[-1] = f"**{cells[-1]}**"
            rows.append([code(_name(each)), *cells])
        lines += ["", *table(heads, [False, *(one.justify == "right" for one in columns)], rows)]
    sentences = [f"- {code(_name(each))}: {prose(each.reason)}" for each in _with_reasons(found)]
    sentences += [f"- note: {prose(note)}" for note in found.notes]
    if sentences:
        lines += ["", *sentences]
    return "\n".join(lines) + "\n"


def json_of(found: ComparisonRecord) -> str:
    """Everything at full precision, versioned, ending in a newline."""
    head = {
        "schema": found.schema,
        "conclusion": conclusion(found),
        "exit_status": found.exit_status,
    }
    plain = {**head, **asdict(found)}
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"
