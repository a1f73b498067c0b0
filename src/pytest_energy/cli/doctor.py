"""The command `pytest-energy doctor`."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console


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


def _public(error: ValueError) -> str:
    """A message without the UUIDs of boards, which may be this machine's alone."""
    return re.sub(r"(GPU|MIG)-[\w/-]+", r"\1-...", str(error))


def _spin(seconds: float) -> None:
    """Keep one core busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
