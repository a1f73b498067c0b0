"""The CPU's channels as the sensors describe them, for tests of what is made of their figures."""

from __future__ import annotations

from pytest_energy.sensors.base import Channel, Kind, Provenance

PACKAGE = Channel(
    name="cpu:package-0",
    kind=Kind.CPU,
    source="RAPL",
    provenance=Provenance.MEASURED,
    update_seconds=0.001,
    window_seconds=0.2,
)
CPU_TIME = Channel(
    name="cpu:process",
    kind=Kind.CPU,
    source="CPU time",
    provenance=Provenance.ESTIMATED,
    update_seconds=0.0,
    window_seconds=0.2,
)
