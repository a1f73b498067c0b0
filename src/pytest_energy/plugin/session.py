"""The hooks that gather what tests measured, also from xdist workers: summary and run record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.plugin.hookspec import call_each
from pytest_energy.plugin.measured_tests import is_measured
from pytest_energy.plugin.options import is_job
from pytest_energy.plugin.settings import Settings
from pytest_energy.plugin.unused_budgets import BudgetUse
from pytest_energy.record.project_files import writing
from pytest_energy.report.printable import printable
from pytest_energy.sensors import clock

if TYPE_CHECKING:
    from pytest_energy.record.schema import RunRecord


#: What reading, writing and importing raise where a test has left no file descriptor, memory or
#: recursion.
_NO_ROOM = (OSError, ImportError, MemoryError, RecursionError)


class Reporting:
    """Gathers the plain data that reports carry, and writes it out once, at the end."""

    def __init__(self, config: pytest.Config, settings: Settings, budget_use: BudgetUse) -> None:
        self._config = config
        self._settings = settings
        self._budget_use = budget_use
        self._uuid = str(uuid4())
        self._pid = os.getpid()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._started = datetime.fromtimestamp(clock.wall(), UTC)
        self._began = clock.now()
        self._reported: list[dict[str, Any]] = []
        self._lost: list[str] = []
        """Tests whose worker of pytest-xdist died while they ran."""
        self._failed: list[str] = []
        self._judged: set[str] = set()
        self._unwritten: list[str] = []
        self._updated: tuple[str, ...] = ()
        self._built: RunRecord | None = None

    def add(self, plain: dict[str, Any]) -> None:
        """Take what one test measured."""
        self._reported.append(plain)

    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        # A misused fixture is a mistake in the test, not a failure of the model under test.
        if getattr(report, "energy_misuse", False) and report.outcome == "failed":
            return "error", "E", ("ERROR", {"red": True})
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (plain := getattr(report, "energy", None)) is not None:
            self.add(plain)
            self._failed += [report.nodeid] if report.failed else []
        if report.when == "call" or not report.passed:
            self._judged.add(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        self._lost.append(crashitem)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """A test that calls pytest.exit with status 0 must not end a run green that measures."""
        if self._settings.disable or getattr(excinfo.value, "returncode", None) != 0:
            return
        session: Any = self._config.pluginmanager.get_plugin("session")
        measured = [item.nodeid for item in session.items if is_measured(item)]
        unjudged = [each for each in measured if each not in self._judged]
        if self._failed:
            what = f"{self._failed[0]} failed"
        elif unjudged:
            what = f"{unjudged[0]} was not judged"
            what += f", nor were {len(unjudged) - 1} others" if len(unjudged) > 1 else ""
        else:
            return
        self._unwritten.append(
            f"{what}, and pytest.exit with status 0 ended the run; use another status"
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(self._config, "workerinput"):
            return
        left = os.umask(self._umask)  # a test may have changed it
        try:
            self._write(session)
        except _NO_ROOM as error:
            self._unwritten.append(f"nothing more was written: {error}")
        except KeyboardInterrupt:
            self._unwritten.append("interrupted: nothing more was written")
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        finally:
            os.umask(left)
        if self._unwritten:
            _fail(session)

    def _write(self, session: pytest.Session) -> None:
        if self._settings.strict and self._unused():
            _fail(session)
        if self.may_write():
            self._write_record()
            self._write_reports()
            self._update_baselines()
            self._hand_over()

    def _write_record(self) -> None:
        path = self._settings.json_path
        if path is None:
            return
        from pytest_energy.record.file import write

        try:
            with writing(path):
                write(self.record(), path)
        except EnergyError as error:
            self._unwritten.append(f"--energy-json: {error}")

    def _write_reports(self) -> None:
        for report in self._settings.reports:
            try:
                report.write(self.record())
            except EnergyError as error:
                self._unwritten.append(f"--energy-report {report.format}: {error}")

    def _hand_over(self) -> None:
        """Give the record to the plugins that take it."""
        hook = "pytest_energy_record"
        if not getattr(self._config.hook, hook).get_hookimpls():
            return
        for plugin, result in call_each(
            self._config, hook, config=self._config, record=self.record()
        ):
            if isinstance(result, Exception):
                self._unwritten.append(
                    f"{hook} of plugin {plugin!r} failed: {type(result).__name__}: {result}"
                )

    def _update_baselines(self) -> None:
        """Take this session into the baselines, as they are now on the disk."""
        mode, folder = self._settings.update, self._settings.baselines_folder
        if mode is None:
            return
        from pytest_energy.baselines.change import change_folder
        from pytest_energy.baselines.update import update

        shown = self._settings.baselines.shown or folder.name
        try:
            found, written = change_folder(
                folder,
                shown,
                lambda lines: update(lines, [self.record()], mode),
                self._config.rootpath,
            )
        except EnergyError as error:
            self._unwritten += [f"--energy-update: {line}" for line in str(error).split("\n")]
        else:
            files = [f"{shown}/{name}" for name in written]
            self._updated = (*found.messages, f"written: {', '.join(files) or 'nothing'}")

    def _unused(self) -> tuple[str, ...]:
        """Budgets and baselines of tests that no longer exist."""
        return (*self._budget_use.unused(), *self._budget_use.unused_baselines())

    def _no_update(self) -> str:
        """Why the baselines that were to be updated are not, or ""."""
        if self._settings.update is None or self.may_write():
            return self._settings.no_update
        return "--energy-update: nothing was measured, so the baselines are unchanged"

    def may_write(self) -> bool:
        """Whether tests were to be measured: else an earlier record is left as it is.

        A fork that a test left running writes nothing: its parent does.
        """
        option = self._config.option
        return os.getpid() == self._pid and not (
            self._settings.disable or option.collectonly or option.setuponly or option.setupplan
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        try:
            self._summarise(terminalreporter)
        except _NO_ROOM as error:
            for line in (*self._unwritten, f"no summary: {error}"):
                terminalreporter.line(printable(f"energy: {line}"))

    def _summarise(self, terminalreporter: pytest.TerminalReporter) -> None:
        ran_once = sum(1 for each in self._reported if each.get("disabled"))
        record = self.record() if len(self._reported) > ran_once else None
        unused, no_update = self._unused(), self._no_update()
        more = ran_once or unused or self._lost or self._unwritten or self._updated or no_update
        if not (more or (record and record.tests)):
            return
        from pytest_energy.plugin.summary import Ended, write_summary

        ended = Ended(
            settings=self._settings,
            record=record or (None if ran_once else self.record()),
            ran_once=ran_once,
            unused=unused,
            lost=tuple(self._lost),
            updated=self._updated,
            no_update=no_update,
            unwritten=tuple(self._unwritten),
            may_write=self.may_write(),
        )
        write_summary(terminalreporter, ended)

    def record(self) -> RunRecord:
        """Built once, when all tests have ended."""
        # No cached_property: pytest reads all attributes of a plugin when it is registered.
        if self._built is None:
            self._built = replace(self.record_of(self._reported), **self._branch())
        return self._built

    def _branch(self) -> dict[str, Any]:
        """What this branch changes in the limits, where a report could say it."""
        written = self._settings.json_path is not None or self._settings.reports
        if not self.may_write() or not (written or is_job(os.environ)):
            return {}
        from pytest_energy.limits import BUDGETS_FILE
        from pytest_energy.plugin.branch import branch_changes
        from pytest_energy.record.schema import LimitChangeRecord

        budgets = self._settings.budgets
        name = budgets.shown or BUDGETS_FILE
        found = branch_changes(self._config.rootpath, name, budgets, os.environ)
        changes = tuple(LimitChangeRecord(**asdict(each)) for each in found.limits)
        return {"limit_changes": changes, "limits_base": found.base}

    def record_of(self, reported: Sequence[dict[str, Any]]) -> RunRecord:
        """The record of this session so far, with these tests alone."""
        from pytest_energy.record import machine
        from pytest_energy.record.plain import from_plain
        from pytest_energy.record.schema import (
            UNUSED,
            MachineRecord,
            Run,
            RunRecord,
            TestRecord,
            carbon_record,
        )

        measured = [each for each in reported if "tests" in each]
        # The wall clock may have been set meanwhile.
        ended = self._started + timedelta(seconds=clock.now() - self._began)
        intensity = self._settings.intensity
        return RunRecord(
            run=Run(
                uuid=self._uuid,
                start=self._started.isoformat(),
                end=ended.isoformat(),
                versions=measured[0]["versions"] if measured else machine.versions({}),
                commit=machine.commit(self._config.rootpath),
                folder=machine.folder_in_repository(self._config.rootpath),
            ),
            # What a session finds out about the machine, its later reports hold.
            machine=from_plain(MachineRecord, _best_known([each["machine"] for each in measured]))
            if measured
            else machine.machine([]),
            carbon=carbon_record(intensity) if intensity else None,
            tests=tuple(
                from_plain(TestRecord, test) for each in measured for test in each["tests"]
            ),
            unused_budgets=self._budget_use.unused(),
            unused_baselines=self._budget_use.unused_baselines(),
            lost_tests=tuple(self._lost),
            fail_on=(
                *sorted(map(str, self._settings.fail_on)),
                *((UNUSED,) if self._settings.strict else ()),
            ),
        )


def _best_known(machines: list[dict[str, Any]]) -> dict[str, Any]:
    return max(machines, key=lambda each: len(each["self_checks"]))


def _fail(session: pytest.Session) -> None:
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
