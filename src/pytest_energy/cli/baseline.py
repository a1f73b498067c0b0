"""The commands `pytest-energy baseline ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pytest_energy.baselines import BASELINES_FOLDER
from pytest_energy.cli.arguments import BaselinesPath, RecordPaths
from pytest_energy.cli.output import say
from pytest_energy.errors import InputError
from pytest_energy.record import file as record
from pytest_energy.report.printable import all_printable

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
            help="new: add what is missing; add: append the sessions; reset: replace all sessions",
        ),
    ] = "new",
    folder: BaselinesPath = Path(BASELINES_FOLDER),
) -> None:
    """Add the sessions of run records to the baselines."""
    from pytest_energy.baselines.change import change_folder
    from pytest_energy.baselines.update import Mode, update

    if mode not in list(Mode):
        raise InputError(f"--mode {mode!r} is not known; choose from {', '.join(Mode)}")
    records = [record.read(each) for each in paths]
    found, written = change_folder(
        folder, str(folder), lambda lines: update(lines, records, Mode(mode))
    )
    for line in (*found.messages, *(f"written: {folder / name}" for name in written)):
        say(line)
    if not written:
        say("nothing written")


@baseline.command("list")
def baseline_list(folder: BaselinesPath = Path(BASELINES_FOLDER)) -> None:
    """Print each test, its sessions, and the increase that fails it."""
    from pytest_energy.baselines.file import read_folder
    from pytest_energy.report.baselines import render_baselines

    lines = all_printable(read_folder(folder, str(folder)).lines)
    if not lines:
        say(f"{folder}: no baselines; create them with pytest --energy-update new")
        return
    say(render_baselines(lines, Console().width), nl=False)


@baseline.command("drop")
def baseline_drop(
    tests: Annotated[
        list[str], typer.Argument(metavar="TEST", help="Test ids, or patterns with * and ?")
    ],
    folder: BaselinesPath = Path(BASELINES_FOLDER),
) -> None:
    """Remove all sessions of the named tests."""
    from pytest_energy.baselines.change import change_folder
    from pytest_energy.baselines.update import drop

    found, _ = change_folder(folder, str(folder), lambda lines: drop(lines, tests))
    for line in found.messages:
        say(line)
