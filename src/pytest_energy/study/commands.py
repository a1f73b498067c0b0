"""The commands `pytest-energy study ...` and `pytest-energy scale`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from pytest_energy.errors import InputError
from pytest_energy.record.project_files import writing

# `readable`: whoever reads the file reports what is wrong with it.
RecordPaths = Annotated[
    list[Path],
    typer.Argument(
        metavar="RECORD", help="Run records, written by pytest --energy-json", readable=False
    ),
]


class _RunByDefault(TyperGroup):
    """`pytest-energy study --task T` is short for `pytest-energy study run --task T`."""

    default_command = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        names_no_command = not args or (args[0].startswith("-") and args[0] not in ("-h", "--help"))
        return super().parse_args(ctx, [self.default_command, *args] if names_no_command else args)


study = typer.Typer(
    cls=_RunByDefault,
    help='Compare with the study "Power Hungry Processing".\n\n'
    "The study is arXiv 2311.16863. Without a command: run.",
)


@study.command("show")
def study_show(
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="Print the models of TASK, such as text-classification"),
    ] = None,
) -> None:
    """Print the study's figures: its tasks, or the models of one."""
    from pytest_energy.study.report import render_task, render_tasks

    width = Console().width
    typer.echo(render_tasks(width) if task is None else render_task(task, width), nl=False)


@study.command("compare")
def study_compare(
    paths: RecordPaths,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Also draw it as .png, .svg or .pdf (needs the extra report)"
        ),
    ] = None,
) -> None:
    """Compare the figures and ranks of run records with the study's.

    Each measurement with a task of the study counts; its label study_model names the model of the
    study. Figures of `study run --method codecarbon` next to a record are compared too.
    """
    from pytest_energy.study.compare import compare_with_study
    from pytest_energy.study.report import render_study_comparison
    from pytest_energy.study.running.results import points_in, records_in

    points = points_in(records_in(paths))
    if not points.found:
        raise InputError("; ".join(("nothing to compare with the study", *points.left_out)))
    found = compare_with_study(points)
    if picture is not None:
        from pytest_energy.study.picture import draw

        with writing(picture):
            draw(found, picture)
    typer.echo(render_study_comparison(found, Console().width), nl=False)
    if picture is not None:
        typer.echo(f"picture: {picture}")


@study.command("place")
def study_place(paths: RecordPaths) -> None:
    """Rank your model among the study's, by its ratio to one of them.

    Joules of two machines can't be compared. So one of the study's models (label study_model) of
    the same task is needed, in the same record or in another of the same machine. The result is a
    rank, never a limit.

    \b
    pytest-energy study run --task text-classification --model ./mine --twin 'distil*'
    pytest-energy study place energy-study/text-classification/*.json
    """
    from pytest_energy.study.place import place
    from pytest_energy.study.points import points_of
    from pytest_energy.study.report import render_placements
    from pytest_energy.study.running.results import records_in

    found = place(points_of([run for _, run in records_in(paths)]))
    if not found.found:
        raise InputError("; ".join(found.left_out))
    typer.echo(render_placements(found, Console().width), nl=False)


@study.command("run")
def study_run(
    task: Annotated[
        list[str] | None, typer.Option(metavar="TASK", help="Run only this task; may be repeated")
    ] = None,
    twin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Run only models of this name, with * and ?; may be repeated"
        ),
    ] = None,
    weights: Annotated[
        str, typer.Option(metavar="random|hub", help="Use random weights, or those of the Hub")
    ] = "random",
    model: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="Run your own model, a folder or an id of the Hub; needs --task"
        ),
    ] = "",
    dtype: Annotated[
        str, typer.Option(metavar="DTYPE", help="Use float32, bfloat16 or float16")
    ] = "float32",
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE", help="Use cpu, cuda, cuda:1 (default: a GPU if there is one)"
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(metavar="N", min=1, help="Use N threads of torch on a CPU")
    ] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed random weights and inputs")] = 0,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="Measure a model for at most SECONDS")
    ] = 60.0,
    full: Annotated[bool, typer.Option("--full", help="Run 1,000 queries of each model")] = False,
    method: Annotated[
        str,
        typer.Option(
            metavar="ours|codecarbon",
            help="codecarbon: also measure by CodeCarbon, as in the study",
        ),
    ] = "ours",
    results: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Store each finished model in FOLDER")
    ] = Path("energy-study"),
    again: Annotated[
        bool, typer.Option("--again", help="Also measure models that have a result")
    ] = False,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGUMENT", help="More arguments for pytest")
    ] = None,
) -> None:
    """Measure models of the study on this machine.

    They run one inference at a time. Each finished model is stored; run the command again to
    continue an interrupted run.

    Exit status: 1 a model could not be measured or exceeds a limit, 2 nothing could be run.

    \b
    pytest-energy study run --task text-classification
    pytest-energy study run --twin 'gpt2*' --dtype bfloat16 --method codecarbon
    pytest-energy study run --model ./my-model --task text-generation
    """
    from pytest_energy.study.report import render_results
    from pytest_energy.study.running import command
    from pytest_energy.study.running.choice import Choice
    from pytest_energy.study.running.models import device_for, why_impossible

    def echo(line: str) -> None:
        typer.echo(line, err=True)

    folder = Path.cwd()
    choice = Choice(
        tasks=tuple(task or ()),
        names=tuple(twin or ()),
        weights=weights,
        model=str(folder / model) if (folder / model).exists() and model else model,
        dtype=dtype,
        device=device,
        threads=threads,
        seed=seed,
        method=method,
        results=folder / results,
        full=full,
        again=again,
    )
    choice.check()
    if why := why_impossible(choice.method):
        raise InputError(why)
    place = device_for(device)
    for line in command.plan(choice, place, seconds):
        echo(line)
    status, began = 0, time.monotonic()
    if choice.pending(place):
        ended = command.run(choice, seconds, arguments or [], echo)
        status = command.status_of(ended, results / command.LOG, echo)
    typer.echo(render_results(command.found(choice, place), Console().width), nl=False)
    for line in command.ending(choice, str(results), time.monotonic() - began):
        echo(line)
    raise typer.Exit(status)


def scale(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT",
            help="Run record, energy-budgets.toml, limit, or task or model of the study",
        ),
    ],
    volume: Annotated[
        str | None,
        typer.Option(metavar="VOLUME", help='Scale to this traffic, such as "10M queries / day"'),
    ] = None,
    training: Annotated[
        str | None,
        typer.Option(
            metavar="ENERGY", help='Compare with a training of this energy, such as "1287 MWh"'
        ),
    ] = None,
    carbon_intensity: Annotated[
        str | None,
        typer.Option(
            metavar="INTENSITY", help='Use this carbon intensity, such as "300 gCO2e/kWh"'
        ),
    ] = None,
) -> None:
    """Scale a figure to traffic, or compare it with a training.

    \b
    pytest-energy scale energy.json --volume "10M queries / day"
    pytest-energy scale "2.1 Wh / 1000 queries" --volume "50 queries / second"
    pytest-energy scale text-generation --training "1287 MWh"
    """
    from pytest_energy.carbon.intensity import Intensity, parse_intensity
    from pytest_energy.study.scale import Training, parse_training, parse_volume, render_scaled
    from pytest_energy.study.unit_costs import unit_costs

    if volume is None and training is None:
        raise InputError('add --volume "10M queries / day" or --training "1287 MWh"')
    traffic = None if volume is None else parse_volume(volume)
    trained = None if training is None else Training(parse_training(training), training)
    intensity = None
    if carbon_intensity is not None:
        intensity = Intensity(
            grams_per_kwh=parse_intensity(carbon_intensity), source="--carbon-intensity"
        )
    text = render_scaled(unit_costs(subject, intensity), traffic, trained, Console().width)
    typer.echo(text, nl=False)


def add_to(app: typer.Typer) -> None:
    """Add the study's commands to `pytest-energy`."""
    app.command()(scale)
    app.add_typer(study, name="study")
