"""The command `pytest-energy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pytest_energy import record
from pytest_energy.report.terminal import render

app = typer.Typer(
    help="Energy records of pytest-energy.", no_args_is_help=True, add_completion=False
)


@app.callback()
def main() -> None:
    """Energy records of pytest-energy."""


@app.command()
def show(
    path: Annotated[Path, typer.Argument(metavar="RECORD", help="a file of --energy-json")],
) -> None:
    """Print the table of a run record."""
    console = Console()
    try:
        found = record.read(path)
    except record.RecordError as error:
        typer.echo(f"pytest-energy show: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(render(found, console.width, colour=console.is_terminal), nl=False)
