"""The hooks that measure marked tests; no arithmetic. `entry` registers them when needed."""

from __future__ import annotations

import sys
import unittest
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_energy.errors import EnergyUsageError, Reason
from pytest_energy.limits.budget import Budget, Declaration, base_limit
from pytest_energy.limits.resolve import Resolution, resolve
from pytest_energy.plugin import marker
from pytest_energy.plugin.body import EnergyNotRepeated, measured_body
from pytest_energy.plugin.early_exit import no_green_exit
from pytest_energy.plugin.instruments import Instruments
from pytest_energy.plugin.measured_tests import asks_for_fixture, is_measured
from pytest_energy.plugin.measuring import TestRun
from pytest_energy.plugin.outcome import (
    EnergyFailure,
    EnergyUnused,
    add_properties,
    fail_if_red,
    forget_properties,
    is_misuse,
)
from pytest_energy.plugin.session import Reporting
from pytest_energy.plugin.settings import Settings
from pytest_energy.plugin.unused_budgets import BudgetUse
from pytest_energy.report.printable import printable

if TYPE_CHECKING:
    from pytest_energy.plugin.fixture import Energy


Result = TypeVar("Result")

_TEST: pytest.StashKey[TestRun | None] = pytest.StashKey()


class EnergyHooks:
    """Measures marked tests, and attaches what was measured to their reports."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        budget_use: BudgetUse,
        reporting: Reporting,
    ) -> None:
        self._budget_use = budget_use
        self._reporting = reporting
        self._settings = settings
        self._instruments = Instruments(config, settings)
        self._attempts: dict[str, int] = {}
        self._any_measured: bool | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        leaving = no_green_exit(item) if self._measures(item.session) else nullcontext()
        with leaving, self._instruments.reserve(item):
            try:
                return (yield)
            except BaseException:  # what ends the session brings no report: Ctrl-C, pytest.exit
                test = item.stash.get(_TEST, None)
                if test is not None and test.records and not test.reported:
                    self._reporting.add(test.report())
                raise

    def _measures(self, session: pytest.Session) -> bool:
        """Whether a test of this session is to be measured, so that none may end it green."""
        if self._any_measured is None:
            self._any_measured = any(map(is_measured, session.items))
        return self._any_measured and not self._settings.disable

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        item.stash[_TEST] = None
        self.prepare(item)

    def prepare(self, item: pytest.Item) -> None:
        """Read the marker and find the instruments, once a run; a mistake fails the test."""
        if item.stash.get(_TEST, None) is not None:
            return
        declaration = _without_traceback(marker.declaration_of, item)
        if declaration is not None or asks_for_fixture(item):
            self._begin(item, declaration or Declaration(), uses_fixture=asks_for_fixture(item))

    def energy_fixture(self, item: pytest.Item) -> Energy:
        """The fixture's value; it may have been asked for by request.getfixturevalue."""
        test = item.stash.get(_TEST, None)
        if test is None:
            test = self._begin(item, Declaration(), uses_fixture=True)
        declaration = test.resolution.declaration
        if test.looping or (not test.uses_fixture and declaration.counts):
            raise EnergyUsageError(
                "the body of a test without the energy fixture is measured as a whole; to measure "
                "a part of it, ask for the fixture as an argument: def test_it(energy, ...):"
            )
        test.uses_fixture = True
        return test.energy

    def _begin(self, item: pytest.Item, declaration: Declaration, *, uses_fixture: bool) -> TestRun:
        """Find the limits of a test that is to be measured; a mistake fails it."""
        from pytest_energy.plugin.fixture import Energy

        found = _without_traceback(self._resolve, item, declaration)
        if not uses_fixture:
            _without_traceback(marker.check_counted, declaration, found.budgets)
        forget_properties(item, self._settings.junit_property)
        attempt = self._attempts[item.nodeid] = self._attempts.get(item.nodeid, 0) + 1
        test = TestRun(
            item=item,
            instruments=self._instruments,
            resolution=found,
            attempt=attempt,
            uses_fixture=uses_fixture,
        )
        measuring = None if self._settings.disable else test
        test.energy = Energy(
            found.budgets,
            measuring,
            counts_flops=self._settings.flops,
            most_seconds=self._settings.max_seconds,
        )
        item.stash[_TEST] = test
        return test

    def _resolve(self, item: pytest.Item, declaration: Declaration) -> Resolution:
        """The limits that hold for a test. Raises ValueError where they cannot be determined."""
        marker.check_measurable(item)
        self._budget_use.add(item, declaration)
        if self._settings.disable:
            return Resolution((Budget(),), declaration)
        machine = self._instruments.find().machine_class
        subject = marker.subject_of(item, declaration)
        try:
            found = resolve(declaration, subject, machine, self._settings.budgets)
        except ValueError as error:
            raise ValueError(f"energy_budget ({declaration.origin}): {error}") from None
        for budget in found.budgets:
            if budget.limit is None:
                continue
            try:
                base_limit(budget.limit, self._settings.intensity)
            except ValueError as error:
                raise ValueError(f"energy_budget ({budget.origin}): {error}") from None
        return found

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        test = pyfuncitem.stash.get(_TEST, None)
        body: AbstractContextManager[None] = nullcontext()
        if test is not None and not test.uses_fixture and not self._settings.disable:
            if test.ended:
                raise EnergyUsageError(
                    "another plugin called the body of the test again, after its measurement "
                    "ended, as pytest-codspeed does with tests that it benchmarks; mark a test of "
                    "its own for each of the two"
                )
            body = measured_body(pyfuncitem, test)
        error: BaseException | None = None
        recursion = sys.getrecursionlimit()
        try:
            with body:
                result = yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            sys.setrecursionlimit(max(recursion, sys.getrecursionlimit()))
            # The body may have asked for the fixture by request.getfixturevalue.
            test = pyfuncitem.stash.get(_TEST, None)
            if test is not None:
                test.ended = True
                self._end(test, error)
        return result

    def _end(self, test: TestRun, error: BaseException | None) -> None:
        """Complete the records once the body has ended, and raise where one fails."""
        test.energy.end()
        if self._settings.disable:
            return
        if error is None and test.uses_fixture and not test.energy.names:
            reason = Reason(
                "nothing-measured",
                "the test asks for the energy fixture and measured nothing with it; add "
                "energy.measure(lambda: model(TEXTS), count=32)",
            )
            test.complete(reason)
            raise EnergyUnused(f"energy: unmeasured: {reason}", pytrace=False)
        if error is None:
            test.complete(Reason("not-ended", "its measurement did not run to the end"))
        elif not isinstance(error, (pytest.skip.Exception, unittest.SkipTest)):
            test.failure, code = type(error).__name__, "test-failed"
            if isinstance(error, EnergyNotRepeated):
                test.failure, code = error.ended_in, "not-repeated"
            test.complete(Reason(code, f"the test ended in {test.failure}"))
            return
        # A skip hides no verdict that was reached before it.
        add_properties(test.item, test.records, self._settings.junit_property)
        fail_if_red(test.records, self._settings.fail_on)

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outside plugins that fail a test afterwards
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        test = item.stash.get(_TEST, None)
        if test is None or call.when != "call":
            return report
        if not test.ended:
            if report.failed:  # a subtest's
                test.failure = "a failed subtest"
            return report
        if report.failed and call.excinfo is None:
            test.failure = test.failure or "a failed check"
        test.reported = True
        plain = {"disabled": True} if self._settings.disable else test.report()
        report.energy = plain  # type: ignore[attr-defined]
        if call.excinfo is not None and report.failed:
            if is_misuse(call.excinfo.value):
                report.energy_misuse = True  # type: ignore[attr-defined]
            if isinstance(call.excinfo.value, EnergyFailure | EnergyUnused | EnergyNotRepeated):
                # The short summary then shows the sentence, not the exception's class before it,
                # and --tb=line and annotations the test, not the line of ours that raised it.
                crash = getattr(report.longrepr, "reprcrash", None)
                if crash is not None:
                    crash.message = str(call.excinfo.value)
                    crash.path, crash.lineno = str(item.path), (item.location[1] or 0) + 1
        return report

    def pytest_unconfigure(self) -> None:
        self._instruments.close()


def _without_traceback(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call it; its ValueError is for the test's author, who needs no traceback."""
    mistake = ""
    try:
        return function(*arguments)
    except ValueError as error:
        mistake = str(error)
    pytest.fail(printable(mistake, lines=True), pytrace=False)
