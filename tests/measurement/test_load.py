"""Requests kept in flight, on a scripted sensor in virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_gate import WATTS, ScriptedGate

from pytest_energy.errors import EnergyUsageError
from pytest_energy.limits.budget import PART_UNITS
from pytest_energy.measurement.load import Load, Traffic
from pytest_energy.record.schema import TestRecord

Scripted = Callable[..., ScriptedGate]
#: Seconds of a request, by its number; None for one that fails at once.
Service = Callable[[int], float | None]


class Killed(Exception):
    """What a request raises whose server is gone."""


def loaded(
    bench: ScriptedGate,
    *limits: str,
    concurrency: int = 4,
    service: Service = lambda number: 0.5,
    busy: float = 1.0,
    units: dict[str, float] | None = None,
) -> TestRecord:
    """What a load of virtual clients comes to. busy: the share of them that make requests."""
    done = units or {"query": 1.0}
    time = bench.time
    traffic = Traffic(time.clock)
    job = bench.job(*limits, units=tuple(done))
    steps = bench.gate.load(job, Load(concurrency, traffic), lambda rounds, outlook: None)
    ends: list[tuple[float, int, bool]] = []

    def begin() -> None:
        number = traffic.begin()
        seconds = service(number)
        lasts = 0.01 if seconds is None else seconds
        heapq.heappush(ends, (time.seconds + lasts, number, seconds is None))

    for _ in range(round(concurrency * busy)):
        begin()
    wait = next(steps)
    while True:
        until = time.seconds + wait
        while ends and ends[0][0] <= until:
            time.seconds, number, failed = heapq.heappop(ends)
            traffic.end(number, None if failed else done, Killed("gone") if failed else None)
            begin()
        time.seconds = until
        try:
            wait = steps.send(None)
        except StopIteration as stop:
            (record,) = stop.value
            found: TestRecord = record
            return found


def test_the_figure_is_power_over_throughput(scripted: Scripted) -> None:
    """Four requests of half a second at once are eight a second, at 100 W."""
    found = loaded(scripted(), "13 J / query")
    assert found.verdict == "pass"
    assert found.joules_per_unit == pytest.approx(WATTS / 8, rel=1e-6)
    assert found.load is not None
    assert (found.load.concurrency, found.load.failed) == (4, 0)
    assert found.load.in_flight == pytest.approx(4)
    assert found.load.requests_per_second == pytest.approx(8, rel=0.05)
    assert found.load.median_seconds == pytest.approx(0.5)
    assert found.load.requests < 100 and found.load.p99_seconds is None
    assert loaded(scripted(cv=0.01), "11 J / query").verdict == "fail"


def test_latencies_have_a_99th_percentile(scripted: Scripted) -> None:
    found = loaded(
        scripted(), concurrency=16, service=lambda number: 0.2 if number % 50 == 0 else 0.01
    )
    assert found.load is not None and found.load.requests > 100
    assert found.load.median_seconds == pytest.approx(0.01)
    assert found.load.p99_seconds == pytest.approx(0.2)


def test_requests_longer_than_a_window_count_by_their_share(scripted: Scripted) -> None:
    """In lockstep, 16 end together every 3.7 s: a window would hold either 16 or 32."""
    found = loaded(scripted(), concurrency=16, service=lambda number: 3.7)
    assert found.joules_per_unit == pytest.approx(WATTS * 3.7 / 16, rel=1e-6)
    assert found.interval is not None
    assert found.interval[1] / found.interval[0] < 1.01


def test_a_ramp_is_not_measured(scripted: Scripted) -> None:
    found = loaded(scripted(), service=lambda number: 4.0 if number <= 4 else 0.2)
    assert found.joules_per_unit == pytest.approx(WATTS * 0.2 / 4, rel=1e-6)


@pytest.mark.parametrize(
    ("fails", "verdict", "code"),
    [
        (lambda number: number % 400 == 0, "pass", ""),
        (lambda number: number % 20 == 0, "unmeasured", "failed-requests"),
        (lambda number: number > 10_800, "unmeasured", "failed-requests"),  # a server was killed
    ],
)
def test_a_failed_request_is_no_cheap_work(
    scripted: Scripted, fails: Callable[[int], bool], verdict: str, code: str
) -> None:
    found = loaded(
        scripted(),
        "100 J / query",
        concurrency=16,
        service=lambda number: None if fails(number) else 0.005,
    )
    assert (found.verdict, found.code) == (verdict, code)
    assert found.load is not None
    if verdict == "pass":
        assert 0 < found.load.failed < 0.01 * found.load.requests
        assert any("failed, and counted as no work" in note for note in found.notes)
    else:
        assert "failed (the first with Killed)" in found.reason


def test_what_all_first_requests_raise_ends_the_test(scripted: Scripted) -> None:
    with pytest.raises(Killed):
        loaded(scripted(), service=lambda number: None)


def test_a_client_that_is_too_slow_leaves_no_measurement(scripted: Scripted) -> None:
    found = loaded(scripted(), "100 J / query", busy=0.75)
    assert (found.verdict, found.code) == ("unmeasured", "load-not-kept")
    assert "on average 3.00 of 4 requests were in flight" in found.reason


def test_requests_that_hang_end_the_measurement(scripted: Scripted) -> None:
    with pytest.raises(EnergyUsageError, match="in flight did not end within"):
        loaded(scripted(max_seconds=20.0), service=lambda number: 0.1 if number < 100 else 1e6)
    with pytest.raises(EnergyUsageError, match="0 of the first 4 requests ended within 20"):
        loaded(scripted(max_seconds=20.0), service=lambda number: 1e6)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    request=st.floats(0.5, 20),
    input_token=st.floats(0.002, 0.1),
    output_token=st.floats(0.02, 1),
    size=st.tuples(st.integers(100, 1000), st.integers(1, 200)),
)
def test_one_request_at_a_time_costs_what_measure_and_the_parts_say(
    scripted: Scripted,
    request: float,
    input_token: float,
    output_token: float,
    size: tuple[int, int],
) -> None:
    def joules(inputs: float, outputs: float) -> float:
        return request + input_token * inputs + output_token * outputs

    def driven(bench: ScriptedGate, steps: object, sizes: list[tuple[int, int]]) -> list[float]:
        index = next(steps)  # type: ignore[call-overload]
        while True:
            inputs, outputs = sizes[index]
            bench.time.pass_by(joules(inputs, outputs) / WATTS)
            did = dict(zip(PART_UNITS, (outputs, inputs, 1), strict=True))
            try:
                index = steps.send({"query": 1.0, **did})  # type: ignore[attr-defined]
            except StopIteration as stop:
                return [each.joules_per_unit for each in stop.value]

    cv = 0.005
    bench = scripted(cv=cv, seed=1)
    under_load = loaded(bench, concurrency=1, service=lambda number: joules(*size) / WATTS)
    bench = scripted(cv=cv, seed=2)
    (alone,) = driven(bench, bench.gate.rounds(bench.job(), lambda rounds, outlook: None), [size])
    bench = scripted(cv=cv, seed=3)
    job = bench.job()
    job = replace(job, units=PART_UNITS, budgets=job.budgets * 3)
    sizes = [(length, number) for length in (100, 1000) for number in (1, 200)]
    outputs, inputs, empty = driven(
        bench, bench.gate.generation(job, 4, lambda rounds, outlook: None), sizes
    )
    fitted = empty + inputs * size[0] + outputs * size[1]
    assert under_load.joules_per_unit == pytest.approx(joules(*size), rel=4 * cv)
    assert alone == pytest.approx(joules(*size), rel=4 * cv)
    assert fitted == pytest.approx(joules(*size), rel=4 * cv)
