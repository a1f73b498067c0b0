"""The tables and keys of energy-budgets.toml as data, and one reader for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_energy.carbon.intensity import Basis
from pytest_energy.limits import checks
from pytest_energy.limits.budget import Scope
from pytest_energy.limits.toml_lines import LONGEST_REASON, Place, shortened
from pytest_energy.sensors.base import Kind, Provenance
from pytest_energy.sensors.remote_metrics import Unit
from pytest_energy.units import numbered

SCHEMA = 1


@dataclass(frozen=True)
class Key:
    """A key that a table may have: what reads its value, and a line that works."""

    read: Callable[[object], Any]
    example: str

    def called(self, name: str) -> str:
        """How messages name the key: `max`, and `[defaults]` for a table."""
        return self.example if self.is_table else name

    @property
    def is_table(self) -> bool:
        return self.example.startswith("[")


def _schema(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value != SCHEMA:
        raise ValueError("it is not the number of a schema")
    return value


TOP = "the lines above all tables"
HARDWARE = "[hardware.NAME]"
BUDGET = "[[budget]]"
REMOTE = "[[remote]]"
_SCOPE = Key(checks.one_of(Scope), 'scope = "gpu"')
_METHOD = Key(checks.one_of(Provenance), 'method = "measured"')
_MAX_INCREASE = Key(checks.fraction, 'max_increase = "5 %"')

#: What messages call a table -> its keys.
TABLES: Mapping[str, Mapping[str, Key]] = {
    TOP: {
        "schema": Key(_schema, f"schema = {SCHEMA}"),
        "defaults": Key(checks.table, "[defaults]"),
        "carbon": Key(checks.table, "[carbon]"),
        "estimate": Key(checks.table, "[estimate]"),
        "hardware": Key(checks.table, "[hardware.a100]"),
        "budget": Key(checks.tables, BUDGET),
        "remote": Key(checks.tables, REMOTE),
    },
    "[defaults]": {
        "tolerance": Key(checks.fraction, 'tolerance = "3 %"'),
        "max_increase": _MAX_INCREASE,
        "scope": _SCOPE,
        "max_seconds": Key(checks.positive, "max_seconds = 60"),
    },
    "[carbon]": {
        "intensity": Key(checks.intensity, 'intensity = "300 gCO2e/kWh"'),
        "source": Key(checks.text, 'source = "Ember 2024"'),
        "year": Key(checks.whole(1990, 2100), "year = 2024"),
        "basis": Key(checks.one_of(Basis), 'basis = "location"'),
        "pue": Key(checks.pue, "pue = 1.2"),
        "embodied": Key(checks.embodied, 'embodied = "0.2 gCO2e / 1000 queries"'),
    },
    "[estimate]": {
        "cpu_watts_per_core": Key(checks.watts_per_core, "cpu_watts_per_core = 4"),
    },
    HARDWARE: {
        "gpu": Key(checks.text, 'gpu = "*A100*"'),
        "cpu": Key(checks.text, 'cpu = "*EPYC 7763*"'),
        "gpu_count": Key(checks.whole(0), "gpu_count = 1"),
        "power_limit": Key(checks.watts, 'power_limit = "300 W"'),
        "method": _METHOD,
    },
    BUDGET: {
        "id": Key(checks.text, 'id = "answers"'),
        "tests": Key(checks.test_ids, 'tests = "tests/test_chat.py::test_answer"'),
        "task": Key(checks.text, 'task = "text-generation"'),
        "model": Key(checks.text, 'model = "gpt2"'),
        "hardware": Key(checks.text, 'hardware = "a100"'),
        "scope": _SCOPE,
        "method": _METHOD,
        "max": Key(checks.limits, 'max = "2.1 Wh / 1000 queries"'),
        "max_carbon": Key(checks.carbon_limit, 'max_carbon = "0.5 gCO2e / 1000 queries"'),
        "max_increase": _MAX_INCREASE,
        "message": Key(checks.text, 'message = "agreed in May: ask before you raise it"'),
    },
    REMOTE: {
        "endpoint": Key(checks.text, 'endpoint = "box"'),
        "metric": Key(checks.text, 'metric = "my_meter_energy_joules_total"'),
        "labels": Key(checks.labels, 'labels = { gpu = "0" }'),
        "kind": Key(checks.one_of(Kind), 'kind = "gpu"'),
        "unit": Key(checks.one_of(Unit), 'unit = "J"'),
    },
}
#: What the marker calls a limit.
_OTHER_WORDS = {"limit": "max"}


def example(table: str, key: str) -> str:
    """A line that works."""
    return TABLES[table][key].example


#: More mistakes than anybody reads at once are counted, and not shown.
MOST_MISTAKES = 100


class Mistakes:
    """The mistakes in a file that messages call `shown`, each a line of its own."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self._found: list[tuple[int, str]] = []
        self._more = 0

    def origin(self, place: Place) -> str:
        return f"{self.shown}:{place.line}"

    def add(self, place: Place, why: str, example: str) -> None:
        """Note what is wrong at a place, and a line that works."""
        self._add(place, place.written, why, example)

    def add_unknown(self, place: Place, why: str, example: str) -> None:
        """The same for a key whose value nobody here asks for, so it isn't shown."""
        self._add(place, place.key or place.written, why, example)

    @property
    def are_many(self) -> bool:
        """Whether further ones are only counted, so that their sentences are not needed."""
        return len(self._found) >= MOST_MISTAKES

    def _add(self, place: Place, shown: str, why: str, example: str) -> None:
        if self.are_many:
            self._more += 1
            return
        written = f"{shown}: " if shown else ""
        reason = f"{shortened(why, LONGEST_REASON)}; for example {shortened(example)}"
        self._found.append((place.line, f"{self.origin(place)}: {written}{reason}"))

    @property
    def lines(self) -> list[str]:
        """In the order of the file."""
        lines = [message for _, message in sorted(self._found, key=lambda each: each[0])]
        return (
            [*lines, f"{self.shown}: {numbered(self._more, 'more mistake')}"]
            if self._more
            else lines
        )


@dataclass(frozen=True)
class Given:
    """What a table holds: its values that are right, and the keys that are there or meant."""

    values: dict[str, Any]
    meant: frozenset[str]


def read_table(title: str, table: Mapping[str, object], place: Place, mistakes: Mistakes) -> Given:
    """Read one of TABLES; its unknown keys and wrong values become mistakes."""
    keys = TABLES[title]
    values = {}
    meant = set()
    for name, value in table.items():
        if name not in keys:
            probably = None if mistakes.are_many else _probably(name, keys)
            mistakes.add_unknown(place.at(name), *_unknown(name, title, place.at(name), probably))
            meant.add(probably or name)
            continue
        meant.add(name)
        try:
            values[name] = keys[name].read(value)
        except ValueError as error:
            mistakes.add(place.at(name), str(error), keys[name].example)
    return Given(values, frozenset(meant))


def _probably(name: str, keys: Mapping[str, Key]) -> str | None:
    other = _OTHER_WORDS.get(name)
    return other if other in keys else checks.near(name, keys)


def _unknown(name: str, title: str, place: Place, probably: str | None) -> tuple[str, str]:
    """Why a key can't stand in a table, and a line that can."""
    keys = TABLES[title]
    what = "table" if place.written.startswith("[") else f"key in {title}"
    homes = [home for home, known in TABLES.items() if name in known and not known[name].is_table]
    if homes:
        advice, line = f"it belongs in {' or '.join(homes)}", example(homes[0], name)
    elif probably:
        advice, line = f"did you mean {keys[probably].called(probably)}?", keys[probably].example
    else:
        known = ", ".join(key.called(each) for each, key in keys.items())
        advice, line = f"known: {known}", next(iter(keys.values())).example
    return f"unknown {what} ({advice})", line
