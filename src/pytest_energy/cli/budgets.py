"""The commands `pytest-energy budgets ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytest_energy import record
from pytest_energy.budgets.file import BudgetsFileError, read_budgets
from pytest_energy.cli.shared import BaselinesPath, RecordPaths, stop
from pytest_energy.options import BASELINES_FOLDER, BUDGETS_FILE
from pytest_energy.units import numbered

budgets = typer.Typer(help=f"The limits in {BUDGETS_FILE}.", no_args_is_help=True)
BudgetsPath = Annotated[
    Path, typer.Option("--file", metavar="PATH", help="the file of limits", readable=False)
]


@budgets.command()
def check(path: BudgetsPath = Path(BUDGETS_FILE)) -> None:
    """Validate the file of limits, and tell all its mistakes."""
    try:
        found = read_budgets(path, str(path))
    except BudgetsFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(4) from None
    limits = sum(len(entry.limits) for entry in found.entries)
    typer.echo(f"{path}: {numbered(len(found.entries), 'budget')}, {numbered(limits, 'limit')}")


@budgets.command()
def suggest(
    paths: RecordPaths,
    path: BudgetsPath = Path(BUDGETS_FILE),
) -> None:
    """Write a limit for each measured test without one, with headroom from the spread."""
    from pytest_energy.budgets.suggest import SuggestionError
    from pytest_energy.budgets.suggest import suggest as suggest_limits

    try:
        text = ""
        if path.exists():
            read_budgets(path, str(path))
            text = path.read_bytes().decode("utf-8")
        found = suggest_limits([record.read(each) for each in paths], text, str(path))
        if found.written:
            record.write_text(path, found.text)
    except (BudgetsFileError, SuggestionError, record.RecordError) as error:
        stop("budgets suggest", error)
    except OSError as error:
        stop("budgets suggest", f"{path} can't be written: {error.strerror}")
    for line in found.told:
        typer.echo(line)
    typer.echo(f"{path}: {numbered(found.written, 'budget')} written")


@budgets.command()
def tighten(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RECORD...]",
            help="files of --energy-json; without one, the baselines tell",
            readable=False,
        ),
    ] = None,
    path: BudgetsPath = Path(BUDGETS_FILE),
    folder: BaselinesPath = Path(BASELINES_FOLDER),
) -> None:
    """Lower the limits that stand far above what is measured; none is ever raised."""
    from pytest_energy.budgets.tighten import tighten_from_baselines, tighten_from_records
    from pytest_energy.store.file import read_folder

    command = "budgets tighten"
    try:
        read_budgets(path, str(path))
        text = path.read_bytes().decode("utf-8")
        if paths:
            found = tighten_from_records([record.read(each) for each in paths], text, str(path))
        else:
            lines = read_folder(folder, str(folder)).lines
            if not lines:
                stop(command, f"{folder} holds no baselines; give it run records, or make some")
            found = tighten_from_baselines(lines, text, str(path))
        if found.lowered:
            record.write_text(path, found.text)
    except OSError as error:
        stop(command, f"{path} can't be written: {error.strerror}")
    except ValueError as error:  # of the file, a record, a baseline, or figures that don't compare
        stop(command, error)
    for line in found.told:
        typer.echo(line)
    typer.echo(f"{path}: {numbered(found.lowered, 'limit')} lowered")
