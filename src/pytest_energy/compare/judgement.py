"""From run records to outcomes: pairs of processes by rule B', two records by rule B. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_energy.compare.figures import (
    Figure,
    Key,
    Matched,
    changed,
    check_hardware,
    difference,
    differing_versions,
    doubt,
    doubt_of_larger,
    evidence,
    match,
)
from pytest_energy.compare.outcome import Compared, ComparisonRecord, Outcome, Side
from pytest_energy.record.hardware import board_of
from pytest_energy.record.schema import MachineRecord, RunRecord
from pytest_energy.rules.baseline import change, session_of
from pytest_energy.rules.estimate import LOOKS, MIN_ROUNDS, estimate, estimate_ratio
from pytest_energy.rules.paired import Comparison, compare
from pytest_energy.rules.verdict import Verdict
from pytest_energy.units import percent, signed_percent


class Pair(NamedTuple):
    """What two processes measured. in_turns: round by round, so equal rounds belong together."""

    reference: RunRecord
    candidate: RunRecord
    in_turns: bool = False


@dataclass(frozen=True)
class Rule:
    """max_increase: a fraction. looks: numbers of pairs at which a test may be decided."""

    max_increase: float
    looks: tuple[int, ...] = LOOKS


def _compared(
    candidate: Figure,
    outcome: Outcome,
    reason: str,
    doubtful: str,
    *,
    pairs: tuple[tuple[float, float], ...],
    centres: tuple[float, float],
    ratio: float,
    threshold: float,
    interval: tuple[float, float] | None = None,
) -> Compared:
    """A figure with its outcome, which is inconclusive where there is a doubt."""
    if doubtful:
        outcome, reason = Outcome.INCONCLUSIVE, f"{reason}; but {doubtful}"
    key = candidate.key
    return Compared(
        id=key.id,
        name=key.name,
        outcome=outcome,
        reason=reason,
        unit=key.unit,
        scope=key.scope,
        method=key.method,
        channels=candidate.channels,
        quantity=key.quantity,
        pairs=pairs,
        reference=centres[0],
        candidate=centres[1],
        ratio=ratio,
        interval=interval,
        threshold=threshold,
    )


# -- pairs of processes ---------------------------------------------------------------------------


def is_undecided(pairs: Sequence[Pair], rule: Rule) -> bool:
    """Whether some test needs more pairs."""
    both = _match(pairs).both.values()
    return any(decided(_ratios(pairs, *figures), rule) is None for figures in both)


def compare_pairs(
    pairs: Sequence[Pair], sides: tuple[Side, Side], rule: Rule, notes: Sequence[str] = ()
) -> ComparisonRecord:
    """Judge each figure by all pairs. Raises CouldNotCompare for different hardware."""
    reference, candidate, _ = pairs[0]
    check_hardware(reference, candidate)
    matched = _match(pairs)
    tests = [_by_pairs(key, pairs, *figures, rule) for key, figures in matched.both.items()]
    return ComparisonRecord(
        reference=sides[0],
        candidate=sides[1],
        max_increase=rule.max_increase,
        tests=(*tests, *matched.incomparable),
        notes=(*notes, *differing_versions(reference, candidate), *matched.notes),
    )


def _match(pairs: Sequence[Pair]) -> Matched:
    """As `match`, but on one machine: another board is another instrument."""
    found = match([each.reference for each in pairs], [each.candidate for each in pairs])
    both, incomparable = {}, list(found.incomparable)
    for key, (old, new) in found.both.items():
        other = next((each for each in (*old, *new) if each.channels != old[0].channels), None)
        if other is None:
            both[key] = (old, new)
        else:
            reason = difference(old[0], other)
            incomparable.append(
                Compared(id=key.id, name=key.name, outcome=Outcome.INCOMPARABLE, reason=reason)
            )
    return Matched(both, tuple(incomparable), found.notes)


def decided(ratios: Sequence[float], rule: Rule) -> tuple[int, Comparison] | None:
    """The first look that decides, with its number of pairs.

    A verdict once reached stays: which other tests need more pairs doesn't change it.
    """
    for number in rule.looks:
        if number > len(ratios):
            break
        found = compare(ratios[:number], rule.max_increase, final=False)
        if found is not None:
            return number, found
    return None


def _by_pairs(
    key: Key,
    pairs: Sequence[Pair],
    reference: Sequence[Figure],
    candidate: Sequence[Figure],
    rule: Rule,
) -> Compared:
    ratios = _ratios(pairs, reference, candidate)
    number, found = decided(ratios, rule) or (
        len(ratios),
        compare(ratios, rule.max_increase, final=True),
    )
    assert found is not None
    # The candidate's as the ratio says: what others did to both alike is in neither then.
    olds = [_centre(each) for each in reference[:number]]
    news = [old * ratio for old, ratio in zip(olds, ratios, strict=False)]
    old, new = estimate(olds).centre, estimate(news).centre
    outcome = _outcome(found, ratios[:number], rule.max_increase)
    reason = (
        f"{changed(key, old, new, found.ratio.centre)} ({evidence(candidate[0])}; "
        f"{_spread(found, number)}), and {percent(rule.max_increase)} is allowed"
    )
    if found.verdict is Verdict.INCONCLUSIVE:
        reason += (
            f"; fewer than {MIN_ROUNDS} pairs show only large differences: run more"
            if number < MIN_ROUNDS
            else "; run more pairs, or reduce the load on the machine"
        )
    return _compared(
        candidate[0],
        outcome,
        reason,
        doubt(outcome, reference[:number], candidate[:number], interleaved=True),
        pairs=tuple(zip(olds, news, strict=True)),
        centres=(old, new),
        ratio=found.ratio.centre,
        interval=found.ratio.interval,
        threshold=rule.max_increase,
    )


def _ratios(
    pairs: Sequence[Pair], reference: Sequence[Figure], candidate: Sequence[Figure]
) -> list[float]:
    return [
        _ratio(old, new, in_turns=pair.in_turns)
        for pair, old, new in zip(pairs, reference, candidate, strict=True)
    ]


def _ratio(reference: Figure, candidate: Figure, *, in_turns: bool) -> float:
    """In turns, the centre of the ratios of rounds, in which others did the same to both."""
    rounds = list(zip(reference.rounds, candidate.rounds, strict=False))  # one may have more
    if not in_turns or not rounds:
        return _centre(candidate) / _centre(reference)
    return estimate_ratio([new / old for old, new in rounds]).centre


def _centre(figure: Figure) -> float:
    return estimate(figure.values).centre


def _outcome(found: Comparison, ratios: Sequence[float], max_increase: float) -> Outcome:
    if found.verdict is Verdict.FAIL:
        return Outcome.REGRESSED
    # An improvement is what would be a regression the other way round.
    turned = compare([1 / each for each in ratios], max_increase, final=True)
    if turned is not None and turned.verdict is Verdict.FAIL:
        return Outcome.IMPROVED
    return Outcome.WITHIN if found.verdict is Verdict.PASS else Outcome.INCONCLUSIVE


def _spread(found: Comparison, number: int) -> str:
    if found.ratio.interval is None:
        return f"{number} pairs, so no interval"
    low, high = (signed_percent(each - 1) for each in found.ratio.interval)
    return f"interval {low} to {high}, {number} pairs"


# -- two records ----------------------------------------------------------------------------------


def compare_records(
    reference: RunRecord, candidate: RunRecord, sides: tuple[Side, Side], max_increase: float
) -> ComparisonRecord:
    """Judge each figure that both records hold. Raises CouldNotCompare for different hardware.

    `max_increase` is a fraction (0.05).
    """
    check_hardware(reference, candidate)
    matched = match([reference], [candidate])
    machines = reference.machine, candidate.machine
    tests = [
        _by_records(key, old, new, max_increase, machines)
        for key, ((old,), (new,)) in matched.both.items()
    ]
    notes = (*differing_versions(reference, candidate), *matched.notes)
    largest = max((each.threshold or 0.0 for each in tests), default=0.0)
    if largest > max_increase:
        by_chance = (
            f"two sessions can differ by up to {percent(largest)} by chance, more than the allowed "
            f"{percent(max_increase)}; --base and --variant interleave the two and detect less"
        )
        notes = (by_chance, *notes)
    return ComparisonRecord(
        reference=sides[0],
        candidate=sides[1],
        max_increase=max_increase,
        tests=(*tests, *matched.incomparable),
        notes=notes,
    )


def _by_records(
    key: Key,
    reference: Figure,
    candidate: Figure,
    max_increase: float,
    machines: tuple[MachineRecord, MachineRecord],
) -> Compared:
    fewest = min(len(reference.values), len(candidate.values))
    if fewest < MIN_ROUNDS:
        reason = (
            f"one of the records has {fewest} rounds, and {MIN_ROUNDS} are needed: give the test "
            "more --energy-max-seconds"
        )
        return Compared(id=key.id, name=key.name, outcome=Outcome.INCOMPARABLE, reason=reason)
    # Equal round indices: what later rounds add, such as heat, would else be in one side alone.
    old, new = (session_of(each.values[:MIN_ROUNDS]) for each in (reference, candidate))
    same_board = _boards(reference, machines[0]) == _boards(candidate, machines[1])
    found = change([new], [old], max_increase, same_board=same_board)
    outcome = Outcome.IMPROVED if found.is_improvement else Outcome.WITHIN
    if found.is_regression:
        outcome = Outcome.REGRESSED
    ratio = new.centre / old.centre
    reason = (
        f"{changed(key, old.centre, new.centre, ratio)} ({evidence(candidate)}), and "
        f"{percent(found.threshold)} is allowed"
    )
    return _compared(
        candidate,
        outcome,
        reason,
        doubt(outcome, [reference], [candidate], interleaved=False)
        or doubt_of_larger(outcome, reference, candidate, max_increase, machines[0].cpu_count),
        pairs=((old.centre, new.centre),),
        centres=(old.centre, new.centre),
        ratio=ratio,
        threshold=found.threshold,
    )


def _boards(figure: Figure, machine: MachineRecord) -> set[str]:
    """The UUIDs of the GPUs that a figure covers."""
    boards = (board_of(name, machine) for name in figure.channels)
    return {each.uuid for each in boards if each is not None}
