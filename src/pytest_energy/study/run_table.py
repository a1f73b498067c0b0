"""The table of `pytest-energy study run`."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from pytest_energy.study.running.results import Result
from pytest_energy.study.tables import model_named
from pytest_energy.units import figure, percent, watt_hours_per_1000


def render_results(results: Sequence[Result], width: int) -> str:
    """All results with the notes that they need, ending in a newline; "" for none."""
    if not results:
        return ""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(_table(results))
    for note in _notes(results):
        console.print(note)
    output = console.file
    assert isinstance(output, io.StringIO)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def _table(results: Sequence[Result]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("model", overflow="fold", min_width=16)
    for head in ("Wh/1000", "+-", "ms", "queries"):
        table.add_column(head, justify="right", no_wrap=True)
    both = any(each.codecarbon for each in results)
    if both:
        table.add_column("CodeCarbon", justify="right", no_wrap=True)
        table.add_column("times", justify="right", no_wrap=True)
    for each in results:
        cells = [
            each.twin,
            figure(watt_hours_per_1000(each.joules_per_unit)),
            "-" if each.spread is None else percent(each.spread),
            figure(each.seconds_per_unit * 1000),
            f"{each.units:.0f}",
        ]
        table.add_row(*cells, *(_theirs(each) if both else []))
    return table


def _theirs(each: Result) -> list[str]:
    if each.codecarbon is None:
        return ["-", "-"]
    joules = each.codecarbon.joules_per_unit
    return [figure(watt_hours_per_1000(joules)), f"{joules / each.joules_per_unit:.1f}"]


def _notes(results: Sequence[Result]) -> list[str]:
    ways = dict.fromkeys(f"{each.dtype} on {each.device}: {each.method}" for each in results)
    notes = ["; ".join(ways)]
    if any(each.units < 1000 for each in results):
        notes.append("Wh are scaled to 1,000 queries from the number in the table.")
    if any(each.weights == "random" for each in results):
        notes.append(
            "Weights are random: a query costs what it costs with the real ones, and its answer "
            "means nothing."
        )
    if others := [each.twin for each in results if model_named(each.study_id) is None]:
        notes.append(
            f"Of no model of the study, and in no comparison with it: {', '.join(others)}."
        )
    figures = [each.codecarbon for each in results if each.codecarbon]
    if figures:
        first = figures[0]
        notes.append(
            f"CodeCarbon {first.version} counts as the study did: the whole machine, here "
            f"{first.cpu_watts:.1f} W for its processor and {first.ram_watts:.1f} W for its "
            "memory, whoever uses them. Never gated."
        )
    return notes
