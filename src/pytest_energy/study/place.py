"""Where the user's model ranks among the study's, by its ratio to one of them. Pure.

Joules of two machines can't be compared, but a ratio on one machine can be transferred: the study's
figure of the reference model times the ratio has a rank among the study's models of the task.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_energy.errors import InputError
from pytest_energy.study.compare import Rank, study_rank
from pytest_energy.study.figures import StudyFigure, figures_of
from pytest_energy.study.points import Point, Points, conditions


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A model compared with one reference, a model of the study that was measured with it.

    ratio: of their joules for an inference; interval: of that ratio at its widest, None if one
    side has none. kwh_per_1000: the reference's figure in the study times the ratio. rank: among
    the study's models of the task. below, above: its neighbours there.
    """

    point: Point
    reference: Point
    figure: StudyFigure
    ratio: float
    interval: tuple[float, float] | None
    kwh_per_1000: float
    rank: Rank
    below: StudyFigure | None
    above: StudyFigure | None


@dataclass(frozen=True)
class Placements:
    """A placement for each model and each reference, the nearest first, and why others have none.

    The nearest reference needs the smallest ratio.
    """

    found: tuple[Placement, ...]
    left_out: tuple[str, ...]


def place(points: Points) -> Placements:
    """Place each model that isn't the study's, by references measured under the same conditions.

    Raises InputError without such a model.
    """
    own = [each for each in points.found if each.study_model is None]
    if not own:
        raise InputError(
            "; ".join(
                (
                    "no model to place: expected a measurement with a task of the study and "
                    "without the label study_model",
                    *points.left_out,
                )
            )
        )
    found: list[Placement] = []
    left_out = list(points.left_out)
    for point in own:
        references = [each for each in points.found if _is_reference(each, point)]
        placed = [_placed(point, each) for each in references]
        found += sorted(placed, key=lambda each: abs(math.log(each.ratio)))
        if not references:
            left_out.append(f"{point.name} can't be placed: {_why_not(point, points)}")
    return Placements(tuple(found), tuple(left_out))


def _is_reference(candidate: Point, point: Point) -> bool:
    return (
        candidate.figure is not None
        and candidate.task == point.task
        and candidate.evidence == point.evidence
        and (None in (candidate.dtype, point.dtype) or candidate.dtype == point.dtype)
    )


def _why_not(point: Point, points: Points) -> str:
    twins = [each for each in points.found if each.figure and each.task == point.task]
    if twins:
        mine, its = (conditions(each.evidence, each.dtype) for each in (point, twins[0]))
        return (
            f"it was measured on {mine}, the study's model {twins[0].name} on {its}; measure both "
            "under the same conditions"
        )
    example = figures_of(point.task)[0].model
    return (
        f"the records hold no model of the study for {point.task}; measure one too, marked with "
        f'@pytest.mark.energy_budget(task="{point.task}", labels={{"study_model": "{example}"}}), '
        f"or run: pytest-energy study --task {point.task}"
    )


def _placed(point: Point, reference: Point) -> Placement:
    figure = reference.figure
    assert figure is not None
    ratio = point.joules_per_unit / reference.joules_per_unit
    kwh = figure.kwh_per_1000 * ratio
    others = figures_of(point.task)
    rank = study_rank(kwh, point.task)
    less = rank.place - 1
    interval = None
    if point.interval is not None and reference.interval is not None:
        interval = (
            point.interval[0] / reference.interval[1],
            point.interval[1] / reference.interval[0],
        )
    return Placement(
        point=point,
        reference=reference,
        figure=figure,
        ratio=ratio,
        interval=interval,
        kwh_per_1000=kwh,
        rank=rank,
        below=others[less - 1] if less else None,
        above=others[less] if less < len(others) else None,
    )
