"""What tables and summaries say of baselines: by how much figures rose, and what could be seen."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_energy.record import BaselineRecord, RunRecord, TestRecord
from pytest_energy.store.baseline import shown_percent, shown_sessions
from pytest_energy.store.regression import MAKE
from pytest_energy.verdict import Verdict

#: More sessions are worth advice where ten of them would lower the noise to this share of it.
WORTH = 0.9
#: Names of tests in one sentence.
NAMED = 3


def beside(test: TestRecord) -> str:
    """ "+1.2 % beside 3 sessions, fails from +8.9 %"; "" where nothing was compared."""
    found = test.baseline
    if found is None or found.increase is None or found.threshold is None:
        return ""
    return (
        f"{shown_percent(found.increase)} beside {shown_sessions(found.sessions)}, "
        f"fails from {shown_percent(found.threshold)}"
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
        (each.baseline.noise, each, each.baseline)
        for each in tests
        if each.baseline is not None
        and each.baseline.noise is not None
        and each.baseline.noise > each.baseline.max_increase
    ]
    if not noisy:
        return []
    noise, test, found = max(noisy, key=lambda each: each[0])
    number = len({_named(each) for _, each, _ in noisy})  # a test may have several limits
    which = _named(test) + (f", the most of {number} tests" if number > 1 else "")
    return [
        f"this machine can see {shown_percent(noise)} today ({which}), and "
        f"{found.max_increase * 100:g} % was asked for: {_advice(noise, found)}"
    ]


def _advice(noise: float, found: BaselineRecord) -> str:
    ten = found.noise_of_ten
    if ten is None or ten > WORTH * noise:
        return "a quieter machine or longer rounds would lower it, more sessions would not"
    return (
        f"10 sessions instead of {found.sessions} would lower it to {shown_percent(ten)} "
        "(pytest --energy-update add, on another day or board)"
    )


def _named(test: TestRecord) -> str:
    return test.id.rpartition("::")[2] + (f" {test.name}" if test.name else "")


def _listed(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - NAMED} more" if len(unique) > NAMED else ""
    return ", ".join(unique[:NAMED]) + more
