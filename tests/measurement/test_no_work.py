"""Bodies that end in nothing: empty, cached, used up, asleep; and honest ones that look alike."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from conftest import EnergyPytester
from pytest_energy.errors import code_of
from pytest_energy.measurement.meter import Lap, Window
from pytest_energy.measurement.no_work import no_work, slow_first
from pytest_energy.measurement.protocol import Round
from pytest_energy.sensors import cpu_time


def laps(pace: float, calls: int, *, slowed: float = 1.0) -> tuple[Lap, ...]:
    """Four laps of calls, on a core where all takes `slowed` times as long."""
    fixed_work = slowed * 20e-6
    return 4 * (
        Lap(
            position=0,
            calls=calls,
            units={},
            seconds=slowed * pace * calls,
            cpu_seconds=slowed * pace * calls,
            before=fixed_work,
            after=fixed_work,
        ),
    )


def empty(pace: float = 0.7e-6, *, slowed: float = 1.0) -> tuple[Lap, ...]:
    return laps(pace, 1_000, slowed=slowed)


def rounds(first: float, pace: float, *, cpu_share: float = 1.0) -> list[Round]:
    """A first call alone, and later ones of so many seconds each."""
    calls = max(round(0.2 / pace), 1)

    def one(seconds: float, calls: int, *, warmup: bool, cpu_share: float = 1.0) -> Round:
        window = Window(seconds=seconds, readings={}, cpu_seconds=cpu_share * seconds)
        return Round(window, calls, {"query": float(calls)}, warmup)

    later = [one(pace * calls, calls, warmup=index < 2) for index in range(7)]
    return [one(first, 1, warmup=True, cpu_share=cpu_share), *later]


@pytest.mark.parametrize(
    ("first", "pace", "code"),
    [
        (0.05, 0.3e-6, "cached-result"),
        (0.05, 3e-6, "cached-result"),  # a look-up with some Python around it
        (30.0, 9e-6, "cached-result"),
        (1e-6, 0.3e-6, "no-work"),
        (1e-6, 1.2e-6, "no-work"),
        (30.0, 5e-3, ""),  # compiled in its first call
        (1.0, 0.3e-3, ""),  # loaded in its first call
        (1.0, 20e-6, ""),
        (25e-6, 20e-6, ""),  # a small tree
        (3e-6, 2.5e-6, ""),  # a product of small matrices
    ],
)
def test_a_collapse_is_distinguished_from_quick_work(first: float, pace: float, code: str) -> None:
    assert code_of(no_work(rounds(first, pace), empty)) == code


@pytest.mark.parametrize(("pace", "code"), [(13.5e-6, "cached-result"), (25e-6, "")])
def test_a_collapse_is_seen_where_a_busy_machine_makes_calls_costly(pace: float, code: str) -> None:
    # An empty call takes 2 us on the same machine without others.
    assert code_of(no_work(rounds(0.28, pace), lambda: empty(6.2e-6))) == code


def in_laps(measured: list[Round], *, slowed: float) -> list[Round]:
    """These rounds on a core where all takes so many times as long; those after warm-up in laps."""

    def one(each: Round) -> Round:
        pace = each.window.seconds / each.calls
        longer = replace(
            each.window,
            seconds=slowed * each.window.seconds,
            cpu_seconds=slowed * each.window.cpu_seconds,
            laps=() if each.warmup else laps(pace, max(each.calls // 4, 1), slowed=slowed),
        )
        return replace(each, window=longer)

    return [one(each) for each in measured]


@pytest.mark.parametrize("of_rounds", [1.0, 1.5, 2.2])
@pytest.mark.parametrize("of_nothing", [1.0, 1.5, 2.2])
@pytest.mark.parametrize(
    ("first", "pace", "code"),
    [
        (20e-6, 20e-6, ""),
        (10e-6, 9.5e-6, ""),
        (4e-6, 4.2e-6, "no-work"),
        (0.02, 8e-6, "cached-result"),
        (0.02, 4.4e-6, "cached-result"),
    ],
)
def test_neighbours_that_come_or_go_before_the_empty_calls_change_nothing(
    first: float, pace: float, code: str, of_rounds: float, of_nothing: float
) -> None:
    measured = in_laps(rounds(first, pace), slowed=of_rounds)
    assert code_of(no_work(measured, lambda: empty(4.2e-6, slowed=of_nothing))) == code


@pytest.mark.parametrize(
    ("first", "pace", "is_noted"),
    [
        (0.05, 75e-6, True),  # it returns early from its second call on
        (30.0, 5e-3, True),  # compiled: it belongs into a fixture
        (0.05, 1e-3, False),
        (1e-3, 5e-6, False),
        (5e-3, 5e-3, False),
    ],
)
def test_a_first_call_that_used_far_more_is_noted(
    first: float, pace: float, is_noted: bool
) -> None:
    assert slow_first(rounds(first, pace)).startswith("the first call used") is is_noted
    assert slow_first(rounds(first, pace)[:1]) == ""
    assert slow_first(rounds(first, pace, cpu_share=0.001)) == ""


def test_waiting_in_the_first_call_is_not_counted_as_work() -> None:
    assert no_work(rounds(0.05, 3e-6, cpu_share=0.01), empty) == ""


@pytest.mark.parametrize(("pace", "code"), [(0.3e-6, "no-work"), (20e-6, "")])
def test_waiting_for_a_core_is_not_counted_as_work(pace: float, code: str) -> None:
    waited = [
        replace(each, window=replace(each.window, seconds=4 * each.window.seconds))
        for each in rounds(1e-6, pace)
    ]
    assert code_of(no_work(waited, empty)) == code


def one_window(seconds: float, cpu_seconds: float, waited: float | None) -> list[Round]:
    window = Window(seconds=seconds, readings={}, cpu_seconds=cpu_seconds, waited_seconds=waited)
    return [Round(window, 1, {"query": 3.0}, warmup=False)]


@pytest.mark.parametrize(
    ("seconds", "cpu_seconds", "waited", "code"),
    [
        (0.0004, 0.0005, 0.0, "no-work"),
        (0.0006, 0.00065, 0.0, "no-work"),  # beside busy processes
        (0.0154, 0.0005, 0.0150, "no-work"),
        (0.0154, 0.0024, 0.0130, ""),
        (0.0154, 0.0005, None, ""),  # it may have waited for a device
    ],
)
def test_a_window_holds_more_work_than_opening_and_closing_it_takes(
    seconds: float, cpu_seconds: float, waited: float | None, code: str
) -> None:
    assert code_of(no_work(one_window(seconds, cpu_seconds, waited), empty)) == code


def test_waiting_for_a_device_is_work() -> None:
    waited = [
        replace(each, window=replace(each.window, cpu_seconds=0.01 * each.window.cpu_seconds))
        for each in rounds(1.0, 200e-6)
    ]
    assert no_work(waited, empty) == ""


def test_the_collapse_is_reported_with_its_remedy() -> None:
    assert no_work(rounds(0.05, 0.3e-6), empty) == (
        "the first call took 50.0 ms, the following 4,666,669 took 0.300 us each: the result is "
        "cached or the input is used up; make the input inside the test, clear the cache, or pass "
        "inputs= to energy.measure, so that each call does the work"
    )


FOUND = """
import functools
import time

@functools.lru_cache
def cached(text):
    spin(20)
    return text

@pytest.fixture
def batches():
    return iter([1] * 20)

@budget("1 J / query")
def test_empty():
    pass

@budget("1 J / query")
def test_cached():
    cached("a")

@budget("1 J / query")
def test_cached_by_the_fixture(energy):
    energy.measure(lambda: cached("b"))

@budget("1 J / query")
def test_used_up(batches):
    for batch in batches:
        spin(batch)

@budget("1 J / query")
def test_used_up_by_the_fixture(energy, batches):
    energy.measure(lambda: [spin(batch) for batch in batches])

@budget("1 J / query")
def test_empty_window(energy):
    with energy.window(count=3):
        pass

@budget("1 J / query")
def test_asleep():
    time.sleep(0.05)

def test_compared(energy):
    energy.compare(lambda: spin(1), lambda: cached("c"))
"""
CODES = {
    "test_empty": "no-work",
    "test_cached": "cached-result",
    "test_cached_by_the_fixture": "cached-result",
    "test_used_up": "cached-result",
    "test_used_up_by_the_fixture": "cached-result",
    "test_empty_window": "no-work",
    "test_asleep": "no-work-seen",
    "test_compared": "cached-result",
}


@pytest.mark.untraced
def test_work_that_wasnt_done_is_unmeasured(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(FOUND)
    energy_pytester.run("--energy-max-seconds=0.5", quick=False).assert_outcomes(failed=len(CODES))
    tests = energy_pytester.tests()
    assert {name: each["verdict"] for name, each in tests.items()} == dict.fromkeys(
        CODES, "unmeasured"
    )
    found = {name: each["code"] for name, each in tests.items()}
    # A first call that had to wait for its turn looks like one that worked.
    assert found.pop("test_empty") in ("no-work", "cached-result")
    assert found == {name: code for name, code in CODES.items() if name != "test_empty"}


def test_quick_and_lazy_work_is_measured(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        made = {}

        def sum_of_squares(n=400):
            return sum(i * i for i in range(n))

        @budget("1 J / query")
        def test_quick(energy):
            energy.measure(sum_of_squares)

        @budget("1 J / query")
        def test_compiled_in_the_first_call():
            if "model" not in made:
                spin(200)
                made["model"] = True
            spin(0.3)
        """
    )
    energy_pytester.run("--energy-max-seconds=1", quick=False).assert_outcomes(passed=2)
    quick, compiled = (each["notes"] for each in energy_pytester.tests().values())
    assert any(each.startswith("the first call used") for each in compiled)
    assert not any(each.startswith("the first call used") for each in quick)


@pytest.mark.untraced
@pytest.mark.parametrize(("waits_for", "verdict"), [("a core", "pass"), ("itself", "unmeasured")])
def test_a_process_that_gets_hardly_any_core_is_not_idle(
    waits_for: str,
    verdict: str,
    energy_pytester: EnergyPytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = time.perf_counter if waits_for == "a core" else lambda: 0.0
    monkeypatch.setattr(cpu_time, "waited_seconds", clock)
    energy_pytester.write(
        """
        import time

        @budget("1 J / query")
        def test_slow():
            spin(0.2)
            time.sleep(0.02)
        """
    )
    energy_pytester.run("--energy-max-seconds=0.5")
    assert energy_pytester.tests()["test_slow"]["verdict"] == verdict
