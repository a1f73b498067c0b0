"""Which channels the joules of a run came from; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pytest_energy.record.schema import ChannelRecord, RunRecord, TestRecord
from pytest_energy.sensors.base import Kind


@dataclass(frozen=True, kw_only=True)
class Share:
    """One channel's part of the joules that are known in the same way.

    where: the processor beside it, where several sessions were merged. gated_in: the number of
    measurements whose limit covers it.
    """

    channel: ChannelRecord
    where: str
    joules: float = 0.0
    fraction: float = 0.0
    gated_in: int = 0


def shares(record: RunRecord) -> tuple[tuple[Share, ...], ...]:
    """A group for each processor and provenance, the largest share first.

    Estimates are never added to measurements, and an instrument that sees the whole machine sees
    what the others see once more, so each of these is a group of its own.
    """
    found: dict[tuple[str, str, str], dict[tuple[str, str], Share]] = {}
    for test in _once(record.last_attempts):
        units = sum(each.units for each in test.rounds if not each.warmup)
        for each in test.channels:
            if each.joules_per_unit is None:
                continue
            alone = each.name if each.kind == Kind.MACHINE else ""
            cpu = record.session_of(test).machine.cpu if record.sessions else ""
            group = found.setdefault((cpu, each.provenance, alone), {})
            key = (each.name, each.source)
            known = group.get(key) or Share(channel=each, where=cpu)
            group[key] = replace(
                known,
                joules=known.joules + each.joules_per_unit * units,
                gated_in=known.gated_in + each.gated,
            )
    return tuple(_with_fractions(list(group.values())) for group in found.values())


def _once(tests: Iterable[TestRecord]) -> Iterable[TestRecord]:
    """A measurement with several limits has a record for each; its joules count once."""
    found: dict[tuple[int, str, str | None], TestRecord] = {}
    for each in tests:
        found.setdefault((each.session, each.id, each.name), each)
    return found.values()


def _with_fractions(group: list[Share]) -> tuple[Share, ...]:
    total = sum(each.joules for each in group)
    return tuple(
        replace(each, fraction=each.joules / total if total else 0.0)
        for each in sorted(group, key=lambda each: -each.joules)
    )
