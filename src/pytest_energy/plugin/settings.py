"""Settings: command line > environment > ini file > default, as one frozen object."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_energy.baselines import BASELINES_FOLDER
from pytest_energy.baselines.baseline import Baselines
from pytest_energy.baselines.update import Mode
from pytest_energy.carbon.intensity import Intensity
from pytest_energy.limits.budget import MaxIncrease
from pytest_energy.limits.file import BudgetsFile
from pytest_energy.plugin.carbon import find_intensity
from pytest_energy.plugin.files import find_baselines, find_budgets, path_of
from pytest_energy.plugin.options import (
    OPTIONS,
    SWITCHES,
    Option,
    given,
    option,
    unknown_variables,
)
from pytest_energy.plugin.reports import OPTION as REPORT
from pytest_energy.plugin.reports import Report, read_reports
from pytest_energy.plugin.values import PARSERS
from pytest_energy.record.plain import short
from pytest_energy.record.project_files import is_inside, target
from pytest_energy.report.printable import printable, without_commands
from pytest_energy.rules.estimate import MAX_ROUNDS
from pytest_energy.rules.verdict import RED, Verdict
from pytest_energy.sensors import CPU_COUNTER_FOLDER
from pytest_energy.sensors.gpu_choice import GpuChoice
from pytest_energy.sensors.process_tree import PidChoice

if TYPE_CHECKING:
    from pytest_energy.sensors.discover import Choice
    from pytest_energy.sensors.remote_metrics import Endpoint


_UPDATE, _JSON = "--energy-update", "--energy-json"
#: Endings of files that people write: a path of a test behind an option that takes one.
_CODE = (".py", ".toml", ".ini", ".cfg")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a user can set for one pytest run.

    junit_property: how properties for JUnit are named; "{name}" stands for the name itself.
    disable: the setting by which tests run once, unmeasured; "" where they are measured.
    max_increase: for all tests that have none of their own, None where it is not set.
    baselines_folder: where `baselines` are read and written. update: how the session goes into
    them; None where it doesn't, and `no_update` says why where that was asked for.
    """

    disable: str = ""
    json_path: Path | None = None
    reports: tuple[Report, ...] = ()
    gpus: GpuChoice = field(default_factory=GpuChoice)
    pids: PidChoice = field(default_factory=PidChoice)
    remote: tuple[Endpoint, ...] = ()
    max_rounds: int = MAX_ROUNDS
    max_seconds: float = 60.0
    fail_on: frozenset[Verdict] = RED
    require_measured: bool = False
    intensity: Intensity | None = None
    cpu_watts_per_core: float | Literal["tdp"] = 4.0
    cpu_counter_folder: Path = CPU_COUNTER_FOLDER
    lock_folder: Path | None = None
    strict: bool = False
    flops: bool = False
    budgets: BudgetsFile = field(default_factory=BudgetsFile)
    max_increase: MaxIncrease | None = None
    baselines: Baselines = field(default_factory=Baselines)
    baselines_folder: Path = Path(BASELINES_FOLDER)
    update: Mode | None = None
    no_update: str = ""
    junit_property: str = "{name}"

    @property
    def choice(self) -> Choice:
        """What is to be measured, and with what."""
        from pytest_energy.sensors.discover import Choice

        return Choice(
            gpus=self.gpus,
            cpu_watts_per_core=self.cpu_watts_per_core,
            cpu_counter_folder=self.cpu_counter_folder,
            pids=self.pids,
            remotes=self.remote,
            remote_metrics=self.budgets.remotes,
        )


def read_settings(config: pytest.Config, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this run. Raises pytest.UsageError for all values that can't be used."""
    if outside := tuple(_outside(config, environment)):  # before anything is read there
        raise pytest.UsageError(without_commands("\n".join(map(printable, outside))))
    mistakes = unknown_variables(environment)
    disable, strict, flops = (_switch(each, config, environment, mistakes) for each in SWITCHES)
    budgets = find_budgets(config, environment, mistakes)
    values: dict[str, Any] = {}
    if budgets.defaults.max_seconds is not None:
        values["max_seconds"] = budgets.defaults.max_seconds
    if budgets.cpu_watts_per_core is not None:
        values["cpu_watts_per_core"] = budgets.cpu_watts_per_core
    values["max_increase"] = budgets.defaults.max_increase
    for each in OPTIONS:
        found = given(each, config, environment)
        if found is None or each.name not in PARSERS:
            continue
        try:
            values[each.name] = PARSERS[each.name](found.value.strip())
        except ValueError as error:
            mistakes.append(f"{found.origin}: {error}")
        else:
            if each.name == "max_increase":
                values["max_increase"] = MaxIncrease(values["max_increase"], found.origin)
    for name in ("cpu_counter_folder", "lock_folder"):
        if (named := given(option(name), config, environment)) is None:
            continue
        if "\0" in named.value:
            mistakes.append(f"{named.origin}: the name holds a NUL character")
        else:
            values[name] = path_of(config, named)
    intensity = find_intensity(config, environment, budgets, mistakes)
    json_path = _json_path(config, mistakes)
    reports = read_reports(config, mistakes)
    folder, baselines = find_baselines(config, environment, mistakes)
    outputs = [(_JSON, json_path), *((REPORT, each.path) for each in reports)]
    mistakes += _replaced(config, outputs, folder)
    on_ci = environment.get("CI", "").lower() not in ("", "0", "false")
    update = _update(config, mistakes)
    no_update = _not_on_ci(config) if update and on_ci else ""
    if on_ci and (
        no_update or not update
    ):  # a run that makes the baseline isn't red for having had none
        values.setdefault("fail_on", RED | {Verdict.NO_BASELINE})
    if mistakes:
        raise pytest.UsageError(without_commands("\n".join(map(printable, mistakes))))
    if strict:
        values["fail_on"] = frozenset(Verdict) - {Verdict.PASS}
    return Settings(
        disable=disable,
        json_path=json_path,
        reports=reports,
        require_measured=values.pop("require", False),
        intensity=intensity,
        strict=bool(strict),
        flops=bool(flops),
        budgets=budgets,
        baselines=baselines,
        baselines_folder=folder,
        update=None if no_update else update,
        no_update=no_update,
        **values,
    )


def _switch(
    switch: Option, config: pytest.Config, environment: Mapping[str, str], mistakes: list[str]
) -> str:
    """What switches it on, or ""."""
    found = given(switch, config, environment)
    if found is None or found.value.lower() in ("0", "false"):
        return ""
    if found.value.lower() not in ("1", "true"):
        mistakes.append(f"{found.origin}: {found.value!r} is not known; write true or false")
    return found.origin


def _update(config: pytest.Config, mistakes: list[str]) -> Mode | None:
    text = config.getoption(_UPDATE)
    if text is None:
        return None
    if text not in list(Mode):
        mistakes.append(
            f"{_UPDATE}: {text!r} is not known; write new (fills what is missing), add (appends "
            f"this session) or reset (starts again from it), for example {_UPDATE}=new"
        )
        return None
    return Mode(text)


def _not_on_ci(config: pytest.Config) -> str:
    """Why nothing is written; "" where the command line itself asks for it."""
    typed = map(str, config.invocation_params.args)
    if any(each == _UPDATE or each.startswith(f"{_UPDATE}=") for each in typed):
        return ""
    return (
        f"{_UPDATE}: on CI (the variable CI is set) baselines are written only where the option "
        "is on the command line itself, not in an ini file or PYTEST_ADDOPTS"
    )


def _outside(config: pytest.Config, environment: Mapping[str, str]) -> Iterator[str]:
    """Why a project's own ini file may not name what is read or written there.

    Whoever sends a change to a project writes its ini file, but not the command line.
    """
    for asked in map(option, ("lock_folder", "baselines", "budgets")):
        named = given(asked, config, environment)
        if named is None or not named.origin.startswith(f"{asked.ini} in ") or "\0" in named.value:
            continue
        if not is_inside(path_of(config, named), config.rootpath):
            yield (
                f"{named.origin}: {named.value!r} is not inside the project; name another with "
                f"{asked.flag} or {asked.variable}"
            )


def _replaced(
    config: pytest.Config, outputs: Sequence[tuple[str, Path | None]], baselines: Path
) -> Iterator[str]:
    """Why outputs can't be written where another one goes, or where code or a baseline is."""
    junit = config.getoption("xmlpath", None)
    taken = {Path(os.path.realpath(Path(config.invocation_params.dir, junit)))} if junit else set()
    for flag, path in outputs:
        if path is None:
            continue
        if path in taken:
            yield f"{flag}: {path.name!r} is another output's file too; give each a path of its own"
        elif (path.suffix in _CODE or path.parent == baselines) and path.exists():
            yield (
                f"{flag}: {path.name!r} exists and would be replaced; give the path of an output, "
                f"for example {_JSON}=energy.json"
            )
        taken.add(path)


def _json_path(config: pytest.Config, mistakes: list[str]) -> Path | None:
    text = config.getoption("--energy-json")
    if text is None:
        return None
    try:
        path = target(Path(config.invocation_params.dir, text), config.rootpath)
    except OSError as error:
        mistakes.append(f"--energy-json: {short(text)} can't be written: {error.strerror}")
        return None
    if not text.strip() or (path.exists() and not path.is_file()):
        mistakes.append(
            f"--energy-json: {text!r} is not a file's path; for example --energy-json energy.json"
        )
    return path
