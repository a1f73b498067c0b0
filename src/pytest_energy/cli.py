"""The command `pytest-energy`."""

from __future__ import annotations

import json
import re
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pytest_energy import record
from pytest_energy.budgets.file import BudgetsFileError, read_budgets
from pytest_energy.cli_shared import RecordPath, RecordPaths, stop
from pytest_energy.cli_study import study
from pytest_energy.options import BASELINES_FOLDER, BUDGETS_FILE

app = typer.Typer(
    help="Energy records, budgets and instruments of pytest-energy.",
    no_args_is_help=True,
    add_completion=False,
)
budgets = typer.Typer(help=f"The limits in {BUDGETS_FILE}.", no_args_is_help=True)
app.add_typer(budgets, name="budgets")
baseline = typer.Typer(
    help=f"Earlier sessions of the tests, in the folder {BASELINES_FOLDER}.", no_args_is_help=True
)
app.add_typer(baseline, name="baseline")
app.add_typer(study, name="study")

#: As a path, the standard output.
_STDOUT = Path("-")
BudgetsPath = Annotated[
    Path, typer.Option("--file", metavar="PATH", help="the file of limits", readable=False)
]
BaselinesPath = Annotated[
    Path, typer.Option("--folder", metavar="PATH", help="the folder of baselines", readable=False)
]


@app.callback()
def main() -> None:
    """Energy records, budgets and instruments of pytest-energy."""


@app.command()
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


@app.command()
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


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.2, max=600, help="how long to read")
    ] = 2.0,
) -> None:
    """Read every instrument of this machine, and say what is missing and what to do about it.

    The output names no host, user or path, so it can be pasted in public. The settings are those
    that pytest would take in this folder. Exit status 1: nothing can be measured or estimated.
    Exit status 2: the settings can't be used, and the usual ones were taken.
    """
    import os

    from pytest_energy.doctor import Rules, diagnose
    from pytest_energy.measure.lock import CPU, DEFAULT_FOLDER, DeviceLocks
    from pytest_energy.report.doctor import render_diagnosis
    from pytest_energy.sensors.base import Clock
    from pytest_energy.sensors.discover import discover
    from pytest_energy.settings import Settings
    from pytest_energy.settings_here import settings_here

    clock = Clock(time.perf_counter, time.sleep)
    problems = []
    try:
        settings = settings_here()
    except ValueError as error:
        problems.append(f"left aside, because they can't be used: {error}")
        settings = Settings()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    locks = DeviceLocks(settings.lock_folder or DEFAULT_FOLDER)
    with locks.hold([CPU]):  # a measured test doesn't want a busy core beside it
        try:
            instruments = discover(settings.choice, visible, clock)
        except ValueError as error:
            problems.append(f"left aside, because they can't be used: {_public(error)}")
            settings = Settings(powercap_root=settings.powercap_root)
            instruments = discover(settings.choice, visible, clock)
        defaults = settings.budgets.defaults
        rules = Rules(
            settings.gpus.mode,
            settings.require_measured,
            defaults.scope or Rules.scope,
            defaults.tolerance,
        )
        try:
            found = diagnose(instruments, rules, clock, _spin, seconds, problems)
        finally:
            instruments.close()
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
    else:
        typer.echo(render_diagnosis(found, Console().width), nl=False)
    if not found.works:
        raise typer.Exit(1)
    if problems:
        raise typer.Exit(2)


@app.command()
def compare(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECORD RECORD | -- ARGUMENT",
            help="two files of --energy-json, the reference first; or arguments of pytest",
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:VARIABLE=VALUE", help="two names; the first is the reference"),
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="REF", help="the commit that your tree is compared with")
    ] = None,
    setup: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="run in each tree before its turns")
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(metavar="N", help="exactly so many pairs; usually 5 to 20")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="at most, but for three pairs")
    ] = None,
    max_increase: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="3% for pairs, 5% for records")
    ] = None,
    to_json: Annotated[
        Path | None, typer.Option("--json", metavar="PATH", help="write JSON; - is the output")
    ] = None,
    to_markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="PATH", help="the same in Markdown")
    ] = None,
) -> None:
    """Compare a candidate with its reference: two records, two variants, or a commit and your tree.

    Exit status 0: within. 1: regressed. 2: could not compare.

    \b
    pytest-energy compare old.json new.json
    pytest-energy compare --variant old:MODEL=a --variant new:MODEL=b -- tests
    pytest-energy compare --base main --setup 'pip install -e .' -- tests
    """
    from pytest_energy.comparing.answer import answer
    from pytest_energy.comparing.outcome import NOT_COMPARED
    from pytest_energy.comparing.question import Options, read_question
    from pytest_energy.report.comparison import json_of, markdown_of, render_comparison

    options = Options(
        tuple(arguments or ()),
        tuple(variant or ()),
        base,
        setup,
        pairs,
        max_seconds,
        max_increase,
    )
    outputs = ((to_json, json_of), (to_markdown, markdown_of))
    to_stdout = [text_of for path, text_of in outputs if path == _STDOUT]
    try:
        if len(to_stdout) > 1:
            raise ValueError("--json - and --markdown - both write to the output; give one a path")
        question = read_question(options, Path.cwd())
    except ValueError as error:
        stop("compare", error)
    try:
        found = answer(question, sys.stderr)
        console = Console(stderr=bool(to_stdout))
        text = render_comparison(found, console.width, colour=console.is_terminal)
        typer.echo(text, nl=False, err=bool(to_stdout))
        for path, text_of in outputs:
            if path == _STDOUT:
                typer.echo(text_of(found), nl=False)
            elif path is not None:
                _write(path, text_of(found))
        status = found.exit_status
    except typer.Exit:
        raise
    except (Exception, KeyboardInterrupt):
        # A mistake of ours must not look like a regression, whose status is 1.
        traceback.print_exc()
        status = NOT_COMPARED
    raise typer.Exit(status)


@app.command()
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


@budgets.command()
def check(path: BudgetsPath = Path(BUDGETS_FILE)) -> None:
    """Validate the file of limits, and tell all its mistakes."""
    try:
        found = read_budgets(path, str(path))
    except BudgetsFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(4) from None
    limits = sum(len(entry.limits) for entry in found.entries)
    typer.echo(f"{path}: {_many(len(found.entries), 'budget')}, {_many(limits, 'limit')}")


@budgets.command()
def suggest(
    paths: RecordPaths,
    path: BudgetsPath = Path(BUDGETS_FILE),
) -> None:
    """Write a limit for each measured test without one, with headroom from the spread."""
    from pytest_energy.budgets.suggest import SuggestionError
    from pytest_energy.budgets.suggest import suggest as suggest_limits

    try:
        text = ""
        if path.exists():
            read_budgets(path, str(path))
            text = path.read_bytes().decode("utf-8")
        found = suggest_limits([record.read(each) for each in paths], text, str(path))
        if found.written:
            record.write_text(path, found.text)
    except (BudgetsFileError, SuggestionError, record.RecordError) as error:
        stop("budgets suggest", error)
    except OSError as error:
        stop("budgets suggest", f"{path} can't be written: {error.strerror}")
    for line in found.told:
        typer.echo(line)
    typer.echo(f"{path}: {_many(found.written, 'budget')} written")


@baseline.command("update")
def baseline_update(
    paths: RecordPaths,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="new fills what is missing, add appends the sessions, reset starts again",
        ),
    ] = "new",
    folder: BaselinesPath = Path(BASELINES_FOLDER),
) -> None:
    """Take the sessions of run records into the baselines, and print what they become."""
    from pytest_energy.store.file import BaselineError, exclusively, read_folder, write_folder
    from pytest_energy.store.update import Mode, update

    command = "baseline update"
    if mode not in list(Mode):
        stop(command, f"--mode {mode!r} is not known; choose from {', '.join(Mode)}")
    try:
        records = [record.read(each) for each in paths]
        with exclusively(folder):
            before = read_folder(folder, str(folder))
            found = update(before.lines, records, Mode(mode))
            written = write_folder(folder, before, found.lines) if found.changed else ()
    except (BaselineError, record.RecordError) as error:
        stop(command, error)
    except OSError as error:
        stop(command, f"{folder} can't be written: {error.strerror}")
    for line in (*found.told, *(f"written: {folder / name}" for name in written)):
        typer.echo(line)
    if not written:
        typer.echo("nothing written")


@baseline.command("list")
def baseline_list(folder: BaselinesPath = Path(BASELINES_FOLDER)) -> None:
    """Print the tests, their sessions, and the increase from which each would fail."""
    from pytest_energy.report.baselines import render_baselines
    from pytest_energy.store.file import BaselineError, read_folder

    try:
        lines = read_folder(folder, str(folder)).lines
    except BaselineError as error:
        stop("baseline list", error)
    if not lines:
        typer.echo(f"{folder}: no baselines; pytest --energy-update new makes them")
        return
    typer.echo(render_baselines(lines, Console().width), nl=False)


@baseline.command("drop")
def baseline_drop(
    tests: Annotated[
        list[str], typer.Argument(metavar="TEST...", help="ids of tests, or patterns with * and ?")
    ],
    folder: BaselinesPath = Path(BASELINES_FOLDER),
) -> None:
    """Remove all sessions of tests."""
    from pytest_energy.store.file import BaselineError, exclusively, read_folder, write_folder
    from pytest_energy.store.update import drop

    try:
        with exclusively(folder):
            before = read_folder(folder, str(folder))
            found = drop(before.lines, tests)
            write_folder(folder, before, found.lines)
    except (BaselineError, ValueError) as error:
        stop("baseline drop", error)
    except OSError as error:
        stop("baseline drop", f"{folder} can't be written: {error.strerror}")
    for line in found.told:
        typer.echo(line)


@budgets.command()
def tighten(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RECORD...]",
            help="files of --energy-json; without one, the baselines tell",
            readable=False,
        ),
    ] = None,
    path: BudgetsPath = Path(BUDGETS_FILE),
    folder: BaselinesPath = Path(BASELINES_FOLDER),
) -> None:
    """Lower the limits that stand far above what is measured; none is ever raised."""
    from pytest_energy.budgets.tighten import tighten_from_baselines, tighten_from_records
    from pytest_energy.store.file import read_folder

    command = "budgets tighten"
    try:
        read_budgets(path, str(path))
        text = path.read_bytes().decode("utf-8")
        if paths:
            found = tighten_from_records([record.read(each) for each in paths], text, str(path))
        else:
            lines = read_folder(folder, str(folder)).lines
            if not lines:
                stop(command, f"{folder} holds no baselines; give it run records, or make some")
            found = tighten_from_baselines(lines, text, str(path))
        if found.lowered:
            record.write_text(path, found.text)
    except OSError as error:
        stop(command, f"{path} can't be written: {error.strerror}")
    except ValueError as error:  # of the file, a record, a baseline, or figures that don't compare
        stop(command, error)
    for line in found.told:
        typer.echo(line)
    typer.echo(f"{path}: {_many(found.lowered, 'limit')} lowered")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(path, text)
    except OSError as error:
        stop("compare", f"{path} can't be written: {error.strerror}")


def _public(error: ValueError) -> str:
    """A message without the UUIDs of boards, which may be this machine's alone."""
    return re.sub(r"(GPU|MIG)-[\w/-]+", r"\1-...", str(error))


def _spin(seconds: float) -> None:
    """Keep one core busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _many(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


if __name__ == "__main__":
    app()
