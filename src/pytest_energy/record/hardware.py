"""The hardware that a figure depends on, in words and as a file's name; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from pytest_energy.record.schema import (
    ChannelRecord,
    GpuRecord,
    MachineRecord,
    RunRecord,
    TestRecord,
)
from pytest_energy.sensors.base import Kind

LONGEST_NAME = 120


def hardware_of(test: TestRecord, machine: MachineRecord) -> str:
    """What drew the gated joules: "NVIDIA H100 80GB HBM3 x1 @ 700 W", "AMD EPYC 7763, 2 cores".

    GPUs with their number in use, power limit and MIG profile; the processor where the figure
    covers it; what is on another machine as its exporter or the user calls it. Never a host's name.
    """
    elsewhere = Counter(each.hardware for each in test.channels if each.gated and each.hardware)
    gated = [each for each in test.channels if each.gated and not each.hardware]
    parts = [f"{name} x{count}, remote" for name, count in sorted(elsewhere.items())]
    if on_gpu := [each for each in gated if each.kind == Kind.GPU]:
        parts.append(_gpus(on_gpu, machine))
    if len(on_gpu) < len(gated):
        parts.append(f"{machine.cpu}, {machine.cpu_count} cores")
    return " + ".join(parts)


def hardware_names(record: RunRecord) -> tuple[str, ...]:
    """The hardware of each test where sessions on different hardware were merged, else ""."""
    names = [hardware_of(each, record.session_of(each).machine) for each in record.tests]
    differ = bool(record.sessions) and len(set(names) - {""}) > 1
    return tuple(each if differ else "" for each in names)


def boards_of(test: TestRecord, machine: MachineRecord) -> tuple[str, ...]:
    """The UUIDs of the gated boards, sorted; none where boards cannot be told apart."""
    gated = {each.name for each in test.channels if each.gated}
    boards = (board_of(name, machine) for name in gated)
    return tuple(sorted(each.uuid for each in boards if each is not None and each.uuid))


def file_name(hardware: str) -> str:
    """nvidia-h100-80gb-hbm3-x1-700w.jsonl"""
    words = re.sub(r"(\d) W\b", r"\1w", hardware)
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower())[:LONGEST_NAME].strip("-")
    return f"{slug or 'unknown'}.jsonl"


def _gpus(channels: Sequence[ChannelRecord], machine: MachineRecord) -> str:
    models = Counter(_model(board_of(each.name, machine), machine) for each in channels)
    return " + ".join(
        f"{name} x{count}{settings}" for (name, settings), count in sorted(models.items())
    )


def _model(board: GpuRecord | None, machine: MachineRecord) -> tuple[str, str]:
    """A board's name, and how it is set."""
    if board is None:  # a part of the chip
        return f"{machine.cpu} GPU", ""
    watts = board.power_limit_watts
    limit = "" if watts is None else f" @ {watts:.0f} W"
    return board.name, limit + (f", MIG {board.mig}" if board.mig else "")


def board_of(channel: str, machine: MachineRecord) -> GpuRecord | None:
    """The board of a channel such as "gpu:0"; records of the first version tell it by its place."""
    named = [each for each in machine.gpus if each.channel == channel]
    kind, _, index = channel.partition(":")
    if not named and kind == Kind.GPU and index in map(str, range(len(machine.gpus))):
        named = [each for each in machine.gpus[int(index) :] if not each.channel]
    return named[0] if named else None
