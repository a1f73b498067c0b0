"""`RECORD RECORD`: two runs that were recorded before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_energy.compare.interrupts import Interrupts
from pytest_energy.compare.outcome import ComparisonRecord, CouldNotCompare, Side
from pytest_energy.compare.records import compare_records
from pytest_energy.compare.turns import Tell
from pytest_energy.record import schema as record


@dataclass(frozen=True)
class OfRecords:
    """Asks how the second record differs from the first, by rule B. max_increase: a fraction."""

    reference: Path
    candidate: Path
    max_increase: float

    @property
    def sides(self) -> tuple[Side, Side]:
        return Side(self.reference.name), Side(self.candidate.name)

    def answer(self, interrupts: Interrupts, tell: Tell) -> ComparisonRecord:
        """Raises CouldNotCompare."""
        del interrupts, tell  # nothing is run
        try:
            reference, candidate = record.read(self.reference), record.read(self.candidate)
        except record.RecordError as error:
            raise CouldNotCompare("a run record can't be read", str(error)) from None
        for path, found in ((self.reference, reference), (self.candidate, candidate)):
            if found.sessions:
                raise CouldNotCompare(
                    f"{path.name} was merged from {len(found.sessions)} sessions; name the record "
                    "of one session"
                )
        if reference.run.uuid == candidate.run.uuid:
            raise CouldNotCompare("both records are of the same run: there is nothing to compare")
        sides = (
            Side(self.reference.name, reference.run.commit),
            Side(self.candidate.name, candidate.run.commit),
        )
        return compare_records(reference, candidate, sides, self.max_increase)
