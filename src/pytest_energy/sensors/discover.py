"""Find the instruments of this machine, by reading each before it is trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_energy.errors import InputError
from pytest_energy.sensors import CPU_COUNTER_FOLDER, apple, rapl
from pytest_energy.sensors.accelerators import plain_uuid
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
from pytest_energy.sensors.gpu_choice import (
    PER_WORKER,
    Allotted,
    Board,
    GpuChoice,
    GpuProbe,
    no_gpus,
)
from pytest_energy.sensors.process_tree import PidChoice, ProcessTree
from pytest_energy.sensors.remote_caches import PrefixCache, RemoteProbe

if TYPE_CHECKING:
    from pytest_energy.sensors.gpu_activity import GpuActivity
    from pytest_energy.sensors.remote_metrics import Endpoint, RemoteMetric

#: Channels of a chip with CPU and GPU in one.
CHIP_GPU = "gpu:0"
CHIP_CPU = "cpu:package-0"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a user chose.

    gpus: those that count. cpu_watts_per_core: of a busy core, for the estimate.
    cpu_counter_folder: where the energy counters of the CPU are.
    pids: processes whose CPU time counts beside the test's own. remotes: pages of other machines.
    remote_metrics: counters on these pages that the user names.
    """

    gpus: GpuChoice
    cpu_watts_per_core: float | Literal["tdp"]
    cpu_counter_folder: Path
    pids: PidChoice = field(default_factory=PidChoice)
    remotes: tuple[Endpoint, ...] = ()
    remote_metrics: tuple[RemoteMetric, ...] = ()


@dataclass(frozen=True)
class Request:
    """What a probe may need: the user's choice, this process's surroundings, and the clock.

    tree: the processes of the test, whose CPU time and GPUs count.
    """

    choice: Choice
    cuda_visible_devices: str | None
    clock: Clock
    tree: ProcessTree


def _nvidia(asked: Request) -> Probe:
    if asked.choice.gpus.mode == "none":
        return no_gpus()
    # Its library is imported where GPUs count, and not before.
    from pytest_energy.sensors import nvidia

    return nvidia.probe(asked.choice.gpus, asked.cuda_visible_devices, asked.clock, asked.tree)


#: The instruments of this project, in the order in which their windows open: those that wait for a
#: refresh of their counter come first. To add one, add a line.
BUILT_IN: tuple[Callable[[Request], Probe], ...] = (
    _nvidia,
    lambda asked: rapl.probe(asked.choice.cpu_counter_folder, asked.clock),
    lambda asked: apple.probe(asked.clock),
)


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """The sensors that answered, and what is known about the others.

    tree: the processes whose CPU time counts, and whose GPUs. added: pages of other machines, and
    what other plugins have probed. built_in: what this project has. activity: watches who uses the
    boards. boards: all of the machine. allotted: those that CUDA_VISIBLE_DEVICES leaves to this
    process. listed: those that --energy-gpus names. chip_gpu: the GPU of the chip, where its energy
    can be read; the system does not list who uses it. is_order_open: whether CUDA may number the
    boards otherwise. gpus_left_out: whether the user leaves all GPUs out. counts_servers: whether
    processes that a test talks to count.
    no_gpu, no_chip_gpu, no_cpu: why they are not measured; "" where they are.
    """

    cpu_time: CpuTime
    tree: ProcessTree
    added: tuple[Probe, ...] = ()
    built_in: tuple[Probe, ...]
    activity: GpuActivity | None = None
    boards: tuple[Board, ...] = ()
    allotted: tuple[Allotted, ...] = ()
    listed: tuple[Allotted, ...] = ()
    chip_gpu: Allotted | None = None
    is_order_open: bool = False
    gpus_left_out: bool = False
    counts_servers: bool = False
    no_gpu: str = ""
    no_chip_gpu: str = ""
    no_cpu: str = ""
    notes: tuple[str, ...] = ()

    @property
    def probes(self) -> tuple[Probe, ...]:
        """All of them, in the order in which their windows open."""
        return (*self.added, *self.built_in)

    @property
    def counters(self) -> tuple[Sensor, ...]:
        """All but CPU time; those that wait for a tick come first."""
        found = tuple(chain.from_iterable(each.sensors for each in self.probes))
        return found if self.activity is None else (*found, self.activity)

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(
            channel
            for sensor in (*self.counters, self.cpu_time)
            for channel in sensor.channels
            if not self.gpus_left_out or channel.kind is not Kind.GPU or channel.is_elsewhere
        )

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(chain.from_iterable(each.devices for each in self.probes))

    @property
    def gpus(self) -> tuple[Device, ...]:
        """The boards among the devices, which have numbers."""
        found = [each.devices for each in self.built_in if isinstance(each, GpuProbe)]
        return tuple(chain.from_iterable(found))

    @property
    def caches(self) -> tuple[PrefixCache, ...]:
        """Those of servers whose pages the user names."""
        found = (each.cache for each in self.added if isinstance(each, RemoteProbe))
        return tuple(each for each in found if each is not None)

    @property
    def candidates(self) -> tuple[Allotted, ...]:
        """The boards that a test may use."""
        return tuple(dict.fromkeys((*self.allotted, *self.listed)))

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Instruments that are missing or not used, of those that this machine may have."""
        return tuple(chain.from_iterable(each.missing for each in self.probes if each.applies))

    @property
    def no_machine(self) -> str:
        """Why instruments of the whole machine do not answer; "" where there are none."""
        found = [each.problem for each in self.probes if Kind.MACHINE in each.kinds]
        return "; ".join(filter(None, found))

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
        for each in reversed(self.probes):
            each.close()


def discover(
    choice: Choice,
    cuda_visible_devices: str | None,
    clock: Clock,
    added: Sequence[Probe] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Instruments:
    """Probe this machine; `added` is what other plugins have probed.

    say: takes a sentence about a long wait.

    Raises InputError for a GPU or a process that a user names and that is not there, and for a
    thermal design power that is asked for and unknown.
    """
    tree = ProcessTree(choice.pids.listed)
    cpu_time = CpuTime(_watts_per_core(choice), tree)
    asked = Request(choice, cuda_visible_devices, clock, tree)
    built_in = tuple(probe(asked) for probe in BUILT_IN)
    gpus = next(each for each in built_in if isinstance(each, GpuProbe))
    added = (*_remotes(asked, gpus.boards, built_in, say), *added)
    others = [each for each in built_in if each is not gpus]
    chip = next(each for each in others if Kind.GPU in each.kinds)
    cpu = [each for each in others if Kind.CPU in each.kinds and each.applies][-1]
    no_cpu = cpu.why_not(CHIP_CPU)
    found = Instruments(
        cpu_time=cpu_time,
        tree=tree,
        added=added,
        built_in=built_in,
        activity=gpus.activity,
        boards=gpus.boards,
        allotted=gpus.allotted,
        listed=gpus.listed,
        is_order_open=gpus.is_order_open,
        gpus_left_out=choice.gpus.mode == "none",
        counts_servers=choice.pids.is_auto,
        no_gpu=gpus.problem,
        no_chip_gpu=chip.left_out.get(CHIP_GPU, chip.problem),
        no_cpu=no_cpu,
        notes=(
            *chain.from_iterable(each.notes for each in (*added, *built_in)),
            *(() if _has_cpu_counter(added) else _estimated(cpu, no_cpu, choice)),
        ),
    )
    if found.gpus_left_out:
        return found
    if CHIP_GPU in [each.name for each in chip.channels]:
        found = replace(found, chip_gpu=Allotted(Board(0, "")))
    if not gpus.problem:
        return found
    if found.chip_gpu is not None and choice.gpus.listed in ((), ("0",)):
        return replace(found, listed=(found.chip_gpu,) if choice.gpus.listed else ())
    if choice.gpus.listed or choice.gpus.mode == PER_WORKER:
        asked_for = ",".join(choice.gpus.listed) or PER_WORKER
        raise InputError(f"--energy-gpus {asked_for}: {gpus.problem}")
    return found


def _remotes(
    asked: Request, boards: Sequence[Board], built_in: Sequence[Probe], say: Callable[[str], None]
) -> tuple[Probe, ...]:
    """The pages of other machines; what this machine counts itself isn't counted again."""
    if not asked.choice.remotes:
        return ()
    # What opens sockets is imported where the user asks for it, and not before.
    from pytest_energy.sensors import remote
    from pytest_energy.sensors.remote_counters import THIS, Taken

    own = {each.name: each.kind for probe in built_in for each in probe.channels}
    named = {f"gpu:{each.index}": plain_uuid(each.uuid) for each in boards if each.uuid}
    taken = Taken(
        boards={uuid: name for name, uuid in named.items() if name in own},
        parts={(kind, THIS): ("", "") for kind in own.values() if kind is not Kind.GPU},
    )
    return tuple(
        remote.probe(each, asked.choice.remote_metrics, asked.clock, taken, say)
        for each in asked.choice.remotes
    )


def _has_cpu_counter(added: Sequence[Probe]) -> bool:
    channels = chain.from_iterable(each.channels for each in added)
    return any(each.kind is Kind.CPU and not each.is_elsewhere for each in channels)


def _estimated(cpu: Probe, no_cpu: str, choice: Choice) -> tuple[str, ...]:
    """A note where it is unusual that there is no counter, or where its folder was named."""
    unusual = {Access.DENIED, Access.FAULTY}
    if choice.cpu_counter_folder != CPU_COUNTER_FOLDER:
        unusual |= {Access.ABSENT, Access.MASKED}
    if cpu.access not in unusual:
        return ()
    return (f"the CPU's energy is estimated: {no_cpu}; run pytest-energy doctor for details",)


def _watts_per_core(choice: Choice) -> float:
    if choice.cpu_watts_per_core != "tdp":
        return choice.cpu_watts_per_core
    from pytest_energy.sensors.tdp import watts_per_core

    return watts_per_core()
