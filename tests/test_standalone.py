"""Measuring outside of pytest: the same protocol, and a result that says how it is known."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pytest_energy import Result, Unmeasured, measure, measure_async
from pytest_energy.errors import EnergyError
from pytest_energy.sensors import cpu_time
from pytest_energy.sensors.clock import real

SECONDS = 0.002


@pytest.fixture(autouse=True)
def _short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_time, "WINDOW_SECONDS", 0.02)


def spin(text: str = "") -> str:
    ends = real.thread_time() + SECONDS
    while real.thread_time() < ends:
        pass
    return text


def assert_estimated(result: Result, unit: str, units_per_call: int) -> None:
    """4 W for the CPU time of a call, which is at least what it spins."""
    assert (result.unit, result.provenance) == (unit, "estimated")
    assert result.channels == ("cpu:process",)
    assert result.joules_per_unit >= 0.99 * 4.0 * SECONDS / units_per_call
    assert result.interval is not None
    assert result.interval[0] <= result.joules_per_unit <= result.interval[1]


def test_a_call_is_measured_on_its_inputs() -> None:
    result = measure(spin, inputs=["a", "b"], tokens=lambda text: 2, max_seconds=10)
    assert_estimated(result, "token", 2)
    assert result.value in ("a", "b")
    assert any("the 2 inputs were cycled" in note for note in result.notes)


def test_a_coroutine_is_measured() -> None:
    async def work() -> str:
        return spin("done")

    result = asyncio.run(measure_async(work, max_seconds=10))
    assert_estimated(result, "query", 1)
    assert result.value == "done"


def test_a_result_is_shown_as_a_line_and_as_html() -> None:
    result = measure(spin, units={"words": 4, "query": 1}, max_seconds=10)
    assert str(result).startswith(f"{result.joules_per_unit * 1000:.2f} mJ / word (interval ")
    assert str(result).endswith("cpu:process, estimated")
    noted = replace(result, record=replace(result.record, notes=("<b>a note</b>",)))
    page = noted._repr_html_()
    assert "<li>time and power: " in page
    assert "<li>&lt;b&gt;a note&lt;/b&gt;</li>" in page


def test_what_did_nothing_is_no_figure() -> None:
    with pytest.raises(Unmeasured, match="<lambda> is unmeasured: a call took") as caught:
        measure(lambda: None, max_seconds=10)
    assert caught.value.code == "no-work"


def test_work_that_raises_leaves_no_measurement_open() -> None:
    def broken() -> None:
        raise LookupError("no model")

    with pytest.raises(LookupError, match="no model"):
        measure(broken)
    assert measure(spin, max_seconds=10).joules_per_unit > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"scope": "tpu"}, "scope='tpu' is not known; write one of auto, gpu, cpu, all"),
        ({"gpus": "0"}, "gpus='0' is not known; write"),
        ({"max_seconds": 0}, "max_seconds=0 is not a number above zero"),
        ({"max_seconds": "x"}, "max_seconds='x' is not a number above zero"),
        ({"max_seconds": 10**5000}, "max_seconds=a number of too many digits is not a number"),
        ({"scope": 10**5000}, "scope=a number of too many digits is not known"),
        ({"cpu_watts_per_core": float("nan")}, "cpu_watts_per_core=nan is not a number"),
        ({"count": 0}, "count=0 is neither a whole number of units"),
        ({"inputs": []}, "inputs is empty"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(EnergyError, match=words):
        measure(spin, **arguments)  # type: ignore[arg-type]


def test_what_cannot_be_called_as_it_is_gets_a_hint() -> None:
    async def work() -> None: ...

    with pytest.raises(EnergyError, match=r"await measure_async\(work, ...\)"):
        measure(work)
    with pytest.raises(EnergyError, match="3 can't be called"):
        measure(3)  # type: ignore[arg-type]
