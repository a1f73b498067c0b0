"""Which limits stand for a test: its marker's own, then those of the budgets file; pure.

For each quantity and unit ("energy per query", "CPU time per token") the most specific limit
counts: the marker, the exact test id, a pattern of test ids, task and model, model, task. Of two
entries that are alike in this, the one for this hardware comes before one for any. A task may be
called by any name that the study or the AI Energy Score has for it, unless the file has that very
name for something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import compress

from pytest_energy.errors import InputError
from pytest_energy.limits import BUDGETS_FILE
from pytest_energy.limits.budget import Budget, Declaration, MaxIncrease, Scope
from pytest_energy.limits.file import BudgetsFile, Entry, Hardware
from pytest_energy.limits.index import matches
from pytest_energy.limits.limit import Limit
from pytest_energy.limits.task_names import same_task
from pytest_energy.sensors.base import Provenance
from pytest_energy.spelling import MOST_COMPARED, alike
from pytest_energy.units import Quantity

#: Power limits are reported in milliwatts and written in watts.
SAME_WATTS = 1.0
#: The label of a test that measures a model of the study to compare others with, without a limit.
STUDY_MODEL = "study_model"


class ResolutionError(InputError):
    """A test for which it is undecided which limit applies; the message says why."""


@dataclass(frozen=True)
class Subject:
    """What an entry is compared with: a test's id, and what its model may be called.

    models: the marker's model, the parametrize id and its parts, and parameters that are text.
    """

    test_id: str
    models: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MachineClass:
    """What a hardware table is compared with: the processor, and each GPU the test may use."""

    cpu: str
    gpus: tuple[tuple[str, float | None], ...] = ()
    """Name and power limit in watts."""

    def __str__(self) -> str:
        gpus = ", ".join(name for name, _ in self.gpus) or "no GPU"
        return f"{self.cpu}, {gpus}"


@dataclass(frozen=True)
class Resolution:
    """The budgets of one test, one without a limit where there is none; and what it is called."""

    budgets: tuple[Budget, ...]
    declaration: Declaration
    notices: tuple[str, ...] = ()


class Rank(IntEnum):
    """How specifically an entry names a test."""

    TASK = 1
    MODEL = 2
    TASK_AND_MODEL = 3
    PATTERN = 4
    TEST = 5
    ID = 6


def resolve(
    declaration: Declaration, subject: Subject, machine: MachineClass, file: BudgetsFile
) -> Resolution:
    """The limits that stand for a test on a machine.

    Raises ResolutionError for an id or a task that the file doesn't know, and for two entries of
    which neither is more specific.
    """
    ranked = _ranked(declaration, subject, file)
    _check_known(declaration, file, bool(ranked))
    fitting = [_is_hardware(file, entry.hardware, machine) for _, entry in ranked]
    here = list(compress(ranked, fitting))
    elsewhere = [entry for (_, entry), fits in zip(ranked, fitting, strict=True) if not fits]
    here.sort(key=_specificity, reverse=True)
    nearest = here[0][1] if here else None
    filled = replace(
        declaration,
        task=declaration.task or next((entry.task for _, entry in here if entry.task), None),
        model=declaration.model or _plain_model(entry for _, entry in here),
    )
    increases = {each: _max_increase(declaration, here, flops=each) for each in (False, True)}
    budgets = _own(declaration, nearest, file, increases)
    for limit, origin, entry in _chosen(here, {_key(each.limit) for each in budgets}):
        scope = declaration.scope or entry.scope
        method = declaration.method or _method(entry, file)
        budgets.append(_budget(limit, origin, scope, file, entry.message, increases, method))
    notices = _not_here(elsewhere, {_key(each.limit) for each in budgets}, machine)
    if any(not each.counts_flops for each in budgets):
        return Resolution(tuple(budgets), filled, notices)
    unlimited = Budget(
        limit=None,
        origin=declaration.origin,
        scope=declaration.scope or file.defaults.scope or Scope.AUTO,
        max_increase=increases[False],
        beside=budgets[0].limit if budgets else None,
    )
    if budgets:  # what is counted in FLOPs is measured too
        return Resolution((unlimited, *budgets), filled, notices)
    return Resolution((unlimited,), filled, notices or _why_none(declaration, file))


def matched(
    declaration: Declaration, subject: Subject, file: BudgetsFile
) -> frozenset[tuple[str, str]]:
    """The entries that name a test, whatever the hardware, by origin, each with the patterns of its
    `tests` that fit, or "" where it has none.
    """
    found: set[tuple[str, str]] = set()
    for rank, entry in _ranked(declaration, subject, file):
        chosen = rank is Rank.ID
        fit = [each for each in entry.tests if chosen or matches(each, subject.test_id)]
        found |= {(entry.origin, each) for each in fit or [""]}
    return frozenset(found)


def _ranked(
    declaration: Declaration, subject: Subject, file: BudgetsFile
) -> list[tuple[Rank, Entry]]:
    if declaration.id is not None:
        return [(Rank.ID, file.entries[each]) for each in file.index.with_id(declaration.id)]
    tasks = _tasks_meant(declaration, file)
    candidates = file.index.candidates(subject.test_id, tasks, subject.models)
    entries = [file.entries[each] for each in candidates]
    ranks = ((_rank(each, tasks, declaration, subject), each) for each in entries)
    return [(rank, entry) for rank, entry in ranks if rank is not None]


def _tasks_meant(declaration: Declaration, file: BudgetsFile) -> frozenset[str]:
    """The file's own names of the marker's task: that very name, else those of the same task."""
    task = declaration.task
    if task is None:
        return frozenset()
    names = file.index.tasks
    return names & {task} or frozenset(each for each in names if same_task(each, task))


def _rank(
    entry: Entry, tasks: frozenset[str], declaration: Declaration, subject: Subject
) -> Rank | None:
    """How specifically an entry names the test; None where it is for others."""
    by_test = None
    if entry.tests:
        if subject.test_id in entry.tests:
            by_test = Rank.TEST
        elif any(matches(each, subject.test_id) for each in entry.tests):
            by_test = Rank.PATTERN
        else:
            return None
    # An entry that names tests may add what their markers leave open.
    open_task = by_test is not None and declaration.task is None
    if entry.task is not None and entry.task not in tasks and not open_task:
        return None
    open_model = by_test is not None and not subject.models
    if entry.model is not None and not open_model:
        pattern = entry.model
        if not any(matches(pattern, each) for each in subject.models):
            return None
    if by_test is not None:
        return by_test
    if entry.model is not None:
        return Rank.TASK_AND_MODEL if entry.task is not None else Rank.MODEL
    return Rank.TASK if entry.task is not None else None


def _specificity(ranked: tuple[Rank, Entry]) -> tuple[int, bool]:
    rank, entry = ranked
    return rank, entry.hardware is not None


def _key(limit: Limit | None) -> tuple[Quantity, str] | None:
    return None if limit is None else (limit.quantity, limit.unit)


def _max_increase(
    declaration: Declaration, here: Sequence[tuple[Rank, Entry]], *, flops: bool
) -> MaxIncrease | None:
    """The marker's own, then that of the most specific entry that has one.

    What is allowed beside a limit in FLOPs is exact, and not for energy. flops: whether it is for
    FLOPs.
    """
    own = {each.quantity for each in declaration.limits}
    if declaration.max_increase is not None and (flops or own != {Quantity.FLOPS}):
        return declaration.max_increase
    having = [each for each in here if each[1].max_increase is not None]
    of_flops = [each for each in having if each[1].is_of_flops]
    having = (of_flops or having) if flops else [each for each in having if not each[1].is_of_flops]
    if not having:
        return None
    chosen = having[0][1].max_increase
    for other in having[1:]:
        found = other[1].max_increase
        same = _specificity(other) == _specificity(having[0])
        if same and chosen and found and found.fraction != chosen.fraction:
            raise ResolutionError(
                f"two budgets are for this test, and neither is more specific: max_increase is "
                f"{chosen} in one and {found} in the other; give both the same "
                "value, or make one more specific"
            )
    return chosen


def _own(
    declaration: Declaration,
    nearest: Entry | None,
    file: BudgetsFile,
    increases: Mapping[bool, MaxIncrease | None],
) -> list[Budget]:
    """The marker's own limits; what it leaves open comes from the nearest entry."""
    scope = declaration.scope or (nearest.scope if nearest else None)
    message = nearest.message if nearest else ""
    origin, method = declaration.origin, declaration.method
    return [
        _budget(limit, origin, scope, file, message, increases, method)
        for limit in declaration.limits
    ]


def _method(entry: Entry, file: BudgetsFile) -> Provenance | None:
    """The evidence that an entry's limits are for."""
    if entry.method is not None or entry.hardware is None:
        return entry.method
    return file.hardware[entry.hardware].method


def _budget(
    limit: Limit,
    origin: str,
    scope: Scope | None,
    file: BudgetsFile,
    message: str,
    increases: Mapping[bool, MaxIncrease | None],
    method: Provenance | None,
) -> Budget:
    """increases: what is allowed of energy, and of FLOPs (True)."""
    chosen = scope or file.defaults.scope or Scope.AUTO
    if limit.quantity is Quantity.CPU_TIME:
        chosen, method = Scope.CPU, None
    counts_flops = limit.quantity is Quantity.FLOPS
    return Budget(
        limit=limit,
        origin=origin,
        scope=chosen,
        tolerance=file.defaults.tolerance,
        message=message,
        max_increase=increases[counts_flops],
        method=None if counts_flops else method,
    )


def _chosen(
    here: Sequence[tuple[Rank, Entry]], taken: set[tuple[Quantity, str] | None]
) -> Iterable[tuple[Limit, str, Entry]]:
    """The most specific limit for each quantity and unit, from entries in that order."""
    best: dict[tuple[Quantity, str] | None, tuple[tuple[int, bool], Entry]] = {}
    for ranked in here:
        entry = ranked[1]
        for limit, origin in entry.limits:
            key = _key(limit)
            if key in taken:
                continue
            if key not in best:
                best[key] = (_specificity(ranked), entry)
                yield limit, origin, entry
            elif best[key][0] == _specificity(ranked):
                raise ResolutionError(
                    f"two budgets are for this test, and neither is more specific: "
                    f"{best[key][1].named} and {entry.named} both limit {limit.quantity} per "
                    f"{limit.unit}; keep one, or make one more specific: tests with the exact id, "
                    "hardware, or an id that the marker chooses"
                )


def _check_known(declaration: Declaration, file: BudgetsFile, any_entry: bool) -> None:
    if declaration.id is not None and not any_entry:
        ids = [entry.id for entry in file.entries if entry.id]
        if not file.shown:
            raise ResolutionError(
                f"id={declaration.id!r} names a budget of {BUDGETS_FILE}, and the root folder has "
                "no such file; create it, or name another with --energy-budgets PATH"
            )
        raise ResolutionError(
            f"unknown budget id {declaration.id!r} in {file.shown}{_near(declaration.id, ids)}"
        )
    task = declaration.task
    tasks = [entry.task for entry in file.entries if entry.task]
    if task is None or declaration.id is not None:
        return
    if not file.shown:
        gated = bool(declaration.limits) or declaration.max_increase is not None
        if gated or STUDY_MODEL in declaration.labels:
            return
        raise ResolutionError(
            f"task={task!r} takes its limit from {BUDGETS_FILE}, and the root folder has no such "
            "file; create it, name another with --energy-budgets PATH, give the marker a limit, or "
            "remove task= to measure without a limit"
        )
    if _tasks_meant(declaration, file):
        return
    # A marker with a limit of its own, or a file without tasks, may use a task as a name alone; but
    # not one that looks like a typo.
    is_name = bool(declaration.limits) or (any_entry and not tasks)
    if not is_name or alike(task, tasks, cutoff=0.8):
        raise ResolutionError(f"unknown task {task!r} in {file.shown}{_near(task, tasks)}")


def _near(name: str, known: Sequence[str]) -> str:
    unique = sorted(dict.fromkeys(known))
    if not unique:
        return ", which names none"
    near = alike(name, unique)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    shown = unique if len(unique) <= MOST_COMPARED else [*unique[:MOST_COMPARED], "..."]
    return f"{hint} (known: {', '.join(shown)})"


def _plain_model(entries: Iterable[Entry]) -> str | None:
    """The first model that is a name, not a pattern."""
    names = (entry.model for entry in entries)
    return next((name for name in names if name and not {"*", "?"} & set(name)), None)


def _not_here(
    elsewhere: Sequence[Entry],
    limited: set[tuple[Quantity, str] | None],
    machine: MachineClass,
) -> tuple[str, ...]:
    """A word where nothing takes the place of limits that are for other hardware."""
    missing = {
        f"{limit.quantity} per {limit.unit}": f"{entry.hardware} ({origin})"
        for entry in elsewhere
        for limit, origin in entry.limits
        if _key(limit) not in limited
    }
    if not missing:
        return ()
    names = ", ".join(dict.fromkeys(missing.values()))
    what = " and ".join(missing)
    return (f"its limits of {what} are for other hardware only: {names}; this is {machine}",)


def _why_none(declaration: Declaration, file: BudgetsFile) -> tuple[str, ...]:
    if declaration.task is None and declaration.model is None:
        return ()
    if not file.shown:
        return (f"there is no {BUDGETS_FILE} in pytest's root folder that could have a limit",)
    tasks = _tasks_meant(declaration, file)
    others = [each for each in file.entries if each.task in tasks and each.model]
    if declaration.task is None or not others:
        return ()
    models = ", ".join(f"{each.model} ({each.origin})" for each in others)
    return (f"the limits of task {declaration.task!r} are for other models only: {models}",)


def _is_hardware(file: BudgetsFile, name: str | None, machine: MachineClass) -> bool:
    return name is None or fits(file.hardware[name], machine)


def fits(hardware: Hardware, machine: MachineClass) -> bool:
    """Whether a machine is of this class; names are compared without regard to case."""
    if hardware.cpu is not None and not matches(hardware.cpu.lower(), machine.cpu.lower()):
        return False
    if hardware.gpu_count is not None and hardware.gpu_count != len(machine.gpus):
        return False
    if hardware.gpu is not None and not (
        machine.gpus
        and all(matches(hardware.gpu.lower(), name.lower()) for name, _ in machine.gpus)
    ):
        return False
    watts = hardware.power_limit_watts
    return watts is None or (
        bool(machine.gpus)
        and all(limit is not None and abs(limit - watts) <= SAME_WATTS for _, limit in machine.gpus)
    )
