"""Rule B on one test's record: its figure beside the stored sessions of the same key; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, geometric_mean

from pytest_energy.baselines.baseline import (
    COMPARED_ROUNDS,
    Baselines,
    Key,
    Line,
    compared_rounds,
    difference,
    key_of,
    needed_rounds,
    session_from,
    shown_figure,
    shown_sessions,
)
from pytest_energy.baselines.update import few, mean
from pytest_energy.errors import INPUTS_NOT_COVERED, code_of
from pytest_energy.limits.budget import MaxIncrease
from pytest_energy.record.contention import cheapest_of, doubt_of_cheapest, doubt_of_excess
from pytest_energy.record.hardware import boards_of
from pytest_energy.record.schema import (
    FLOPS_METHOD,
    BaselineRecord,
    MachineRecord,
    TestRecord,
    judged,
    units_a_call,
)
from pytest_energy.rules import work
from pytest_energy.rules.baseline import (
    MAX_INCREASE,
    Change,
    Session,
    change,
)
from pytest_energy.rules.verdict import Finding, Rule, Verdict
from pytest_energy.units import grouped, percent, plural, signed_percent

MAKE = "pytest --energy-update new"
#: A call that does as much within this fraction does the same work.
SAME_WORK = 0.02


def compared(
    test: TestRecord,
    machine: MachineRecord,
    baselines: Baselines,
    max_increase: MaxIncrease,
) -> TestRecord:
    """The record with the verdict of rule B beside that of rule A: the worst of them counts.

    Without baselines, and without a `max_increase` that was asked for, nothing changes.
    """
    if not (baselines.shown or max_increase.is_asked_for):
        return test
    if test.verdict == Verdict.UNMEASURED or test.code == INPUTS_NOT_COVERED:
        return test
    key = key_of(test, machine)
    stored = baselines.sessions(key)
    rounds = compared_rounds(test)
    asked = BaselineRecord(
        max_increase=max_increase.fraction, origin=max_increase.origin, sessions=len(stored)
    )
    if not stored:
        nearest = baselines.nearest(key)
        why = difference(nearest, key) if nearest else "no session of this test is stored"
        asked = replace(asked, missing=why)
        if nearest is not None and _is_other_evidence(nearest, key, test):
            return _of_another_method(test, asked)
        return _without(test, asked, Verdict.NO_BASELINE)
    if len(rounds) < needed_rounds(test.method):
        return _without(test, replace(asked, missing=few(len(rounds))), Verdict.INCONCLUSIVE)
    new = session_from(rounds, test.method)
    found = _change(new, stored, max_increase.fraction, boards_of(test, machine))
    compared_with = replace(
        asked,
        increase=found.increase,
        threshold=found.threshold,
        detectable_increase=found.detectable_increase,
        detectable_increase_at_ten_sessions=found.detectable_increase_at_ten_sessions,
        session_figures=tuple(each.centre for each in stored),
    )
    verdict, doubt = Verdict.FAIL if found.is_regression else Verdict.PASS, ""
    if verdict is Verdict.FAIL:
        lowest = min(rounds) / mean(stored) if test.contention else None
        doubt = doubt_of_excess(test.other_processes, lowest, 1 + found.threshold, "baseline")
        doubt = doubt or doubt_of_cheapest(
            test.other_cores,
            machine.cpu_count,
            _of_cheapest(test, stored),
            1 + max_increase.fraction,
            "those of the baseline",
        )
        verdict = Verdict.INCONCLUSIVE if doubt else Verdict.FAIL
    figure = shown_figure(new.centre, test.unit, test.method)
    if sum(1 for each in test.rounds if not each.warmup) > needed_rounds(test.method):
        figure += f" in its first {COMPARED_ROUNDS} rounds"  # the table shows all of them
    finding = Finding(
        rule=Rule.BASELINE,
        verdict=verdict,
        reason=f"{figure} is {_sentence(stored, found, max_increase)}"
        + (f"; but {doubt}" if doubt else ""),
        code=code_of(doubt) or ("over-baseline" if verdict is Verdict.FAIL else ""),
    )
    notes = (*_improved(test, found, stored), *_other_work(test, stored[-1]))
    judged_here = judged(test, *test.findings, finding)
    return replace(judged_here, baseline=compared_with, notes=(*test.notes, *notes))


def _change(
    new: Session, stored: Sequence[Line], max_increase: float, boards: tuple[str, ...]
) -> Change:
    if stored[-1].method == FLOPS_METHOD:
        return work.change(new.centre, mean(stored), max_increase)
    same_board = any(each.gpus == boards for each in stored)
    sessions = [each.session for each in stored]
    return change([new], sessions, max_increase, same_board=same_board)


def _of_cheapest(test: TestRecord, stored: Sequence[Line]) -> float | None:
    """The test's cheapest calls over those of the sessions, where these are known."""
    here, there = cheapest_of(test), [each.cheapest for each in stored if each.cheapest]
    return here / geometric_mean(there) if here and there else None


def threshold_of(stored: Sequence[Line]) -> float:
    """The increase from which a session like these, on one of their boards, would fail."""
    usual = Session(mean(stored), fmean(each.variance for each in stored))
    return _change(usual, stored, MAX_INCREASE, stored[-1].gpus).threshold


def _without(test: TestRecord, baseline: BaselineRecord, verdict: Verdict) -> TestRecord:
    """A test that was compared with nothing: its verdict says so where a baseline was asked for."""
    if not baseline.origin:
        return replace(test, baseline=baseline)
    allowed = MaxIncrease(baseline.max_increase, baseline.origin)
    reason = f"the test is to be at most {allowed} over its baseline, and {baseline.missing}"
    code = "few-rounds"
    if verdict is Verdict.NO_BASELINE:
        reason += f"; {MAKE} makes one"
        code = "no-baseline"
    finding = Finding(rule=Rule.BASELINE, verdict=verdict, reason=reason, code=code)
    return replace(judged(test, *test.findings, finding), baseline=baseline)


def _is_other_evidence(stored: Key, here: Key, test: TestRecord) -> bool:
    """Whether the limit was probably set for another method than the one that it is judged by."""
    if test.budget is None or test.budget.method or stored.method == here.method:
        return False
    return (stored.unit, stored.scope) == (here.unit, here.scope)


def _of_another_method(test: TestRecord, baseline: BaselineRecord) -> TestRecord:
    """A measured processor and its estimate are far apart, so neither side of the limit tells."""
    assert test.budget is not None
    finding = Finding(
        rule=Rule.BASELINE,
        verdict=Verdict.INCONCLUSIVE,
        reason=f"the test is judged by another method than its baseline, so the limit of "
        f"{test.budget.limit} ({test.budget.origin}) says nothing of it: {baseline.missing}; "
        "measure as before, or set the method beside the limit and store a baseline with "
        f"{MAKE}",
        code="method-changed",
    )
    return replace(judged(test, *test.findings, finding), baseline=baseline)


def _sentence(stored: Sequence[Line], found: Change, max_increase: MaxIncrease) -> str:
    """ "10.2 % over the mean of 3 sessions (...), and fails from +5 % (test_it.py:4)" """
    side = "over" if found.increase > 0 else "under"
    by = percent(found.increase)
    line = stored[-1]
    of = shown_figure(mean(stored), line.unit, line.method)
    threshold = f"+{max_increase}"
    if found.detectable_increase > max_increase.fraction:
        threshold = (
            f"{signed_percent(found.threshold)}, which chance could explain here; asked for: "
            f"{max_increase}"
        )
    return (
        f"{by} {side} the mean of {shown_sessions(len(stored))} ({of}; {_when(stored)}), and fails "
        f"from {threshold}"
    )


def _when(stored: Sequence[Line]) -> str:
    """The days and commits of sessions: "2026-11-20 to 2026-11-22, commits 1f2e3d4 to 5c6b7a8"."""
    days = list(dict.fromkeys((stored[0].day, stored[-1].day)))
    commits = list(dict.fromkeys(each.commit[:7] for each in stored if each.commit))
    sentence = " to ".join(days)
    if commits:
        word = "commit" if len(commits) == 1 else "commits"
        sentence += f", {word} {' to '.join(dict.fromkeys((commits[0], commits[-1])))}"
    return sentence


def _other_work(test: TestRecord, stored: Line) -> tuple[str, ...]:
    """That a call does more or less than it did when the baseline was stored."""
    now = units_a_call(test)
    changed = [
        f"{grouped(now[unit])} {plural(unit)} (stored: {grouped(number)})"
        for unit, number in stored.units.items()
        if unit in now and not math.isclose(now[unit], number, rel_tol=SAME_WORK)
    ]
    if not changed:
        return ()
    return (
        f"the work of a call has changed since its baseline: {', '.join(changed)}, which "
        f"changes the cost of one {test.unit} too",
    )


def _improved(test: TestRecord, found: Change, stored: Sequence[Line]) -> tuple[str, ...]:
    """An increase must not eat up an improvement in silence: what keeps it."""
    if not found.is_improvement:
        return ()
    limit = ""
    if test.budget is not None:
        in_file = test.budget.origin.rpartition(":")[0].endswith(".toml")
        command = "pytest-energy budgets tighten lowers its limit"
        limit = f"{command if in_file else f'lower its limit ({test.budget.origin})'}, and "
    chance = "" if test.method == FLOPS_METHOD else ", more than chance explains"
    sentence = (
        f"{percent(found.increase)} under the mean of {shown_sessions(len(stored))}{chance}; to "
        f"keep it: {limit}pytest --energy-update reset starts its "
        "baseline again from here"
    )
    return (sentence,)
