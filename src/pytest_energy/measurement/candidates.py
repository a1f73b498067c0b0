"""Candidates compared with their reference: rule B' on interleaved rounds; pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pytest_energy.errors import INPUTS_NOT_COVERED, Reason, code_of
from pytest_energy.measurement.coverage import Coverage
from pytest_energy.measurement.judgement import BudgetJudge, Judgement, problem_of, whole_values_of
from pytest_energy.measurement.laps import paired_ratios
from pytest_energy.measurement.pairs import InterleavedRounds
from pytest_energy.record.contention import added_joules
from pytest_energy.record.schema import ReferenceRecord, TestRecord, judged
from pytest_energy.rules.estimate import MIN_ROUNDS
from pytest_energy.rules.paired import Comparison, compare, undetectable
from pytest_energy.rules.verdict import Finding, Rule, Verdict
from pytest_energy.sensors.base import Channel
from pytest_energy.units import (
    figure,
    per_unit,
    percent,
    signed_percent,
    time_and_power,
)


@dataclass
class CandidatesJudge:
    """Judges works that are measured alternately, the reference first; for `run_interleaved`.

    labels: what the works are called. judges: the judgements of each work. max_increase: by how
    much a candidate may exceed the reference, as a fraction. comparisons: of each candidate, once
    it is decided; None where one of the two could not be measured.
    """

    labels: tuple[str, ...]
    judges: tuple[BudgetJudge, ...]
    max_increase: float
    comparisons: dict[str, Comparison | None] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[Channel, ...]:
        return self.judges[0].channels

    @property
    def window_seconds(self) -> float:
        return self.judges[0].window_seconds

    @property
    def lap_seconds(self) -> float:
        return self.judges[0].lap_seconds

    @property
    def reference(self) -> Judgement:
        return self.judges[0].judgements[0]

    def is_done(self, measured: InterleavedRounds, *, final: bool) -> bool:
        for judge, rounds in zip(self.judges, measured, strict=True):
            for each in judge.judgements:
                each.measured = tuple(rounds)
        for label, judge in zip(self.labels[1:], self.judges[1:], strict=True):
            if label not in self.comparisons:
                self._decide(label, judge.judgements[0], final)
        if not final and len(self.comparisons) < len(self.judges) - 1:
            return False
        for judge, rounds in zip(self.judges, measured, strict=True):
            judge.is_done(rounds, final=True)
        return True

    @property
    def coverage(self) -> Coverage:
        return self.reference.coverage

    def undetectable(self, rounds: int) -> float | None:
        """The difference (a fraction) below which so many rounds will likely show nothing."""
        found = [
            undetectable(_ratios(judge.judgements[0], self.reference), self.max_increase, rounds)
            for label, judge in zip(self.labels[1:], self.judges[1:], strict=True)
            if label not in self.comparisons and self.reference.measured
        ]
        return max((each for each in found if each is not None), default=None)

    def _decide(self, label: str, candidate: Judgement, final: bool) -> None:
        if any(problem_of(each, final) for each in (self.reference, candidate)):
            self.comparisons[label] = None
            return
        ratios = _ratios(candidate, self.reference)
        found = compare(ratios, self.max_increase, final=final) if ratios else None
        if found is not None:
            self.comparisons[label] = found

    def ranking(self) -> tuple[str, ...]:
        """All works from the least energy to the most, where there are more than two."""
        if len(self.labels) < 3 or None in self.comparisons.values():
            return ()
        ratios = {label: each.ratio.centre for label, each in self.comparisons.items() if each}
        ratios[self.labels[0]] = 1.0
        ranked = sorted(ratios.items(), key=lambda each: each[1])
        sentence = ", ".join(f"{label} {figure(ratio)}" for label, ratio in ranked)
        return (f"from the least energy, as multiples of {self.labels[0]}: {sentence}",)


def _ratios(candidate: Judgement, reference: Judgement) -> list[float]:
    """Candidate over reference in each round; those that share a window by their laps."""
    mine, its = (
        [each.window for each in judgement.measured] for judgement in (candidate, reference)
    )
    if mine and all(window.laps for window in (*mine, *its)):
        return paired_ratios(mine, its, candidate.unit)
    pairs = zip(whole_values_of(candidate), whole_values_of(reference), strict=True)
    return [mine / other for mine, other in pairs]


def compared_record(
    record: TestRecord,
    reference: TestRecord,
    comparison: Comparison | None,
    labels: tuple[str, str],
    max_increase: float,
) -> TestRecord:
    """A candidate's record with its comparison, and the worse of the two verdicts.

    labels: of the reference and of the candidate.
    """
    if record.verdict == Verdict.UNMEASURED:
        return record
    if comparison is None or reference.verdict == Verdict.UNMEASURED:
        reason = f"{labels[0]}, which it is compared with: {reference.reason}"
        return judged(
            record,
            Finding(
                rule=Rule.MEASUREMENT,
                verdict=Verdict.UNMEASURED,
                reason=reason,
                code=reference.code,
            ),
        )
    finding = _finding(record, reference, comparison, labels, max_increase)
    # Without a limit there is nothing to find but the difference.
    findings = (finding, *record.findings) if record.budget is not None else (finding,)
    ratio = comparison.ratio
    fraction = (
        ratio.centre / (1 + max_increase) if record.budget is None else record.fraction_of_limit
    )
    return replace(
        judged(record, *findings),
        fraction_of_limit=fraction,
        reference=ReferenceRecord(
            name=labels[0],
            joules_per_unit=reference.joules_per_unit,
            cpu_seconds_per_unit=reference.cpu_seconds_per_unit,
            ratio=ratio.centre,
            interval=ratio.interval,
            max_increase=max_increase,
            pairs=comparison.pairs,
            rounds=reference.rounds,
        ),
    )


def _finding(
    record: TestRecord,
    reference: TestRecord,
    comparison: Comparison,
    labels: tuple[str, str],
    max_increase: float,
) -> Finding:
    verdict, doubt = comparison.verdict, ""
    if record.code == INPUTS_NOT_COVERED:
        doubt = _unseen_inputs()
    elif record.other_processes and verdict is Verdict.PASS:
        doubt = Reason(
            "other-process",
            f"{added_joules(record.other_processes[0], 'both')}, which makes any difference look "
            "smaller: measure without it",
        )
    if doubt:
        verdict = Verdict.INCONCLUSIVE
    reason = _reason(record, reference, comparison, verdict, labels, max_increase)
    return Finding(
        rule=Rule.PAIRED,
        verdict=verdict,
        reason=f"{reason}; but {doubt}" if doubt else reason,
        code=_code(verdict, comparison, doubt),
    )


def _code(verdict: Verdict, comparison: Comparison, doubt: str) -> str:
    if verdict is Verdict.INCONCLUSIVE:
        few = comparison.ratio.interval is None
        return code_of(doubt) or ("few-rounds" if few else "too-noisy")
    return "over-reference" if verdict is Verdict.FAIL else ""


def _unseen_inputs() -> Reason:
    return Reason(
        INPUTS_NOT_COVERED,
        "some of the inputs were never called: pass fewer inputs, or more --energy-max-seconds",
    )


def _reason(
    record: TestRecord,
    reference: TestRecord,
    comparison: Comparison,
    verdict: Verdict,
    labels: tuple[str, str],
    max_increase: float,
) -> str:
    ratio = comparison.ratio
    over = ratio.centre - 1
    way = "more" if over > 0 else "less"
    mine, other = (_figure(each) for each in (record, reference))
    sentence = f"{mine} is {percent(over)} {way} than the {other} of {labels[0]!r}"
    if ratio.interval is None:
        spread = f"(fewer than {MIN_ROUNDS} pairs, so no interval)"
    else:
        low, high = (signed_percent(each - 1) for each in ratio.interval)
        spread = f"(interval {low} to {high}, {comparison.pairs} pairs)"
    gated = ", ".join(each.name for each in record.channels if each.gated)
    sentence += (
        f" {spread}; {percent(max_increase, exact=True)} more is allowed; {gated}, {record.method}"
    )
    if verdict is Verdict.FAIL and record.explanation and reference.explanation:
        made = [
            time_and_power(each.units_per_second, each.mean_watts, record.unit)
            for each in (record.explanation, reference.explanation)
        ]
        sentence += f"; {made[0]}, against {made[1]}"
    if comparison.verdict is Verdict.INCONCLUSIVE:
        sentence += "; a quieter machine or more --energy-max-seconds would tell"
    return sentence


def _figure(record: TestRecord) -> str:
    return per_unit(record.figure or 0.0, record.unit, record.quantity)
