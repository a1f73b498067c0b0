"""Which GPUs a test uses, and which channels its limit covers; decisions without any reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytest_energy.errors import Reason
from pytest_energy.limits.budget import Budget, Scope
from pytest_energy.record.schema import CPU_TIME_METHOD
from pytest_energy.sensors.accelerators import DeviceUse, plain_uuid
from pytest_energy.sensors.base import Channel, Kind, Provenance
from pytest_energy.sensors.cpu_time import CHANNEL as CPU_TIME_CHANNEL
from pytest_energy.sensors.gpu_choice import Allotted

_WORST_FIRST = (Provenance.ESTIMATED, Provenance.INTEGRATED, Provenance.MEASURED)


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """What is known about GPUs and processes when a test's warm-up has run, or at its end.

    process_ids: by board index, the driver's process ids, those seen in a window included, or None
    where it won't tell.
    our_process_ids: this process and its descendants.
    ids_match: whether the driver and we number processes alike (no PID namespace between).
    chip_gpu: the GPU of the chip, where its energy can be read.
    boards: all of the machine. rises: watts by which boards rose with the work, by index.
    of_others: indices of the boards on which the driver lists processes of others.
    before: what libraries held when the measurement began. listed_before: our processes that the
    driver listed then, by board index. flat: indices of the boards whose power never rose since.
    order: why numbers in CUDA_VISIBLE_DEVICES may mean other boards, or "".
    """

    mode: str
    allotted: tuple[Allotted, ...]
    listed: tuple[Allotted, ...]
    held: DeviceUse
    process_ids: Mapping[int, frozenset[int] | None]
    our_process_ids: frozenset[int]
    ids_match: bool
    chip_gpu: Allotted | None = None
    boards: tuple[Allotted, ...] = ()
    rises: Mapping[int, float] = field(default_factory=dict)
    of_others: frozenset[int] = frozenset()
    order: str = ""
    before: DeviceUse = field(default_factory=DeviceUse)
    listed_before: Mapping[int, frozenset[int]] = field(default_factory=dict)
    flat: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class GpusInUse:
    """The boards in use, and why they are taken to be; `note` is for the summary.

    is_guess: they are all that are allotted, because nothing tells which are in use.
    """

    devices: tuple[Allotted, ...] = ()
    why: str = ""
    note: str = ""
    problem: str = ""
    is_guess: bool = False


def gpus_in_use(facts: GpuFacts) -> GpusInUse:
    """The union of what libraries hold, the driver's processes of ours, and what the user lists."""
    if facts.mode == "none":
        return GpusInUse(why="--energy-gpus none")
    found = list(facts.listed)
    # The system does not list who uses the GPU of a chip: only torch and the user know.
    if facts.chip_gpu is not None and (facts.held.chip_gpu or facts.mode == "all"):
        found.append(facts.chip_gpu)
    problem: str = ""
    for uuid in facts.held.cuda_uuids:
        # Where nobody tells the UUID, it may be any board of ours.
        boards = (*facts.allotted, *facts.boards)
        named = tuple(each for each in boards if _is(each, uuid))[:1]
        matching = named if uuid else facts.allotted
        if matching and _is_only_held(facts, uuid, matching):
            continue
        if not matching:
            problem = Reason(
                "gpu-unlisted",
                f"CUDA was used on a device that the driver does not list ({uuid or 'unknown'})",
            )
        found += matching
    ours = _boards_of_ours(facts)
    found += [each for each in facts.allotted if each.board.index in ours]
    sentence = all(facts.process_ids.get(each.board.index) is not None for each in facts.allotted)
    is_trusted = sentence and facts.ids_match
    # Where nothing else tells, all boards count below: more than one may work.
    risen = _risen(facts, found) if found or is_trusted else []
    found += risen
    note = "; ".join(_rose(facts, each) for each in risen)
    if hidden := ours - {each.board.index for each in (*facts.allotted, *facts.listed)}:
        problem = problem or Reason(
            "gpu-hidden",
            f"gpu:{min(hidden)} was used, which CUDA_VISIBLE_DEVICES hides from this process; "
            "name it with --energy-gpus",
        )
    if facts.mode == "all":
        return GpusInUse(
            devices=_once([*found, *facts.allotted]), why="--energy-gpus all", problem=problem
        )
    if found or problem:
        return GpusInUse(devices=_once(found), why="in use", note=note, problem=problem)
    if not facts.allotted:
        return GpusInUse(why="no GPU is allotted to this process")
    if is_trusted:
        return GpusInUse(why="the driver lists no process of this test on a GPU")
    names = ", ".join(f"gpu:{each.board.index}" for each in facts.allotted)
    return GpusInUse(
        devices=facts.allotted,
        why="process ids can't be matched",
        note=f"the driver's process ids can't be matched with ours here, so all allotted GPUs "
        f"count ({names}); {facts.order or 'name those in use with --energy-gpus'}",
        is_guess=True,
    )


def _risen(facts: GpuFacts, found: Sequence[Allotted]) -> list[Allotted]:
    """Boards whose power rose with the work, where no list tells that it was others'."""
    return [
        each
        for each in facts.allotted
        if each.board.index in facts.rises
        and each not in found
        and not (facts.ids_match and each.board.index in facts.of_others)
    ]


def _rose(facts: GpuFacts, device: Allotted) -> str:
    index = device.board.index
    listed = "no process is listed" if facts.ids_match else "process ids can't be matched with ours"
    return (
        f"gpu:{index} rose by {facts.rises[index]:.0f} W while the test ran, and {listed}: counted"
    )


def _boards_of_ours(facts: GpuFacts) -> frozenset[int]:
    """Indices of the boards on which the driver lists a process of ours."""
    if not facts.ids_match:  # an equal number is another process
        return frozenset()
    return frozenset(
        index
        for index, pids in facts.process_ids.items()
        if pids is not None
        and (ours := pids & facts.our_process_ids)
        and not (index in facts.flat and ours <= facts.listed_before.get(index, frozenset()))
    )


def _is_only_held(facts: GpuFacts, uuid: str, devices: Sequence[Allotted]) -> bool:
    """Whether a context is left of what ran before, and these devices did nothing since."""
    return (
        uuid in facts.before.cuda_uuids
        and facts.held.allocations.get(uuid) == facts.before.allocations.get(uuid)
        and all(each.board.index in facts.flat for each in devices)
    )


def _is(device: Allotted, uuid: str) -> bool:
    uuids = [device.board.uuid, *(mig.uuid for mig in device.board.migs)]
    return uuid in [plain_uuid(each) for each in uuids]


def _once(devices: Sequence[Allotted]) -> tuple[Allotted, ...]:
    return tuple(dict.fromkeys(sorted(devices, key=lambda each: each.board.index)))


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What one test's limit covers.

    scope: gpu, cpu, all or machine; auto is resolved. gated: channels that the limit covers.
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
    def is_cpu_time(self) -> bool:
        """Whether CPU time decides, be it in joules."""
        return self.gated_names == (CPU_TIME_CHANNEL,)

    @property
    def tolerance(self) -> float:
        """The fraction over a limit that another session could explain (rule A)."""
        counted = (Provenance.MEASURED, Provenance.INTEGRATED)
        return 0.03 if self.method in counted else 0.15


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What can be read on this machine, and why other instruments can't be.

    gpu_faults: by channel name. no_gpu, no_cpu, no_chip_gpu: "" where the instrument answers.
    no_machine: "" also where no plugin has an instrument of the whole machine.
    """

    channels: tuple[Channel, ...]
    gpu_faults: Mapping[str, str] = field(default_factory=dict)
    no_gpu: str = ""
    no_cpu: str = ""
    no_chip_gpu: str = ""
    no_machine: str = ""


def cover(
    budget: Budget, in_use: GpusInUse, held: DeviceUse, offer: Offer, *, require_measured: bool
) -> Coverage:
    """Decide what a limit covers from the channels that can be read and the GPUs in use."""
    used = tuple(dict.fromkeys(f"gpu:{each.board.index}" for each in in_use.devices))
    elsewhere = tuple(each for each in offer.channels if each.is_elsewhere)
    gpu = tuple(each for each in offer.channels if each.name in used)
    gpu += tuple(each for each in elsewhere if each.kind is Kind.GPU)
    machine = tuple(channel for channel in offer.channels if channel.kind is Kind.MACHINE)
    others = (Kind.GPU, Kind.MACHINE)
    cpu = tuple(channel for channel in offer.channels if channel.kind not in others)
    scope = budget.scope
    if scope is Scope.AUTO:
        scope = Scope.CPU if budget.counts_cpu_time or not gpu else Scope.GPU
    best_cpu = _best(budget, cpu)
    gated = {
        Scope.GPU: gpu,
        Scope.CPU: best_cpu,
        Scope.ALL: (*gpu, *best_cpu),
        Scope.MACHINE: machine,
    }[scope]
    method = _method(budget, gated)
    problem: str = ""
    if not (budget.covers_cpu_alone or scope is Scope.MACHINE):  # its plug sees everything
        problem = _unseen(in_use, held, used, offer)
    if not problem:
        problem = _missing(scope, in_use, gated, offer)
    enough = (Provenance.MEASURED, CPU_TIME_METHOD)
    if not problem and require_measured and budget.limit is not None and method not in enough:
        names = ", ".join(each.name for each in gated if str(each.provenance) == method)
        why = f" ({offer.no_cpu})" if offer.no_cpu and gated == best_cpu else ""
        problem = Reason(
            "no-counter",
            f"--energy-require measured asks for a counter, and {names} is {method}{why}",
        )
    if not problem and budget.limit is not None and budget.method not in (None, method):
        why = f" ({offer.no_cpu})" if offer.no_cpu and gated == best_cpu else ""
        names = ", ".join(each.name for each in gated)
        problem = Reason(
            "method-changed",
            f"the limit of {budget.limit} ({budget.origin}) is for {budget.method} figures, and "
            f"{names} is {method}{why}; set a limit for this method, or mend the instrument",
        )
    shown = tuple(channel for channel in (*gpu, *cpu, *machine) if channel not in gated)
    return Coverage(
        scope=scope,
        gated=gated,
        shown=shown,
        method=method,
        problem=problem,
        notes=(in_use.note,) if in_use.note else (),
        guessed=in_use.is_guess and scope not in (Scope.CPU, Scope.MACHINE),
    )


def found_late(coverage: Coverage, in_use: GpusInUse) -> str:
    """Why rounds that covered less than what was in use by their end are no measurement; or ""."""
    if coverage.scope is Scope.MACHINE:
        return ""
    if in_use.problem:
        return in_use.problem
    late = [
        each.board.index
        for each in in_use.devices
        if f"gpu:{each.board.index}" not in coverage.gated_names
    ]
    if not late or in_use.is_guess:
        return ""
    why = f" ({in_use.note})" if in_use.note else ""
    return Reason(
        "gpu-late",
        f"gpu:{late[0]} was used after warm-up, and its joules aren't in this figure{why}; use it "
        f"from the first call on, or name it with --energy-gpus {late[0]}",
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
        return Reason("no-sensor", f"{held.elsewhere[0]} was used, and no sensor reads it")
    if held.chip_gpu and not used:
        why = f": {offer.no_chip_gpu}" if offer.no_chip_gpu else ""
        return Reason("no-sensor", f"{held.chip_gpu} was used, and no sensor reads it{why}")
    if held.cuda_uuids and offer.no_gpu:
        return Reason("no-sensor", f"CUDA was used, and no sensor reads it: {offer.no_gpu}")
    if in_use.problem:
        return in_use.problem
    for device in in_use.devices:
        if device.is_part:
            return Reason(
                "mig-slice",
                f"a MIG slice of gpu:{device.board.index} was used, "
                "and the counter holds the whole board's energy",
            )
    for name in used:
        if name in offer.gpu_faults:
            return Reason("gpu-unreadable", f"{name} can't be read: {offer.gpu_faults[name]}")
    return ""


def _missing(scope: Scope, in_use: GpusInUse, gated: Sequence[Channel], offer: Offer) -> str:
    """A scope without the counters that it needs."""
    if scope is Scope.GPU and not gated:
        why = offer.no_gpu or in_use.why
        return Reason("no-gpu-in-use", f'scope="gpu" and no GPU in use: {why}')
    if scope is Scope.MACHINE and not gated:
        why = offer.no_machine or "install a plugin that has one"
        return Reason("no-sensor", f'scope="machine" and no sensor of the whole machine: {why}')
    counted = {Provenance.MEASURED, Provenance.INTEGRATED}
    here = [each for each in gated if each.kind is Kind.CPU and not each.is_elsewhere]
    if scope is Scope.ALL and not {each.provenance for each in here} & counted:
        return Reason(
            "no-counter",
            f'scope="all" needs a counter for the CPU: {offer.no_cpu} ({CPU_TIME_CHANNEL} is an '
            "estimate, which is never added to a measurement)",
        )
    return ""
