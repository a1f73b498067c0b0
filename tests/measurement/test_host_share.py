"""A limit on the GPU says so where the CPU beside it uses much of what the GPU uses."""

from __future__ import annotations

import pytest

from pytest_energy.limits.budget import Scope
from pytest_energy.measurement.coverage import Coverage
from pytest_energy.measurement.meter import Window
from pytest_energy.measurement.protocol import Round
from pytest_energy.measurement.sentences import host_notes
from pytest_energy.sensors.base import Channel, Kind, Provenance, Reading, SensorFault


def channel(
    name: str, kind: Kind, provenance: Provenance = Provenance.MEASURED, idle: float | None = None
) -> Channel:
    return Channel(
        name=name,
        kind=kind,
        source="scripted",
        provenance=provenance,
        update_seconds=0.0,
        window_seconds=1.0,
        idle_watts=idle,
    )


GPU = channel("gpu:0", Kind.GPU, idle=50.0)
ESTIMATE = channel("cpu:process", Kind.CPU, Provenance.ESTIMATED)
PACKAGE = channel("cpu:package-0", Kind.CPU, idle=60.0)


def notes(
    shown: tuple[Channel, ...], *readings: dict[str, Reading], scope: Scope = Scope.GPU
) -> tuple[str, ...]:
    rounds = [
        Round(Window(seconds=2.0, readings=each, cpu_seconds=1.0), 1, {"query": 1.0}, warmup=False)
        for each in readings
    ]
    return host_notes(rounds, Coverage(scope=scope, gated=(GPU,), shown=shown, method="measured"))


def test_an_estimate_above_a_fifth_is_noted_with_its_evidence() -> None:
    assert notes((ESTIMATE,), {"gpu:0": 100.0, "cpu:process": 20.0}) == ()
    (note,) = notes((ESTIMATE,), {"gpu:0": 100.0, "cpu:process": 30.0})
    assert note == (
        "the CPU used 30 % of what the GPU used, estimated, and this limit does not cover it: work "
        "that moves from the GPU to the CPU would pass as a saving; add a limit with "
        'scope="cpu"'
    )


@pytest.mark.parametrize(("joules", "said"), [(150.0, "30 %"), (139.0, "")])
def test_a_counter_counts_above_its_idle_power_and_before_an_estimate(
    joules: float, said: str
) -> None:
    """Of 150 J, 120 are what the package uses in 2 s without work."""
    found = notes(
        (PACKAGE, ESTIMATE), {"gpu:0": 100.0, "cpu:package-0": joules, "cpu:process": 90.0}
    )
    assert bool(found) is bool(said)
    assert all(said in each and "estimated" not in each for each in found)


def test_nothing_is_noted_where_there_is_no_figure_or_the_limit_covers_the_cpu() -> None:
    busy: dict[str, Reading] = {"gpu:0": 100.0, "cpu:process": 90.0}
    assert notes((ESTIMATE,), busy, scope=Scope.ALL) == ()
    assert notes((ESTIMATE,)) == ()
    assert notes((ESTIMATE,), {"gpu:0": SensorFault("lost"), "cpu:process": 90.0}) == ()
