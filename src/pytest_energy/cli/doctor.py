"""The command `pytest-energy doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.2, max=600, help="read for this long")
    ] = 2.0,
) -> None:
    """Read every instrument of this machine, and print what is missing and what to do about it.

    The output contains no host, user or path, so it can be published. The settings are those that
    pytest reads in this folder. Exit status 1: nothing can be measured or estimated. Exit status 2:
    the settings cannot be used, and the defaults are used instead.
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
