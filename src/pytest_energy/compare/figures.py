"""What two sides measured: figures that may be compared, and why others may not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_energy.compare.outcome import Compared, CouldNotCompare, Outcome, Quantity
from pytest_energy.record.contention import cheapest_of, contention, doubt_of_cheapest
from pytest_energy.record.schema import (
    CPU_TIME_METHOD,
    FLOPS_METHOD,
    MachineRecord,
    RunRecord,
    TestRecord,
    quantity_of,
    values_per_unit,
    whole_values_per_unit,
)
from pytest_energy.units import label, per_unit, percent

REFERENCE, CANDIDATE = "reference", "candidate"


@dataclass(frozen=True, kw_only=True)
class Key:
    """Figures with equal keys on one machine may be compared.

    instruments: kind and source of each gated channel; an estimate's source holds its watts.
    """

    id: str
    name: str | None
    unit: str
    scope: str
    method: str
    instruments: tuple[tuple[str, str], ...]

    @property
    def quantity(self) -> Quantity:
        return Quantity.CPU_SECONDS if self.method == CPU_TIME_METHOD else Quantity.JOULES


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What one run measured of one test: `values` per unit, one for each round that counts.

    rounds: the same of every round as a whole. channels: names of those gated. problem: why there
    are no values, or "". contention: what other processes may have added, or "". other_cores: that
    these used. cheapest: CPU seconds for one unit in the cheapest calls, None where not known.
    """

    key: Key
    values: tuple[float, ...]
    channels: tuple[str, ...]
    other_processes: tuple[str, ...] = ()
    contention: str = ""
    other_cores: float | None = None
    cheapest: float | None = None
    problem: str = ""
    labels: str = ""
    """As text; they may be what is compared."""
    rounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Matched:
    """Figures that every run of both sides has, those that can't be compared, and the rest.

    both: (of the reference, of the candidate), one figure for each run. notes: a sentence for each
    test that only one side has, and for each whose labels differ.
    """

    both: Mapping[Key, tuple[tuple[Figure, ...], tuple[Figure, ...]]]
    incomparable: tuple[Compared, ...]
    notes: tuple[str, ...]


def figures_of(record: RunRecord) -> dict[Key, Figure]:
    """The figures of a run; of a test that was run again, those of its last attempt.

    FLOPs are left out: they are exact, and their baseline compares them.
    """
    tests = [each for each in record.last_attempts if each.method != FLOPS_METHOD]
    return {each.key: each for each in map(_figure, tests)}


def _figure(test: TestRecord) -> Figure:
    gated = [each for each in test.channels if each.gated]
    counts_cpu_time = test.method == CPU_TIME_METHOD
    instruments = () if counts_cpu_time else tuple(sorted((one.kind, one.source) for one in gated))
    key = Key(
        id=test.id,
        name=test.name,
        unit=test.unit,
        scope=test.scope,
        method=test.method,
        instruments=instruments,
    )
    channels = tuple(each.name for each in gated)
    if test.joules_per_unit is None:
        return Figure(key=key, values=(), channels=channels, problem=f"unmeasured: {test.reason}")
    if test.failure:
        ended = f"the test ended in {test.failure}, so its work may not have been done"
        return Figure(key=key, values=(), channels=channels, problem=ended)
    measured = [each for each in test.rounds if not each.warmup]
    values = values_per_unit(measured, test.method)
    if not values:
        return Figure(
            key=key, values=(), channels=channels, problem="one of its rounds has no figure"
        )
    labels = ", ".join(f"{name}={value}" for name, value in sorted(test.labels.items()))
    return Figure(
        key=key,
        values=values,
        channels=channels,
        other_processes=test.other_processes,
        contention=contention(test),
        other_cores=test.other_cores,
        cheapest=cheapest_of(test),
        labels=labels or "none",
        rounds=whole_values_per_unit(measured, test.method),
    )


def check_hardware(reference: RunRecord, candidate: RunRecord) -> None:
    """Raises CouldNotCompare where two records come from different hardware."""
    for sentence in (_processor, _boards):
        first, second = sentence(reference.machine), sentence(candidate.machine)
        # A run that measured nothing has not looked for GPUs.
        if first != second and reference.tests and candidate.tests:
            raise CouldNotCompare(
                f"the {REFERENCE} was measured on {first}, the {CANDIDATE} on {second}; figures of "
                "different hardware are never compared: measure both on one machine"
            )


def _processor(machine: MachineRecord) -> str:
    return f"{machine.cpu} with {machine.cpu_count} cores ({machine.os} {machine.architecture})"


def _boards(machine: MachineRecord) -> str:
    boards = (
        gpu.name if gpu.power_limit_watts is None else f"{gpu.name} at {gpu.power_limit_watts:g} W"
        for gpu in machine.gpus
    )
    return ", ".join(sorted(boards)) or "no GPU"


def match(references: Sequence[RunRecord], candidates: Sequence[RunRecord]) -> Matched:
    """Find what both sides measured alike, each in one run or several."""
    reference, candidate = _Runs(REFERENCE, references), _Runs(CANDIDATE, candidates)
    common = [key for key in reference.complete if key in candidate.complete]
    left, left_too = reference.all_but(common), candidate.all_but(common)
    incomparable, notes = [], []
    for test in dict.fromkeys((*left, *left_too)):
        if test in left and test in left_too:
            old, new = left[test], left_too[test]
            reason = (
                reference.problem(old)
                or candidate.problem(new)
                or difference(reference.figures(old)[0], candidate.figures(new)[0])
            )
            of, name = test
            incomparable.append(
                Compared(id=of, name=name, outcome=Outcome.INCOMPARABLE, reason=reason)
            )
        else:
            side, key = (reference, left[test]) if test in left else (candidate, left_too[test])
            basis = _basis(side.figures(key)[0])
            notes.append(f"only the {side.name} has {label(*test)} ({basis})")
    both = {key: (reference.figures(key), candidate.figures(key)) for key in common}
    for key, (olds, news) in both.items():
        if olds[0].labels != news[0].labels:
            sentence = f"{olds[0].labels} against {news[0].labels}"
            notes.append(f"labels of {label(key.id, key.name)}: {sentence}")
    return Matched(both, tuple(incomparable), tuple(notes))


class _Runs:
    """The figures of one side's runs."""

    def __init__(self, name: str, records: Iterable[RunRecord]) -> None:
        self.name = name
        self._runs = [figures_of(each) for each in records]

    @property
    def complete(self) -> list[Key]:
        """The figures that have values in each run."""
        first = self._runs[0]
        return [key for key in first if all(key in run and run[key].values for run in self._runs)]

    def all_but(self, keys: Iterable[Key]) -> dict[tuple[str, str | None], Key]:
        """A key for each other measurement that some run has."""
        left = dict.fromkeys(key for run in self._runs for key in run)
        for key in keys:
            left.pop(key, None)
        return {(key.id, key.name): key for key in reversed(left)}

    def figures(self, key: Key) -> tuple[Figure, ...]:
        return tuple(run[key] for run in self._runs if key in run)

    def problem(self, key: Key) -> str:
        """Why this figure can't be compared, or ""."""
        found = self.figures(key)
        if problem := next((each.problem for each in found if each.problem), ""):
            return f"in the {self.name}, {problem}"
        if len(found) < len(self._runs):
            return f"only {len(found)} of {len(self._runs)} runs of the {self.name} have it"
        return ""


def difference(first: Figure, second: Figure) -> str:
    """Why two figures with different keys are not compared."""
    for sentence in (_basis, _sources):
        if sentence(first) != sentence(second):
            return f"{sentence(first)} against {sentence(second)}: such figures are never compared"
    return "its runs differ in what they measured"


def _basis(figure: Figure) -> str:
    key = figure.key
    where = f" on {', '.join(figure.channels)}" if figure.channels else ""
    return f"{key.method or 'unmeasured'}{where}, per {key.unit}, scope {key.scope}"


def _sources(figure: Figure) -> str:
    return ", ".join(source for _, source in figure.key.instruments)


def doubt(
    outcome: Outcome,
    reference: Sequence[Figure],
    candidate: Sequence[Figure],
    *,
    interleaved: bool,
) -> str:
    """Why an outcome is doubtful, or "": other processes only add to the figure of a side.

    interleaved: CPU contention disturbed both sides alike.
    """
    side, figures = (
        (CANDIDATE, candidate) if outcome is Outcome.REGRESSED else (REFERENCE, reference)
    )
    doubtful = [each for each in figures if each.other_processes or not interleaved]
    found = next((each.contention for each in doubtful if each.contention), "")
    return found and f"of the {side}: {found}"


def doubt_of_larger(
    outcome: Outcome, reference: Figure, candidate: Figure, max_increase: float, cores: int
) -> str:
    """Why the larger of two figures may hold what other processes added unseen, or ""."""
    if outcome not in (Outcome.REGRESSED, Outcome.IMPROVED):
        return ""
    larger, smaller, of = candidate, reference, f"those of the {REFERENCE}"
    if outcome is Outcome.IMPROVED:
        larger, smaller, of = reference, candidate, f"those of the {CANDIDATE}"
    ratio = None
    if larger.cheapest and smaller.cheapest:
        ratio = larger.cheapest / smaller.cheapest
    return doubt_of_cheapest(larger.other_cores, cores, ratio, 1 + max_increase, of)


def differing_versions(reference: RunRecord, candidate: RunRecord) -> tuple[str, ...]:
    """One sentence for packages of different versions."""
    first, second = reference.run.versions, candidate.run.versions
    differing = [
        f"{name} {first.get(name, 'none')} against {second.get(name, 'none')}"
        for name in dict.fromkeys((*first, *second))
        if first.get(name) != second.get(name)
    ]
    return (f"installed: {', '.join(differing)}",) if differing else ()


def changed(key: Key, reference: float, candidate: float, ratio: float) -> str:
    """ "12.3 J / query is 12 % over the reference's 11.0 J / query"."""
    new, old = (
        per_unit(value, key.unit, quantity_of(key.method)) for value in (candidate, reference)
    )
    side = "over" if ratio > 1 else "under"
    return f"{new} is {percent(ratio - 1)} {side} the reference's {old}"


def evidence(figure: Figure) -> str:
    """ "gpu:0, measured"."""
    return f"{', '.join(figure.channels)}, {figure.key.method}"
