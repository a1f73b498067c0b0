"""energy-budgets.toml: read whole, and every mistake in it reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pytest_energy.carbon.intensity import Embodied, Intensity
from pytest_energy.errors import InputError
from pytest_energy.limits import checks
from pytest_energy.limits.budget import MaxIncrease, Scope
from pytest_energy.limits.checks import near
from pytest_energy.limits.index import MOST_PATTERNS, Index, patterns
from pytest_energy.limits.keys import (
    BUDGET,
    HARDWARE,
    REMOTE,
    SCHEMA,
    TOP,
    Given,
    Mistakes,
    example,
    read_table,
)
from pytest_energy.limits.limit import Limit
from pytest_energy.limits.toml_file import TomlFileError, parse_toml, read_text
from pytest_energy.limits.toml_lines import Place
from pytest_energy.sensors.base import Provenance
from pytest_energy.sensors.remote_metrics import RemoteMetric, known
from pytest_energy.units import Quantity

#: Names that a message lists.
MOST_SHOWN = 20


class BudgetsFileError(InputError):
    """A budgets file with mistakes; the message holds one line for each, with file and line."""


@dataclass(frozen=True)
class Defaults:
    """What holds where neither a marker nor a budget says otherwise."""

    tolerance: float | None = None
    scope: Scope | None = None
    max_seconds: float | None = None
    max_increase: MaxIncrease | None = None


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A class of machines: what its processor and GPUs are called, and how many there are.

    gpu, cpu: patterns with * and ?. gpu_count: GPUs that a test may use. power_limit_watts: of each
    of these GPUs. None matches any. method: the evidence that limits for these machines are for; a
    machine is of the class whatever it can measure.
    """

    name: str
    origin: str
    gpu: str | None = None
    cpu: str | None = None
    gpu_count: int | None = None
    power_limit_watts: float | None = None
    method: Provenance | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One [[budget]]: its limits, and which tests it is for.

    limits: each with its own place as file:line; none where the entry is only about increases.
    origin: the place of the entry itself.
    """

    origin: str
    limits: tuple[tuple[Limit, str], ...]
    id: str | None = None
    tests: tuple[str, ...] = ()
    task: str | None = None
    model: str | None = None
    hardware: str | None = None
    scope: Scope | None = None
    method: Provenance | None = None
    message: str = ""
    max_increase: MaxIncrease | None = None

    @property
    def is_of_flops(self) -> bool:
        """Whether all that it limits are FLOPs."""
        return bool(self.limits) and all(
            limit.quantity is Quantity.FLOPS for limit, _ in self.limits
        )

    @property
    def named(self) -> str:
        """How messages name the entry."""
        return f"{self.id!r} ({self.origin})" if self.id else self.origin


@dataclass(frozen=True, kw_only=True)
class BudgetsFile:
    """A file without mistakes; `shown` is its name in messages, "" where there is no file.

    pue scales the grams of whatever intensity is in force, and embodied stands beside it;
    `intensity` has both already.
    """

    shown: str = ""
    defaults: Defaults = field(default_factory=Defaults)
    intensity: Intensity | None = None
    pue: float | None = None
    embodied: tuple[Embodied, ...] = ()
    cpu_watts_per_core: float | Literal["tdp"] | None = None
    hardware: Mapping[str, Hardware] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    remotes: tuple[RemoteMetric, ...] = ()

    @cached_property
    def index(self) -> Index:
        """Which of the entries could name a test."""
        return Index(self.entries)


def read_budgets(path: Path, shown: str, project: Path | None = None) -> BudgetsFile:
    """Read a budgets file, which messages and origins call `shown`.

    project: the folder that the file may not lead out of, the current one where it is None.
    Raises BudgetsFileError with all mistakes in the file, each on a line, in the order of the file.
    """
    try:
        text = read_text(path, shown, project)
    except TomlFileError as error:
        raise BudgetsFileError(str(error)) from None
    return parse_budgets(text, shown)


def parse_budgets(text: str, shown: str) -> BudgetsFile:
    """The same for a file's text."""
    try:
        document, root = parse_toml(text, shown)
    except TomlFileError as error:
        raise BudgetsFileError(str(error)) from None
    schema = document.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        # What else looks wrong may be right in that schema.
        place = root.at("schema")
        raise BudgetsFileError(
            f"{shown}:{place.line}: {place.written}: the file is newer than this version of "
            f"pytest-energy, which reads schema {SCHEMA}; upgrade pytest-energy"
        )
    mistakes = Mistakes(shown)
    file = _file(document, root, mistakes)
    if mistakes.lines:
        raise BudgetsFileError("\n".join(mistakes.lines))
    return file


def _file(document: dict[str, object], root: Place, mistakes: Mistakes) -> BudgetsFile:
    """What the document holds; what is mistaken is noted and left out."""
    top = read_table(TOP, document, root, mistakes)
    if "schema" not in top.meant:
        mistakes.add(root, "the file does not say in which schema it is", f"schema = {SCHEMA}")

    def section(name: str) -> Given:
        place = root.inside.get(name, root)
        return read_table(f"[{name}]", top.values.get(name, {}), place, mistakes)

    carbon = section("carbon")
    embodied = tuple(
        Embodied(each.unit, each.base_per_unit, mistakes.origin(root.at("carbon", "embodied")))
        for each in carbon.values.pop("embodied", ())
    )
    hardware = _hardware(top.values.get("hardware", {}), root, mistakes)
    # Where it is unknown which hardware the file means, a budget may name any.
    is_clear = "hardware" in top.values or "hardware" not in top.meant
    return BudgetsFile(
        shown=mistakes.shown,
        defaults=Defaults(**_values(section("defaults"), root.inside.get("defaults"), mistakes)),
        intensity=_intensity(carbon, embodied, root, mistakes),
        pue=carbon.values.get("pue"),
        embodied=embodied,
        cpu_watts_per_core=section("estimate").values.get("cpu_watts_per_core"),
        hardware=hardware,
        entries=_entries(
            top.values.get("budget", []), hardware if is_clear else None, root, mistakes
        ),
        remotes=_remotes(top.values.get("remote", []), root, mistakes),
    )


def _values(given: Given, place: Place | None, mistakes: Mistakes) -> dict[str, Any]:
    """A table's values, in which a `max_increase` has its own place."""
    values = dict(given.values)
    if place is not None and "max_increase" in values:
        origin = mistakes.origin(place.at("max_increase"))
        values["max_increase"] = MaxIncrease(values["max_increase"], origin)
    return values


def _intensity(
    carbon: Given, embodied: tuple[Embodied, ...], root: Place, mistakes: Mistakes
) -> Intensity | None:
    if "intensity" not in carbon.meant:
        for name in carbon.values.keys() & {"source", "year", "basis"}:
            why = "it describes an intensity, and [carbon] has none"
            mistakes.add(root.at("carbon", name), why, example("[carbon]", "intensity"))
    if "intensity" not in carbon.values:
        return None
    given = dict(carbon.values)
    origin = mistakes.origin(root.at("carbon", "intensity"))
    return Intensity(
        grams_per_kwh=given.pop("intensity"),
        source=given.pop("source", origin),
        embodied=embodied,
        **given,
    )


def _hardware(tables: Mapping[str, object], root: Place, mistakes: Mistakes) -> dict[str, Hardware]:
    found = {}
    for name, table in tables.items():
        place = root.at("hardware", name)
        if not isinstance(table, dict) or not name.strip():
            why = "each class of machines has a name and a table of its own"
            mistakes.add(place, why, example(TOP, "hardware"))
            continue
        given = read_table(HARDWARE, table, place, mistakes)
        if not given.meant - {"method"}:
            why = "it matches on nothing: it has no gpu, cpu, gpu_count or power_limit"
            mistakes.add(place, why, example(HARDWARE, "gpu"))
        watts = given.values.pop("power_limit", None)
        origin = mistakes.origin(place)
        found[name] = Hardware(name=name, origin=origin, power_limit_watts=watts, **given.values)
    return found


def _remotes(tables: list[object], root: Place, mistakes: Mistakes) -> tuple[RemoteMetric, ...]:
    """Counters on pages of other machines; of a known one, kind and unit needn't be written."""
    found = []
    for index, table in enumerate(tables):
        place = root.at("remote", index)
        if not isinstance(table, dict):
            mistakes.add(place, "a counter is a table", example(TOP, "remote"))
            continue
        given = read_table(REMOTE, table, place, mistakes)
        usual = known(given.values.get("metric", ""))
        values: dict[str, Any] = {}
        if usual is not None:
            values = {"kind": usual.kind, "unit": usual.unit}
        values |= given.values
        missing = [each for each in ("metric", "kind", "unit") if each not in values]
        for name in (each for each in missing if each not in given.meant):
            mistakes.add(place, f"it has no {name}", example(REMOTE, name))
        if not missing:
            found.append(RemoteMetric(**values))
    return tuple(found)


def _entries(
    tables: list[object], hardware: Mapping[str, Hardware] | None, root: Place, mistakes: Mistakes
) -> tuple[Entry, ...]:
    """The budgets; each may name one of `hardware`, or any where that is None."""
    entries = []
    origins: dict[str, str] = {}
    for index, table in enumerate(tables):
        place = root.at("budget", index)
        if not isinstance(table, dict):
            mistakes.add(place, "a budget is a table", example(TOP, "budget"))
            continue
        entry = _entry(table, place, mistakes)
        entries.append(entry)
        if entry.hardware and hardware is not None and entry.hardware not in hardware:
            _add_unknown_hardware(entry.hardware, hardware, place.at("hardware"), mistakes)
        if entry.id and entry.id in origins:
            why = f"the budget of {origins[entry.id]} has this id already"
            mistakes.add(place.at("id"), why, f'id = "{entry.id}-2"')
        elif entry.id:
            origins[entry.id] = mistakes.origin(place.at("id"))
    if (number := sum(map(patterns, entries))) > MOST_PATTERNS:
        why = f"its budgets have {number:,} names with * or ?, and {MOST_PATTERNS:,} are allowed"
        mistakes.add(root, why, 'tests = "tests/test_q.py::*"')
    return tuple(entries)


def _add_unknown_hardware(
    name: str, hardware: Mapping[str, Hardware], place: Place, mistakes: Mistakes
) -> None:
    if mistakes.are_many:
        mistakes.add(place, "", "")
        return
    meant = near(name, hardware)
    if meant:
        why = f'the file has no [hardware.{name}] (did you mean "{meant}"?)'
        mistakes.add(place, why, f'hardware = "{meant}"')
    else:
        known = ", ".join(islice(hardware, MOST_SHOWN)) or "none"
        why = f"the file has no [hardware.{name}] (known: {known})"
        mistakes.add(place, why, f"[hardware.{name}]")


def _entry(table: dict[str, object], place: Place, mistakes: Mistakes) -> Entry:
    given = read_table(BUDGET, table, place, mistakes)
    values = _values(given, place, mistakes)
    limits = [
        (_limit_place(place, "max", index), limit)
        for index, limit in enumerate(values.pop("max", ()))
    ]
    if "max_carbon" in values:
        limits.append((place.at("max_carbon"), values.pop("max_carbon")))
    if not given.meant & {"max", "max_carbon", "max_increase"}:
        mistakes.add(place, "it has no limit", example(BUDGET, "max"))
    if not given.meant & {"id", "tests", "task", "model"}:
        why = "it applies to no test: it has no id, tests, task or model"
        mistakes.add(place, why, example(BUDGET, "tests"))
    if checks.limited_twice(limit for _, limit in limits):
        why = f"max is a limit in carbon per {limits[-1][1].unit} too; keep one of them"
        mistakes.add(place.at("max_carbon"), why, example(BUDGET, "max"))
    quantities = {limit.quantity for _, limit in limits}
    counts_cpu_time = Quantity.CPU_TIME in quantities
    if counts_cpu_time and values.get("scope") in (Scope.GPU, Scope.ALL, Scope.MACHINE):
        why = "max is in CPU time, which is counted on the CPU; leave scope out"
        mistakes.add(place.at("scope"), why, 'scope = "cpu"')
    if counts_cpu_time and "method" in values:
        why = "max is in CPU time, which is counted in one way only; leave method out"
        mistakes.add(place.at("method"), why, example(BUDGET, "max"))
    if quantities == {Quantity.FLOPS} and "method" in values:
        why = "max is in FLOPs, which are counted in one way only; leave method out"
        mistakes.add(place.at("method"), why, example(BUDGET, "max"))
    origins = tuple((limit, mistakes.origin(written)) for written, limit in limits)
    return Entry(origin=mistakes.origin(place), limits=origins, **values)


def _limit_place(place: Place, key: str, index: int) -> Place:
    """Where one of the limits of a budget stands: the only one, or an item of a list."""
    written = place.at(key)
    return written.inside.get(index, written)
