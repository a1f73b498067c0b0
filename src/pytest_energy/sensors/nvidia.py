"""NVIDIA GPUs: which boards this process may use, and the best sensor for each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from pytest_energy.sensors.base import Access, Clock, Device, Kind, Missing, Sensor, SensorFault
from pytest_energy.sensors.gpu_activity import GpuActivity
from pytest_energy.sensors.gpu_choice import (
    Allotted,
    GpuChoice,
    GpuProbe,
    allotted,
    is_cuda_order_open,
    listed,
    may_have_boards,
)
from pytest_energy.sensors.gpu_counter import probe_counters
from pytest_energy.sensors.gpu_energy import GpuEnergy
from pytest_energy.sensors.gpu_power import GpuPower, PowerReader
from pytest_energy.sensors.nvml import SHADOWED, UNINSTALL, Gpu, Nvml
from pytest_energy.sensors.process_tree import ProcessTree

WHAT = "NVIDIA GPUs"
_NO_DRIVER = (
    "# On a machine without an NVIDIA GPU there is nothing to do. With one, nvidia-smi must work.\n"
    "# Give a container access to the driver and its tools:\n"
    "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility IMAGE"
)
_NO_BOARD = (
    "# Work on this board is unmeasured. A virtual GPU often has no counter: measure on the host,\n"
    "# or on a whole board."
)
_NO_COUNTER = "# Nothing to do: power is integrated instead. Figures of the two are never compared."
_SLICE = '# Use the whole board, or limit what the CPU uses: scope="cpu".'


def probe(
    choice: GpuChoice, cuda_visible_devices: str | None, clock: Clock, tree: ProcessTree
) -> GpuProbe:
    """Read each board that may be used. Raises InputError for one that is named and is not there.

    tree: the processes of the test, whose boards count.
    """
    try:
        nvml = Nvml()
    except SensorFault as fault:
        is_shadowed = fault.code == SHADOWED
        return GpuProbe.unavailable(
            WHAT,
            Access.FAULTY if is_shadowed else Access.ABSENT,
            {Kind.GPU},
            str(fault),
            UNINSTALL if is_shadowed else _NO_DRIVER,
            notes=(f"GPUs cannot be read: {fault}",) if is_shadowed else (),
            applies=may_have_boards(),
        )
    boards = nvml.boards
    is_order_open = is_cuda_order_open(
        cuda_visible_devices, os.environ.get("CUDA_DEVICE_ORDER"), [gpu.name for gpu in nvml.gpus]
    )
    # Where the order is unknown, any board may be meant: all are watched.
    mine = allotted(None if is_order_open else cuda_visible_devices, boards)
    named = listed(choice.listed, boards)
    candidates = tuple(dict.fromkeys((*mine, *named)))
    watched = [
        gpu for gpu in nvml.gpus if gpu.board.index in {each.board.index for each in candidates}
    ]
    counters = probe_counters(nvml, clock, watched)
    no_counter = counters.faults
    readers, no_power = _readers(nvml, [gpu for gpu in watched if gpu not in counters.periods])
    beside, _ = _readers(nvml, list(counters.periods))
    instant = {each.gpu: each.watts for each in beside if each.instant}
    notes = (
        *counters.notes,
        *(
            f"{each.gpu.channel}: power is integrated, because {no_counter[each.gpu]}; "
            "changes between two readings are not seen"
            for each in readers
        ),
    )
    sensors: list[Sensor] = []
    if counters.periods:
        sensors.append(GpuEnergy(nvml, clock, counters, instant))
    if readers:
        sensors.append(GpuPower(readers, clock))
    faults = {gpu.channel: f"{no_counter[gpu]}; {no_power[gpu]}" for gpu in no_power}
    faults |= {f"gpu:{index}": fault for index, fault in nvml.faults.items()}
    return GpuProbe(
        access=Access.READABLE,
        kinds=frozenset({Kind.GPU}),
        sensors=tuple(sensors),
        devices=tuple(_device(nvml, gpu, instant.get(gpu)) for gpu in nvml.gpus),
        faults=faults,
        notes=notes,
        missing=tuple(_missing(faults, notes, candidates)),
        versions={"driver": nvml.driver},
        close=nvml.close,
        boards=boards,
        allotted=mine,
        listed=named,
        activity=GpuActivity(
            nvml, watched, {each.gpu: each.watts for each in (*readers, *beside)}, tree
        ),
        is_order_open=is_order_open,
    )


def _readers(nvml: Nvml, gpus: Sequence[Gpu]) -> tuple[list[PowerReader], dict[Gpu, str]]:
    """How the power of boards is read, and why that of others is not."""
    readers: list[PowerReader] = []
    faults: dict[Gpu, str] = {}
    for gpu in gpus:
        try:
            watts, instant = nvml.power_reader(gpu)
            readers.append(PowerReader(gpu, watts, instant, watts()))
        except SensorFault as fault:
            faults[gpu] = str(fault)
    return readers, faults


def _device(nvml: Nvml, gpu: Gpu, instant_watts: Callable[[], float] | None) -> Device:
    return Device(
        channel=gpu.channel,
        name=gpu.name,
        id=gpu.board.uuid,
        power_limit_watts=gpu.power_limit_watts,
        partition=", ".join(each.profile for each in gpu.board.migs),
        state=partial(nvml.state, gpu),
        process_ids=partial(nvml.process_ids, gpu),
        compute_process_ids=partial(nvml.compute_process_ids, gpu),
        joules=partial(nvml.joules, gpu) if instant_watts is not None else None,
        watts=instant_watts,
    )


def _missing(
    faults: Mapping[str, str], notes: Sequence[str], candidates: Sequence[Allotted]
) -> Iterator[Missing]:
    for name, fault in sorted(faults.items()):
        yield Missing(name, f"cannot be read: {fault}", _NO_BOARD)
    for note in notes:
        name, _, why = note.partition(": ")
        remedy = _NO_COUNTER if "integrated" in why else ""
        yield Missing(f"energy counter of {name}", why, remedy)
    for each in candidates:
        if each.mig is not None and not each.mig.whole:
            why = "this process may use a slice of it, and the counter covers the whole board"
            yield Missing(f"gpu:{each.board.index}", why, _SLICE)
