"""The commands `pytest-energy study ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pytest_energy import record
from pytest_energy.cli_shared import RecordPath, RecordPaths, stop

study = typer.Typer(
    help='The study "Power Hungry Processing" (arXiv 2311.16863), and your figures beside it.',
    no_args_is_help=True,
)


@study.command("show")
def study_show(
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="such as text-classification: its models")
    ] = None,
) -> None:
    """Print the study's figures: its tasks, or the models of one."""
    from pytest_energy.report.study import render_task, render_tasks

    width = Console().width
    try:
        text = render_tasks(width) if task is None else render_task(task, width)
    except ValueError as error:
        stop("study show", error)
    typer.echo(text, nl=False)


@study.command("compare")
def study_compare(
    paths: RecordPaths,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="also draw it, as .png, .svg or .pdf (extra report)"),
    ] = None,
) -> None:
    """Print the figures of run records beside the study's, and whether the order is the same.

    Each measurement with a task of the study counts; the label study_model says which of its
    models it was.
    """
    from pytest_energy.report.study import render_study_comparison
    from pytest_energy.study.compare import compare_with_study
    from pytest_energy.study.points import points_of

    command = "study compare"
    try:
        points = points_of([record.read(each) for each in paths])
        if not points.found:
            raise ValueError("; ".join(("nothing to compare with the study", *points.left_out)))
        found = compare_with_study(points)
        if picture is not None:
            from pytest_energy.report.study_picture import draw

            draw(found, picture)
    except ValueError as error:
        stop(command, error)
    except OSError as error:
        stop(command, f"{picture} can't be written: {error.strerror}")
    typer.echo(render_study_comparison(found, Console().width), nl=False)
    if picture is not None:
        typer.echo(f"picture: {picture}")


@study.command("place")
def study_place(path: RecordPath) -> None:
    """Say where a model stands among the study's, by its ratio to a twin measured beside it.

    Joules of two machines don't compare, so the record needs one of the study's models (label
    study_model) of the same task. What comes out is a place, never a limit.
    """
    from pytest_energy.report.study import render_placements
    from pytest_energy.study.place import place
    from pytest_energy.study.points import points_of

    try:
        found = place(points_of([record.read(path)]))
        if not found.found:
            raise ValueError("; ".join(found.left_out))
    except ValueError as error:
        stop("study place", error)
    typer.echo(render_placements(found, Console().width), nl=False)
