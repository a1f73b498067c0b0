"""From the parts of a request to their records; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import mul

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.errors import Reason, code_of
from pytest_energy.limits.budget import (
    INPUT_PART,
    OUTPUT_PART,
    PART_UNITS,
    REQUEST_PART,
    budget_record,
    round_limit,
)
from pytest_energy.limits.headroom import upper_end_of_one
from pytest_energy.measurement.explanation import Surroundings
from pytest_energy.measurement.grid import (
    Grid,
    GridJudge,
    amount_of,
    cell_of,
    part_of,
)
from pytest_energy.measurement.judgement import Job, Judgement
from pytest_energy.measurement.meter import Window
from pytest_energy.measurement.protocol import Round
from pytest_energy.measurement.result import CODES, test_record
from pytest_energy.measurement.sentences import reason_of
from pytest_energy.record.contention import doubt_of_excess
from pytest_energy.record.schema import (
    CPU_TIME_METHOD,
    CellRecord,
    PartsRecord,
    RoundRecord,
    TestRecord,
    judged,
    quantity_of,
)
from pytest_energy.rules.estimate import Estimate
from pytest_energy.rules.parts import LINEAR_WITHIN, Fit, Part
from pytest_energy.rules.verdict import Finding, Rule, Verdict
from pytest_energy.sensors.base import Reading, SensorFault
from pytest_energy.units import Quantity, per_unit, percent


def part_records(
    job: Job,
    judge: GridJudge,
    warmup: Sequence[Round],
    measured: Grid,
    around: Surroundings,
    intensity: Intensity | None,
) -> tuple[TestRecord, ...]:
    """A record for each part that is judged. Its rounds are the passes: what the part took of them.

    What is known of the measurement as a whole comes from the record of all of it, without a limit.
    """
    passes = tuple(_together(each) for each in zip(*measured, strict=True))
    records = []
    for number, judgement in enumerate(judge.judge.judgements):
        unlimited = replace(judgement.budget, limit=None, beside=None)
        whole = replace(judgement, budget=unlimited, limit=None, measured=passes)
        record = test_record(replace(job, is_compared=True), whole, warmup, around, intensity)
        found = judge.fits.get(number)
        tolerance = judgement.tolerance if judgement.coverage.method else None
        record = replace(record, budget=budget_record(judgement.budget, tolerance))
        if found is not None and record.verdict != Verdict.UNMEASURED:
            verdict = judge.verdicts[number]
            record = _part_record(record, judgement, verdict, found, passes, measured, intensity)
        records.append(record)
    if records[0].parts is not None:
        note = _sentence(records[0].parts, quantity_of(records[0].method))
        records[0] = replace(records[0], notes=(*records[0].notes, note, *_suggested(records)))
    return tuple(records)


def _part_record(
    record: TestRecord,
    judgement: Judgement,
    verdict: Verdict,
    found: Fit,
    passes: Sequence[Round],
    measured: Grid,
    intensity: Intensity | None,
) -> TestRecord:
    part = part_of(found, judgement.unit)
    amounts = [amount_of(each, judgement) for each in passes]
    counts_cpu_time = judgement.coverage.method == CPU_TIME_METHOD
    names = judgement.coverage.gated_names
    joules = sum(each.window.joules(names) for each in passes)
    to_joules = joules / sum(amounts)  # 1 where joules are what is judged
    shares = [
        value * each.units[judgement.unit] / amount
        for value, each, amount in zip(part.values, passes, amounts, strict=True)
    ]
    doubt = _doubt(record, judgement, verdict, found, part, measured)
    if doubt and verdict is Verdict.FAIL:
        verdict = Verdict.INCONCLUSIVE
    compared = Estimate(part.centre, part.interval)
    finding = Finding(
        rule=Rule.LIMIT,
        verdict=verdict,
        reason=reason_of(verdict, judgement, compared, None, doubt, intensity),
        code=_code(verdict, part, doubt),
    )
    figure = part.centre * to_joules
    share_of_all = sum(map(mul, shares, amounts)) / sum(amounts)
    low_high = part.interval
    return replace(
        judged(record, finding),
        joules_per_unit=figure,
        interval=None if low_high is None else (low_high[0] * to_joules, low_high[1] * to_joules),
        grams_per_unit=intensity.grams(figure) if intensity else None,
        cpu_seconds_per_unit=part.centre if counts_cpu_time else None,
        channels=tuple(
            replace(
                each,
                joules_per_unit=each.joules_per_unit * share_of_all
                if each.gated and each.joules_per_unit is not None
                else None,
            )
            for each in record.channels
        ),
        rounds=_rounds(record.rounds, shares),
        limit_joules_per_unit=None if judgement.budget.counts_cpu_time else judgement.limit,
        fraction_of_limit=part.centre / judgement.limit if judgement.limit else None,
        explanation=record.explanation
        and replace(record.explanation, net_joules_per_unit=None, drift_per_round=None),
        parts=_parts_record(found, measured, judgement),
    )


def _rounds(rounds: Sequence[RoundRecord], shares: Sequence[float]) -> tuple[RoundRecord, ...]:
    """Warm-up as it was, and the part's share of each pass."""
    remaining = iter(shares)
    return tuple(
        each
        if each.warmup
        else replace(
            each,
            joules=None if each.joules is None else each.joules * share,
            cpu_seconds=each.cpu_seconds * share,
        )
        for each, share in ((one, 1.0 if one.warmup else next(remaining)) for one in rounds)
    )


def _doubt(
    record: TestRecord,
    judgement: Judgement,
    verdict: Verdict,
    found: Fit,
    part: Part,
    measured: Grid,
) -> str:
    """What makes a part's figure uncertain, or ""."""
    if found.is_linear is False:
        cell, missed = cell_of(measured[found.worst], judgement), found.missed[found.worst]
        return Reason(
            "not-linear",
            f"not linear here: a request with {cell.inputs:,.0f} input and {cell.outputs:,.0f} "
            f"output tokens uses {percent(missed)} {'more' if missed > 0 else 'less'} than its "
            f"parts come to (allowed: {percent(LINEAR_WITHIN)}); measure lengths that are nearer "
            "to each other, or the requests that you serve with energy.measure",
        )
    if verdict is Verdict.FAIL and judgement.limit is not None:
        lowest = min(part.values) / judgement.limit if record.contention else None
        allowed = 1 + judgement.tolerance
        return doubt_of_excess(record.other_processes, lowest, allowed, "limit")
    if verdict is Verdict.INCONCLUSIVE and part.interval and not (part.interval[0] and part.centre):
        return Reason(
            "too-noisy",
            "the passes differ too much to tell this part from zero: measure prompts and "
            "new_tokens in which it takes a larger share, or more --energy-max-seconds",
        )
    return ""


def _code(verdict: Verdict, part: Part, doubt: str) -> str:
    if verdict is Verdict.INCONCLUSIVE:
        return code_of(doubt) or ("few-rounds" if part.interval is None else "too-noisy")
    return CODES.get(verdict, "")


def _parts_record(found: Fit, measured: Grid, judgement: Judgement) -> PartsRecord:
    cells = [cell_of(each, judgement) for each in measured]
    return PartsRecord(
        empty_request=found.request.centre,
        prefill_token=found.inputs.centre,
        decode_token=found.outputs.centre,
        cells=tuple(
            CellRecord(
                input_tokens=each.inputs,
                output_tokens=each.outputs,
                figure=each.mean,
                missed=missed,
            )
            for each, missed in zip(cells, found.missed, strict=True)
        ),
        is_linear=found.is_linear,
    )


def _sentence(parts: PartsRecord, quantity: Quantity) -> str:
    worst = max(parts.cells, key=lambda each: abs(each.missed))
    shown = [
        per_unit(value, unit, quantity)
        for value, unit in (
            (parts.empty_request, REQUEST_PART),
            (parts.prefill_token, INPUT_PART),
            (parts.decode_token, OUTPUT_PART),
        )
    ]
    said = {True: "", False: "; not linear here", None: "; too few passes to tell if it is linear"}
    return (
        f"the parts of a request are {' + '.join(shown)}; they miss the measured requests by at "
        f"most {percent(worst.missed)} ({worst.input_tokens:,.0f} input and "
        f"{worst.output_tokens:,.0f} output tokens){said[parts.is_linear]}"
    )


def _suggested(records: Sequence[TestRecord]) -> tuple[str, ...]:
    """The line to paste where there is no limit."""
    if any(each.budget is not None for each in records) or records[0].parts is None:
        return ()
    if records[0].parts.is_linear is False:
        return ()
    limits = []
    for record in records:
        if record.joules_per_unit and record.interval:
            rounds = sum(not each.warmup for each in record.rounds)
            estimate = Estimate(record.joules_per_unit, record.interval)
            upper, _ = upper_end_of_one(estimate, rounds, record.method)
            limits.append(f'"{round_limit(upper, record.unit).text}"')
    if not limits:
        return ()
    return (
        "no limit yet; the line to paste, with headroom:\n"
        f"    @pytest.mark.energy_budget([{', '.join(limits)}])",
    )


def _together(rounds: Sequence[Round]) -> Round:
    """One pass: the rounds of all cells as one."""
    windows = [each.window for each in rounds]
    readings: dict[str, Reading] = {}
    for name in windows[0].readings:
        found = [each.readings[name] for each in windows]
        fault = next((each for each in found if isinstance(each, SensorFault)), None)
        readings[name] = fault or sum(each for each in found if not isinstance(each, SensorFault))
    others = [each.other_cpu_seconds for each in windows]
    switches = [each.involuntary_switches for each in windows]
    return Round(
        Window(
            seconds=sum(each.seconds for each in windows),
            readings=readings,
            cpu_seconds=sum(each.cpu_seconds for each in windows),
            other_cpu_seconds=None if None in others else sum(each or 0.0 for each in others),
            involuntary_switches=None if None in switches else sum(each or 0 for each in switches),
        ),
        sum(each.calls for each in rounds),
        {unit: sum(each.units[unit] for each in rounds) for unit in PART_UNITS},
        warmup=False,
    )
