"""What can be compared with the study in run records: one point for each model measured. Pure.

A measurement becomes a point by its task (the marker's, by any name that is known) and its labels:

    study_model   the Hub's id of the study's model that was measured, or of which a twin was
                  (the same architecture with any weights); without it the model is the user's
    dtype         "float32", "bfloat16"; optional

Named measurements of one test with a `study_model` are windows of one run, and become one point.
In the study, a model of several tasks has the task "zero-shot"; a measurement of it is a text
classification.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from pytest_energy.limits.budget import ONE_PER_CALL
from pytest_energy.limits.task_names import STUDY_TASKS, hub_name
from pytest_energy.record.hardware import hardware_of
from pytest_energy.record.merge import split
from pytest_energy.record.schema import MachineRecord, RunRecord, TestRecord
from pytest_energy.study.figures import StudyFigure, figure_of
from pytest_energy.study.tables import model_named
from pytest_energy.units import label

#: Units of which one inference of the study does one.
_INFERENCES = ONE_PER_CALL | {"image"}
_ZERO_SHOT = "zero-shot"


@dataclass(frozen=True)
class Evidence:
    """What figures must share to be compared with each other.

    instruments: kind and source of each gated channel.
    """

    hardware: str
    method: str
    instruments: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.hardware}, {self.method}"


def conditions(evidence: Evidence, dtype: str | None) -> str:
    """What figures share that are compared: "A100 x1 @ 400 W, measured, float32"."""
    return f"{evidence}, {dtype}" if dtype else str(evidence)


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one inference of one model used, for a task of the study by the Hub's name.

    name: the study's model, else the user's, else the test. interval: in joules, None where the
    record has none, or several measurements are one point.
    """

    name: str
    test: str
    task: str
    study_model: str | None
    dtype: str | None
    joules_per_unit: float
    interval: tuple[float, float] | None
    grams_per_unit: float | None
    evidence: Evidence

    @property
    def figure(self) -> StudyFigure | None:
        """The study's own, for the same model and task; None where it has none."""
        return None if self.study_model is None else figure_of(self.study_model, self.task)


@dataclass(frozen=True)
class Points:
    """The points, and a sentence for each measurement that is left out."""

    found: tuple[Point, ...]
    left_out: tuple[str, ...]


def points_of(runs: Sequence[RunRecord]) -> Points:
    """The points of run records, in their order."""
    found: list[Point] = []
    left_out: list[str] = []
    for run in (part for each in runs for part in split(each)):
        for tests in _measurements(run):
            why = _why_not(tests[0])
            if why:
                left_out.append(f"{_label(tests[0])} is left out: {why}")
            else:
                found.append(_point(tests, run.machine))
    return Points(tuple(found), tuple(dict.fromkeys(left_out)))


def _measurements(run: RunRecord) -> Iterator[list[TestRecord]]:
    """The last attempt of each; several where they are windows of one run."""
    groups: dict[tuple[str | None, ...], dict[tuple[str | None, ...], TestRecord]] = {}
    for test in run.last_attempts:
        is_window = test.joules_per_unit is not None and "study_model" in test.labels
        one = (test.id, test.unit, test.method, None if is_window else test.name)
        # A test with several limits has a record for each, with the same figure.
        groups.setdefault(one, {}).setdefault((test.name,), test)
    for group in groups.values():
        yield list(group.values())


def _label(test: TestRecord) -> str:
    return label(test.id, test.name)


def _task(test: TestRecord) -> str | None:
    if test.task is None:
        model = model_named(str(test.labels.get("study_model", "")))
        return model.task_name if model else None
    if test.task == _ZERO_SHOT:
        return "text-classification"
    return hub_name(test.task)


def _why_not(test: TestRecord) -> str:
    """Why it can't be compared with the study, or ""."""
    if test.joules_per_unit is None:
        return f"it is {test.verdict}, without a figure in joules"
    if test.unit not in _INFERENCES:
        return f"its figure is for one {test.unit}, and the study's are for one inference"
    if _task(test) not in STUDY_TASKS:
        named = "it has no task" if test.task is None else f"the study has no task {test.task!r}"
        return f"{named}; the tasks of the study are {', '.join(STUDY_TASKS)}"
    return ""


def _point(tests: Sequence[TestRecord], machine: MachineRecord) -> Point:
    first = tests[0]
    joules = [each.joules_per_unit for each in tests if each.joules_per_unit is not None]
    grams = [each.grams_per_unit for each in tests if each.grams_per_unit is not None]
    labels = {name: str(each) for name, each in first.labels.items()}
    study_model = labels.get("study_model") or None
    known = None if study_model is None else model_named(study_model)
    gated = [each for each in first.channels if each.gated]
    task = _task(first)
    assert task is not None
    return Point(
        name=(known.id if known else study_model) or first.model or _label(first),
        test=_label(first),
        task=task,
        study_model=known.id if known else study_model,
        dtype=labels.get("dtype"),
        joules_per_unit=fmean(joules),
        interval=first.interval if len(tests) == 1 else None,
        grams_per_unit=fmean(grams) if len(grams) == len(joules) else None,
        evidence=Evidence(
            hardware_of(first, machine),
            first.method,
            tuple(sorted({(each.kind, each.source) for each in gated})),
        ),
    )
