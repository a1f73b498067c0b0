"""Which GPUs count: --energy-gpus, CUDA_VISIBLE_DEVICES, and one GPU for each xdist worker.

CUDA_VISIBLE_DEVICES is read as CUDA reads it. The list ends at the first entry that names no
device: "0,-1,1" shows device 0 alone.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from pytest_energy.errors import InputError
from pytest_energy.sensors.base import Access, Kind, Probe

if TYPE_CHECKING:
    from pytest_energy.sensors.gpu_activity import GpuActivity

NO_GPUS = "--energy-gpus none leaves all GPUs out"
PER_WORKER = "per-worker"
#: Digits of the index of a GPU: no machine has as many.
LONGEST_INDEX = 9
VISIBLE = "CUDA_VISIBLE_DEVICES"
WORKER = "PYTEST_XDIST_WORKER"


@dataclass(frozen=True)
class GpuChoice:
    """What --energy-gpus says: "auto", "all", "none" or "per-worker"; a list adds to "auto"."""

    mode: str = "auto"
    listed: tuple[str, ...] = ()


@dataclass(frozen=True)
class MigDevice:
    """One slice of a board. `whole` where the slice is the whole board. profile: "7g.80gb"."""

    uuid: str
    whole: bool
    profile: str = ""


@dataclass(frozen=True)
class Board:
    """One GPU as NVML lists it. is_divided: into MIG slices, though none may be listed."""

    index: int
    uuid: str
    migs: tuple[MigDevice, ...] = ()
    is_divided: bool = False


@dataclass(frozen=True)
class Allotted:
    """A board that this process may use, and the slice of it where it is no whole board."""

    board: Board
    mig: MigDevice | None = None

    @property
    def is_part(self) -> bool:
        """Whether others may use the same board through slices of their own."""
        return self.board.is_divided if self.mig is None else not self.mig.whole


def is_cuda_order_open(value: str | None, order: str | None, models: Sequence[str]) -> bool:
    """Whether numbers in CUDA_VISIBLE_DEVICES may mean other boards to CUDA than to NVML.

    CUDA numbers boards of different `models` by speed, unless CUDA_DEVICE_ORDER says otherwise.
    """
    by_number = any(word.strip().isdecimal() for word in (value or "").split(","))
    return by_number and order != "PCI_BUS_ID" and len(set(models)) > 1


def allotted(value: str | None, boards: Sequence[Board]) -> tuple[Allotted, ...]:
    """The boards that CUDA_VISIBLE_DEVICES (None where it is not set) leaves to this process.

    Indices are taken in NVML's order (PCI); see `is_cuda_order_open`.
    """
    if value is None:
        return tuple(_enumerated(boards))
    found: list[Allotted] = []
    for word in value.split(","):
        device = _named(word.strip(), boards)
        if device is None:
            break
        if device in found:
            return ()  # CUDA refuses a list that names a device twice
        found.append(device)
    return tuple(found)


def listed(names: Sequence[str], boards: Sequence[Board]) -> tuple[Allotted, ...]:
    """The boards a user names by index or UUID. Raises InputError for one that does not exist."""
    found: list[Allotted] = []
    for name in names:
        device = _named(name, boards)
        if device is None:
            there = ", ".join(f"{board.index} ({board.uuid or 'lost'})" for board in boards)
            there = there or "none"
            raise InputError(f"--energy-gpus: no GPU {name!r} on this machine; available: {there}")
        if device not in found:
            found.append(device)
    return tuple(found)


def _enumerated(boards: Sequence[Board]) -> list[Allotted]:
    # Without a list CUDA shows a MIG board's first slice only.
    return [Allotted(board, board.migs[0] if board.migs else None) for board in boards]


def _named(word: str, boards: Sequence[Board]) -> Allotted | None:
    if word.isdecimal():
        # Python reads no integer of thousands of digits.
        index = int(word) if len(word) <= LONGEST_INDEX else len(boards)
        return _enumerated(boards)[index] if index < len(boards) else None
    if word.startswith("MIG-GPU-"):  # drivers before R470: MIG-GPU-<uuid>/<gi>/<ci>
        uuid = word.removeprefix("MIG-").partition("/")[0]
        slices = [
            Allotted(board, MigDevice(word, whole=False)) for board in boards if board.uuid == uuid
        ]
        return _only(slices)
    if word.startswith("MIG-"):
        return _only(
            [Allotted(b, mig) for b in boards for mig in b.migs if _begins(mig.uuid, word)]
        )
    if word.startswith("GPU-"):
        return _only([each for each in _enumerated(boards) if _begins(each.board.uuid, word)])
    return None


def _begins(uuid: str, prefix: str) -> bool:
    return uuid.lower().startswith(prefix.lower())


def _only(found: Sequence[Allotted]) -> Allotted | None:
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True, kw_only=True)
class GpuProbe(Probe):
    """Boards, and which of them count.

    boards: all of the machine. allotted: those that CUDA_VISIBLE_DEVICES leaves to this process.
    listed: those that --energy-gpus names. activity: watches who uses them. is_order_open: whether
    CUDA may number them otherwise.
    """

    boards: tuple[Board, ...] = ()
    allotted: tuple[Allotted, ...] = ()
    listed: tuple[Allotted, ...] = ()
    activity: GpuActivity | None = None
    is_order_open: bool = False


def no_gpus() -> GpuProbe:
    """What is found with --energy-gpus none."""
    return GpuProbe.unavailable(
        "GPUs", Access.ABSENT, {Kind.GPU}, NO_GPUS, applies=may_have_boards()
    )


def may_have_boards() -> bool:
    """Whether this kind of machine may have boards; a Mac has the GPU of its chip."""
    return platform.system() != "Darwin"


# --energy-gpus per-worker


def pin(environment: MutableMapping[str, str] = os.environ) -> None:
    """Leave a worker one of the GPUs that it may use, going by its number.

    Nothing changes where there is no GPU (measuring then says why), nor in a process that is no
    worker.
    """
    worker = re.fullmatch(r"gw(\d+)", environment.get(WORKER, ""))
    if worker and (devices := _devices(environment.get(VISIBLE))):
        environment[VISIBLE] = devices[int(worker[1]) % len(devices)]


def _devices(visible: str | None) -> Sequence[str]:
    """What CUDA_VISIBLE_DEVICES lists, or all boards by UUID: CUDA numbers them its own way."""
    if visible is not None:
        words = (word.strip() for word in visible.split(","))
        return list(takewhile(lambda word: word not in ("", "-1"), words))  # as CUDA reads it
    from pytest_energy.sensors.base import SensorFault
    from pytest_energy.sensors.nvml import Nvml

    try:
        nvml = Nvml()
    except SensorFault:
        return []
    uuids = [gpu.board.uuid for gpu in nvml.gpus]
    nvml.close()
    return uuids
