"""The study's kind of picture: energy by task on a log axis, a point for each model.

Needs matplotlib (the extra `report`), which is loaded when a picture is drawn.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from pytest_energy.errors import InputError
from pytest_energy.limits.task_names import STUDY_TASKS
from pytest_energy.study.compare import Comparison
from pytest_energy.study.figures import caveats, figures_of
from pytest_energy.study.points import Point, conditions
from pytest_energy.units import watt_hours_per_1000

FORMATS = (".png", ".svg", ".pdf")
_THEIRS = "#4477aa"  # these stay apart for colour-blind readers, and in grey by their markers
_OURS = ("#ee6677", "#228833", "#ccbb44", "#aa3377")
_MARKERS = ("D", "s", "^", "v")
_INCHES = (11.0, 7.5)
_BESIDE = 0.12  # of the distance between two tasks; the study to the left, each group to the right
_CHARACTERS = 190  # in a line of small print


def draw(found: Comparison, path: Path) -> None:
    """Write the picture, in the format of the path's ending.

    Raises InputError without matplotlib and for another ending, OSError if it can't be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"--picture {path}: expected a name that ends in {', '.join(FORMATS)}; for example "
            f"{path.with_suffix('.png')}"
        )
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(
            'a picture needs matplotlib: pip install "pytest-energy[report]"'
        ) from None
    picture = Figure(figsize=_INCHES)
    axes = picture.add_subplot()
    _draw_theirs(axes)
    groups = dict.fromkeys(_group(row.point) for row in found.rows)
    for number, group in enumerate(groups):
        _draw_ours(axes, group, [row.point for row in found.rows], number)
    axes.set_yscale("log")
    axes.set_ylabel("Wh for 1,000 inferences (log axis)")
    axes.set_xticks(range(len(STUDY_TASKS)), STUDY_TASKS, rotation=30, ha="right")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="upper left")
    axes.set_title("Energy by task: the models of the study, and yours")
    notes = [line for each in caveats() for line in textwrap.wrap(each, _CHARACTERS)]
    picture.text(0.02, 0.02, "\n".join(notes), fontsize=7, va="bottom")
    picture.subplots_adjust(left=0.08, right=0.98, top=0.94, bottom=0.3)
    picture.savefig(path, format=path.suffix.lower().removeprefix("."))


def _draw_theirs(axes: Any) -> None:
    places, energies = [], []
    for index, task in enumerate(STUDY_TASKS):
        for each in figures_of(task):
            places.append(index - _BESIDE)
            energies.append(watt_hours_per_1000(each.joules_per_unit))
    axes.scatter(places, energies, color=_THEIRS, alpha=0.7, label="the study (a node of 8 GPUs)")


def _draw_ours(axes: Any, group: str, points: list[Point], number: int) -> None:
    chosen = [each for each in points if _group(each) == group]
    axes.scatter(
        [STUDY_TASKS.index(each.task) + _BESIDE * number for each in chosen],
        [watt_hours_per_1000(each.joules_per_unit) for each in chosen],
        color=_OURS[number % len(_OURS)],
        marker=_MARKERS[number % len(_MARKERS)],
        label=f"yours ({group})",
    )


def _group(point: Point) -> str:
    return conditions(point.evidence, point.dtype)
