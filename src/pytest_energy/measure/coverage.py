"""Which GPUs a test uses, and which channels its limit covers; decisions without any reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytest_energy.budgets.budget import Budget, Scope
from pytest_energy.measure.accelerators import DeviceUse, plain_uuid
from pytest_energy.record import CPU_TIME_METHOD
from pytest_energy.sensors.base import Channel, Kind, Provenance
from pytest_energy.sensors.visible import Allotted

_WORST_FIRST = (Provenance.ESTIMATED, Provenance.INTEGRATED, Provenance.MEASURED)


@dataclass(frozen=True)
class GpuFacts:
    """What is known about GPUs and processes when a test's warm-up has run.

    process_ids: by board index, the driver's process ids, or None where it won't tell.
    our_process_ids: this process and its descendants.
    ids_match: whether the driver and we number processes alike (no PID namespace between).
    apple: the GPU of a Mac, where its energy can be read.
    """

    mode: str
    allotted: tuple[Allotted, ...]
    listed: tuple[Allotted, ...]
    held: DeviceUse
    process_ids: Mapping[int, frozenset[int] | None]
    our_process_ids: frozenset[int]
    ids_match: bool
    apple: Allotted | None = None


@dataclass(frozen=True)
class GpusInUse:
    """The boards in use, and why they are taken to be; `note` is for the summary."""

    devices: tuple[Allotted, ...] = ()
    why: str = ""
    note: str = ""
    problem: str = ""


def gpus_in_use(facts: GpuFacts) -> GpusInUse:
    """The union of what libraries hold, the driver's processes of ours, and what the user lists."""
    if facts.mode == "none":
        return GpusInUse(why="--energy-gpus none")
    found = list(facts.listed)
    # macOS doesn't list who uses its GPU: torch and the user are all who tell.
    if facts.apple is not None and (facts.held.mps or facts.mode == "all"):
        found.append(facts.apple)
    problem = ""
    for uuid in facts.held.cuda_uuids:
        # Where torch doesn't tell the UUID, it may be any board of ours.
        matching = [each for each in facts.allotted if not uuid or _is(each, uuid)]
        if not matching:
            problem = f"CUDA was used on a device that NVML does not list ({uuid or 'unknown'})"
        found += matching
    ours = _boards_of_ours(facts)
    found += [each for each in facts.allotted if each.board.index in ours]
    if hidden := ours - {each.board.index for each in (*facts.allotted, *facts.listed)}:
        problem = problem or (
            f"gpu:{min(hidden)} was used, which CUDA_VISIBLE_DEVICES hides from this process; "
            "name it with --energy-gpus"
        )
    if facts.mode == "all":
        return GpusInUse(_once([*found, *facts.allotted]), "--energy-gpus all", problem=problem)
    if found or problem:
        return GpusInUse(_once(found), "in use", problem=problem)
    if not facts.allotted:
        return GpusInUse(why="no GPU is allotted to this process")
    told = all(facts.process_ids.get(each.board.index) is not None for each in facts.allotted)
    if told and facts.ids_match:
        return GpusInUse(why="the driver lists no process of this test on a GPU")
    names = ", ".join(f"gpu:{each.board.index}" for each in facts.allotted)
    return GpusInUse(
        facts.allotted,
        "process ids can't be matched",
        f"the driver's process ids can't be matched with ours here, so all allotted GPUs count "
        f"({names}); name those in use with --energy-gpus",
    )


def _boards_of_ours(facts: GpuFacts) -> frozenset[int]:
    """Indices of the boards on which the driver lists a process of ours."""
    if not facts.ids_match:  # an equal number is another process
        return frozenset()
    return frozenset(
        index
        for index, pids in facts.process_ids.items()
        if pids is not None and pids & facts.our_process_ids
    )


def _is(device: Allotted, uuid: str) -> bool:
    uuids = [device.board.uuid, *(mig.uuid for mig in device.board.migs)]
    return uuid in [plain_uuid(each) for each in uuids]


def _once(devices: Sequence[Allotted]) -> tuple[Allotted, ...]:
    return tuple(dict.fromkeys(sorted(devices, key=lambda each: each.board.index)))


@dataclass(frozen=True)
class Coverage:
    """What one test's limit covers.

    scope: gpu, cpu or all; auto is resolved. gated: channels whose joules the limit covers.
    shown: channels that are measured beside them. method: the weakest provenance gated, or
    "cpu-time". problem: why the test can't be measured, or "". guessed: the gated GPUs are all that
    are allotted, because nothing tells which are in use.
    """

    scope: Scope
    gated: tuple[Channel, ...]
    shown: tuple[Channel, ...]
    method: str
    problem: str = ""
    notes: tuple[str, ...] = ()
    guessed: bool = False

    @property
    def channels(self) -> tuple[Channel, ...]:
        return (*self.gated, *self.shown)

    @property
    def gated_names(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.gated)

    @property
    def window_seconds(self) -> float:
        """What the gated channels need; a shown one is read in the same window."""
        return max((channel.window_seconds for channel in self.gated), default=0.0)

    @property
    def tolerance(self) -> float:
        """The fraction over a limit that another session could explain (rule A)."""
        counted = (Provenance.MEASURED, Provenance.INTEGRATED)
        return 0.03 if self.method in counted else 0.15


@dataclass(frozen=True)
class Offer:
    """What can be read on this machine, and why other instruments can't be.

    gpu_faults: by channel name. no_nvml, no_cpu, no_apple: "" where the instrument answers.
    """

    channels: tuple[Channel, ...]
    gpu_faults: Mapping[str, str] = field(default_factory=dict)
    no_nvml: str = ""
    no_cpu: str = ""
    no_apple: str = ""


def cover(
    budget: Budget, in_use: GpusInUse, held: DeviceUse, offer: Offer, *, require_measured: bool
) -> Coverage:
    """Decide what a limit covers from the channels that can be read and the GPUs in use."""
    used = tuple(dict.fromkeys(f"gpu:{each.board.index}" for each in in_use.devices))
    gpu = tuple(channel for channel in offer.channels if channel.name in used)
    cpu = tuple(channel for channel in offer.channels if channel.kind is not Kind.GPU)
    scope = budget.scope
    if scope is Scope.AUTO:
        scope = Scope.CPU if budget.counts_cpu_time or not used else Scope.GPU
    best_cpu = _best(budget, cpu)
    gated = {Scope.GPU: gpu, Scope.CPU: best_cpu, Scope.ALL: (*gpu, *best_cpu)}[scope]
    method = _method(budget, gated)
    problem = ""
    if not budget.covers_cpu_alone:
        problem = _unseen(in_use, held, used, offer)
    if not problem:
        problem = _missing(scope, in_use, gated, offer)
    enough = (Provenance.MEASURED, CPU_TIME_METHOD)
    if not problem and require_measured and budget.limit is not None and method not in enough:
        names = ", ".join(each.name for each in gated if str(each.provenance) == method)
        why = f" ({offer.no_cpu})" if offer.no_cpu and gated == best_cpu else ""
        problem = f"--energy-require measured asks for a counter, and {names} is {method}{why}"
    shown = tuple(channel for channel in (*gpu, *cpu) if channel not in gated)
    return Coverage(
        scope,
        gated,
        shown,
        method,
        problem,
        notes=(in_use.note,) if in_use.note else (),
        guessed=bool(in_use.note) and scope is not Scope.CPU,
    )


def _best(budget: Budget, cpu: Sequence[Channel]) -> tuple[Channel, ...]:
    """Counters where there are some, else the estimate, and never both in one sum."""
    counters = tuple(each for each in cpu if each.provenance is Provenance.MEASURED)
    estimates = tuple(each for each in cpu if each.provenance is Provenance.ESTIMATED)
    return estimates if budget.counts_cpu_time else counters or estimates


def _method(budget: Budget, gated: Sequence[Channel]) -> str:
    if budget.counts_cpu_time:
        return CPU_TIME_METHOD
    provenances = {channel.provenance for channel in gated}
    return next((str(each) for each in _WORST_FIRST if each in provenances), "")


def _unseen(
    in_use: GpusInUse,
    held: DeviceUse,
    used: Sequence[str],
    offer: Offer,
) -> str:
    """Work that happened where no sensor looks."""
    if held.elsewhere:
        return f"{held.elsewhere[0]} was used, and no sensor reads it"
    if held.mps and not used:
        why = f": {offer.no_apple}" if offer.no_apple else ""
        return f"an Apple GPU (MPS) was used, and no sensor reads it{why}"
    if held.cuda_uuids and offer.no_nvml:
        return f"CUDA was used, and its energy can't be read: {offer.no_nvml}"
    if in_use.problem:
        return in_use.problem
    for device in in_use.devices:
        if device.mig is not None and not device.mig.whole:
            return (
                f"a MIG slice of gpu:{device.board.index} was used, "
                "and the counter holds the whole board's energy"
            )
    for name in used:
        if name in offer.gpu_faults:
            return f"{name} can't be read: {offer.gpu_faults[name]}"
    return ""


def _missing(scope: Scope, in_use: GpusInUse, gated: Sequence[Channel], offer: Offer) -> str:
    """A scope without the counters that it needs."""
    if scope is Scope.GPU and not gated:
        return f'scope="gpu" and no GPU in use: {offer.no_nvml or in_use.why}'
    estimates = [each.name for each in gated if each.provenance is Provenance.ESTIMATED]
    if scope is Scope.ALL and estimates:
        return (
            f'scope="all" needs a counter for the CPU: {offer.no_cpu} ({estimates[0]} is an '
            "estimate, which is never added to a measurement)"
        )
    return ""
