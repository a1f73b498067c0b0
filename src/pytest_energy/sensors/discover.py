"""Find the instruments of this machine, by reading each before it is trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_energy.sensors.base import Channel, Clock, Sensor, SensorFault
from pytest_energy.sensors.cpu_time import CpuTime
from pytest_energy.sensors.visible import Allotted, GpuChoice, allotted, listed

if TYPE_CHECKING:
    from pytest_energy.sensors.gpu_power import PowerReader
    from pytest_energy.sensors.nvml import Gpu, Nvml


@dataclass(frozen=True)
class Instruments:
    """The sensors that answered, and what is known about the GPUs.

    nvml: the library, or None where it was not asked for or does not answer; `no_nvml` says why.
    allotted: the boards that CUDA_VISIBLE_DEVICES leaves to this process.
    listed: the boards that --energy-gpus names.
    gpu_faults: why a board has no sensor, by channel name.
    notes: what a user should know about the instruments, in sentences.
    """

    cpu_time: CpuTime
    gpu_sensors: tuple[Sensor, ...] = ()
    nvml: Nvml | None = None
    no_nvml: str = ""
    allotted: tuple[Allotted, ...] = ()
    listed: tuple[Allotted, ...] = ()
    gpu_faults: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        return (*self.gpu_sensors, self.cpu_time)

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(channel for sensor in self.sensors for channel in sensor.channels)

    def close(self) -> None:
        if self.nvml is not None:
            self.nvml.close()


def discover(
    choice: GpuChoice, cuda_visible_devices: str | None, cpu_watts_per_core: float, clock: Clock
) -> Instruments:
    """Probe this machine. Raises ValueError for a GPU that --energy-gpus names and isn't there."""
    cpu_time = CpuTime(cpu_watts_per_core)
    if choice.mode == "none":
        return Instruments(cpu_time, no_nvml="--energy-gpus none leaves all GPUs out")
    # pynvml is imported here, where a marked test runs, and not when pytest starts.
    from pytest_energy.sensors import gpu_energy
    from pytest_energy.sensors.gpu_power import GpuPower
    from pytest_energy.sensors.nvml import Nvml

    try:
        nvml = Nvml()
    except SensorFault as fault:
        if choice.listed:
            raise ValueError(f"--energy-gpus {','.join(choice.listed)}: {fault}") from None
        return Instruments(cpu_time, no_nvml=str(fault))
    boards = nvml.boards
    mine = allotted(cuda_visible_devices, boards)
    named = listed(choice.listed, boards)
    watched = {each.board.index for each in (*mine, *named)}
    candidates = [gpu for gpu in nvml.gpus if gpu.board.index in watched]
    periods, no_counter = gpu_energy.probe(nvml, clock, candidates)
    readers, no_power = _power_readers(nvml, [gpu for gpu in candidates if gpu not in periods])
    sensors: list[Sensor] = []
    if periods:
        sensors.append(gpu_energy.GpuEnergy(nvml, clock, periods))
    if readers:
        sensors.append(GpuPower(readers, clock))
    notes = tuple(
        f"{reader.gpu.channel}: power is integrated, because {no_counter[reader.gpu]}"
        for reader in readers
    )
    faults = {gpu.channel: f"{no_counter[gpu]}; {no_power[gpu]}" for gpu in no_power}
    faults |= {f"gpu:{index}": fault for index, fault in nvml.faults.items()}
    return Instruments(cpu_time, tuple(sensors), nvml, "", mine, named, faults, notes)


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
