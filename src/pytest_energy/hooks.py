"""The hooks that measure marked tests; no arithmetic. `plugin` registers them when needed."""

from __future__ import annotations

import functools
import inspect
import time
import unittest
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_energy import marker
from pytest_energy.budget_use import BudgetUse
from pytest_energy.budgets.budget import DEFAULT_UNIT, Budget, Declaration, base_limit
from pytest_energy.budgets.resolve import Resolution, resolve
from pytest_energy.items import asks_for_fixture, test_id
from pytest_energy.progress import ProgressLine
from pytest_energy.reporting import Reporting
from pytest_energy.settings import Settings

if TYPE_CHECKING:
    from pytest_energy.calls import Steps
    from pytest_energy.fixture import Energy
    from pytest_energy.measure.gate import Gate
    from pytest_energy.measure.judgement import Job
    from pytest_energy.record import TestRecord


Result = TypeVar("Result")


# pytest.fail.Exception is public, but hidden from mypy by the way pytest attaches it.
class EnergyFailure(pytest.fail.Exception):  # type: ignore[name-defined,misc]
    """The energy verdict of a test whose body passed."""


class EnergyUnused(pytest.fail.Exception):  # type: ignore[name-defined,misc]
    """A test asked for the energy fixture and measured nothing."""


@dataclass
class _Test:
    """What one run of one test's protocol gathers."""

    resolution: Resolution
    attempt: int
    uses_fixture: bool
    """Whether the test says itself what is measured; else its body is."""
    energy: Energy | None = None
    records: list[TestRecord] = field(default_factory=list)
    looping: bool = False
    """Whether the body itself is being measured."""
    failure: str = ""
    """What the body itself ended in, where it failed."""
    ended: bool = False
    """Whether the body has ended, so that its own report comes next and not a subtest's."""


_TEST: pytest.StashKey[_Test | None] = pytest.StashKey()


class EnergyHooks:
    """Measures marked tests, and attaches what was measured to their reports."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        budget_use: BudgetUse,
        reporting: Reporting,
    ) -> None:
        self._config = config
        self._budget_use = budget_use
        self._reporting = reporting
        self._settings = settings
        self._gate: Gate | None = None
        self._attempts: dict[str, int] = {}

    # -- one test -------------------------------------------------------------------------------

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        item.stash[_TEST] = None
        self.prepare(item)

    def prepare(self, item: pytest.Item) -> None:
        """Read the marker and find the instruments, once a run; a mistake fails the test."""
        if item.stash.get(_TEST, None) is not None:
            return
        declaration = self._without_traceback(marker.declaration_of, item)
        if declaration is not None or asks_for_fixture(item):
            self._begin(item, declaration or Declaration(), uses_fixture=asks_for_fixture(item))

    def energy_fixture(self, item: pytest.Item) -> Energy:
        """The fixture's value; it may have been asked for by request.getfixturevalue."""
        from pytest_energy.calls import EnergyUsageError

        test = item.stash.get(_TEST, None)
        if test is None:
            test = self._begin(item, Declaration(), uses_fixture=True)
        declaration = test.resolution.declaration
        if test.looping or (not test.uses_fixture and declaration.count is not None):
            raise EnergyUsageError(
                "the body of a test without the energy fixture is measured as a whole; to measure "
                "a part of it, ask for the fixture as an argument: def test_it(energy, ...):"
            )
        test.uses_fixture = True
        return self._energy_of(item, test)

    def _begin(self, item: pytest.Item, declaration: Declaration, *, uses_fixture: bool) -> _Test:
        """Find the limits of a test that is to be measured; a mistake fails it."""
        found = self._without_traceback(self._resolve, item, declaration)
        if not uses_fixture:
            self._without_traceback(marker.check_counted, declaration, found.budgets)
        # A rerun's properties replace those of the run before.
        item.user_properties[:] = [each for each in item.user_properties if not _is_ours(each)]
        attempt = self._attempts[item.nodeid] = self._attempts.get(item.nodeid, 0) + 1
        test = item.stash[_TEST] = _Test(found, attempt, uses_fixture)
        return test

    def _without_traceback(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call it; the reader of its ValueError is the test's author, who needs no traceback."""
        mistake = ""
        try:
            return function(*arguments)
        except ValueError as error:
            mistake = str(error)
        pytest.fail(mistake, pytrace=False)

    def _resolve(self, item: pytest.Item, declaration: Declaration) -> Resolution:
        """The limits that stand for a test. Raises ValueError where that can't be told."""
        marker.check_measurable(item)
        self._budget_use.add(item, declaration)
        if self._settings.disable:
            return Resolution((Budget(),), declaration)
        machine = self._open_gate().machine_class
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

    def _energy_of(self, item: pytest.Item, test: _Test) -> Energy:
        """One for each run of a test."""
        from pytest_energy.fixture import Energy, Starters
        from pytest_energy.measure.flops import counting_flops

        if test.energy is None:
            starters = Starters(None, None, None)
            if not self._settings.disable:
                starters = Starters(
                    functools.partial(self._rounds, item, test),
                    functools.partial(self._window, item, test),
                    functools.partial(self._turns, item, test),
                    counting_flops if self._settings.flops else None,
                )
            test.energy = Energy(test.resolution.budgets, starters)
        return test.energy

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        test = pyfuncitem.stash.get(_TEST, None)
        body: AbstractContextManager[None] = nullcontext()
        if test is not None and not test.uses_fixture and not self._settings.disable:
            body = _looping(pyfuncitem, self._energy_of(pyfuncitem, test), test)
        error: BaseException | None = None
        try:
            with body:
                result = yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            # The body may have asked for the fixture by request.getfixturevalue.
            test = pyfuncitem.stash.get(_TEST, None)
            if test is not None:
                test.ended = True
                self._end(pyfuncitem, test, error)
        return result

    def _end(self, item: pytest.Item, test: _Test, error: BaseException | None) -> None:
        """Complete the records once the body has ended, and raise where one is red."""
        energy = self._energy_of(item, test)
        energy.end()
        if self._settings.disable:
            return
        if error is None and test.uses_fixture and not energy.names:
            reason = "the test asks for the energy fixture and measured nothing with it"
            self._complete(item, test, reason)
            raise EnergyUnused(
                f"energy: unmeasured: {reason}; add energy.measure(lambda: model(TEXTS), count=32)",
                pytrace=False,
            )
        if error is None:
            self._complete(item, test, "its measurement did not run to the end")
        elif not isinstance(error, (pytest.skip.Exception, unittest.SkipTest)):
            test.failure = type(error).__name__
            self._complete(item, test, f"the test ended in {test.failure}")
            if not isinstance(error, Exception | pytest.fail.Exception):
                self._reporting.add(self._plain(test))  # an interrupt brings no report
            return
        self._fail_if_red(item, test)  # a skip hides no verdict reached before it

    def _fail_if_red(self, item: pytest.Item, test: _Test) -> None:
        for record in test.records:
            name = _property_name(record, test.records)
            item.user_properties.append((f"{name}.verdict", record.verdict))
            if record.joules_per_unit is not None:
                item.user_properties.append((f"{name}.joules_per_unit", record.joules_per_unit))
        red = [each for each in test.records if each.verdict in self._settings.fail_on]
        if red:
            raise EnergyFailure(
                "\n".join(_told(each) for each in red),
                pytrace=False,
            )

    # -- measuring ------------------------------------------------------------------------------

    def _open_gate(self) -> Gate:
        if self._gate is None:
            from pytest_energy.measure.gate import Gate, GateSettings
            from pytest_energy.measure.protocol import Limits
            from pytest_energy.sensors.base import Clock

            settings = self._settings
            self._gate = Gate(
                GateSettings(
                    settings.choice,
                    Limits(settings.max_rounds, settings.max_seconds),
                    settings.intensity,
                    settings.require_measured,
                    settings.lock_folder,
                    settings.baselines,
                    settings.max_increase,
                ),
                Clock(time.perf_counter, time.sleep),
            )
        return self._gate

    def _rounds(
        self, item: pytest.Item, test: _Test, name: str | None, units: Sequence[str], cycle: int
    ) -> Steps:
        __tracebackhide__ = True
        progress = self._progress(item)
        job = _job(item, test, name, units, cycle)
        try:
            test.records += yield from self._open_gate().rounds(job, progress)
        finally:
            progress.clear()

    def _progress(self, item: pytest.Item) -> ProgressLine:
        manager = self._config.pluginmanager
        return ProgressLine(
            manager.get_plugin("terminalreporter"),
            manager.get_plugin("capturemanager"),
            item.nodeid,
            self._settings.max_rounds,
        )

    def _turns(
        self,
        item: pytest.Item,
        test: _Test,
        names: Sequence[str],
        units: Sequence[str],
        cycle: int,
        labels: Sequence[str],
        max_increase: float,
    ) -> Steps:
        __tracebackhide__ = True
        jobs = [replace(_job(item, test, each, units, cycle), is_compared=True) for each in names]
        progress = self._progress(item)
        try:
            test.records += yield from self._open_gate().turns(jobs, labels, max_increase, progress)
        finally:
            progress.clear()

    def _window(
        self, item: pytest.Item, test: _Test, name: str | None, units: Sequence[str], cycle: int
    ) -> Steps:
        __tracebackhide__ = True
        test.records += yield from self._open_gate().window(_job(item, test, name, units, cycle))

    def _complete(self, item: pytest.Item, test: _Test, reason: str) -> None:
        """Record as unmeasured what was begun, or asked for, and has no record."""
        begun = self._energy_of(item, test).names or {None}
        for name in begun - {each.name for each in test.records}:
            job = _job(item, test, name, [DEFAULT_UNIT], 1)
            test.records += self._open_gate().unmeasured(job, reason)

    # -- the report -----------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        test = item.stash.get(_TEST, None)
        if test is None or call.when != "call" or not test.ended:
            return report
        report.energy = self._plain(test)  # type: ignore[attr-defined]
        if call.excinfo is not None and report.failed:
            if _is_misuse(call.excinfo.value):
                report.energy_misuse = True  # type: ignore[attr-defined]
            if isinstance(call.excinfo.value, EnergyFailure | EnergyUnused):
                # The short summary then shows the sentence, not the exception's class before it.
                crash = getattr(report.longrepr, "reprcrash", None)
                if crash is not None:
                    crash.message = str(call.excinfo.value)
        return report

    def _plain(self, test: _Test) -> dict[str, Any]:
        """What a report carries to whoever writes the record, also from an xdist worker."""
        if self._gate is None:
            return {"disabled": True}
        from pytest_energy.record import to_plain

        records = [
            replace(_with_fixtures_part(each, test.energy), failure=test.failure)
            for each in test.records
        ]
        return {
            "tests": [to_plain(each) for each in records],
            "machine": to_plain(self._gate.machine),
            "versions": self._gate.versions,
        }

    def pytest_unconfigure(self) -> None:
        if self._gate is not None:
            self._gate.close()


@contextmanager
def _looping(item: pytest.Function, energy: Energy, test: _Test) -> Iterator[None]:
    """While this holds, the test's body is the work: calling it runs the whole protocol."""
    from pytest_energy.calls import counting

    body: Callable[..., Any] = item.obj
    found = test.resolution
    counts = counting(found.declaration.count, found.budgets)

    if inspect.iscoroutinefunction(body):

        @functools.wraps(body)
        async def loop(**arguments: Any) -> Any:
            __tracebackhide__ = True
            return await energy.measure_async(functools.partial(body, **arguments), **counts)

    else:

        @functools.wraps(body)
        def loop(**arguments: Any) -> Any:
            __tracebackhide__ = True
            return energy.measure(functools.partial(body, **arguments), **counts)

    item.obj = loop
    test.looping = True
    try:
        yield
    finally:
        item.obj = body
        test.looping = False


def _job(item: pytest.Item, test: _Test, name: str | None, units: Sequence[str], cycle: int) -> Job:
    from pytest_energy.measure.judgement import Job

    found = test.resolution
    return Job(
        test_id(item),
        found.declaration,
        found.budgets,
        tuple(units),
        name,
        test.attempt,
        cycle,
        found.notices,
    )


def _with_fixtures_part(record: TestRecord, energy: Energy | None) -> TestRecord:
    """The record with what the fixture alone knows: its notes, and the FLOPs of one more call."""
    if energy is None:
        return record
    notes = [*record.notes, *energy.notes.get(record.name, ())]
    counted, explanation = energy.flops.get(record.name), record.explanation
    if counted is not None and explanation is not None:
        from pytest_energy.measure.flops import why_none

        units = counted.units.get(record.unit, 0.0)
        if counted.problem or not counted.flops or not units:
            notes.append(counted.problem or why_none())
        else:
            explanation = replace(explanation, flops_per_unit=counted.flops / units)
    return replace(record, notes=tuple(notes), explanation=explanation)


def _is_ours(item_property: tuple[str, object]) -> bool:
    return item_property[0].startswith(("energy.", "energy["))


def _property_name(record: TestRecord, records: Sequence[TestRecord]) -> str:
    """Apart for each measurement, and for each limit of one where there are several."""
    same = [each for each in records if each.name == record.name]
    parts = [record.name] if record.name is not None else []
    if len(same) > 1 and record.budget is not None:
        parts.append(record.budget.limit)
    return f"energy[{', '.join(parts)}]" if parts else "energy"


def _told(record: TestRecord) -> str:
    named = f"{record.name}: " if record.name else ""
    reason = record.reason
    if record.verdict not in ("fail", "inconclusive", "close"):
        reason = f"{record.verdict}: {reason}"
    is_over = record.verdict in ("fail", "inconclusive")
    message = record.budget.message if record.budget is not None and is_over else ""
    return f"energy: {named}{reason}" + (f"\n{message}" if message else "")


def _is_misuse(error: BaseException) -> bool:
    from pytest_energy.calls import EnergyUsageError
    from pytest_energy.measure.gate import AlreadyMeasuring

    return isinstance(error, EnergyUnused | EnergyUsageError | AlreadyMeasuring)
