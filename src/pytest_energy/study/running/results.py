"""Results of runs: one run record for each model, and CodeCarbon's figure if measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.record import file as record
from pytest_energy.record.plain import RecordError
from pytest_energy.record.schema import RunRecord, TestRecord
from pytest_energy.rules.estimate import estimate
from pytest_energy.study.points import Point, Points, points_of
from pytest_energy.study.running.codecarbon_way import (
    ENDING,
    CodeCarbonFigure,
    codecarbon_path,
    read_figure,
)
from pytest_energy.units import figure, watt_hours_per_1000


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one query of a model used, by this tool and, if measured, by CodeCarbon.

    units: how many queries were measured. spread: half the interval as a fraction of the figure,
    None for too few rounds. seconds_per_unit: by the clock.
    """

    twin: str
    study_id: str
    task: str
    dtype: str
    device: str
    weights: str
    unit: str
    units: float
    joules_per_unit: float
    spread: float | None
    seconds_per_unit: float
    method: str
    codecarbon: CodeCarbonFigure | None = None


def labels(twin: str, study_id: str, dtype: str, device: str, weights: str) -> dict[str, str]:
    """What is stored with each measurement, and read back here."""
    return {
        "study_model": study_id,
        "twin": twin,
        "dtype": dtype,
        "device": device,
        "weights": weights,
    }


def is_measured(tests: Sequence[TestRecord]) -> bool:
    """Whether these are a result: all was measured, and the test's own body didn't fail."""
    return bool(tests) and all(
        each.joules_per_unit is not None and not each.failure for each in tests
    )


def read_result(path: Path) -> Result | None:
    """None where there is none. Raises RecordError for a file that holds something else."""
    if not path.exists():
        return None
    found = result_of(record.read(path).tests, read_figure(codecarbon_path(path)))
    if found is None:
        raise RecordError(f"{path}: holds no measurement of a model of the study")
    return found


def result_of(tests: Sequence[TestRecord], codecarbon: CodeCarbonFigure | None) -> Result | None:
    """All windows of one model as one figure; None where they aren't a model's."""
    first = tests[0] if tests else None
    if first is None or not is_measured(tests) or "twin" not in first.labels:
        return None
    rounds = [each for test in tests for each in test.rounds if not each.warmup]
    units = sum(each.units for each in rounds)
    seconds = sum(each.seconds for each in rounds)
    per_unit = [each.joules / each.units for each in rounds if each.joules is not None]
    found = estimate(per_unit)
    interval = found.interval
    label = {name: str(value) for name, value in first.labels.items()}
    return Result(
        twin=label["twin"],
        study_id=label["study_model"],
        task=first.task or "",
        dtype=label["dtype"],
        device=label["device"],
        weights=label["weights"],
        unit=first.unit,
        units=units,
        joules_per_unit=found.centre,
        spread=None if interval is None else math.log(interval[1] / interval[0]) / 2,
        seconds_per_unit=seconds / units,
        method=first.method,
        codecarbon=codecarbon,
    )


def records_in(paths: Sequence[Path]) -> list[tuple[Path, RunRecord]]:
    """The run records among them; a pattern such as *.json fits CodeCarbon's figures too.

    Raises RecordError.
    """
    return [(each, record.read(each)) for each in paths if not each.name.endswith(ENDING)]


def points_in(records: Sequence[tuple[Path, RunRecord]]) -> Points:
    """The points of run records, each followed by one with CodeCarbon's figure if there is one.

    Raises RecordError.
    """
    found: list[Point] = []
    left_out: list[str] = []
    for path, run in records:
        ours = points_of([run])
        figure = read_figure(codecarbon_path(path))
        found += ours.found
        found += [] if figure is None else [figure.instead_of(each) for each in ours.found]
        left_out += ours.left_out
    return Points(tuple(found), tuple(dict.fromkeys(left_out)))


def in_words(result: Result) -> str:
    """A result in one line."""
    wh = figure(watt_hours_per_1000(result.joules_per_unit))
    per = "images" if result.unit == "image" else "queries"
    line = f"{wh} Wh / 1000 {per}, {result.method}, from {result.units:.0f}"
    if result.codecarbon is not None:
        theirs = figure(watt_hours_per_1000(result.codecarbon.joules_per_unit))
        line += f"; CodeCarbon: {theirs} Wh"
    return line
