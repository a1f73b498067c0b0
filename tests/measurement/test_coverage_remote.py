"""What a limit covers where the user names counters of other machines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from records import RECORD

from pytest_energy.limits.budget import Budget, Scope
from pytest_energy.limits.limit import parse_limit
from pytest_energy.measurement.coverage import Coverage, GpusInUse, Offer, cover
from pytest_energy.record.hardware import hardware_of
from pytest_energy.record.schema import ChannelRecord, GpuRecord, MachineRecord
from pytest_energy.sensors.accelerators import DeviceUse
from pytest_energy.sensors.base import Channel, Kind, Provenance
from pytest_energy.sensors.gpu_choice import Allotted, Board


def channel(
    name: str,
    kind: Kind,
    hardware: str = "",
    provenance: Provenance = Provenance.MEASURED,
) -> Channel:
    return Channel(
        name=name,
        kind=kind,
        source="counter",
        provenance=provenance,
        update_seconds=1.0,
        window_seconds=3.0,
        hardware=hardware,
    )


GPU = channel("gpu:0", Kind.GPU)
ESTIMATE = channel("cpu:process", Kind.CPU, provenance=Provenance.ESTIMATED)
PACKAGE = channel("cpu:package-0", Kind.CPU)
BOARD = channel("box:gpu-0", Kind.GPU, "NVIDIA L40S")
FAR_CPU = channel("box:cpu-0", Kind.CPU, "cpu of box")
METER = channel("box:machine-0", Kind.MACHINE, "machine of box")
IN_USE = GpusInUse(devices=(Allotted(Board(0, "GPU-A")),))


def covered(
    *channels: Channel,
    limit: str = "1 J / query",
    scope: Scope = Scope.AUTO,
    in_use: GpusInUse | None = None,
) -> Coverage:
    budget = Budget(limit=parse_limit(limit), scope=scope)
    offer = Offer(channels=channels, no_cpu="no counter here", no_gpu="no driver")
    return cover(budget, in_use or GpusInUse(), DeviceUse(), offer, require_measured=False)


@pytest.mark.parametrize(
    ("scope", "channels", "gated"),
    [
        (Scope.AUTO, (BOARD, FAR_CPU, ESTIMATE), ["box:gpu-0"]),
        (Scope.AUTO, (FAR_CPU, ESTIMATE), ["box:cpu-0"]),
        (Scope.GPU, (BOARD, ESTIMATE), ["box:gpu-0"]),
        (Scope.CPU, (BOARD, FAR_CPU, PACKAGE, ESTIMATE), ["box:cpu-0", "cpu:package-0"]),
        (Scope.ALL, (BOARD, FAR_CPU, PACKAGE), ["box:gpu-0", "box:cpu-0", "cpu:package-0"]),
        (Scope.MACHINE, (BOARD, METER, ESTIMATE), ["box:machine-0"]),
    ],
)
def test_what_the_user_names_counts_and_is_never_added_to_an_estimate(
    scope: Scope, channels: tuple[Channel, ...], gated: list[str]
) -> None:
    found = covered(*channels, scope=scope)
    assert list(found.gated_names) == gated
    assert (found.method, found.problem) == ("measured", "")


def test_boards_here_and_there_count_together() -> None:
    found = covered(BOARD, GPU, ESTIMATE, in_use=IN_USE)
    assert found.gated_names == ("gpu:0", "box:gpu-0")


def test_a_limit_in_cpu_time_covers_this_machine_alone() -> None:
    found = covered(BOARD, FAR_CPU, ESTIMATE, limit="5 cpu-ms / query")
    assert found.gated_names == ("cpu:process",)


def test_all_needs_a_counter_of_this_machine_too() -> None:
    found = covered(BOARD, FAR_CPU, ESTIMATE, scope=Scope.ALL)
    assert 'scope="all" needs a counter for the CPU: no counter here' in found.problem


def test_a_baseline_of_another_machine_is_another_one() -> None:
    def hardware(*channels: Channel) -> str:
        records = tuple(
            ChannelRecord(
                name=each.name,
                kind=each.kind,
                source=each.source,
                provenance=each.provenance,
                gated=True,
                joules_per_unit=1.0,
                hardware=each.hardware,
            )
            for each in channels
        )
        return hardware_of(replace(RECORD.tests[0], channels=records), machine)

    gpu = GpuRecord(name="NVIDIA A100", uuid="GPU-A", power_limit_watts=300.0, channel="gpu:0")
    machine = MachineRecord(cpu="EPYC", cpu_count=2, gpus=(gpu,))
    assert hardware(BOARD) == "NVIDIA L40S x1, remote"
    assert hardware(BOARD, BOARD) == "NVIDIA L40S x2, remote"
    assert hardware(FAR_CPU) == "cpu of box x1, remote"
    assert hardware(BOARD, GPU) == "NVIDIA L40S x1, remote + NVIDIA A100 x1 @ 300 W"
    assert hardware(PACKAGE) == "EPYC, 2 cores"
