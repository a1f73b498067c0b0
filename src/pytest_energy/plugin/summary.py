"""The part of pytest's summary that shows what a session measured, compared and wrote."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from pytest_energy.plugin.settings import Settings
from pytest_energy.record.schema import RunRecord
from pytest_energy.report.advice import conclude
from pytest_energy.report.details import details
from pytest_energy.report.printable import all_printable, printable, without_commands
from pytest_energy.report.terminal import lost_test, render
from pytest_energy.units import numbered


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a session ended.

    record: None where all tests ran once, unmeasured: `ran_once` is their number. unused: a
    sentence for each budget and baseline that no test uses. lost: tests whose worker died.
    updated: what became of the baselines, and `no_update` why nothing did. unwritten: a sentence
    for each file that could not be written. may_write: whether tests were to be measured.
    """

    settings: Settings
    record: RunRecord | None
    ran_once: int
    unused: tuple[str, ...]
    lost: tuple[str, ...]
    updated: tuple[str, ...]
    no_update: str
    unwritten: tuple[str, ...]
    may_write: bool


def write_summary(terminalreporter: pytest.TerminalReporter, ended: Ended) -> None:
    """The section "energy", or with -q a line."""
    is_quiet = terminalreporter.verbosity < 0
    if is_quiet:
        _write_line(terminalreporter, ended)
    else:
        _write_table(terminalreporter, ended)
    _write_baselines(terminalreporter, ended)
    for line in ended.unwritten:
        terminalreporter.line(printable(line, lines=True), red=True)
    if not is_quiet and not ended.unwritten:
        _write_files(terminalreporter, ended)


def _write_table(terminalreporter: pytest.TerminalReporter, ended: Ended) -> None:
    """The table with its notes, or what there is instead."""
    terminalreporter.section("energy")
    if ended.ran_once:
        terminalreporter.line(_ran_once(ended))
    record = ended.record
    if record is None or not record.tests:
        for line in (*ended.unused, *map(lost_test, ended.lost)):
            terminalreporter.line(printable(line, lines=True))
        return
    writer = terminalreporter._tw
    shown = _in_failures(terminalreporter)
    table = render(record, writer.fullwidth, colour=writer.hasmarkup, in_failures=shown)
    writer.write(table)
    if terminalreporter.verbosity > 0:
        for line in details(all_printable(record), writer.fullwidth):
            terminalreporter.line(without_commands(line))


def _write_line(terminalreporter: pytest.TerminalReporter, ended: Ended) -> None:
    """All of it in one line, for -q."""
    parts = [_ran_once(ended)] if ended.ran_once else []
    if ended.record is not None:
        parts.append(conclude(ended.record).sentence)
    terminalreporter.ensure_newline()
    terminalreporter.line(printable(f"energy: {' '.join(parts)}", lines=True))


def _ran_once(ended: Ended) -> str:
    return f"{ended.settings.disable}: {numbered(ended.ran_once, 'test')} ran once, unmeasured"


def _write_baselines(terminalreporter: pytest.TerminalReporter, ended: Ended) -> None:
    width = terminalreporter._tw.fullwidth
    if ended.updated:
        terminalreporter.line(f"baselines, --energy-update {ended.settings.update}:")
    for message in ended.updated:
        for line in _wrapped(printable(message), width, "  ", "    "):
            terminalreporter.line(without_commands(line))
    for line in _wrapped(ended.no_update, width):
        terminalreporter.line(printable(line, lines=True), red=True)


def _wrapped(text: str, width: int, first: str = "", following: str = "") -> Sequence[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=following, break_on_hyphens=False
    )


def _write_files(terminalreporter: pytest.TerminalReporter, ended: Ended) -> None:
    """Where the run record and the reports are."""
    settings = ended.settings
    if settings.json_path is not None:
        written = "run record" if ended.may_write else "no run record written to"
        terminalreporter.line(printable(f"{written}: {settings.json_path}"))
    for report in settings.reports if ended.may_write else ():
        # Terminals make a link of an address.
        shown = report.path.as_uri() if report.format == "html" else str(report.path)
        terminalreporter.line(printable(f"{report.format} report: {shown}"))


def _in_failures(terminalreporter: pytest.TerminalReporter) -> set[tuple[str, str]]:
    """The id and the reason of each measurement whose reason pytest has printed as a failure."""
    if terminalreporter.config.option.tbstyle == "no":
        return set()
    found = set()
    for category in ("failed", "error"):
        for report in terminalreporter.stats.get(category, ()):
            shown = str(report.longrepr)
            for test in (getattr(report, "energy", None) or {}).get("tests", ()):
                reason = printable(test["reason"], lines=True)
                # Of a test's own error, the traceback says more than the reason.
                if reason in shown or test["code"] == "test-failed":
                    found.add((printable(test["id"]), reason))
    return found
