"""The study's figures by model and task, their ranks and spread, and the caveats to print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from pytest_energy.carbon.intensity import PHONE_CHARGE, PHONE_CHARGE_2023, Intensity
from pytest_energy.study.tables import CITATION, Task, model_named, models, multipurpose
from pytest_energy.units import JOULES_PER_KWH

#: The factor behind the grams that the paper prints.
OF_ITS_GRAMS = Intensity(
    grams_per_kwh=138.75, source="CodeCarbon's Oregon value, behind the grams the study prints"
)
#: The factor that the paper names.
STATED = Intensity(
    grams_per_kwh=297.6, source="stated in the study's Section 3.2, not used for its grams"
)

REMARKS = (
    f"The paper states {STATED.factor}, and the grams it prints are made with "
    f"{OF_ITS_GRAMS.factor} (CodeCarbon's Oregon value).",
    "Its energy is that of a node of 8 GPUs, of which 7 are idle, with constants for RAM (430.8 W) "
    "and CPU (42.5 W). A figure measured elsewhere doesn't compare one to one: compare order, and "
    "ratios between tasks, not joules.",
    f"A phone charge is {PHONE_CHARGE_2023.kwh_each:g} kWh in v1 of the paper, and in the press, "
    f"and {PHONE_CHARGE.kwh_each:g} kWh in v3: the US EPA changed it in January 2024.",
)


def caveats() -> tuple[str, ...]:
    """The citation and three remarks, a paragraph each, wherever figures of the study are shown."""
    return (f"The study: {CITATION}.", *REMARKS)


@dataclass(frozen=True, kw_only=True)
class StudyFigure:
    """What one model used for one task, by the Hub's name; the mean over its data sets.

    gco2e_per_1000: with the intensity of the study's logs; None where no table has it.
    """

    model: str
    task: str
    kwh_per_1000: float
    gco2e_per_1000: float | None
    source: str

    @property
    def joules_per_unit(self) -> float:
        return self.kwh_per_1000 * JOULES_PER_KWH / 1000


def figures_of(task: str) -> tuple[StudyFigure, ...]:
    """Those of a task's own models that the logs know, by rising energy; `task` as on the Hub.

    Models of several tasks are not among them, as they aren't in the study's Table 2.
    """
    found = [
        StudyFigure(
            model=each.id,
            task=task,
            kwh_per_1000=each.mean_kwh_per_1000,
            gco2e_per_1000=each.mean_gco2e_per_1000,
            source=each.source_figures,
        )
        for each in models()
        if each.task_name == task and each.mean_kwh_per_1000 is not None
    ]
    return tuple(sorted(found, key=lambda each: each.kwh_per_1000))


def figure_of(model_id: str, task: str) -> StudyFigure | None:
    """A model's figure for a task; None where the study has none."""
    model = model_named(model_id)
    if model is None:
        return None
    for several in multipurpose():
        if several.model == model.id and task in several.kwh_by_task:
            # The logs' grams are for all its tasks together.
            return StudyFigure(
                model=model.id,
                task=task,
                kwh_per_1000=several.kwh_by_task[task],
                gco2e_per_1000=None,
                source=several.source_logs,
            )
    return next((each for each in figures_of(task) if each.model == model.id), None)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How the models of a task differ: kWh per 1,000, over those that have a figure.

    standard_deviation: of the sample; low, high: the least and the most.
    """

    known: int
    models: int
    mean: float
    standard_deviation: float
    low: float
    high: float


def spread_of(task: Task) -> Spread:
    """Over the models of its Table 6, which for two tasks aren't all in the logs."""
    kwh = [each.kwh_per_1000 for each in figures_of(task.name)]
    several = sum(1 for each in models() if each.task_name == task.name)
    return Spread(
        known=len(kwh),
        models=several,
        mean=fmean(kwh),
        standard_deviation=stdev(kwh),
        low=min(kwh),
        high=max(kwh),
    )


def rank_among(kwh_per_1000: float, others: Sequence[StudyFigure]) -> int:
    """1 for the least energy: how many of the others use less, and one."""
    return 1 + sum(1 for each in others if each.kwh_per_1000 < kwh_per_1000)
