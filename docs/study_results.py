"""Write docs/study-results.md and its picture from the run records in docs/data/study.

pip install -e ".[transformers,report]" diffusers
pytest-energy study --seconds 10 --method codecarbon --results docs/data/study
pytest-energy study --seconds 10 --method codecarbon --results docs/data/study --dtype bfloat16
python docs/study_results.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean, median

from pytest_energy.limits.task_names import STUDY_TASKS
from pytest_energy.record.schema import RunRecord
from pytest_energy.study.compare import Agreement, Comparison, compare_with_study, study_rank
from pytest_energy.study.figures import caveats
from pytest_energy.study.picture import draw
from pytest_energy.study.points import Point, points_of
from pytest_energy.study.report import shown_correlation
from pytest_energy.study.running.codecarbon_way import (
    CodeCarbonFigure,
    codecarbon_path,
    read_figure,
)
from pytest_energy.study.running.command import duration
from pytest_energy.study.running.results import Result, points_in, records_in, result_of
from pytest_energy.units import figure, grouped, percent, watt_hours_per_1000

FOLDER = Path(__file__).resolve().parent
DATA, PAGE, PICTURE = (
    FOLDER / "data/study",
    FOLDER / "study-results.md",
    FOLDER / "study-results.svg",
)
DTYPES = ("float32", "bfloat16")
SECONDS = 10
RUN = f"pytest-energy study --seconds {SECONDS} --method codecarbon --results docs/data/study"
#: A measurement ends early once its figure is known within this.
PRECISE = 0.03


@dataclass(frozen=True)
class Measured:
    """One model in one precision: its record, its result in the command's table, its point."""

    run: RunRecord
    result: Result
    point: Point | None

    @property
    def codecarbon(self) -> CodeCarbonFigure:
        assert self.result.codecarbon is not None, f"{self.result.twin}: run --method codecarbon"
        return self.result.codecarbon

    @property
    def times(self) -> float:
        """CodeCarbon's figure as a multiple of ours."""
        return self.codecarbon.joules_per_unit / self.result.joules_per_unit


def main() -> None:
    records = stored()
    compared = compare_with_study(points_in(records))
    draw(compared, PICTURE)
    PAGE.write_text(page(measured(records), compared), encoding="utf-8")


def stored() -> list[tuple[Path, RunRecord]]:
    return records_in(sorted(DATA.glob("*/*.json")))


def page(found: Sequence[Measured], compared: Comparison) -> str:
    """The page, from nothing but the records."""
    parts = [
        *about(found),
        "## Does the order agree with the study's?",
        *order(compared),
        "![Energy by task, the study's models and these](study-results.svg)",
        "## Tasks",
        *tasks(found),
        "## Two ways of counting",
        *two_ways(found),
        "## Half the bits",
        *half(found),
        "## Models",
        *models(found),
        "## Notes on these figures",
        *(f"- {each}" for each in caveats()),
    ]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ") + "\n"


def measured(records: Sequence[tuple[Path, RunRecord]]) -> list[Measured]:
    found = []
    for path, run in records:
        result = result_of(run.tests, read_figure(codecarbon_path(path)))
        assert result is not None, path
        found.append(Measured(run, result, next(iter(points_of([run]).found), None)))
    return found


def of(found: Iterable[Measured], dtype: str) -> list[Measured]:
    return [each for each in found if each.result.dtype == dtype]


def of_the_study(found: Iterable[Measured]) -> list[tuple[Measured, Point]]:
    return [
        (each, each.point)
        for each in found
        if each.point is not None and each.point.figure is not None
    ]


def about(found: Sequence[Measured]) -> list[str]:
    machine, versions = found[0].run.machine, found[0].run.run.versions
    took = " and ".join(f"{spent(of(found, each))} in {each}" for each in DTYPES)
    units = [each.result.units for each in found]
    days = sorted({each.run.run.end[:10] for each in found})
    commits = sorted({str(each.run.run.commit)[:9] for each in found})
    packages = {**versions, "CodeCarbon": found[0].codecarbon.version}
    return [
        "# The study, run again on a processor",
        "All models of the study that have a twin for a processor, in float32 and bfloat16, with "
        "random weights, measured by this tool and by CodeCarbon. This page is written by "
        "[study_results.py](study_results.py) from the run records in [data/study](data/study):",
        "```sh\n"
        'pip install -e ".[transformers,report]" diffusers\n'
        f"{RUN}\n{RUN} --dtype bfloat16\n"
        "python docs/study_results.py\n```",
        f"Run on {', '.join(days)}, at commit {', '.join(commits)}, on {machine.cpu_count} cores "
        f"of an {machine.cpu} ({machine.os} {machine.architecture}), one thread, without any "
        "energy counter: our figure is estimated, CPU time x 4 W a core. "
        f"{', '.join(f'{name} {packages[name]}' for name in sorted(packages))}. "
        f"It took {took}, for {len(of(found, 'float32'))} models each. A figure rests on "
        f"{min(units):.0f} to {max(units):.0f} queries and is scaled to 1,000; {known(found)}.",
        "**The GPU column is empty.** No machine with an NVIDIA GPU was at hand, so sd1.5, "
        "tiny-sd, sd2.1 and sdxl, which need one, have not run, and the task text-to-image has no "
        "figure here.",
    ]


def known(found: Sequence[Measured]) -> str:
    """How well, in words."""
    spreads = [(each.result.spread, each.result) for each in found]
    known = [(spread, result) for spread, result in spreads if spread is not None]
    precise = [spread for spread, _ in known if spread <= PRECISE]
    most, result = max(known, key=lambda each: each[0])
    return (
        f"{len(precise)} of {len(found)} figures are known within {percent(PRECISE)}, the others "
        f"that have an interval within {percent(most)} ({result.twin} in {result.dtype} at worst), "
        f"and {len(found) - len(known)} are so slow that {SECONDS} s were too few rounds to tell"
    )


def spent(found: Sequence[Measured]) -> str:
    """From the start of each session to its last model's end."""
    ends: dict[str, datetime] = {}
    for each in found:
        end = datetime.fromisoformat(each.run.run.end)
        ends[each.run.run.start] = max(end, ends.get(each.run.run.start, end))
    seconds = sum(
        (end - datetime.fromisoformat(start)).total_seconds() for start, end in ends.items()
    )
    return duration(seconds)


def order(compared: Comparison) -> list[str]:
    rows = []
    for each in sorted(
        compared.agreements, key=lambda each: (DTYPES.index(str(each.dtype)), way(each))
    ):
        over_models = f"{shown_correlation(each.over_models)} ({each.models})"
        rows.append(
            (
                each.dtype,
                way(each),
                over_models,
                f"{shown_correlation(each.over_tasks)} ({each.tasks})",
            )
        )
    return [
        "Spearman's rank correlation with the study, over models and over tasks (how many). A task "
        "is the mean over the same models on both sides.",
        table(("dtype", "counted by", "over models", "over tasks"), rows, right=2),
    ]


def way(each: Agreement) -> str:
    return "CPU time (ours)" if each.evidence.method == "estimated" else each.evidence.method


def tasks(found: Sequence[Measured]) -> list[str]:
    rows = []
    for task in STUDY_TASKS:
        cells: list[str] = []
        for dtype in DTYPES:
            here = [each for each in of_the_study(of(found, dtype)) if each[1].task == task]
            if not here:
                cells += ["-"] * (2 if cells else 4)
                continue
            if not cells:
                theirs = [point.figure.joules_per_unit for _, point in here if point.figure]
                cells += [str(len(here)), wh(fmean(theirs))]
            cells.append(wh(fmean(each.result.joules_per_unit for each, _ in here)))
            cells.append(wh(fmean(each.codecarbon.joules_per_unit for each, _ in here)))
        rows.append((task, *cells))
    heads = [f"{dtype}, {way}" for dtype in DTYPES for way in ("ours", "CodeCarbon")]
    return [
        "Wh for 1,000 inferences, the mean over the models that ran here and have a figure in the "
        "study. Models of several tasks (zero-shot) count as text classification, the task that "
        "they do here.",
        table(("task", "models", "study", *heads), rows),
    ]


def two_ways(found: Sequence[Measured]) -> list[str]:
    rows = []
    for dtype in DTYPES:
        here = of(found, dtype)
        watts = [
            [each.result.joules_per_unit / each.result.seconds_per_unit for each in here],
            [each.codecarbon.joules_per_unit / seconds(each) for each in here],
            [each.codecarbon.cpu_joules_per_unit / seconds(each) for each in here],
            [each.codecarbon.ram_joules_per_unit / seconds(each) for each in here],
        ]
        times = spread([each.times for each in here], "{:.1f}")
        rows.append((dtype, times, *(spread(each, "{:.1f} W") for each in watts)))
    heads = ("dtype", "times ours", "ours", "CodeCarbon", "its processor", "its memory")
    return [
        "CodeCarbon's figure as a multiple of ours, and the power that each assumes during the "
        "work (least, median, most over the models).",
        table(heads, rows),
        "Our figure is the CPU time of the test's processes: one busy core, and nothing for "
        "waiting. CodeCarbon's tracker counts the whole machine: a constant for the memory, "
        "whichever process uses it, and a share of the processor's design power by its load. "
        "Neither reads an instrument here, and both assume nearly the same power for every model, "
        "so both order them by computing time; their joules differ by the factor above. "
        "[The study inside](study.md#two-ways-of-counting) lists what CodeCarbon has changed since "
        "the study's 2.3.1.",
    ]


def seconds(each: Measured) -> float:
    """Of one query under CodeCarbon's tracker, by the clock."""
    return each.codecarbon.seconds / each.codecarbon.queries


def half(found: Sequence[Measured]) -> list[str]:
    whole = {each.result.twin: each.result.joules_per_unit for each in of(found, "float32")}
    ratios = {
        each.result.twin: each.result.joules_per_unit / whole[each.result.twin]
        for each in of(found, "bfloat16")
    }
    ordered = sorted(ratios, key=lambda name: ratios[name])
    more = [name for name in ordered if ratios[name] > 1]
    return [
        f"The energy of a query in bfloat16 as a fraction of float32: "
        f"{spread(list(ratios.values()), '{:.2f}')} (least, median, most over the models). Least "
        f"for {ordered[0]}, most for {ordered[-1]}; {len(more)} of {len(ordered)} take more than "
        "in float32.",
    ]


def models(found: Sequence[Measured]) -> list[str]:
    by_twin: dict[str, dict[str, Measured]] = {}
    for each in found:
        by_twin.setdefault(each.result.twin, {})[each.result.dtype] = each
    rows, others = [], []
    for twin, both in by_twin.items():
        cells = [cell for dtype in DTYPES for cell in figures_of(both.get(dtype))]
        point = both[DTYPES[0]].point
        if point is None or point.figure is None:
            others.append((twin, *cells))
        else:
            theirs = point.figure
            rank = study_rank(theirs.kwh_per_1000, theirs.task, theirs.model)
            rows.append((twin, grouped(theirs.kwh_per_1000 * 1000), str(rank), *cells))
    heads = [f"{dtype}: {head}" for dtype in DTYPES for head in ("ours", "+-", "CodeCarbon")]
    return [
        "Wh for 1,000 inferences, +- half the interval; the rank is the study's, among its models "
        "of the task.",
        table(("twin", "study", "rank", *heads), rows),
        "Not models of the study, so not compared above (`text-to-image-ci-sized` only shows that "
        "image generation works):",
        table(("twin", *heads), others),
    ]


def figures_of(each: Measured | None) -> tuple[str, str, str]:
    if each is None:
        return "-", "-", "-"
    spread = "-" if each.result.spread is None else percent(each.result.spread)
    return wh(each.result.joules_per_unit), spread, wh(each.codecarbon.joules_per_unit)


def wh(joules: float) -> str:
    return figure(watt_hours_per_1000(joules))


def spread(values: Sequence[float], form: str) -> str:
    return ", ".join(form.format(each) for each in (min(values), median(values), max(values)))


def table(heads: Sequence[str], rows: Sequence[Sequence[str | None]], right: int = 1) -> str:
    """In Markdown; columns from `right` on are figures."""
    rule = ["---"] * right + ["---:"] * (len(heads) - right)
    lines = [heads, rule, *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in each)} |" for each in lines)


if __name__ == "__main__":
    main()
