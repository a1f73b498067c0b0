"""Ask this machine which GPUs are in use; the decision itself is in `coverage`."""

from __future__ import annotations

import os
import sys

from pytest_energy.measurement.coverage import GpuFacts, GpusInUse, Offer, gpus_in_use
from pytest_energy.sensors.accelerators import DeviceUse
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.discover import Instruments
from pytest_energy.sensors.gpu_choice import VISIBLE, Allotted

#: The inode of the first PID namespace (PROC_PID_INIT_INO in the kernel): in any other one the
#: driver's process ids are not ours.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"


def find_gpus_in_use(
    instruments: Instruments, mode: str, held: DeviceUse, before: DeviceUse
) -> GpusInUse:
    """The boards in use since the measurement began, when libraries held `before`.

    mode: that of --energy-gpus.
    """
    activity = instruments.activity
    return gpus_in_use(
        GpuFacts(
            mode=mode,
            allotted=instruments.allotted,
            listed=instruments.listed,
            held=held,
            process_ids=_process_ids(instruments),
            our_process_ids=instruments.tree.pids()
            | (activity.ours if activity is not None else frozenset()),
            ids_match=in_first_pid_namespace(),
            chip_gpu=instruments.chip_gpu,
            boards=tuple(map(Allotted, instruments.boards)),
            rises=activity.rises() if activity is not None else {},
            of_others=activity.others if activity is not None else frozenset(),
            order=_order(instruments),
            before=before,
            listed_before=activity.listed_before if activity is not None else {},
            flat=activity.flat if activity is not None else frozenset(),
        )
    )


def _process_ids(instruments: Instruments) -> dict[int, frozenset[int] | None]:
    """What the driver lists now, and what it listed in a window; of those that it lists at all."""
    found = {each.index: each.process_ids() for each in instruments.gpus}
    seen = instruments.activity.process_ids if instruments.activity is not None else {}
    return {
        index: pids if pids is None else pids | seen.get(index, frozenset())
        for index, pids in found.items()
    }


def _order(instruments: Instruments) -> str:
    if not instruments.is_order_open:
        return ""
    return (
        f"which GPU {VISIBLE}={os.environ.get(VISIBLE)} means depends on CUDA's order, because the "
        "boards differ: set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name it by UUID"
    )


def offer_of(instruments: Instruments) -> Offer:
    """What can be read here."""
    return Offer(
        channels=instruments.channels,
        gpu_faults=instruments.faults,
        no_gpu=instruments.no_gpu,
        no_cpu=instruments.no_cpu,
        no_chip_gpu=instruments.no_chip_gpu,
        no_machine=instruments.no_machine,
    )


def in_first_pid_namespace() -> bool:
    """Whether the driver numbers processes as we do."""
    try:
        return real.readlink("/proc/self/ns/pid") == _FIRST_PID_NAMESPACE
    except OSError:
        return sys.platform != "linux"  # only Linux has such namespaces
