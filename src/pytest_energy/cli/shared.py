"""What the commands share: how they name run records, and how they end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

# `readable`: that a file can't be read is told by whoever reads it.
RecordPath = Annotated[
    Path, typer.Argument(metavar="RECORD", help="a file of --energy-json", readable=False)
]
RecordPaths = Annotated[
    list[Path], typer.Argument(metavar="RECORD...", help="files of --energy-json", readable=False)
]

BaselinesPath = Annotated[
    Path, typer.Option("--folder", metavar="PATH", help="the folder of baselines", readable=False)
]


def stop(command: str, error: object) -> NoReturn:
    """End with status 2, and say why."""
    typer.echo(f"pytest-energy {command}: {error}", err=True)
    raise typer.Exit(2)
