"""The diagnosis of `pytest-energy doctor`, with the settings that pytest reads in this folder.

The command starts pytest with the hidden option --energy-doctor, in another process, because the
user's conftest files may print, turn warnings into errors, or end the process.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest

from pytest_energy.errors import InputError
from pytest_energy.measurement.doctor import Diagnosis, Rules, diagnose
from pytest_energy.plugin.progress import say
from pytest_energy.plugin.sensors import added_probes
from pytest_energy.plugin.settings import Settings, read_settings
from pytest_energy.record.lock import CPU, DEFAULT_FOLDER, Locks
from pytest_energy.record.plain import from_plain
from pytest_energy.record.scratch import scratch_folder
from pytest_energy.sensors import clock
from pytest_energy.sensors.base import Clock, Probe
from pytest_energy.sensors.discover import discover


def diagnose_here(seconds: float) -> tuple[Diagnosis, list[str]]:
    """The diagnosis in the current folder, and why settings are ignored."""
    with scratch_folder() as scratch:
        answer = scratch.folder / "diagnosis.json"
        command = [sys.executable, "-m", "pytest", "-p", "energy", "--energy-doctor"]
        command += [str(answer), str(seconds)]
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ).returncode
        if answer.exists():
            found, problems = json.loads(answer.read_bytes())
            return from_plain(Diagnosis, found, "diagnosis"), problems
    problem = f"pytest cannot start in this folder (exit status {status}), so the defaults are used"
    return _diagnosis(Settings(), [problem], seconds, partial(print, file=sys.stderr))


def answer(config: pytest.Config, path: str, seconds: str) -> int:
    """Write the diagnosis to a file, as JSON, for `diagnose_here`."""
    settings, problems = Settings(), []
    try:
        settings = read_settings(config)
    except pytest.UsageError as error:
        problems.append(f"{error}; the defaults are used")
    added: tuple[Probe, ...] = ()
    try:
        added = added_probes(config)
    except InputError as error:
        problems.append(str(error))
    found, problems = _diagnosis(settings, problems, float(seconds), partial(say, config), added)
    Path(path).write_text(json.dumps([asdict(found), problems]), encoding="utf-8")
    return 0


def _diagnosis(
    settings: Settings,
    problems: list[str],
    seconds: float,
    report: Callable[[str], None],
    added: Sequence[Probe] = (),
) -> tuple[Diagnosis, list[str]]:
    time, visible = Clock(clock.now, clock.sleep), os.environ.get("CUDA_VISIBLE_DEVICES")
    locks = Locks(settings.lock_folder or DEFAULT_FOLDER, report)
    with locks.hold([CPU], "pytest-energy doctor"):  # it keeps a core busy
        try:
            instruments = discover(settings.choice, visible, time, added)
        except InputError as error:
            # The UUID of a board may be this machine's alone.
            public = re.sub(r"(GPU|MIG)-[\w/-]+", r"\1-...", str(error))
            problems = [*problems, f"{public}; the defaults are used"]
            settings = Settings(cpu_counter_folder=settings.cpu_counter_folder)
            instruments = discover(settings.choice, visible, time, added)
        defaults = settings.budgets.defaults
        rules = Rules(
            settings.gpus.mode,
            settings.require_measured,
            defaults.scope or Rules.scope,
            defaults.tolerance,
        )
        try:
            return diagnose(instruments, rules, time, _spin, seconds, problems), problems
        finally:
            instruments.close()


def _spin(seconds: float) -> None:
    """Keep one core busy."""
    end = clock.now() + seconds
    while clock.now() < end:
        pass
