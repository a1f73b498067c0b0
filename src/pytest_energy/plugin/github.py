"""What a run leaves in a job of GitHub Actions: its summary, and annotations at the tests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_energy.plugin.options import ACTIONS, SUMMARY
from pytest_energy.plugin.session import Reporting
from pytest_energy.report.printable import printable

#: GitHub refuses a larger summary of a step, all of it.
LARGEST = 1 << 20
#: With less room than this there is no summary.
LEAST = 8_000
#: It annotates every failed test, and so ours.
ANNOTATING = "pytest-github-actions-annotate-failures"


class GitHubJob:
    """Writes once, on the controller of pytest-xdist."""

    def __init__(
        self,
        config: pytest.Config,
        reporting: Reporting,
        environment: Mapping[str, str],
    ) -> None:
        self._config = config
        self._reporting = reporting
        self._environment = environment
        self._problem = ""

    def pytest_sessionfinish(self) -> None:
        name = self._environment.get(SUMMARY)
        if name and self._reports():
            self._problem = self._add_to_summary(Path(name))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._problem:
            terminalreporter.line(printable(f"{SUMMARY}: {self._problem}"))
        if self._environment.get(ACTIONS) != "true" or self._annotates() or not self._reports():
            return
        from pytest_energy.report.annotations import error_commands

        for line in error_commands(self._reporting.record()):
            terminalreporter.line(line)

    def _reports(self) -> bool:
        if hasattr(self._config, "workerinput") or not self._reporting.may_write():
            return False
        record = self._reporting.record()
        return bool(
            record.tests or record.unused_budgets or record.unused_baselines or record.lost_tests
        )

    def _add_to_summary(self, path: Path) -> str:
        """Append the report; why it is not there, or ""."""
        from pytest_energy.report.formats import markdown

        try:
            size = path.stat().st_size if path.exists() else 0
            room = min(LARGEST - size - 1, markdown.LARGEST)
            if room < LEAST:
                return f"it has {size:,} bytes, and GitHub takes {LARGEST:,}; nothing was added"
            text = markdown.render_within(self._reporting.record(), room)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            flags |= getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for a reader
            with os.fdopen(os.open(path, flags, 0o666), "ab") as file:
                file.write((("\n" if size else "") + text).encode("utf-8"))
        except OSError as error:
            return f"{path} can't be written: {error.strerror}"
        except (ImportError, MemoryError, RecursionError) as error:  # a test has left no room
            return f"{path} can't be written: {error}"
        return ""

    def _annotates(self) -> bool:
        """Whether a plugin annotates all failed tests."""
        plugins = self._config.pluginmanager.list_plugin_distinfo()
        return any(each.metadata["name"].lower() == ANNOTATING for _, each in plugins)
