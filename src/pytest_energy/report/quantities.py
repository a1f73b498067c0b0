"""What formats for other tools hold of a measurement: exact figures, and what they are of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_energy.record.hardware import hardware_of
from pytest_energy.record.schema import RunRecord, SessionRecord, TestRecord
from pytest_energy.report.printable import all_printable
from pytest_energy.sensors.base import Provenance
from pytest_energy.units import JOULES_PER_KWH, label

#: What an amount of carbon needs and a session doesn't have.
NO_FACTOR = "no carbon factor was set"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One figure: joules for one unit of work, full precision.

    joules: of the machine, without the overhead of its data centre.
    """

    test: TestRecord
    session: SessionRecord
    hardware: str
    joules: float

    @property
    def label(self) -> str:
        return label(self.test.id, self.test.name)

    @property
    def is_estimate(self) -> bool:
        """Whether no instrument has measured these joules."""
        return self.test.method not in (Provenance.MEASURED, Provenance.INTEGRATED)

    @property
    def evidence(self) -> str:
        """How the joules are known: "measured", "integrated" or "estimated"."""
        return "estimated" if self.is_estimate else self.test.method

    @property
    def grams(self) -> float | None:
        """Grams of CO2e for one unit by the factor of its session; None without one."""
        carbon = self.session.carbon
        if carbon is None:
            return None
        return self.joules * carbon.grams_per_kwh * carbon.pue / JOULES_PER_KWH

    @property
    def pue(self) -> float:
        """kWh that the data centre takes for one kWh of the machine."""
        return self.session.carbon.pue if self.session.carbon is not None else 1.0

    @property
    def series(self) -> str:
        """A name for figures that may be compared: test, unit, evidence, scope and hardware."""
        test = self.test
        about = [f"per {test.unit}", test.method, test.scope, self.hardware]
        return f"{self.label} ({', '.join(filter(None, about))})"


def measured(record: RunRecord) -> list[Measured]:
    """Each figure of the last attempts once, whatever its limits; all texts are printable."""
    record = all_printable(record)
    found: dict[tuple[object, ...], Measured] = {}
    for test in record.last_attempts:
        if test.joules_per_unit is None:
            continue
        session = record.session_of(test)
        found.setdefault(
            kind_of(test),
            Measured(
                test=test,
                session=session,
                hardware=hardware_of(test, session.machine),
                joules=test.joules_per_unit,
            ),
        )
    return list(found.values())


def kind_of(test: TestRecord) -> tuple[object, ...]:
    """The same for each limit of one figure, and different for figures that differ."""
    return (test.session, test.id, test.name, test.unit, test.scope, test.method)


def distinct(names: Iterable[str]) -> Iterator[str]:
    """The names, of which equal ones are numbered from the second on: "a", "a #2"."""
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name} #{seen[name]}"
