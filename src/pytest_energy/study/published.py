"""The study's figures for reports, next to the measured ones."""

from __future__ import annotations

from pytest_energy.limits.budget import ONE_PER_CALL
from pytest_energy.limits.task_names import STUDY_TASKS
from pytest_energy.report.by_task import Published
from pytest_energy.study.figures import caveats, figures_of


def published() -> Published:
    """One figure for each model and task, in joules for one inference."""
    return Published(
        name="the study's models (a node of 8 GPUs)",
        joules={
            task: tuple(each.joules_per_unit for each in figures_of(task)) for task in STUDY_TASKS
        },
        units=ONE_PER_CALL | {"image"},
        remarks=caveats()[:3],
    )
