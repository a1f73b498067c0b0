"""The commands `pytest-energy baseline ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pytest_energy import record
from pytest_energy.cli.shared import BaselinesPath, RecordPaths, stop
from pytest_energy.options import BASELINES_FOLDER

baseline = typer.Typer(
    help=f"Earlier sessions of the tests, in the folder {BASELINES_FOLDER}.", no_args_is_help=True
)


@baseline.command("update")
def baseline_update(
    paths: RecordPaths,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="new fills what is missing, add appends the sessions, reset starts again",
        ),
    ] = "new",
    folder: BaselinesPath = Path(BASELINES_FOLDER),
) -> None:
    """Take the sessions of run records into the baselines, and print what they become."""
    from pytest_energy.store.change import change_folder
    from pytest_energy.store.file import BaselineError
    from pytest_energy.store.update import Mode, update

    command = "baseline update"
    if mode not in list(Mode):
        stop(command, f"--mode {mode!r} is not known; choose from {', '.join(Mode)}")
    try:
        records = [record.read(each) for each in paths]
        found, written = change_folder(
            folder, str(folder), lambda lines: update(lines, records, Mode(mode))
        )
    except (BaselineError, record.RecordError) as error:
        stop(command, error)
    except OSError as error:
        stop(command, f"{folder} can't be written: {error.strerror}")
    for line in (*found.told, *(f"written: {folder / name}" for name in written)):
        typer.echo(line)
    if not written:
        typer.echo("nothing written")


@baseline.command("list")
def baseline_list(folder: BaselinesPath = Path(BASELINES_FOLDER)) -> None:
    """Print the tests, their sessions, and the increase from which each would fail."""
    from pytest_energy.report.baselines import render_baselines
    from pytest_energy.store.file import BaselineError, read_folder

    try:
        lines = read_folder(folder, str(folder)).lines
    except BaselineError as error:
        stop("baseline list", error)
    if not lines:
        typer.echo(f"{folder}: no baselines; pytest --energy-update new makes them")
        return
    typer.echo(render_baselines(lines, Console().width), nl=False)


@baseline.command("drop")
def baseline_drop(
    tests: Annotated[
        list[str], typer.Argument(metavar="TEST...", help="ids of tests, or patterns with * and ?")
    ],
    folder: BaselinesPath = Path(BASELINES_FOLDER),
) -> None:
    """Remove all sessions of tests."""
    from pytest_energy.store.change import change_folder
    from pytest_energy.store.file import BaselineError
    from pytest_energy.store.update import drop

    try:
        found, _ = change_folder(folder, str(folder), lambda lines: drop(lines, tests))
    except (BaselineError, ValueError) as error:
        stop("baseline drop", error)
    except OSError as error:
        stop("baseline drop", f"{folder} can't be written: {error.strerror}")
    for line in found.told:
        typer.echo(line)
