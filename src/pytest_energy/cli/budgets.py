"""The commands `pytest-energy budgets ...`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pytest_energy.baselines import BASELINES_FOLDER
from pytest_energy.cli.arguments import BaselinesPath, BudgetsPath, RecordPaths
from pytest_energy.cli.output import say
from pytest_energy.errors import InputError
from pytest_energy.limits import BUDGETS_FILE
from pytest_energy.limits.file import BudgetsFileError, read_budgets
from pytest_energy.limits.toml_file import LARGEST_BYTES
from pytest_energy.record import file as record
from pytest_energy.record.project_files import read_file, write_text, writing
from pytest_energy.units import numbered

budgets = typer.Typer(help=f"The limits in {BUDGETS_FILE}.", no_args_is_help=True)


@budgets.command()
def check(path: BudgetsPath = Path(BUDGETS_FILE)) -> None:
    """Check the file of limits, and report all its mistakes.

    Exit status 4: the file has mistakes.
    """
    try:
        found = read_budgets(path, str(path))
    except BudgetsFileError as error:
        say(str(error), err=True)
        raise typer.Exit(4) from None
    limits = sum(len(entry.limits) for entry in found.entries)
    say(f"{path}: {numbered(len(found.entries), 'budget')}, {numbered(limits, 'limit')}")


@budgets.command()
def suggest(
    paths: RecordPaths,
    path: BudgetsPath = Path(BUDGETS_FILE),
) -> None:
    """Write a limit for each measured test that has none.

    Each limit has headroom for the spread of its figures.
    """
    from pytest_energy.limits.suggest import suggest as suggest_limits

    with writing(path):
        text = ""
        if os.path.lexists(path):
            read_budgets(path, str(path))
            text = read_file(path, LARGEST_BYTES).decode("utf-8")
        found = suggest_limits([record.read(each) for each in paths], text, str(path))
        if found.written:
            write_text(path, found.text)
    for line in found.messages:
        say(line)
    say(f"{path}: {numbered(found.written, 'budget')} written")


@budgets.command()
def tighten(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RECORD",
            help="Run records, written by pytest --energy-json (default: the baselines)",
            readable=False,
        ),
    ] = None,
    path: BudgetsPath = Path(BUDGETS_FILE),
    folder: BaselinesPath = Path(BASELINES_FOLDER),
) -> None:
    """Lower the limits that are far above the measured figures.

    No limit is raised.
    """
    from pytest_energy.baselines.file import read_folder
    from pytest_energy.baselines.tighten import tighten_from_baselines, tighten_from_records

    with writing(path):
        read_budgets(path, str(path))
        text = read_file(path, LARGEST_BYTES).decode("utf-8")
        if paths:
            found = tighten_from_records([record.read(each) for each in paths], text, str(path))
        else:
            lines = read_folder(folder, str(folder)).lines
            if not lines:
                raise InputError(
                    f"{folder} holds no baselines; name run records, or make baselines with "
                    "pytest --energy-update new"
                )
            found = tighten_from_baselines(lines, text, str(path))
        if found.lowered:
            write_text(path, found.text)
    for line in found.messages:
        say(line)
    say(f"{path}: {numbered(found.lowered, 'limit')} lowered")
