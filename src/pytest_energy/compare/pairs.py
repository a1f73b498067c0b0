"""Pairs of processes that took turns: rule B', with one ratio a pair. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.compare.figures import (
    Figure,
    Key,
    Matched,
    check_hardware,
    difference,
    differing_versions,
    doubt,
    match,
)
from pytest_energy.compare.outcome import Compared, ComparisonRecord, Outcome, Side
from pytest_energy.compare.words import changed, evidence
from pytest_energy.record.schema import RunRecord
from pytest_energy.rules.verdict import LOOKS, MIN_ROUNDS, Comparison, Verdict, compare, estimate
from pytest_energy.units import percent, signed_percent

#: (of the reference, of the candidate)
Pair = tuple[RunRecord, RunRecord]


@dataclass(frozen=True)
class Rule:
    """max_increase: a fraction. looks: numbers of pairs at which a test may be decided."""

    max_increase: float
    looks: tuple[int, ...] = LOOKS


def is_undecided(pairs: Sequence[Pair], rule: Rule) -> bool:
    """Whether more pairs could tell more of some test."""
    both = _match(pairs).both.values()
    return any(decided(_ratios(*figures), rule) is None for figures in both)


def compare_pairs(
    pairs: Sequence[Pair], sides: tuple[Side, Side], rule: Rule, notes: Sequence[str] = ()
) -> ComparisonRecord:
    """What all these pairs tell. Raises CouldNotCompare for different hardware."""
    reference, candidate = pairs[0]
    check_hardware(reference, candidate)
    matched = _match(pairs)
    tests = [_compared(key, *figures, rule) for key, figures in matched.both.items()]
    return ComparisonRecord(
        *sides,
        rule.max_increase,
        (*tests, *matched.incomparable),
        (*notes, *differing_versions(reference, candidate), *matched.notes),
    )


def _match(pairs: Sequence[Pair]) -> Matched:
    """As `match`, but on one machine: another board is another instrument."""
    found = match(*zip(*pairs, strict=True))
    both, incomparable = {}, list(found.incomparable)
    for key, (old, new) in found.both.items():
        stranger = next((each for each in (*old, *new) if each.channels != old[0].channels), None)
        if stranger is None:
            both[key] = (old, new)
        else:
            reason = difference(old[0], stranger)
            incomparable.append(Compared(key.id, key.name, Outcome.INCOMPARABLE, reason))
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


def _compared(
    key: Key, reference: Sequence[Figure], candidate: Sequence[Figure], rule: Rule
) -> Compared:
    ratios = _ratios(reference, candidate)
    number, found = decided(ratios, rule) or (
        len(ratios),
        compare(ratios, rule.max_increase, final=True),
    )
    assert found is not None
    olds, news = (
        [_centre(each) for each in figures[:number]] for figures in (reference, candidate)
    )
    old, new = estimate(olds).centre, estimate(news).centre
    outcome = _outcome(found, ratios[:number], rule.max_increase)
    messages = changed(key, old, new, found.ratio.centre)
    reason = _reason(
        f"{messages} ({evidence(candidate[0])}; {_spread(found, number)})", found, number, rule
    )
    if doubtful := doubt(outcome, reference[:number], candidate[:number], took_turns=True):
        outcome, reason = Outcome.INCONCLUSIVE, f"{reason}; but {doubtful}"
    return Compared(
        key.id,
        key.name,
        outcome,
        reason,
        key.unit,
        key.scope,
        key.method,
        candidate[0].channels,
        key.quantity,
        tuple(zip(olds, news, strict=True)),
        old,
        new,
        found.ratio.centre,
        found.ratio.interval,
        rule.max_increase,
    )


def _ratios(reference: Sequence[Figure], candidate: Sequence[Figure]) -> list[float]:
    return [_centre(new) / _centre(old) for old, new in zip(reference, candidate, strict=True)]


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


def _reason(messages: str, found: Comparison, number: int, rule: Rule) -> str:
    reason = f"{messages}, and {percent(rule.max_increase)} is allowed"
    if found.verdict is not Verdict.INCONCLUSIVE:
        return reason
    if number < MIN_ROUNDS:
        return f"{reason}; fewer than {MIN_ROUNDS} pairs tell only of wide distances: run more"
    return f"{reason}; a quieter machine or more pairs would tell"
