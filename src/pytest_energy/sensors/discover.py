"""Find the instruments of this machine, by reading each before it is trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_energy.errors import InputError
from pytest_energy.sensors import CPU_COUNTER_FOLDER
from pytest_energy.sensors.apple import probe as probe_apple
from pytest_energy.sensors.base import (
    Access,
    Channel,
    Clock,
    Device,
    Kind,
    Missing,
    Probe,
    Sensor,
)
from pytest_energy.sensors.cpu_time import CpuTime
from pytest_energy.sensors.gpu_choice import PER_WORKER, Allotted, Board, GpuChoice
from pytest_energy.sensors.process_tree import ProcessTree
from pytest_energy.sensors.rapl import probe as probe_rapl

if TYPE_CHECKING:
    from pytest_energy.sensors.gpu_activity import GpuActivity

#: Channels of a chip with CPU and GPU in one.
CHIP_GPU = "gpu:0"
CHIP_CPU = "cpu:package-0"
NO_GPUS = "--energy-gpus none leaves all GPUs out"


@dataclass(frozen=True)
class Choice:
    """What a user chose.

    gpus: those that count. cpu_watts_per_core: of a busy core, for the estimate.
    cpu_counter_folder: where the energy counters of the CPU are.
    pids: processes whose CPU time counts beside the test's own.
    """

    gpus: GpuChoice
    cpu_watts_per_core: float | Literal["tdp"]
    cpu_counter_folder: Path
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """The sensors that answered, and what is known about the others.

    tree: the processes whose CPU time counts, and whose GPUs. probes: what was found, in the order
    in which windows open. added: sensors of other plugins. activity: watches who uses the boards.
    boards: all of the machine. allotted: those that CUDA_VISIBLE_DEVICES leaves to this process.
    listed: those that --energy-gpus names. chip_gpu: the GPU of the chip, where its energy can be
    read; the system does not list who uses it. is_order_open: whether CUDA may number the boards
    otherwise. gpus_left_out: whether the user wants no GPU.
    no_gpu, no_chip_gpu, no_cpu: why they are not measured; "" where they are.
    """

    cpu_time: CpuTime
    tree: ProcessTree
    probes: tuple[Probe, ...]
    added: tuple[Sensor, ...] = ()
    activity: GpuActivity | None = None
    boards: tuple[Board, ...] = ()
    allotted: tuple[Allotted, ...] = ()
    listed: tuple[Allotted, ...] = ()
    chip_gpu: Allotted | None = None
    is_order_open: bool = False
    gpus_left_out: bool = False
    no_gpu: str = ""
    no_chip_gpu: str = ""
    no_cpu: str = ""
    notes: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def counters(self) -> tuple[Sensor, ...]:
        """All but CPU time; those that wait for a tick come first."""
        found = (*self.added, *chain.from_iterable(each.sensors for each in self.probes))
        return found if self.activity is None else (*found, self.activity)

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(
            channel
            for sensor in (*self.counters, self.cpu_time)
            for channel in sensor.channels
            if not (self.gpus_left_out and channel.kind is Kind.GPU)
        )

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(chain.from_iterable(each.devices for each in self.probes))

    @property
    def candidates(self) -> tuple[Allotted, ...]:
        """The boards that a test may use."""
        return tuple(dict.fromkeys((*self.allotted, *self.listed)))

    @property
    def faults(self) -> Mapping[str, str]:
        """Why devices have no channel, by the channel's name."""
        return dict(chain.from_iterable(each.faults.items() for each in self.probes))

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why channels, or parts of them, are not counted."""
        return dict(chain.from_iterable(each.left_out.items() for each in self.probes))

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the drivers."""
        return dict(chain.from_iterable(each.versions.items() for each in self.probes))

    def close(self) -> None:
        for sensor in self.added:
            sensor.release()
        for each in reversed(self.probes):
            each.close()


def discover(
    choice: Choice,
    cuda_visible_devices: str | None,
    clock: Clock,
    added: Sequence[Sensor] = (),
) -> Instruments:
    """Probe this machine; `added` are sensors that other plugins have probed.

    Raises InputError for a GPU or a process that a user names and that is not there, and for a
    thermal design power that is asked for and unknown.
    """
    tree = ProcessTree(choice.pids)
    cpu_time = CpuTime(_watts_per_core(choice), tree)
    package = probe_rapl(choice.cpu_counter_folder, clock)
    chip = probe_apple(clock)
    cpu = chip if chip.applies else package
    no_cpu = cpu.why_not(CHIP_CPU)
    found = Instruments(
        cpu_time=cpu_time,
        tree=tree,
        probes=(package, chip),
        added=tuple(added),
        no_cpu=no_cpu,
        no_chip_gpu=chip.left_out.get(CHIP_GPU, chip.problem),
        notes=_estimated(cpu, no_cpu, choice),
        missing=cpu.missing,
    )
    if choice.gpus.mode == "none":
        missing = () if chip.applies else (Missing("GPUs", NO_GPUS),)
        return replace(
            found, no_gpu=NO_GPUS, gpus_left_out=True, missing=(*missing, *found.missing)
        )
    if CHIP_GPU in [each.name for each in chip.channels]:
        found = replace(found, chip_gpu=Allotted(Board(0, "")))
    # Its library is imported where a marked test runs, and not when pytest starts.
    from pytest_energy.sensors.nvidia import probe as probe_gpus

    gpus = probe_gpus(choice.gpus, cuda_visible_devices, clock, tree)
    found = replace(
        found,
        probes=(gpus, *found.probes),
        activity=gpus.activity,
        boards=gpus.boards,
        allotted=gpus.allotted,
        listed=gpus.listed,
        is_order_open=gpus.is_order_open,
        no_gpu=gpus.problem,
        notes=(*gpus.notes, *found.notes),
        missing=(*(() if chip.applies and gpus.problem else gpus.missing), *found.missing),
    )
    if not gpus.problem:
        return found
    if found.chip_gpu is not None and choice.gpus.listed in ((), ("0",)):
        return replace(found, listed=(found.chip_gpu,) if choice.gpus.listed else ())
    if choice.gpus.listed or choice.gpus.mode == PER_WORKER:
        asked = ",".join(choice.gpus.listed) or PER_WORKER
        raise InputError(f"--energy-gpus {asked}: {gpus.problem}")
    return found


def _estimated(cpu: Probe, no_cpu: str, choice: Choice) -> tuple[str, ...]:
    """A note where it is unusual that there is no counter, or where its folder was named."""
    unusual = {Access.DENIED, Access.FAULTY}
    if choice.cpu_counter_folder != CPU_COUNTER_FOLDER:
        unusual |= {Access.ABSENT, Access.MASKED}
    if cpu.access not in unusual:
        return ()
    return (f"the CPU's energy is estimated: {no_cpu}; pytest-energy doctor says more",)


def _watts_per_core(choice: Choice) -> float:
    if choice.cpu_watts_per_core != "tdp":
        return choice.cpu_watts_per_core
    from pytest_energy.sensors.tdp import watts_per_core

    return watts_per_core()
