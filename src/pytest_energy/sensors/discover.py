"""Find the instruments of this machine, by reading each before it is trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_energy.pinning import PER_WORKER
from pytest_energy.sensors.apple import AppleProbe
from pytest_energy.sensors.apple import probe as probe_apple
from pytest_energy.sensors.base import Channel, Clock, Kind, Sensor, SensorFault
from pytest_energy.sensors.cpu_time import CpuTime, ProcessTree
from pytest_energy.sensors.powercap import DEFAULT_ROOT, Access
from pytest_energy.sensors.rapl import RaplProbe
from pytest_energy.sensors.rapl import probe as probe_rapl
from pytest_energy.sensors.visible import Allotted, Board, GpuChoice, allotted, listed

if TYPE_CHECKING:
    from pytest_energy.sensors.gpu_power import PowerReader
    from pytest_energy.sensors.nvml import Gpu, Nvml


APPLE_GPU = "gpu:0"


@dataclass(frozen=True)
class Choice:
    """What a user chose.

    gpus: those that count. cpu_watts_per_core: of a busy core, for the estimate.
    powercap_root: where RAPL is looked for.
    pids: processes whose CPU time counts beside the test's own.
    """

    gpus: GpuChoice
    cpu_watts_per_core: float | Literal["tdp"]
    powercap_root: Path
    pids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Instruments:
    """The sensors that answered, and what is known about the others.

    tree: the processes whose CPU time counts, and whose GPUs.
    rapl: what the powercap tree offers. apple: what a Mac with Apple silicon offers.
    nvml: the library, or None where it was not asked for or does not answer; `no_nvml` says why.
    allotted: the boards that CUDA_VISIBLE_DEVICES leaves to this process.
    listed: the boards that --energy-gpus names.
    gpu_faults: why a board has no sensor, by channel name.
    gpu_notes: what a user should know about the boards, in sentences.
    rapl_was_asked_for: whether the user named the place of the tree.
    gpus_left_out: whether the user wants no GPU.
    """

    cpu_time: CpuTime
    tree: ProcessTree
    rapl: RaplProbe
    apple: AppleProbe
    gpu_sensors: tuple[Sensor, ...] = ()
    nvml: Nvml | None = None
    no_nvml: str = ""
    allotted: tuple[Allotted, ...] = ()
    listed: tuple[Allotted, ...] = ()
    gpu_faults: Mapping[str, str] = field(default_factory=dict)
    gpu_notes: tuple[str, ...] = ()
    rapl_was_asked_for: bool = False
    gpus_left_out: bool = False

    @property
    def counters(self) -> tuple[Sensor, ...]:
        """All but CPU time; those that wait for a tick come first."""
        on_cpu = (self.rapl.sensor, self.apple.sensor)
        return (*self.gpu_sensors, *(each for each in on_cpu if each is not None))

    @property
    def channels(self) -> tuple[Channel, ...]:
        sensors = (*self.counters, self.cpu_time)
        return tuple(
            channel
            for sensor in sensors
            for channel in sensor.channels
            if not (self.gpus_left_out and channel.kind is Kind.GPU)
        )

    @property
    def apple_gpu(self) -> Allotted | None:
        """The GPU of a Mac, where its energy can be read; which GPU that is, NVML doesn't know."""
        sensor = self.apple.sensor
        names = [each.name for each in sensor.channels] if sensor is not None else []
        return Allotted(Board(0, "")) if APPLE_GPU in names and not self.gpus_left_out else None

    @property
    def candidates(self) -> tuple[Allotted, ...]:
        """The boards that a test may use."""
        return tuple(dict.fromkeys((*self.allotted, *self.listed)))

    @property
    def no_cpu(self) -> str:
        """Why the CPU has no counter; "" where it has one."""
        return self.apple.no_cpu if self.apple.is_mac else self.rapl.problem

    @property
    def notes(self) -> tuple[str, ...]:
        """That the counter is not there is usual, unless its place was named."""
        unusual = {Access.DENIED, Access.FAULTY}
        if self.rapl_was_asked_for:
            unusual |= {Access.ABSENT, Access.MASKED}
        access = self.apple.access if self.apple.is_mac else self.rapl.access
        if access in unusual:
            told = f"the CPU's energy is estimated: {self.no_cpu}; pytest-energy doctor says more"
            return (*self.gpu_notes, told)
        return self.gpu_notes

    def close(self) -> None:
        if self.rapl.sensor is not None:
            self.rapl.sensor.release()
        if self.nvml is not None:
            self.nvml.close()


def discover(choice: Choice, cuda_visible_devices: str | None, clock: Clock) -> Instruments:
    """Probe this machine.

    Raises ValueError for a GPU or a process that a user names and that isn't there, and for a
    thermal design power that is asked for and isn't known.
    """
    tree = ProcessTree(choice.pids)
    cpu_time = CpuTime(_watts_per_core(choice), tree)
    rapl = probe_rapl(choice.powercap_root, clock)
    without_gpus = Instruments(
        cpu_time,
        tree,
        rapl,
        probe_apple(clock),
        rapl_was_asked_for=choice.powercap_root != DEFAULT_ROOT,
    )
    if choice.gpus.mode == "none":
        return replace(
            without_gpus, no_nvml="--energy-gpus none leaves all GPUs out", gpus_left_out=True
        )
    # pynvml is imported here, where a marked test runs, and not when pytest starts.
    from pytest_energy.sensors import gpu_energy
    from pytest_energy.sensors.gpu_power import GpuPower
    from pytest_energy.sensors.nvml import Nvml

    try:
        nvml = Nvml()
    except SensorFault as fault:
        apple = without_gpus.apple_gpu
        if apple is not None and choice.gpus.listed in ((), ("0",)):
            chosen = (apple,) if choice.gpus.listed else ()
            return replace(without_gpus, no_nvml=str(fault), listed=chosen)
        if choice.gpus.listed or choice.gpus.mode == PER_WORKER:
            asked = ",".join(choice.gpus.listed) or PER_WORKER
            raise ValueError(f"--energy-gpus {asked}: {fault}") from None
        return replace(without_gpus, no_nvml=str(fault))
    boards = nvml.boards
    mine = allotted(cuda_visible_devices, boards)
    named = listed(choice.gpus.listed, boards)
    watched = {each.board.index for each in (*mine, *named)}
    candidates = [gpu for gpu in nvml.gpus if gpu.board.index in watched]
    probed = gpu_energy.probe(nvml, clock, candidates)
    periods, no_counter = probed.periods, probed.faults
    readers, no_power = _power_readers(nvml, [gpu for gpu in candidates if gpu not in periods])
    sensors: list[Sensor] = []
    if periods:
        sensors.append(gpu_energy.GpuEnergy(nvml, clock, periods, probed.idle_watts))
    if readers:
        sensors.append(GpuPower(readers, clock))
    faults = {gpu.channel: f"{no_counter[gpu]}; {no_power[gpu]}" for gpu in no_power}
    faults |= {f"gpu:{index}": fault for index, fault in nvml.faults.items()}
    return replace(
        without_gpus,
        gpu_sensors=tuple(sensors),
        nvml=nvml,
        allotted=mine,
        listed=named,
        gpu_faults=faults,
        gpu_notes=(
            *probed.notes,
            *(
                f"{reader.gpu.channel}: power is integrated, because {no_counter[reader.gpu]}"
                for reader in readers
            ),
        ),
    )


def _watts_per_core(choice: Choice) -> float:
    if choice.cpu_watts_per_core != "tdp":
        return choice.cpu_watts_per_core
    from pytest_energy.sensors.tdp import watts_per_core

    return watts_per_core()


def _power_readers(nvml: Nvml, gpus: Sequence[Gpu]) -> tuple[list[PowerReader], dict[Gpu, str]]:
    from pytest_energy.sensors.gpu_power import PowerReader

    readers: list[PowerReader] = []
    faults: dict[Gpu, str] = {}
    for gpu in gpus:
        try:
            watts, instant = nvml.power_reader(gpu)
        except SensorFault as fault:
            faults[gpu] = str(fault)
        else:
            readers.append(PowerReader(gpu, watts, instant))
    return readers, faults
