"""What tables and summaries say of baselines: by how much figures rose, and what could be seen."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_energy.baselines.baseline import shown_sessions
from pytest_energy.baselines.regression import MAKE
from pytest_energy.record.schema import BaselineRecord, RunRecord, TestRecord
from pytest_energy.rules.verdict import Verdict
from pytest_energy.units import percent, short_label, signed_percent

#: More sessions are worth advice where ten of them would lower the noise to this share of it.
WORTH = 0.9
#: Names of tests in one sentence.
NAMED = 3


def vs_baseline(test: TestRecord) -> str:
    """ "+1.2 % vs 3 sessions, fails from +8.9 %"; "" where nothing was compared."""
    found = test.baseline
    if found is None or found.increase is None or found.threshold is None:
        return ""
    return (
        f"{signed_percent(found.increase)} vs {shown_sessions(found.sessions)}, "
        f"fails from {signed_percent(found.threshold)}"
    )


def regression_notes(record: RunRecord) -> list[str]:
    """What was compared with nothing, and what this machine is too noisy to see."""
    return [*_missing(record.tests), *_noisy(record.tests)]


def _missing(tests: Sequence[TestRecord]) -> list[str]:
    """A sentence for each reason, where no verdict says it."""
    by_reason: dict[tuple[str, bool], list[str]] = {}
    for test in tests:
        silent = test.verdict not in (Verdict.NO_BASELINE, Verdict.INCONCLUSIVE)
        if test.baseline is not None and test.baseline.missing and silent:
            reason = (test.baseline.missing, test.baseline.sessions == 0)
            by_reason.setdefault(reason, []).append(_named(test))
    return [
        f"compared with no baseline: {_listed(names)}: {why}"
        + (f"; {MAKE} makes what is missing" if is_new else "")
        for (why, is_new), names in by_reason.items()
    ]


def _noisy(tests: Sequence[TestRecord]) -> list[str]:
    """What could have been detected, where that is more than what was asked for."""
    noisy = [
        (each.baseline.detectable_increase, each, each.baseline)
        for each in tests
        if each.baseline is not None
        and each.baseline.detectable_increase is not None
        and each.baseline.detectable_increase > each.baseline.max_increase
    ]
    if not noisy:
        return []
    noise, test, found = max(noisy, key=lambda each: each[0])
    number = len({_named(each) for _, each, _ in noisy})  # a test may have several limits
    which = _named(test) + (f", the most of {number} tests" if number > 1 else "")
    return [
        f"smallest detectable increase here: {percent(noise)} ({which}); allowed: "
        f"{percent(found.max_increase, exact=True)}. {_advice(noise, found)}"
    ]


def _advice(noise: float, found: BaselineRecord) -> str:
    ten = found.detectable_increase_at_ten_sessions
    if ten is None or ten > WORTH * noise:
        return "A quieter machine or longer rounds would lower it; more sessions would not"
    return (
        f"10 sessions instead of {found.sessions} would lower it to {percent(ten)} "
        "(pytest --energy-update add, on another day or board)"
    )


def _named(test: TestRecord) -> str:
    return short_label(test.id, test.name)


def _listed(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - NAMED} more" if len(unique) > NAMED else ""
    return ", ".join(unique[:NAMED]) + more
