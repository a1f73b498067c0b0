"""Settings: command line > environment > ini file > default, as one frozen object."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_energy.budgets import checks
from pytest_energy.budgets.budget import MaxIncrease
from pytest_energy.budgets.file import BudgetsFile, BudgetsFileError, read_budgets
from pytest_energy.carbon import Intensity, parse_intensity
from pytest_energy.options import (
    BASELINES_FOLDER,
    BUDGETS_FILE,
    OPTIONS,
    Given,
    Option,
    given,
    levels,
)
from pytest_energy.pinning import PER_WORKER
from pytest_energy.sensors.powercap import DEFAULT_ROOT
from pytest_energy.sensors.visible import GpuChoice
from pytest_energy.store.baseline import Baselines
from pytest_energy.store.file import BaselineError, read_folder
from pytest_energy.store.update import Mode
from pytest_energy.verdict import MAX_ROUNDS, RED, Verdict

if TYPE_CHECKING:
    from pytest_energy.sensors.discover import Choice


_UPDATE = "--energy-update"


@dataclass(frozen=True)
class Settings:
    """Everything a user can set for one pytest run.

    max_increase: for all tests that have none of their own, None where nobody has asked for one.
    baselines_folder: where `baselines` are read and written. update: how the session goes into
    them; None where it doesn't, and `no_update` says why where that was asked for.
    """

    disable: bool = False
    json_path: Path | None = None
    gpus: GpuChoice = field(default_factory=GpuChoice)
    pids: tuple[int, ...] = ()
    max_rounds: int = MAX_ROUNDS
    max_seconds: float = 60.0
    fail_on: frozenset[Verdict] = RED
    require_measured: bool = False
    intensity: Intensity | None = None
    cpu_watts_per_core: float | Literal["tdp"] = 4.0
    powercap_root: Path = DEFAULT_ROOT
    lock_folder: Path | None = None
    strict: bool = False
    flops: bool = False
    budgets: BudgetsFile = field(default_factory=BudgetsFile)
    max_increase: MaxIncrease | None = None
    baselines: Baselines = field(default_factory=Baselines)
    baselines_folder: Path = Path(BASELINES_FOLDER)
    update: Mode | None = None
    no_update: str = ""

    @property
    def choice(self) -> Choice:
        """What is to be measured, and with what."""
        from pytest_energy.sensors.discover import Choice

        return Choice(self.gpus, self.cpu_watts_per_core, self.powercap_root, self.pids)


def _gpus(text: str) -> GpuChoice:
    if text in ("auto", "all", "none", PER_WORKER):
        return GpuChoice(text)
    listed = tuple(part.strip() for part in text.split(","))
    for part in listed:
        if not (part.isdecimal() or part.startswith(("GPU-", "MIG-"))):
            raise ValueError(
                f"{part!r} is neither a GPU's index nor its UUID; "
                'write auto, all, none, per-worker, or a list such as "0,1" or "GPU-8f6c2a5e" '
                "(nvidia-smi -L)"
            )
    return GpuChoice("auto", listed)


def _pids(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f"{text!r} is no list of process ids; for example 4711 or 4711,4712")
    return tuple(dict.fromkeys(int(word) for word in words))


def _max_rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_ROUNDS:
        raise ValueError(
            f"{text!r} is not a whole number from 1 to {MAX_ROUNDS}; for example {MAX_ROUNDS}"
        )
    return int(text)


def _positive(example: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 < value < float("inf"):
            raise ValueError(f"{text!r} is not a number above zero; for example {example}")
        return value

    return parse


def _fail_on(text: str) -> frozenset[Verdict]:
    if text == "none":
        return frozenset()
    names = text.replace(",", " ").split()
    known = {str(verdict) for verdict in Verdict} - {"pass"}
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise ValueError(
            f"{wrong[0] if wrong else text!r} is not a verdict; "
            f"choose from {', '.join(sorted(known))}, or write none; "
            "for example fail,unmeasured,inconclusive"
        )
    return frozenset(Verdict(name) for name in names)


def _require(text: str) -> bool:
    if text not in ("measured", "any"):
        raise ValueError(f'{text!r} is not known; write "measured" or "any"')
    return text == "measured"


def _fraction(text: str) -> float:
    try:
        value: object = float(text)
    except ValueError:
        value = text
    try:
        return checks.fraction(value)
    except ValueError as error:
        raise ValueError(f'{text!r}: {error}; for example "5 %"') from None


def _watts(text: str) -> float | Literal["tdp"]:
    return "tdp" if text == "tdp" else _positive('4, or "tdp"')(text)


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "gpus": _gpus,
    "pids": _pids,
    "max_rounds": _max_rounds,
    "max_seconds": _positive("60"),
    "fail_on": _fail_on,
    "require": _require,
    "cpu_watts_per_core": _watts,
    "max_increase": _fraction,
}


def read_settings(config: pytest.Config, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this run. Raises pytest.UsageError for all values that can't be used."""
    mistakes: list[str] = []
    budgets = _budgets(config, environment, mistakes)
    values: dict[str, Any] = {}
    if budgets.defaults.max_seconds is not None:
        values["max_seconds"] = budgets.defaults.max_seconds
    if budgets.cpu_watts_per_core is not None:
        values["cpu_watts_per_core"] = budgets.cpu_watts_per_core
    values["max_increase"] = budgets.defaults.max_increase
    for option in OPTIONS:
        found = given(option, config, environment)
        if found is None or option.name not in _PARSERS:
            continue
        try:
            values[option.name] = _PARSERS[option.name](found.value.strip())
        except ValueError as error:
            mistakes.append(f"{found.origin}: {error}")
        else:
            if option.name == "max_increase":
                values["max_increase"] = MaxIncrease(values["max_increase"], found.origin)
    for name in ("powercap_root", "lock_folder"):
        if (named := given(_option(name), config, environment)) is not None:
            values[name] = _path(config, named)
    intensity = _intensity(config, environment, budgets, mistakes)
    json_path = _json_path(config, mistakes)
    folder, baselines = _baselines(config, environment, mistakes)
    on_ci = environment.get("CI", "").lower() not in ("", "0", "false")
    update = _update(config, mistakes)
    no_update = _not_on_ci(config) if update and on_ci else ""
    if on_ci and (
        no_update or not update
    ):  # a run that makes the baseline isn't red for having had none
        values.setdefault("fail_on", RED | {Verdict.NO_BASELINE})
    if mistakes:
        raise pytest.UsageError("\n".join(mistakes))
    strict = config.getoption("--energy-strict")
    if strict:
        values["fail_on"] = frozenset(Verdict) - {Verdict.PASS}
    return Settings(
        disable=config.getoption("--energy-disable"),
        json_path=json_path,
        require_measured=values.pop("require", False),
        intensity=intensity,
        strict=strict,
        flops=config.getoption("--energy-flops"),
        budgets=budgets,
        baselines=baselines,
        baselines_folder=folder,
        update=None if no_update else update,
        no_update=no_update,
        **values,
    )


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
        "stands on the command line itself, not in an ini file or PYTEST_ADDOPTS"
    )


def _baselines(
    config: pytest.Config, environment: Mapping[str, str], mistakes: list[str]
) -> tuple[Path, Baselines]:
    """The folder that is named, or the one in the root folder, and what it holds."""
    found = given(_option("baselines"), config, environment)
    path = config.rootpath / BASELINES_FOLDER if found is None else _path(config, found)
    if (
        found is None
        and not os.path.lexists(path)
        and (lost := _elsewhere(config, BASELINES_FOLDER))
    ):
        mistakes.append(_not_read(lost, BASELINES_FOLDER, "--energy-baselines"))
    shown = _shown(config, path)
    try:
        baselines = read_folder(path, shown)
    except BaselineError as error:
        asked = f"{found.origin}: " if found is not None else ""
        mistakes += [f"{asked}{line}" for line in str(error).splitlines()]
        return path, Baselines()
    # A folder that is named and not there yet holds no baseline, which is said of each test.
    return path, baselines if baselines.shown or found is None else Baselines(shown)


def _budgets(
    config: pytest.Config, environment: Mapping[str, str], mistakes: list[str]
) -> BudgetsFile:
    """The budgets file that is named, or the one in the root folder, or none."""
    found = given(_option("budgets"), config, environment)
    path = config.rootpath / BUDGETS_FILE if found is None else _path(config, found)
    if found is None and not os.path.lexists(path):
        if lost := _elsewhere(config, BUDGETS_FILE):
            mistakes.append(_not_read(lost, BUDGETS_FILE, "--energy-budgets"))
        return BudgetsFile()
    try:
        return read_budgets(path, _shown(config, path))
    except BudgetsFileError as error:
        asked = f"{found.origin}: " if found is not None else ""
        mistakes += [f"{asked}{line}" for line in str(error).splitlines()]
        return BudgetsFile()


def _shown(config: pytest.Config, path: Path) -> str:
    """A path as messages have it: from the root folder, else its name."""
    try:
        return path.resolve().relative_to(config.rootpath.resolve()).as_posix()
    except ValueError:
        return path.name


def _not_read(lost: str, name: str, option: str) -> str:
    return (
        f"{lost}/{name} isn't read, because pytest has taken another folder for its root. It takes "
        "existing paths behind options for test files: join them to their options "
        f"(--energy-json=PATH), add --rootdir={lost}, or name it with {option}={lost}/{name}"
    )


def _elsewhere(config: pytest.Config, name: str) -> str:
    """The folder beside the tests, or where the command runs, that has this file, or ""."""
    here = config.invocation_params.dir
    asked = [Path(here, each.partition("::")[0]) for each in config.args]
    for start in (here, *asked):
        for folder in (start, *start.parents):
            if os.path.lexists(folder / name):
                return os.path.relpath(folder, here)
            if folder in (here, config.rootpath):
                break
    return ""


def _path(config: pytest.Config, found: Given) -> Path:
    """An ini file means its own folder, a command line the folder it is typed in."""
    in_ini = found.origin.startswith("energy_") and config.inipath is not None
    base = config.inipath.parent if in_ini and config.inipath else config.invocation_params.dir
    return Path(base, found.value)


def _intensity(
    config: pytest.Config,
    environment: Mapping[str, str],
    budgets: BudgetsFile,
    mistakes: list[str],
) -> Intensity | None:
    """Grams for one kWh: the command line, the environment, the ini file, the budgets file."""
    region: Given | None = None
    found: Intensity | None = None
    at_each_level = zip(
        *(
            levels(_option(name), config, environment)
            for name in ("carbon_intensity", "country", "region")
        ),
        strict=True,
    )
    for pinned, country, region_here in at_each_level:
        region = region or region_here
        here = pinned or country
        if here is None:
            continue
        if pinned and (other := country or region):
            mistakes.append(
                f"{pinned.origin} and {other.origin} both say how much carbon is in a kWh; "
                "keep one of them"
            )
        try:
            found = _pinned(pinned) if pinned else _of_place(here.value, region)
        except ValueError as error:
            place = region if region and not pinned else here
            mistakes.append(f"{place.origin}: {error}")
        break
    else:
        found = budgets.intensity
        if region:
            mistakes.append(
                f"{region.origin}: {region.value!r} is a region of no country; name the country "
                "too, for example --energy-country USA --energy-region california"
            )
    if found is not None and budgets.pue is not None:
        found = replace(found, pue=budgets.pue)
    return found


def _pinned(given: Given) -> Intensity:
    return Intensity(parse_intensity(given.value), given.origin)


def _of_place(country: str, region: Given | None) -> Intensity:
    # Read only where it is asked for: CodeCarbon's data are a package apart.
    from pytest_energy.grid import intensity_of

    return intensity_of(country, region.value if region else None)


def _option(name: str) -> Option:
    return next(each for each in OPTIONS if each.name == name)


def _json_path(config: pytest.Config, mistakes: list[str]) -> Path | None:
    text = config.getoption("--energy-json")
    if text is None:
        return None
    path = Path(config.invocation_params.dir, text).resolve()
    if not text.strip() or (path.exists() and not path.is_file()):
        mistakes.append(
            f"--energy-json: {text!r} is not a file's path; for example --energy-json energy.json"
        )
    return path
