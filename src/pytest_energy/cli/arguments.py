"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# `readable`: whoever reads the file reports what is wrong with it.
RecordPath = Annotated[
    Path,
    typer.Argument(
        metavar="RECORD", help="Run record, written by pytest --energy-json", readable=False
    ),
]
RecordPaths = Annotated[
    list[Path],
    typer.Argument(
        metavar="RECORD", help="Run records, written by pytest --energy-json", readable=False
    ),
]
BaselinesPath = Annotated[
    Path, typer.Option("--folder", metavar="PATH", help="Folder of baselines", readable=False)
]
BudgetsPath = Annotated[
    Path, typer.Option("--file", metavar="PATH", help="File of limits", readable=False)
]
