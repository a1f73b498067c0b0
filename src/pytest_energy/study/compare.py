"""Measured points compared with the study's figures: ranks, and how well the order agrees. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from pytest_energy.limits.task_names import STUDY_TASKS
from pytest_energy.rules.statistics import rank_correlation
from pytest_energy.study.figures import StudyFigure, figures_of, rank_among
from pytest_energy.study.points import Evidence, Point, Points


@dataclass(frozen=True)
class Rank:
    """A place from 1, the least energy, among `of`."""

    place: int
    of: int

    def __str__(self) -> str:
        return f"{self.place} of {self.of}"


@dataclass(frozen=True)
class ComparedPoint:
    """A point and the study's figure for the same model and task.

    rank: among the measured models of the task that may be compared with it. study_rank: of the
    study's figure among its models of the task. None where the study has no figure.
    """

    point: Point
    rank: Rank
    figure: StudyFigure | None
    study_rank: Rank | None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Spearman's rank correlation between the measured figures and the study's.

    Of points with equal evidence and dtype that have a figure of the study. Over tasks, each side
    is the mean over the same models. None where fewer than three are compared.
    """

    evidence: Evidence
    dtype: str | None
    models: int
    over_models: float | None
    tasks: int
    over_tasks: float | None


@dataclass(frozen=True)
class Comparison:
    """The points by task, in the study's order, and within a task by rising energy."""

    rows: tuple[ComparedPoint, ...]
    agreements: tuple[Agreement, ...]
    left_out: tuple[str, ...]


def compare_with_study(points: Points) -> Comparison:
    """Each point with its ranks, and the agreement of each group that may be compared."""
    ordered = sorted(
        points.found, key=lambda each: (STUDY_TASKS.index(each.task), each.joules_per_unit)
    )
    return Comparison(
        tuple(_compared(each, ordered) for each in ordered),
        tuple(_agreements(ordered)),
        points.left_out,
    )


def _compared(point: Point, points: Sequence[Point]) -> ComparedPoint:
    alike = [each for each in points if each.evidence == point.evidence and each.task == point.task]
    less = sum(1 for each in alike if each.joules_per_unit < point.joules_per_unit)
    figure = point.figure
    return ComparedPoint(
        point,
        Rank(1 + less, len(alike)),
        figure,
        None if figure is None else study_rank(figure.kwh_per_1000, figure.task, figure.model),
    )


def study_rank(kwh_per_1000: float, task: str, model: str | None = None) -> Rank:
    """Where a figure lies among the study's models of a task; `model` is not counted twice."""
    others = [each for each in figures_of(task) if each.model != model]
    return Rank(rank_among(kwh_per_1000, others), len(others) + 1)


def _group(point: Point) -> tuple[Evidence, str | None]:
    return point.evidence, point.dtype


def _agreements(points: Sequence[Point]) -> Iterable[Agreement]:
    for evidence, dtype in dict.fromkeys(_group(each) for each in points):
        pairs = [
            (each.joules_per_unit, each.figure)
            for each in points
            if _group(each) == (evidence, dtype) and each.figure is not None
        ]
        if not pairs:
            continue
        tasks = dict.fromkeys(figure.task for _, figure in pairs)
        of_tasks = [[each for each in pairs if each[1].task == task] for task in tasks]
        yield Agreement(
            evidence=evidence,
            dtype=dtype,
            models=len(pairs),
            over_models=rank_correlation(*_sides(pairs)),
            tasks=len(tasks),
            over_tasks=rank_correlation(
                *([fmean(_sides(each)[side]) for each in of_tasks] for side in (0, 1))
            ),
        )


def _sides(pairs: Sequence[tuple[float, StudyFigure]]) -> tuple[list[float], list[float]]:
    """The measured figures, and the study's."""
    return [ours for ours, _ in pairs], [figure.joules_per_unit for _, figure in pairs]
