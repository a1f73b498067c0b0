"""Ask this machine which GPUs are in use; the decision itself is in `coverage`."""

from __future__ import annotations

from pathlib import Path

from pytest_energy.measure.accelerators import DeviceUse
from pytest_energy.measure.coverage import GpuFacts, GpusInUse, Offer, gpus_in_use
from pytest_energy.sensors.discover import APPLE_GPU, Instruments

#: The inode of the first PID namespace (PROC_PID_INIT_INO in the kernel): in any other one the
#: driver's process ids are not ours.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"


def find_gpus_in_use(instruments: Instruments, mode: str, held: DeviceUse) -> GpusInUse:
    """The boards in use at this moment; `mode` is that of --energy-gpus."""
    nvml = instruments.nvml
    return gpus_in_use(
        GpuFacts(
            mode=mode,
            allotted=instruments.allotted,
            listed=instruments.listed,
            held=held,
            process_ids={gpu.board.index: nvml.process_ids(gpu) for gpu in nvml.gpus}
            if nvml is not None
            else {},
            our_process_ids=instruments.tree.pids(),
            ids_match=in_first_pid_namespace(),
            apple=instruments.apple_gpu,
        )
    )


def offer_of(instruments: Instruments) -> Offer:
    """What can be read here."""
    return Offer(
        instruments.channels,
        instruments.gpu_faults,
        instruments.no_nvml,
        instruments.no_cpu,
        instruments.apple.left_out.get(APPLE_GPU, instruments.apple.problem),
    )


def in_first_pid_namespace() -> bool:
    """Whether the driver numbers processes as we do."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()) == _FIRST_PID_NAMESPACE
    except OSError:
        return not Path("/proc/self").exists()  # only Linux has such namespaces
