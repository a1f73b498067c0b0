"""Several run records as one, and back: shards of one run, several hardware classes; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pytest_energy.errors import InputError
from pytest_energy.record.schema import MachineRecord, Run, RunRecord, SessionRecord, TestRecord


def merge(records: Sequence[RunRecord]) -> RunRecord:
    """One record with the tests of all, whatever their order; of one record, that record.

    Each test keeps the run, the machine and the carbon factor of its session. A session that is
    given twice counts once. Raises InputError for none, and for two different records of one
    session.
    """
    if not records:
        raise InputError("no run record to merge; name one or more files of --energy-json")
    if all(each == records[0] for each in records):
        return records[0]
    sessions: dict[str, RunRecord] = {}
    for each in (part for record in records for part in split(record)):
        known = sessions.setdefault(each.run.uuid, each)
        if _own(known) != _own(each):
            raise InputError(
                f"two different records of the same session ({each.run.uuid}); name one of them"
            )
    parts = sorted(sessions.values(), key=lambda each: (each.run.start, each.run.uuid))
    found = tuple(
        SessionRecord(each.run, each.machine, each.carbon, each.fail_on) for each in parts
    )
    return RunRecord(
        run=_common_run([each.run for each in parts]),
        machine=_common_machine([each.machine for each in parts]),
        carbon=_common([each.carbon for each in parts], None),
        tests=tuple(
            replace(test, session=index) for index, each in enumerate(parts) for test in each.tests
        ),
        unused_budgets=_all(each.unused_budgets for each in records),
        unused_baselines=_all(each.unused_baselines for each in records),
        lost_tests=_all(each.lost_tests for each in records),
        sessions=found if len(found) > 1 else (),
        limit_changes=tuple(
            sorted(
                {each for record in records for each in record.limit_changes},
                key=lambda each: (each.subject, each.old, each.new, each.origin),
            )
        ),
        limits_base=_common([each.limits_base for each in records], ""),
        fail_on=_all(each.fail_on for each in records),
    )


def split(record: RunRecord) -> tuple[RunRecord, ...]:
    """A record for each session; of a record of one session, that record.

    What a merged record says of all its sessions, such as unused budgets, is in none of them.
    """
    if not record.sessions:
        return (record,)
    return tuple(
        RunRecord(
            run=each.run,
            machine=each.machine,
            carbon=each.carbon,
            fail_on=each.fail_on,
            tests=tuple(replace(test, session=0) for test in record.tests if test.session == index),
        )
        for index, each in enumerate(record.sessions)
    )


def in_order(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Each session of these records once, by its start."""
    by_run = {part.run.uuid: part for each in records for part in split(each)}
    return sorted(by_run.values(), key=lambda each: each.run.start)


def _own(record: RunRecord) -> tuple[SessionRecord, tuple[TestRecord, ...]]:
    """What a session keeps when it is merged."""
    return SessionRecord(record.run, record.machine, record.carbon, record.fail_on), record.tests


def _all(sentences: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """A sentence of one session holds for all: it reports only what no other could refute."""
    return tuple(sorted({each for some in sentences for each in some}))


def _common(values: Sequence[Any], otherwise: Any) -> Any:
    """What all of these are."""
    return values[0] if all(each == values[0] for each in values) else otherwise


def _common_run(runs: Sequence[Run]) -> Run:
    if len(runs) == 1:
        return runs[0]
    return Run(
        uuid=str(uuid5(NAMESPACE_URL, " ".join(each.uuid for each in runs))),
        start=min(each.start for each in runs),
        end=max(each.end for each in runs),
        versions={
            name: version
            for name, version in runs[0].versions.items()
            if all(each.versions.get(name) == version for each in runs)
        },
        commit=_common([each.commit for each in runs], None),
        folder=_common([each.folder for each in runs], ""),
    )


def _common_machine(machines: Sequence[MachineRecord]) -> MachineRecord:
    """What is the same in all of them, and the notes of each."""
    empty = MachineRecord()
    common = {
        each.name: _common([getattr(one, each.name) for one in machines], getattr(empty, each.name))
        for each in fields(MachineRecord)
    }
    notes = tuple(dict.fromkeys(note for each in machines for note in each.notes))
    return MachineRecord(**(common | {"notes": notes}))
