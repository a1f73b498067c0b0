"""What happened in a run, and what to do about it, in sentences; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.errors import BESIDE_FLOPS
from pytest_energy.record.schema import UNUSED, RunRecord, TestRecord
from pytest_energy.rules.verdict import RED, Verdict
from pytest_energy.units import numbered, several, short_label

#: The most urgent first, as reports list them.
ORDER = (
    Verdict.FAIL,
    Verdict.UNMEASURED,
    Verdict.INCONCLUSIVE,
    Verdict.NO_BASELINE,
    Verdict.CLOSE,
    Verdict.NO_BUDGET,
    Verdict.PASS,
)
#: What each verdict means.
MEANING = {
    Verdict.FAIL: "clearly over its limit, its baseline or its reference",
    Verdict.UNMEASURED: "no figure, so nothing was compared",
    Verdict.INCONCLUSIVE: "the rounds differ too much to tell",
    Verdict.NO_BASELINE: "no earlier session to compare with",
    Verdict.CLOSE: "within the tolerance of its limit",
    Verdict.NO_BUDGET: "measured, without a limit",
    Verdict.PASS: "within its limit or the increase that is allowed",
}
#: How a sentence says it of one, and of several.
_WORDS = {
    Verdict.FAIL: ("failed", "failed"),
    Verdict.UNMEASURED: ("has no figure", "have no figure"),
    Verdict.INCONCLUSIVE: ("is undecided", "are undecided"),
    Verdict.NO_BASELINE: ("has no baseline", "have no baseline"),
    Verdict.CLOSE: ("is close to its limit", "are close to their limits"),
    Verdict.NO_BUDGET: ("has no limit", "have no limit"),
    Verdict.PASS: ("passed", "passed"),
}
#: Unmeasured for one of these, a test has an instrument that is missing or fails; all other
#: reasons say themselves what to do.
_OF_INSTRUMENTS = frozenset(
    {"no-sensor", "no-counter", "no-gpu-in-use", "gpu-unreadable", "gpu-hidden", "gpu-unlisted"}
    | {"counter-disagrees", "counter-lags", "counter-reset", "counter-stalled", "power-gap"}
)
_OF_CODES = {
    "over-reference": "Find what costs more in the candidate, or keep the reference. If the "
    "increase is worth it, raise max_increase.",
    "over-baseline": "Find the change that costs more. If it is intended, store the new level with "
    "pytest --energy-update reset and commit the baselines.",
    "contention": "Run the test on a machine without other load.",
    "no-baseline": "Store this session with pytest --energy-update new and commit the baselines.",
    **dict.fromkeys(
        ("too-noisy", "few-rounds"),
        "Give the test more time (--energy-max-seconds), or a machine without other load.",
    ),
    **dict.fromkeys(
        sorted(_OF_INSTRUMENTS),
        "Run pytest-energy doctor; it shows what this machine can measure, and what to do about "
        "what is missing.",
    ),
}


@dataclass(frozen=True)
class Conclusion:
    """The verdict of a run. tone: "bad", "warn", "good", or "none" where nothing was compared."""

    sentence: str
    tone: str


def advice(test: TestRecord) -> str:
    """What to do about a verdict; "" where its reason says so already."""
    if test.code in _OF_CODES:
        return _OF_CODES[test.code]
    if test.verdict == Verdict.FAIL and test.budget is not None:
        return (
            f"Find what costs more, or raise the limit in {test.budget.origin} if it is worth it."
        )
    return ""


def next_steps(tests: Sequence[TestRecord]) -> list[str]:
    """What to do about tests over a limit or without an instrument, a line for each step.

    All other reasons say it themselves.
    """
    steps: dict[tuple[str, str], list[str]] = {}
    for test in tests:
        what, step = "unmeasured", _OF_CODES.get(test.code, "")
        if test.verdict == Verdict.FAIL:
            what = (test.code or "over-limit").replace("over-", "over the ")
            step = step or "Find what costs more, or raise the limit if it is worth it."
        elif test.verdict != Verdict.UNMEASURED:
            continue
        if step:
            steps.setdefault((what, step), []).append(short_label(test.id, test.name))
    return [f"{what} ({several(labels)}): {step}" for (what, step), labels in steps.items()]


def conclude(record: RunRecord) -> Conclusion:
    """The run in one sentence or two; its worst verdicts are named first."""
    found = _of_tests(record)
    unused = len(record.unused_budgets) + len(record.unused_baselines)
    if not unused:
        return found
    which = "limit or baseline is" if unused == 1 else "limits or baselines are"
    sentence = f"{unused} {which} used by no test."
    if UNUSED in record.fail_on and found.tone != "bad":
        return Conclusion(f"Failed: {sentence}", "bad")
    return Conclusion(
        f"{found.sentence} {sentence}", "warn" if found.tone == "good" else found.tone
    )


def _of_tests(record: RunRecord) -> Conclusion:
    tests = record.last_attempts
    if not tests:
        lost = len(record.lost_tests)
        why = f"{numbered(lost, 'test')} ended with a lost worker process" if lost else ""
        return Conclusion(
            f"Nothing was measured: {why or 'no test has an energy limit or asked for one'}.",
            "bad" if lost else "none",
        )
    red = _counted([each for each in tests if record.is_red(each)])
    # Those that usually fail a test are never left out.
    other = _counted([each for each in tests if not record.is_red(each) and each.verdict in RED])
    number = numbered(len(tests), "measurement")
    if red:
        more = f" Reported only: {', '.join(other)}." if other else ""
        return Conclusion(f"{_of(number, red)}.{more}", "bad")
    broken = sum(1 for each in tests if each.failure) + len(record.lost_tests)
    if broken:
        what = f"{_of(number, other)} (reported only)" if other else "No limit was exceeded"
        return Conclusion(f"{what}, but {numbered(broken, 'test')} ended in an error.", "bad")
    if other:
        return Conclusion(f"{_of(number, other)}; reported only, by energy_fail_on.", "warn")
    found = counts(tests)
    compared = found[Verdict.PASS] + found[Verdict.CLOSE]
    if not compared:
        return Conclusion(f"Nothing was compared: {number} without a limit.", "none")
    # Energy that stands beside a limit in FLOPs was to be compared with nothing.
    rest = sum(1 for each in tests if each.code != BESIDE_FLOPS) - compared
    more = f"; {numbered(rest, 'measurement')} had nothing to compare with" if rest else ""
    close = f", {found[Verdict.CLOSE]} of them close to it" if found[Verdict.CLOSE] else ""
    number = numbered(compared, "measurement")
    verb = "is within its limit" if compared == 1 else "are within their limits"
    return Conclusion(
        f"Passed: {number} {verb}{close}{more}.", "warn" if found[Verdict.CLOSE] else "good"
    )


def _counted(tests: Sequence[TestRecord]) -> list[str]:
    """ "2 failed", "1 is undecided": the worst first."""
    found = counts(tests)
    return [
        f"{found[verdict]} {one if found[verdict] == 1 else several}"
        for verdict, (one, several) in _WORDS.items()
        if found[verdict]
    ]


def _of(number: str, counted: Sequence[str]) -> str:
    """ "2 of 6 measurements failed, 1 is undecided"."""
    first, _, words = counted[0].partition(" ")
    return ", ".join([f"{first} of {number} {words}", *counted[1:]])


def counts(tests: Sequence[TestRecord]) -> Counter[str]:
    """How many there are of each verdict."""
    return Counter(each.verdict for each in tests)


def is_red(record: RunRecord, test: TestRecord) -> bool:
    """Whether its verdict failed it, or its own body ended in an error."""
    return record.is_red(test) or bool(test.failure)


def is_noted(record: RunRecord, test: TestRecord) -> bool:
    """Whether a report shows it before all others: the red ones, and what usually is red."""
    return is_red(record, test) or test.verdict in RED


def by_urgency(record: RunRecord) -> list[TestRecord]:
    """The last attempts: red ones first, then by verdict; otherwise in the order of the run."""
    ranks: dict[str, int] = {verdict: rank for rank, verdict in enumerate(ORDER)}
    return sorted(
        record.last_attempts,
        key=lambda each: (
            not is_red(record, each),
            not is_noted(record, each),
            ranks.get(each.verdict, len(ranks)),
        ),
    )
