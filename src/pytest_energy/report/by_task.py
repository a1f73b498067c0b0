"""Energy and grams for 1,000 units, by task, beside figures that others published; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pytest_energy.limits.task_names import hub_name
from pytest_energy.record.hardware import hardware_of
from pytest_energy.record.schema import RunRecord, TestRecord

NO_TASK = "no task"


@dataclass(frozen=True, kw_only=True)
class Published:
    """Figures of models that somebody published: joules for one unit, by task of the Hub.

    units: those that these figures are for. remarks: what must be said beside them.
    """

    name: str
    joules: Mapping[str, tuple[float, ...]]
    units: frozenset[str]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TaskFigures:
    """The measurements of one task that may stand side by side, by rising energy.

    joules: for one unit. grams: for one unit, of those that have some. published: joules of others'
    models for one unit.
    """

    task: str
    unit: str
    method: str
    hardware: str
    joules: tuple[float, ...]
    grams: tuple[float, ...]
    published: tuple[float, ...] = ()

    @property
    def middle(self) -> float:
        return median(self.joules)


def by_task(record: RunRecord, published: Sequence[Published] = ()) -> tuple[TaskFigures, ...]:
    """A line for each task, unit, method and hardware: other figures are never put together."""
    groups: dict[tuple[str, str, str, str], dict[tuple[int, str, str | None], TestRecord]] = {}
    for test in record.last_attempts:
        if not test.joules_per_unit or test.joules_per_unit < 0:
            continue
        task = (hub_name(test.task) or test.task) if test.task else NO_TASK
        key = (task, test.unit, test.method, hardware_of(test, record.session_of(test).machine))
        # A test with several limits has a record for each, with the same figure.
        groups.setdefault(key, {}).setdefault((test.session, test.id, test.name), test)
    found = [_line(*key, list(group.values()), published) for key, group in groups.items()]
    return tuple(sorted(found, key=lambda each: (each.task == NO_TASK, each.middle)))


def _line(
    task: str,
    unit: str,
    method: str,
    hardware: str,
    tests: Sequence[TestRecord],
    published: Sequence[Published],
) -> TaskFigures:
    return TaskFigures(
        task=task,
        unit=unit,
        method=method,
        hardware=hardware,
        joules=tuple(sorted(each.joules_per_unit or 0.0 for each in tests)),
        grams=tuple(sorted(each.grams_per_unit for each in tests if each.grams_per_unit)),
        published=tuple(
            sorted(
                joules
                for each in published
                if unit in each.units
                for joules in each.joules.get(task, ())
            )
        ),
    )
