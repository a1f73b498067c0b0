"""Budgets and baselines that no test uses: a renamed test must not lose them silently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.limits.budget import Declaration
from pytest_energy.limits.file import BudgetsFile, Entry
from pytest_energy.limits.index import is_pattern, matches
from pytest_energy.limits.resolve import matched
from pytest_energy.plugin import marker
from pytest_energy.plugin.measured_tests import is_measured, test_id
from pytest_energy.spelling import alike

#: So many entries are explained, because an explanation compares an entry with all tests.
MOST_EXPLAINED = 20
_OUTPUT = "energy_unused"
#: What is unused, by key: a sentence for each.
_Sentences = dict[str, str]


class BudgetUse:
    """Watches what is collected, and reports budgets and baselines that match no measured test.

    One is reported only where nothing could have hidden its test: its test file was collected
    completely (no -k, -m, ::test, --lf, --deselect), or no longer exists. A budget that names no
    file is reported after a complete run. `baselines`: ids of tests.
    """

    def __init__(
        self, config: pytest.Config, file: BudgetsFile, baselines: Sequence[str] = ()
    ) -> None:
        self._config = config
        self._file = file
        self._baselines = baselines
        self._used: set[tuple[str, str]] = set()
        """Entries by origin, each with the pattern of its `tests` that fitted, or ""."""
        self._found: dict[str, bool] = {}
        """Every test that was collected, by id, and whether it is measured."""
        self._hidden: set[str] = set()
        """Test files of which tests were left out."""
        self._collected: set[str] = set()
        self._whole = True
        self._finished = False
        self._by_worker: list[tuple[_Sentences, _Sentences]] = []

    def add(self, item: pytest.Item, declaration: Declaration) -> None:
        """Take note of the budgets that name this test."""
        subject = marker.subject_of(item, declaration)
        self._used |= matched(declaration, subject, self._file)

    def unused(self) -> tuple[str, ...]:
        """A sentence for each budget that no test uses."""
        return self._by_all(0) if self._by_worker else self._own(self._unused)

    def unused_baselines(self) -> tuple[str, ...]:
        """A sentence for each test with a baseline that isn't measured any more."""
        return self._by_all(1) if self._by_worker else self._own(self._unused_baselines)

    def _own(self, unused: Callable[[], _Sentences]) -> tuple[str, ...]:
        return tuple(unused().values()) if self._finished else ()

    def _by_all(self, which: int) -> tuple[str, ...]:
        """What all workers of pytest-xdist report."""
        first, *others = (each[which] for each in self._by_worker)
        return tuple(text for key, text in first.items() if all(key in each for each in others))

    def _unused_baselines(self) -> _Sentences:
        unused = [
            each
            for each in self._baselines
            if not self._found.get(each) and self._could_be_seen(each)
        ]
        known = set(self._baselines)
        new = [each for each, measured in self._found.items() if measured and each not in known]
        return {
            test: f"{test}: baseline that no measured test uses"
            + (f": {self._renamed(test, new)}" if index < MOST_EXPLAINED else "")
            for index, test in enumerate(unused)
        }

    def _renamed(self, test: str, new: Sequence[str]) -> str:
        """Which of the tests that are new to the baselines may have been called so."""
        successor = "" if test in self._found else _successor(test, new)
        if not successor:
            why, _, _ = self._why(test).partition("; did you mean")
            return f"{why}; pytest-energy baseline drop '{test}' removes it"
        return (
            f"was it renamed to {successor}, which has no baseline? pytest --energy-update new "
            f"gives it one, and pytest-energy baseline drop '{test}' removes the old one"
        )

    def _unused(self) -> _Sentences:
        unused = [
            (entry, test)
            for entry in self._file.entries
            for test in entry.tests or ("",)
            if (entry.origin, test) not in self._used and self._could_be_seen(test)
        ]
        found = {}
        for index, (entry, test) in enumerate(unused):
            why = ""
            if index < MOST_EXPLAINED:
                why = f": {self._why(test) if test else self._why_without_file(entry)}"
            named = f"{entry.named}: budget that no measured test matches"
            found[f"{entry.origin} {test}"] = named + why
        return found

    def _could_be_seen(self, test: str) -> bool:
        file = test.partition("::")[0]
        if not file or {"*", "?"} & set(file):
            return self._whole
        if not (self._config.rootpath / file).exists():
            return bool(self._collected)
        return file not in self._hidden if file in self._collected else self._whole

    def _why_without_file(self, entry: Entry) -> str:
        chosen = {"id": entry.id, "task": entry.task, "model": entry.model}
        named = ", ".join(f"{key}={value!r}" for key, value in chosen.items() if value)
        return f"no marker has {named}"

    def _why(self, test: str) -> str:
        ids = [test] if test in self._found else []
        if not ids and is_pattern(test):
            ids = [each for each in self._found if matches(test, each)]
        if unmarked := [each for each in ids if not self._found[each]]:
            return f"{unmarked[0]} has no energy_budget marker"
        if ids:
            return f"{ids[0]} has another task or model"
        file = test.partition("::")[0]
        if not is_pattern(file) and not (self._config.rootpath / file).exists():
            return f"there is no file {file}"
        if not is_pattern(file) and file not in self._collected:
            return f"no test was collected from {file}"
        near = alike(test, self._found, number=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        return f"there is no test {test}{hint}"

    # -- hooks ----------------------------------------------------------------------------------

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        file = report.nodeid.partition("::")[0]
        if report.failed:
            self._whole = False
            self._hidden.add(file)
        elif file:
            self._collected.add(file)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._found = {test_id(item): is_measured(item) for item in items}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._finished = True
        self._hide(set(self._found) - {test_id(item) for item in session.items})
        self._hide(self._narrowed())
        if not self._covers_all() or self._config.getoption("lf", False):
            self._whole = False
        if self._config.getoption("lf", False):
            self._hidden |= self._collected
        for item in session.items:
            if is_measured(item):
                try:
                    declaration = marker.declaration_of(item) or Declaration()
                except marker.MarkerError:  # its own ERROR comes when it runs
                    declaration = Declaration()
                self.add(item, declaration)

    def pytest_sessionfinish(self) -> None:
        output = getattr(self._config, "workeroutput", None)
        if output is not None and self._finished:
            output[_OUTPUT] = (self._unused(), self._unused_baselines())

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", None) or {}
        if _OUTPUT in output:
            self._by_worker.append(output[_OUTPUT])

    def _hide(self, ids: Iterable[str]) -> None:
        files = {each.partition("::")[0] for each in ids}
        self._hidden |= files
        if files:
            self._whole = False

    def _narrowed(self) -> list[str]:
        """Test ids on the command line, below the root folder."""
        named = []
        for argument in self._config.args:
            path, colons, rest = argument.partition("::")
            if colons:
                named.append(f"{self._relative(path)}::{rest}")
        return named

    def _relative(self, path: str) -> str:
        found = Path(self._config.invocation_params.dir, path).resolve()
        try:
            return found.relative_to(self._config.rootpath.resolve()).as_posix()
        except ValueError:
            return path

    def _covers_all(self) -> bool:
        """Whether the command line asks for the root folder, or all of `testpaths`."""
        asked = {self._relative(each) for each in self._config.args}
        root = self._config.rootpath
        usual = {
            self._relative(str(found))
            for pattern in self._config.getini("testpaths")
            for found in root.glob(pattern)
        }
        option = self._config.option
        if getattr(option, "ignore", None) or getattr(option, "ignore_glob", None):
            return False
        return "." in asked or (bool(usual) and usual <= asked)


def _successor(test: str, new: Sequence[str]) -> str:
    """The new test that an old one has probably become: alike in name, or alone in its file."""
    names = {_bare_name(each): each for each in new}
    near = alike(_bare_name(test), names)
    if near:
        return names[near[0]]
    file = test.partition("::")[0]
    beside = [each for each in new if each.partition("::")[0] == file]
    return beside[0] if len(beside) == 1 else ""


def _bare_name(test: str) -> str:
    return test.partition("::")[2].removeprefix("test_")
