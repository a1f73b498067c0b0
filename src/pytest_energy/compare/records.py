"""Two run records: rule B, one session against one stored session. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_energy.compare.figures import (
    Figure,
    Key,
    check_hardware,
    differing_versions,
    doubt,
    match,
)
from pytest_energy.compare.outcome import Compared, ComparisonRecord, Outcome, Side
from pytest_energy.compare.words import changed, evidence
from pytest_energy.record.hardware import board_of
from pytest_energy.record.schema import MachineRecord, RunRecord
from pytest_energy.rules.verdict import MIN_ROUNDS, Change, change, session_of
from pytest_energy.units import percent


def compare_records(
    reference: RunRecord, candidate: RunRecord, sides: tuple[Side, Side], max_increase: float
) -> ComparisonRecord:
    """Each figure that both records hold. Raises CouldNotCompare for different hardware.

    `max_increase` is a fraction (0.05).
    """
    check_hardware(reference, candidate)
    matched = match([reference], [candidate])
    machines = reference.machine, candidate.machine
    tests = [
        _compared(key, old, new, max_increase, machines)
        for key, ((old,), (new,)) in matched.both.items()
    ]
    return ComparisonRecord(
        *sides,
        max_increase,
        (*tests, *matched.incomparable),
        (*_wide(tests, max_increase), *differing_versions(reference, candidate), *matched.notes),
    )


def _wide(tests: Sequence[Compared], max_increase: float) -> tuple[str, ...]:
    """That two sessions can't show what was asked for."""
    widest = max((each.threshold or 0.0 for each in tests), default=0.0)
    if widest <= max_increase:
        return ()
    return (
        f"between two sessions chance explains up to {percent(widest)}, more than the "
        f"{percent(max_increase)} asked for; --base and --variant take turns and see less",
    )


def _compared(
    key: Key,
    reference: Figure,
    candidate: Figure,
    max_increase: float,
    machines: tuple[MachineRecord, MachineRecord],
) -> Compared:
    fewest = min(len(reference.values), len(candidate.values))
    if fewest < MIN_ROUNDS:
        reason = (
            f"one of the records has {fewest} of the {MIN_ROUNDS} rounds that it takes: give the "
            "test more --energy-max-seconds"
        )
        return Compared(key.id, key.name, Outcome.INCOMPARABLE, reason)
    # Equal round indices: what later rounds add, such as heat, would else be in one side alone.
    old, new = (session_of(each.values[:MIN_ROUNDS]) for each in (reference, candidate))
    same_board = _boards(reference, machines[0]) == _boards(candidate, machines[1])
    found = change([new], [old], max_increase, same_board=same_board)
    outcome = _outcome(found)
    sentence = changed(key, old.centre, new.centre, new.centre / old.centre)
    reason = f"{sentence} ({evidence(candidate)}), and {percent(found.threshold)} is allowed"
    if doubtful := doubt(outcome, [reference], [candidate], took_turns=False):
        outcome, reason = Outcome.INCONCLUSIVE, f"{reason}; but {doubtful}"
    return Compared(
        key.id,
        key.name,
        outcome,
        reason,
        key.unit,
        key.scope,
        key.method,
        candidate.channels,
        key.quantity,
        ((old.centre, new.centre),),
        old.centre,
        new.centre,
        new.centre / old.centre,
        None,
        found.threshold,
    )


def _boards(figure: Figure, machine: MachineRecord) -> set[str]:
    """The UUIDs of the GPUs that a figure covers."""
    boards = (board_of(name, machine) for name in figure.channels)
    return {each.uuid for each in boards if each is not None}


def _outcome(found: Change) -> Outcome:
    if found.is_regression:
        return Outcome.REGRESSED
    return Outcome.IMPROVED if found.is_improvement else Outcome.WITHIN
