"""Where the file of limits and the folder of baselines are, and those that pytest overlooks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pytest_energy.baselines import BASELINES_FOLDER
from pytest_energy.baselines.baseline import Baselines
from pytest_energy.baselines.file import BaselineError, read_folder
from pytest_energy.limits import BUDGETS_FILE
from pytest_energy.limits.file import BudgetsFile, BudgetsFileError, read_budgets
from pytest_energy.plugin.options import Given, given, option
from pytest_energy.report.printable import printable

#: How far below the folders of tests such a file is looked for.
DEPTH = 3
#: How alike a misspelled name is.
ALIKE = 0.93


def find_baselines(
    config: pytest.Config, environment: Mapping[str, str], mistakes: list[str]
) -> tuple[Path, Baselines]:
    """The folder that is named, or the one in the root folder, and what it holds."""
    found = given(option("baselines"), config, environment)
    path = config.rootpath / BASELINES_FOLDER if found is None else path_of(config, found)
    if (
        found is None
        and not os.path.lexists(path)
        and (lost := _elsewhere(config, BASELINES_FOLDER))
    ):
        mistakes.append(_not_read(lost, BASELINES_FOLDER, "--energy-baselines"))
    shown = _shown(config, path)
    try:
        baselines = read_folder(path, shown, config.rootpath)
    except BaselineError as error:
        asked = f"{found.origin}: " if found is not None else ""
        mistakes += [f"{asked}{line}" for line in str(error).split("\n")]
        return path, Baselines()
    # A folder that is named and doesn't exist yet has no baselines, and each test reports that.
    return path, baselines if baselines.shown or found is None else Baselines(shown)


def find_budgets(
    config: pytest.Config, environment: Mapping[str, str], mistakes: list[str]
) -> BudgetsFile:
    """The budgets file that is named, or the one in the root folder, or none."""
    found = given(option("budgets"), config, environment)
    path = config.rootpath / BUDGETS_FILE if found is None else path_of(config, found)
    if found is None and not os.path.lexists(path):
        if lost := _elsewhere(config, BUDGETS_FILE):
            mistakes.append(_not_read(lost, BUDGETS_FILE, "--energy-budgets"))
        elif near := _nearby(config, BUDGETS_FILE):
            mistakes.append(near)
        return BudgetsFile()
    try:
        return read_budgets(path, _shown(config, path), config.rootpath)
    except BudgetsFileError as error:
        asked = f"{found.origin}: " if found is not None else ""
        mistakes += [f"{asked}{line}" for line in str(error).split("\n")]
        return BudgetsFile()


def _shown(config: pytest.Config, path: Path) -> str:
    """A path as messages have it: from the root folder, else its name."""
    try:
        real, root = (Path(os.path.realpath(each)) for each in (path, config.rootpath))
        return printable(real.relative_to(root).as_posix())
    except ValueError:
        return printable(path.name)


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


def path_of(config: pytest.Config, found: Given) -> Path:
    """An ini file means its own folder, a command line the folder it is typed in."""
    in_ini = found.origin.startswith("energy_") and config.inipath is not None
    base = config.inipath.parent if in_ini and config.inipath else config.invocation_params.dir
    return Path(base, found.value)


def _nearby(config: pytest.Config, name: str) -> str:
    """A sentence about a file of this name, or nearly, near the tests that are asked for, or "".

    It is looked for from the tests, and where the command runs, up to the root folder, and below
    the folders of tests.
    """
    root = config.rootpath
    for folder in _folders(config):
        for found in _names(folder):
            if found != name and not _is_misspelled(found, name):
                continue
            here = config.invocation_params.dir
            path, there = (os.path.relpath(each, here) for each in (folder / found, root / name))
            what = "its name is misspelled" if found != name else "it isn't in pytest's root folder"
            return (
                f"{path} isn't read, because {what}: move it to {there}, or name it with "
                f"--energy-budgets={path}"
            )
    return ""


def _folders(config: pytest.Config) -> Iterator[Path]:
    here = config.invocation_params.dir
    asked = [Path(here, each.partition("::")[0]) for each in config.args]
    starts = [each if each.is_dir() else each.parent for each in (here, *asked)]
    seen: set[Path] = set()
    for start in starts:
        for folder in (start, *start.parents):
            if folder not in seen:
                seen.add(folder)
                yield folder
            if folder == config.rootpath:
                break
            if config.rootpath not in folder.parents:
                break
    skipped = [str(each) for each in config.getini("norecursedirs")]
    for start in filter(Path.is_dir, asked):
        for folder in _below(start, DEPTH, skipped):
            if folder not in seen:
                seen.add(folder)
                yield folder


def _below(folder: Path, depth: int, skipped: list[str]) -> Iterator[Path]:
    if not depth:
        return
    for name in _names(folder):
        path = folder / name
        if any(fnmatch(name, each) for each in skipped) or path.is_symlink() or not path.is_dir():
            continue
        yield path
        yield from _below(path, depth - 1, skipped)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(each.name for each in folder.iterdir())
    except OSError:
        return []


def _is_misspelled(found: str, name: str) -> bool:
    if not found.lower().endswith(".toml"):
        return False
    plain = found.lower().replace("_", "-").replace(" ", "-")
    return SequenceMatcher(None, plain, name).ratio() >= ALIKE
