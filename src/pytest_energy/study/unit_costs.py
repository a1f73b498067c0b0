"""The energy of one unit of work, from a run record, a limit, a budgets file or the study."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.carbon.intensity import Basis, Intensity
from pytest_energy.errors import InputError
from pytest_energy.limits.budget import DEFAULT_UNIT, base_limit
from pytest_energy.limits.file import BudgetsFileError, read_budgets
from pytest_energy.limits.limit import Limit, parse_limit
from pytest_energy.limits.task_names import STUDY_TASKS, hub_name
from pytest_energy.record import file as record
from pytest_energy.record.schema import CarbonRecord, RunRecord
from pytest_energy.study.figures import OF_ITS_GRAMS, STATED, figure_of
from pytest_energy.study.tables import model_named, task_named, tasks
from pytest_energy.units import JOULES_PER_KWH, Quantity, label

FORMS = (
    'a file of --energy-json, energy-budgets.toml, a limit ("2.1 Wh / 1000 queries"), or a task or '
    'model of the study ("text-generation", "gpt2")'
)


@dataclass(frozen=True, kw_only=True)
class UnitCost:
    """The joules of one unit, where they come from (`evidence`), and the carbon intensities.

    study_source: where a figure of the study comes from, "" for any other.
    """

    label: str
    joules_per_unit: float
    unit: str
    evidence: str
    intensities: tuple[Intensity, ...] = ()
    study_source: str = ""


@dataclass(frozen=True)
class UnitCosts:
    """What was found, and a sentence for each figure that can't be scaled."""

    found: tuple[UnitCost, ...]
    notes: tuple[str, ...] = ()


def unit_costs(subject: str, intensity: Intensity | None = None) -> UnitCosts:
    """The figures of one of FORMS; `intensity` comes before those that the subject brings.

    Raises ValueError for anything else, and for a subject without any figure in joules.
    """
    path = Path(subject)
    if path.is_file():
        return of_file(path, intensity)
    if hub_name(subject) in STUDY_TASKS:
        return UnitCosts((_of_task(subject, intensity),))
    if model_named(subject) is not None:
        return UnitCosts(_of_model(subject, intensity))
    if re.match(r"\s*[-+\d.]", subject):
        limit = parse_limit(subject)
        return UnitCosts((_of_limit(limit, f'"{limit.text}"', intensity),))
    raise InputError(
        f"{subject!r} is neither a file nor a task or model of the study; expected {FORMS}"
    )


def of_file(path: Path, intensity: Intensity | None) -> UnitCosts:
    """Of a run record or a budgets file."""
    if path.suffix == ".toml":
        found = _of_budgets(path, intensity)
    else:
        found = of_record(record.read(path), intensity)
    if not found.found:
        raise InputError("; ".join((f"{path}: no figure in joules to scale", *found.notes)))
    return found


def of_record(run: RunRecord, intensity: Intensity | None = None) -> UnitCosts:
    """Each measurement once, with the method of its figure."""
    chosen = intensity or (None if run.carbon is None else _intensity(run.carbon))
    found, notes = {}, []
    for test in run.tests:
        named = label(test.id, test.name)
        if test.joules_per_unit is None:
            notes.append(f"{named}: {test.verdict}, without a figure in joules")
            continue
        found[named, test.unit] = UnitCost(
            label=named,
            joules_per_unit=test.joules_per_unit,
            unit=test.unit,
            evidence=test.method,
            intensities=(chosen,) if chosen else (),
        )
    return UnitCosts(tuple(found.values()), tuple(dict.fromkeys(notes)))


def _intensity(carbon: CarbonRecord) -> Intensity:
    return Intensity(
        grams_per_kwh=carbon.grams_per_kwh,
        source=carbon.source,
        year=carbon.year,
        basis=Basis(carbon.basis),
        pue=carbon.pue,
    )


def _of_budgets(path: Path, intensity: Intensity | None) -> UnitCosts:
    try:
        file = read_budgets(path, str(path))
    except BudgetsFileError as error:
        raise InputError(str(error)) from None
    chosen = intensity or file.intensity
    found, notes = [], []
    for entry in file.entries:
        for limit, origin in entry.limits:
            try:
                found.append(_of_limit(limit, f'{origin} "{limit.text}"', chosen))
            except ValueError as error:
                notes.append(f"{origin}: {error}")
    return UnitCosts(tuple(found), tuple(notes))


def _of_limit(limit: Limit, label: str, intensity: Intensity | None) -> UnitCost:
    if limit.quantity in (Quantity.CPU_TIME, Quantity.FLOPS):
        raise InputError(
            f'limit "{limit.text}" is in {limit.quantity}, whose joules are unknown; use one in '
            'energy or carbon, such as "2.1 Wh / 1000 queries"'
        )
    if limit.quantity is Quantity.CARBON and intensity is None:
        raise InputError(
            f'limit "{limit.text}" is in carbon; add --carbon-intensity "300 gCO2e/kWh" to turn it '
            "into joules"
        )
    joules = base_limit(limit, intensity)
    return UnitCost(
        label=label,
        joules_per_unit=joules,
        unit=limit.unit,
        evidence="a limit",
        intensities=(intensity,) if intensity else (),
    )


def _of_task(name: str, intensity: Intensity | None) -> UnitCost:
    task = task_named(name)
    return _of_study(
        f"{task.name}, mean of the study", task.logs_mean_kwh, task.source_logs, intensity
    )


def _of_model(model_id: str, intensity: Intensity | None) -> tuple[UnitCost, ...]:
    model = model_named(model_id)
    assert model is not None
    figures = [figure_of(model.id, task.name) for task in tasks()]
    found = tuple(
        _of_study(f"{each.model}, {each.task}", each.kwh_per_1000, each.source, intensity)
        for each in figures
        if each is not None
    )
    if not found:
        raise InputError(
            f"{model.id} is a model of the study, but its logs have no figure for it"
            + (f" ({model.note})" if model.note else "")
        )
    return found


def _of_study(label: str, kwh: float, source: str, intensity: Intensity | None) -> UnitCost:
    intensities = (intensity,) if intensity else (OF_ITS_GRAMS, STATED)
    joules = kwh * JOULES_PER_KWH / 1000
    return UnitCost(
        label=label,
        joules_per_unit=joules,
        unit=DEFAULT_UNIT,
        evidence="the study",
        intensities=intensities,
        study_source=source,
    )
