"""The texts of `pytest-energy study show`, `compare`, `place` and `run`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from pytest_energy.report.table import Column, Row, console_of, print_table, printed
from pytest_energy.study.compare import Agreement, ComparedPoint, Comparison, study_rank
from pytest_energy.study.figures import (
    OF_ITS_GRAMS,
    STATED,
    caveats,
    figures_of,
    spread_of,
)
from pytest_energy.study.place import Placement, Placements
from pytest_energy.study.points import conditions
from pytest_energy.study.running.results import Result
from pytest_energy.study.tables import (
    Task,
    datasets,
    model_named,
    models,
    task_named,
    tasks,
)
from pytest_energy.units import (
    JOULES_PER_KWH,
    figure,
    grouped,
    numbered,
    percent,
    watt_hours_per_1000,
)

_NARROWEST = 40
_WIDEST = 100
_TWO_GRAMS = (
    f"gCO2e: at {OF_ITS_GRAMS.factor} (behind the printed grams) and at {STATED.factor} (stated in "
    "the paper)"
)


def render_tasks(width: int) -> str:
    """The study's ten tasks, with the spread over their models."""
    rows = []
    for task in tasks():
        spread = spread_of(task)
        rows.append(
            (
                task.name,
                f"{_printed(task.paper_mean_kwh_per_1000)}±{_printed(task.paper_std_kwh_per_1000)}",
                f"{_wh(spread.mean)}±{_wh(spread.standard_deviation)}",
                f"{_wh(spread.low)}..{_wh(spread.high)}",
                _both_grams(task.logs_mean_kwh),
            )
        )
    known = sum(len(figures_of(task.name)) for task in tasks())
    every = sum(1 for each in models() if each.task_name is not None)
    return _text(
        [
            "Wh for 1,000 inferences of the study, by task",
            _Table(("task", "printed", "over models", "range", "gCO2e"), rows),
            "printed: mean and standard deviation in Table 2 of the paper. over models, range: "
            "over the models of Table 6, from the logs, "
            f"which lack runs of {every - known} of the {every} under their data sets.",
            f"{_TWO_GRAMS}; from the logs.",
            f"Sources: {tasks()[0].source_paper}; {tasks()[0].source_logs}.",
            *caveats(),
        ],
        width,
    )


def render_task(name: str, width: int) -> str:
    """The models of one task, by rising energy. Raises InputError for an unknown task."""
    task = task_named(name)
    of_task = [each for each in models() if each.task_name == task.name]
    rows = []
    for model in sorted(of_task, key=lambda each: each.mean_kwh_per_1000 or math.inf):
        kwh = model.mean_kwh_per_1000
        rows.append(
            (
                model.id,
                "-" if model.params_study is None else f"{model.params_study / 1e6:,.0f}",
                _wh(kwh),
                "-" if kwh is None else _both_grams(kwh),
                "-" if kwh is None else str(study_rank(kwh, task.name, model.id)),
            )
        )
    pairs = [each for each in datasets() if each.task_name == task.name]
    inputs = "; ".join(f"{each.dataset_paper} ({each.split}, {each.input_rule})" for each in pairs)
    return _text(
        [
            f"{task.name} ({task.task}): {_mean_of(task)}",
            _Table(("model", "parameters (M)", "Wh/1000", "gCO2e", "rank"), rows),
            f"Data sets, 1,000 inferences of each, ten times: {inputs}.",
            f"{_TWO_GRAMS}.",
            *(f"{each.id}: {each.note}." for each in of_task if each.note),
            f"Sources: {task.source_paper}; {task.source_logs}; {pairs[0].source}.",
            *caveats(),
        ],
        width,
    )


def render_study_comparison(found: Comparison, width: int) -> str:
    """The measured figures and the study's, task by task, and how well the order agrees."""
    parts: list[str | _Table] = []
    dtypes = {row.point.dtype for row in found.rows if row.point.dtype}
    methods = {row.point.evidence.method for row in found.rows}
    for name in dict.fromkeys(row.point.task for row in found.rows):
        rows = []
        for row in found.rows:
            if row.point.task == name:
                point = row.point
                about = [point.dtype] if len(dtypes) > 1 and point.dtype else []
                about += [point.evidence.method] if len(methods) > 1 else []
                model = point.name + (f" ({', '.join(about)})" if about else "")
                rows.append((model, *_cells(row)))
        heads = ("model", "Wh/1000", "gCO2e", "rank", "study Wh", "gCO2e", "rank")
        parts += [f"{name}: {_mean_of(task_named(name))}", _Table(heads, rows)]
    parts += [_agrees(each) for each in found.agreements]
    parts += list(found.left_out)
    parts += [
        "Wh and gCO2e are for 1,000 inferences; the first rank is among the models with the "
        "same conditions, the second among the study's models of the task. "
        f"The study's grams are those of its logs, at {OF_ITS_GRAMS.factor}.",
        f"Sources: {tasks()[0].source_paper}; {tasks()[0].source_logs}.",
    ]
    return _text([*parts, *caveats()], width)


def render_placements(found: Placements, width: int) -> str:
    """The rank of each model among the study's, and why others have none."""
    parts = [_placed(each) for each in found.found]
    parts += list(found.left_out)
    if found.found:
        parts.append(
            "A placement is rough and not a limit: ratios also depend on hardware, lengths and "
            "precision."
        )
        parts.append(f"Source of the study's figures: {found.found[0].figure.source}.")
    return _text([*parts, *caveats()], width)


def render_results(results: Sequence[Result], width: int) -> str:
    """All results of a run with the notes that they need; "" for none."""
    if not results:
        return ""
    heads = ["model", "Wh/1000", "+-", "ms", "queries"]
    both = any(each.codecarbon for each in results)
    if both:
        heads += ["CodeCarbon", "times"]
    rows = [
        (
            each.twin,
            figure(watt_hours_per_1000(each.joules_per_unit)),
            "-" if each.spread is None else percent(each.spread),
            figure(each.seconds_per_unit * 1000),
            f"{each.units:.0f}",
            *(_theirs(each) if both else ()),
        )
        for each in results
    ]
    return _text([_Table(heads, rows), *_notes(results)], width)


def _mean_of(task: Task) -> str:
    spread = spread_of(task)
    return (
        f"the study's mean is {_printed(task.paper_mean_kwh_per_1000)} Wh (Table 2); "
        f"{_wh(spread.mean)} ± {_wh(spread.standard_deviation)} over the {spread.known} of its "
        f"{spread.models} models in its logs, {_wh(spread.low)} to {_wh(spread.high)}"
    )


def _cells(row: ComparedPoint) -> list[str]:
    point, theirs = row.point, row.figure
    grams = point.grams_per_unit
    their_grams = None if theirs is None else theirs.gco2e_per_1000
    return [
        figure(watt_hours_per_1000(point.joules_per_unit)),
        "-" if grams is None else figure(grams * 1000),
        str(row.rank),
        _wh(None if theirs is None else theirs.kwh_per_1000),
        "-" if their_grams is None else figure(their_grams),
        str(row.study_rank or "-"),
    ]


def _agrees(found: Agreement) -> str:
    where = conditions(found.evidence, found.dtype)
    over = [
        f"{shown_correlation(found.over_models)} over {numbered(found.models, 'model')}",
        f"{shown_correlation(found.over_tasks)} over {numbered(found.tasks, 'task')}",
    ]
    return (
        f"Agreement with the study's order ({where}), Spearman's rank correlation: "
        f"{', '.join(over)}."
    )


def shown_correlation(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _placed(each: Placement) -> str:
    point, twin = each.point, each.reference
    spread = ""
    if each.interval is not None:
        low, high = (figure(one) for one in each.interval)
        spread = f" ({low} to {high})"
    theirs = study_rank(each.figure.kwh_per_1000, point.task, each.figure.model)
    return (
        f"{point.name} ({point.task}): {figure(each.ratio)} times{spread} the energy of "
        f"{twin.name} here ({point.evidence}). In the study {twin.name} used "
        f"{_wh(each.figure.kwh_per_1000)} Wh for 1,000 inferences, {theirs}; "
        f"{figure(each.ratio)} times that, {_wh(each.kwh_per_1000)} Wh, would be {each.rank} "
        f"there, {_between(each)}."
    )


def _between(each: Placement) -> str:
    below = each.below and f"{each.below.model} ({_wh(each.below.kwh_per_1000)} Wh)"
    above = each.above and f"{each.above.model} ({_wh(each.above.kwh_per_1000)} Wh)"
    if below and above:
        return f"between {below} and {above}"
    return f"above {below}, the most" if below else f"below {above}, the least"


def _wh(kwh_per_1000: float | None) -> str:
    return "-" if kwh_per_1000 is None else grouped(kwh_per_1000 * 1000)


def _printed(kwh_per_1000: float) -> str:
    """With the digits that the paper has, and no more."""
    return f"{kwh_per_1000 * 1000:,g}"


def _both_grams(kwh: float) -> str:
    return ", ".join(figure(each.grams(kwh * JOULES_PER_KWH)) for each in (OF_ITS_GRAMS, STATED))


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
            "Weights are random: a query costs the same as with trained ones, and its answer is "
            "meaningless."
        )
    if others := [each.twin for each in results if model_named(each.study_id) is None]:
        notes.append(f"Not models of the study, so not compared with it: {', '.join(others)}.")
    figures = [each.codecarbon for each in results if each.codecarbon]
    if figures:
        first = figures[0]
        notes.append(
            f"CodeCarbon {first.version} counts the whole machine, as in the study: here "
            f"{first.cpu_watts:.1f} W for the processor and {first.ram_watts:.1f} W for the "
            "memory, whichever process uses them. No verdict depends on it."
        )
    return notes


@dataclass(frozen=True)
class _Table:
    """The heads of its columns, and its rows: a name and figures."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def _text(parts: Sequence[str | _Table], width: int) -> str:
    """Tables and paragraphs for this width."""
    console = console_of(max(_NARROWEST, min(width, _WIDEST)), colour=False)
    for part in parts:
        if isinstance(part, _Table):
            name, *figures = part.heads
            rows = [Row(Text(first), cells) for first, *cells in part.rows]
            print_table(console, [Column(each) for each in figures], rows, name=name)
        else:
            lines = textwrap.wrap(
                part, console.width, subsequent_indent="  ", break_on_hyphens=False
            )
            console.print(Text("\n".join(lines)))
    return printed(console)
