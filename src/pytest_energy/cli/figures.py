"""The commands that show figures: `show` of a record, `carbon` of a place, `scale` of traffic."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from pytest_energy import record
from pytest_energy.cli.shared import RecordPath, stop


def show(
    path: RecordPath,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="also what makes the figures, and what they add up to"
        ),
    ] = False,
) -> None:
    """Print the table of a run record."""
    from pytest_energy.report.details import details
    from pytest_energy.report.equivalents import adds_up
    from pytest_energy.report.terminal import render

    console = Console()
    try:
        found = record.read(path)
    except record.RecordError as error:
        stop("show", error)
    typer.echo(render(found, console.width, colour=console.is_terminal), nl=False)
    width = console.width
    for line in [*details(found, width), *adds_up(found, width)] if verbose else ():
        typer.echo(line)


def carbon(
    country: Annotated[str, typer.Argument(metavar="COUNTRY", help="such as FRA or France")],
    region: Annotated[
        str | None, typer.Argument(metavar="[REGION]", help="such as california")
    ] = None,
) -> None:
    """Print what is known of the carbon in a kWh of a country or region."""
    from pytest_energy import grid
    from pytest_energy.report.carbon import render_place

    try:
        place = grid.place_of(country, region)
        intensity = grid.intensity_of(country, region)
        regions = grid.regions(country)
    except ValueError as error:
        stop("carbon", error)
    typer.echo(render_place(place, intensity, regions, Console().width), nl=False)


def scale(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT",
            help="a file of --energy-json, energy-budgets.toml, a limit, or a "
            "task or model of the study",
        ),
    ],
    volume: Annotated[
        str | None, typer.Option(metavar="VOLUME", help='such as "10M queries / day"')
    ] = None,
    training: Annotated[
        str | None, typer.Option(metavar="ENERGY", help='such as "1287 MWh"')
    ] = None,
    carbon_intensity: Annotated[
        str | None, typer.Option(metavar="INTENSITY", help='such as "300 gCO2e/kWh"')
    ] = None,
) -> None:
    """Print what a figure adds up to: under traffic, and beside the training of its model.

    \b
    pytest-energy scale energy.json --volume "10M queries / day"
    pytest-energy scale "2.1 Wh / 1000 queries" --volume "50 queries / second"
    pytest-energy scale text-generation --training "1287 MWh"
    """
    from pytest_energy.carbon import Intensity, parse_intensity
    from pytest_energy.report.traffic import Training, render_scaled
    from pytest_energy.traffic import parse_training, parse_volume
    from pytest_energy.unit_costs import unit_costs

    try:
        if volume is None and training is None:
            raise ValueError('say how much: --volume "10M queries / day", --training "1287 MWh"')
        traffic = None if volume is None else parse_volume(volume)
        trained = None if training is None else Training(parse_training(training), training)
        intensity = None
        if carbon_intensity is not None:
            intensity = Intensity(parse_intensity(carbon_intensity), "--carbon-intensity")
        text = render_scaled(unit_costs(subject, intensity), traffic, trained, Console().width)
    except ValueError as error:
        stop("scale", error)
    typer.echo(text, nl=False)
