"""The command `pytest-energy doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
    seconds: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.2, max=600, help="Read the instruments for SECONDS"),
    ] = 2.0,
) -> None:
    """Print what this machine can measure, and what is missing.

    Every instrument is read. For what is missing, the output says what to do. It contains no host,
    user or path, so it can be published. The settings are those that pytest reads in this folder.

    Exit status: 1 nothing can be measured or estimated, 2 the settings cannot be used, so the
    defaults were used instead.
    """
    from pytest_energy.plugin.doctor import diagnose_here
    from pytest_energy.report.doctor import render_diagnosis

    found, problems = diagnose_here(seconds)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
    else:
        typer.echo(render_diagnosis(found, Console().width), nl=False)
    if not found.works:
        raise typer.Exit(1)
    if problems:
        raise typer.Exit(2)
