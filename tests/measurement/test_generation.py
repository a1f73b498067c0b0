"""Prefill and decode told apart, on a scripted sensor in virtual time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_gate import WATTS, ScriptedGate

from pytest_energy.limits.budget import PART_UNITS
from pytest_energy.limits.limit import parse_limit
from pytest_energy.record.schema import TestRecord

#: Joules of an empty request, of a token in, and of a token out.
REQUEST, INPUT, OUTPUT = 2.0, 0.01, 0.2
SIZES = [(length, number) for length in (128, 1024) for number in (1, 64, 256)]


def joules(inputs: float, outputs: float) -> float:
    return REQUEST + INPUT * inputs + OUTPUT * outputs


def measured(
    bench: ScriptedGate,
    *limits: str,
    sizes: Sequence[tuple[int, int]] = SIZES,
    cost: Callable[[float, float], float] = joules,
) -> tuple[TestRecord, ...]:
    job = bench.job(*limits)
    units = tuple(each.unit for each in job.budgets) if limits else PART_UNITS
    budgets = job.budgets if limits else job.budgets * len(PART_UNITS)
    job = replace(job, units=units, budgets=budgets)
    steps = bench.gate.generation(job, len(sizes), lambda rounds, outlook: None)
    index = next(steps)
    while True:
        inputs, outputs = sizes[index]
        bench.time.pass_by(cost(inputs, outputs) / WATTS)
        did = {"empty-request": 1.0, "prefill-token": inputs, "decode-token": outputs}
        try:
            index = steps.send(did)
        except StopIteration as stop:
            found: tuple[TestRecord, ...] = stop.value
            return found


Scripted = Callable[..., ScriptedGate]


def test_each_part_is_told_apart(scripted: Scripted) -> None:
    output, inputs, request = measured(scripted())
    for record, unit, truth in (
        (output, "decode-token", OUTPUT),
        (inputs, "prefill-token", INPUT),
        (request, "empty-request", REQUEST),
    ):
        assert (record.unit, record.verdict) == (unit, "no-budget")
        assert record.joules_per_unit == pytest.approx(truth, rel=1e-6)
        assert record.interval is not None
        assert record.interval[0] <= truth <= record.interval[1]
        assert len([each for each in record.rounds if not each.warmup]) == 5
    # What the parts took of each pass is all that it took.
    for passes in zip(
        *([r for r in each.rounds if not r.warmup] for each in (output, inputs, request)),
        strict=True,
    ):
        units = [each.units for each in passes]
        assert sum(each.joules or 0.0 for each in passes) == pytest.approx(
            units[0] * OUTPUT + units[1] * INPUT + units[2] * REQUEST
        )
    assert output.parts is not None and output.parts.is_linear
    assert [round(each.figure, 6) for each in output.parts.cells] == [
        round(joules(*size), 6) for size in SIZES
    ]
    assert output.notes[0].startswith(
        "the parts of a request are 2.00 J / empty-request + 10.0 mJ / prefill-token + 200 mJ / "
        "decode-token; they miss the measured requests by at most "
    )
    assert output.notes[1] == (
        "no limit yet; the line to paste, with headroom:\n"
        '    @pytest.mark.energy_budget(["0.0612 Wh / 1000 decode-tokens", '
        '"11.0 mJ / prefill-token", "0.612 Wh / 1000 empty-requests"])'
    )


@pytest.mark.parametrize(
    ("limit", "verdict", "words"),
    [
        (
            "0.25 J / decode-token",
            "pass",
            " J / decode-token is under the limit of 0.250 J / decode-token",
        ),
        ("0.15 J / decode-token", "fail", "is over the limit of 0.150 J / decode-token"),
        (
            "20 J / 1k prefill-tokens",
            "pass",
            " J / 1000 prefill-tokens) is under the limit of 20.0 J / 1000",
        ),
        (
            "1 J / empty-request",
            "fail",
            " J / empty-request is over the limit of 1.00 J / empty-request",
        ),
    ],
)
def test_a_limit_names_a_part(scripted: Scripted, limit: str, verdict: str, words: str) -> None:
    (found,) = measured(scripted(cv=0.01), limit)
    assert (found.verdict, found.budget and found.budget.limit) == (verdict, limit)
    assert words in found.reason
    assert found.limit_joules_per_unit is not None and found.joules_per_unit is not None
    assert found.fraction_of_limit == pytest.approx(
        found.joules_per_unit / found.limit_joules_per_unit
    )


def test_several_limits_have_a_record_each(scripted: Scripted) -> None:
    found = measured(scripted(cv=0.01), "0.25 J / decode-token", "1 J / empty-request")
    assert [(each.unit, each.verdict) for each in found] == [
        ("decode-token", "pass"),
        ("empty-request", "fail"),
    ]


def test_a_cost_that_is_not_linear_is_said(scripted: Scripted) -> None:
    def attention(inputs: float, outputs: float) -> float:
        return joules(inputs, outputs) + 0.001 * inputs * outputs

    (found,) = measured(scripted(cv=0.01), "100 J / decode-token", cost=attention)
    assert (found.verdict, found.code) == ("inconclusive", "not-linear")
    assert "not linear here: a request with " in found.reason
    assert "allowed: 5 %" in found.reason
    assert found.parts is not None and found.parts.is_linear is False
    assert "not linear here" in found.notes[0]
    unlimited = measured(scripted(cv=0.01), cost=attention)
    assert not any("the line to paste" in note for each in unlimited for note in each.notes)


def test_a_part_that_costs_nothing_passes_and_is_no_baseline(scripted: Scripted) -> None:
    (found,) = measured(
        scripted(cv=0.001),
        "1 mJ / prefill-token",
        cost=lambda inputs, outputs: REQUEST + OUTPUT * outputs,
    )
    assert found.verdict == "pass"
    assert found.joules_per_unit is not None and found.joules_per_unit < 1e-4
    assert found.interval is not None and found.interval[0] == 0.0


def test_the_suggested_limit_of_an_uncertain_part_is_near_it(scripted: Scripted) -> None:
    found = measured(scripted(cv=0.05), cost=lambda i, o: joules(i / 30, o))
    part = next(each for each in found if each.unit == "prefill-token")
    assert part.interval is not None and part.interval[0] == 0.0
    assert part.joules_per_unit is not None and part.joules_per_unit > 0
    (line,) = [note for each in found for note in each.notes if "the line to paste" in note]
    texts = re.findall(r'"([^"]+)"', line)
    assert [parse_limit(each).unit for each in texts] == list(PART_UNITS)
    suggested = parse_limit(texts[PART_UNITS.index("prefill-token")]).base_per_unit
    assert part.joules_per_unit < suggested < 3 * part.interval[1]


def test_sizes_that_are_too_alike_are_unmeasured(scripted: Scripted) -> None:
    sizes = [(100, 10), (200, 20), (300, 30), (400, 40)]
    (found,) = measured(scripted(), "1 J / decode-token", sizes=sizes)
    assert (found.verdict, found.code) == ("unmeasured", "parts-not-separable")


def test_too_few_passes_have_no_interval(scripted: Scripted) -> None:
    def slow(inputs: float, outputs: float) -> float:
        return 500 * joules(inputs, outputs)

    (found,) = measured(scripted(max_seconds=500.0), "101 J / decode-token", cost=slow)
    assert (found.verdict, found.code) == ("inconclusive", "few-rounds")
    assert found.interval is None


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    request_joules=st.floats(0.5, 20),
    input_joules=st.floats(0.002, 0.1),
    output_joules=st.floats(0.02, 1),
)
def test_the_parts_come_to_what_requests_use(
    scripted: Scripted, request_joules: float, input_joules: float, output_joules: float
) -> None:
    def cost(inputs: float, outputs: float) -> float:
        return request_joules + input_joules * inputs + output_joules * outputs

    output, inputs, request = measured(scripted(), cost=cost)
    for length, number in SIZES:
        total = sum(
            (record.joules_per_unit or 0.0) * units
            for record, units in ((request, 1), (inputs, length), (output, number))
        )
        assert total == pytest.approx(cost(length, number), rel=1e-6)
