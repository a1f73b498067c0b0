"""`--energy-report FORMAT:PATH`: the reports that a run writes, in our formats and plugins'.

`pytest-energy report` asks a pytest in the current folder for a plugin's format, in another
process, because conftest files may print, turn warnings into errors, or end the process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_energy.errors import EnergyError, InputError
from pytest_energy.plugin.hookspec import call_each
from pytest_energy.record import file as record_file
from pytest_energy.record.project_files import target, write_text, writing
from pytest_energy.record.schema import RunRecord
from pytest_energy.record.scratch import scratch_folder
from pytest_energy.report.formats import Format, format_named, name_by_ending, names

OPTION = "--energy-report"
HOOK = "pytest_energy_report_formats"


@dataclass(frozen=True)
class Report:
    """One report that is written at the end of the session."""

    format: str
    render: Format
    path: Path

    def write(self, record: RunRecord) -> None:
        """Raises EnergyError where it can't be made or written."""
        text = _rendered(self.format, self.render, record)
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, text)


def read_reports(config: pytest.Config, mistakes: list[str]) -> tuple[Report, ...]:
    """The reports that were asked for; `mistakes` takes a sentence for each that can't be made."""
    asked = config.getoption(OPTION) or ()
    if not asked:
        return ()
    try:
        added = _added(config)
    except EnergyError as error:
        mistakes.append(str(error))
        return ()
    found = []
    for text in asked:
        try:
            found.append(_report(text, added, config))
        except (EnergyError, OSError) as error:
            mistakes.append(f"{OPTION}: {error}")
    return tuple(found)


def _report(text: str, added: Mapping[str, Format], config: pytest.Config) -> Report:
    name, colon, path = text.partition(":")
    if not colon:
        name, path = name_by_ending(Path(text).suffix.removeprefix(".")), text
    known = [*names(), *added]
    if not colon and name not in known:
        raise InputError(
            f"{text!r} names no format; write FORMAT:PATH, such as csv:{text}; "
            f"known: {', '.join(known)}"
        )
    if name not in known:
        raise InputError(_unknown(name, known))
    if not path.strip():
        raise InputError(f"{text!r} names no file; write FORMAT:PATH, such as {name}:report.txt")
    render = added[name] if name in added else format_named(name)
    return Report(name, render, target(Path(config.invocation_params.dir, path), config.rootpath))


def render_here(record: RunRecord, name: str) -> str:
    """The report in one of our formats, or in one that a plugin adds in the current folder.

    Raises EnergyError where there is no such format, or it fails.
    """
    if name in names():
        return format_named(name)(record)
    with scratch_folder() as scratch:
        path, answer = scratch.folder / "record.json", scratch.folder / "answer.json"
        record_file.write(record, path)
        command = [sys.executable, "-m", "pytest", "-p", "energy", "--energy-render"]
        status = subprocess.run(
            [*command, name, str(path), str(answer)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        ).returncode
        if not answer.exists():
            raise InputError(
                f"unknown report format {name!r}; known: {', '.join(names())}, and those of other "
                f"plugins, but pytest cannot start in this folder (exit status {status})"
            )
        found: dict[str, str] = json.loads(answer.read_bytes())
    if problem := found.get("problem"):
        raise EnergyError(problem)
    return found["text"]


def answer(config: pytest.Config, name: str, path: str, answer: str) -> int:
    """Write a report in a plugin's format to a file, as JSON, for `render_here`."""
    try:
        added = _added(config)
        if name not in added:
            raise InputError(_unknown(name, [*names(), *added]))
        found = {"text": _rendered(name, added[name], record_file.read(Path(path)))}
    except EnergyError as error:
        found = {"problem": str(error)}
    Path(answer).write_text(json.dumps(found), encoding="utf-8")
    return 0


def _rendered(name: str, render: Format, record: RunRecord) -> str:
    """Raises EnergyError for an exception of a format, which must not cost the verdicts."""
    try:
        return render(record)
    except Exception as error:
        raise EnergyError(
            f"report format {name!r} failed: {type(error).__name__}: {error}"
        ) from error


def _unknown(name: str, known: Sequence[str]) -> str:
    return f"unknown report format {name!r}; known: {', '.join(known)}"


def _added(config: pytest.Config) -> dict[str, Format]:
    """The formats of other plugins. Raises EnergyError for one that can't be taken."""
    found: dict[str, Format] = {}
    owners = dict.fromkeys(names(), "pytest-energy")
    for plugin, formats in call_each(config, HOOK, config=config):
        if isinstance(formats, Exception):
            raise EnergyError(
                f"{HOOK} of plugin {plugin!r} failed: {type(formats).__name__}: {formats}"
            )
        if not _is_formats(formats):
            raise EnergyError(
                f"{HOOK} of plugin {plugin!r} returned {type(formats).__name__}; expected a "
                "mapping from names to functions"
            )
        assert isinstance(formats, Mapping)
        for name, render in formats.items():
            if name in owners:
                raise EnergyError(
                    f"{HOOK} of plugin {plugin!r}: report format {name!r} is taken by "
                    f"{owners[name]}; choose another name"
                )
            found[name], owners[name] = render, f"plugin {plugin!r}"
    return found


def _is_formats(formats: object) -> bool:
    return isinstance(formats, Mapping) and all(
        isinstance(name, str) and isinstance(render, Callable)  # type: ignore[arg-type]
        for name, render in formats.items()
    )
