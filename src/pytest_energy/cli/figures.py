"""The commands that print figures: `show` for a record, `carbon` for a place."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from pytest_energy.cli.arguments import RecordPath, RecordPaths
from pytest_energy.cli.output import say
from pytest_energy.record import file as record
from pytest_energy.report.printable import all_printable


def show(
    path: RecordPath,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Also print what explains the figures, and equivalents"
        ),
    ] = False,
) -> None:
    """Print the table of a run record."""
    from pytest_energy.report.details import details
    from pytest_energy.report.equivalents import adds_up
    from pytest_energy.report.terminal import render

    console = Console()
    found = record.read(path)
    typer.echo(render(found, console.width, colour=console.is_terminal), nl=False)
    width = console.width
    shown = all_printable(found)
    for line in [*details(shown, width), *adds_up(shown, width)] if verbose else ():
        say(line)


def report(
    paths: RecordPaths,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="Report format, such as csv or markdown (docs/reports.md lists all)",
        ),
    ],
) -> None:
    """Print a report of run records.

    The formats are those of `pytest --energy-report` in this folder, also of other plugins.
    Several records (shards of one run, several machines) make one report.
    """
    from pytest_energy.plugin.reports import render_here
    from pytest_energy.record.merge import merge

    typer.echo(render_here(merge([record.read(each) for each in paths]), to), nl=False)


def schema() -> None:
    """Print the JSON Schema of the run record."""
    from pytest_energy.record.json_schema import json_schema_text

    typer.echo(json_schema_text(), nl=False)


def carbon(
    country: Annotated[
        str, typer.Argument(metavar="COUNTRY", help="Country, such as FRA or France")
    ],
    region: Annotated[
        str | None,
        typer.Argument(metavar="REGION", help="Region of the country, such as california"),
    ] = None,
) -> None:
    """Print the carbon intensity of a country or region.

    The output ends with the lines to paste into energy-budgets.toml.
    """
    from pytest_energy.carbon import regions as places
    from pytest_energy.report.carbon import render_place

    place = places.place_of(country, region)
    intensity = places.intensity_of(country, region)
    typer.echo(render_place(place, intensity, places.regions(country), Console().width), nl=False)
