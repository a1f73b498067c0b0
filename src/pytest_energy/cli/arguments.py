"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# `readable`: whoever reads the file reports what is wrong with it.
RecordPath = Annotated[
    Path, typer.Argument(metavar="RECORD", help="a file of --energy-json", readable=False)
]
RecordPaths = Annotated[
    list[Path], typer.Argument(metavar="RECORD...", help="files of --energy-json", readable=False)
]
BaselinesPath = Annotated[
    Path, typer.Option("--folder", metavar="PATH", help="the folder of baselines", readable=False)
]
BudgetsPath = Annotated[
    Path, typer.Option("--file", metavar="PATH", help="the file of limits", readable=False)
]
