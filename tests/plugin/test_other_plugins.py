"""Measured tests beside other plugins and libraries that change what a test runs in."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conftest import EnergyPytester

NEVER_OVER = '@budget("1 kJ / query")\ndef test_it():\n    spin(5)\n'


def test_a_frozen_clock_stops_no_measurement(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makeconftest(
        """
        import freezegun
        import pytest

        frozen = freezegun.freeze_time("2020-02-02")
        frozen.start()

        def pytest_unconfigure():
            frozen.stop()
        """
    )
    energy_pytester.write(NEVER_OVER)
    before = datetime.now(UTC)
    result = energy_pytester.run_process()
    result.assert_outcomes(passed=1)
    run = energy_pytester.record()["run"]
    assert before <= datetime.fromisoformat(run["start"]) <= datetime.fromisoformat(run["end"])
    (test,) = energy_pytester.record()["tests"]
    assert sum(each["seconds"] for each in test["rounds"]) > 0.1


def test_patched_clocks_change_no_figure(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        import time

        @pytest.fixture(autouse=True)
        def still(monkeypatch):
            for name in ("sleep", "perf_counter", "monotonic", "time"):
                monkeypatch.setattr(time, name, lambda *_: 0.0)

        @budget("1 kJ / query")
        def test_it():
            spin(5)
        """
    )
    energy_pytester.run().assert_outcomes(passed=1)
    (test,) = energy_pytester.record()["tests"]
    assert all(each["seconds"] >= 0.9 * each["cpu_seconds"] > 0 for each in test["rounds"])


@pytest.mark.parametrize("limits_the_call_alone", [True, False])
def test_a_timeout_still_ends_a_test_that_hangs(
    energy_pytester: EnergyPytester, limits_the_call_alone: bool
) -> None:
    energy_pytester.write(
        """
        import time

        @budget("1 kJ / query")
        def test_hangs():
            time.sleep(30)

        @budget("1 kJ / query")
        def test_next():
            spin(5)
        """
    )
    func_only = str(limits_the_call_alone).lower()
    result = energy_pytester.run_process("--timeout=1", "-o", f"timeout_func_only={func_only}")
    result.assert_outcomes(passed=1, failed=1)


INNER = """
import subprocess
import sys

@budget("1 kJ / query")
def test_inside():
    spin(30)

@budget("1 kJ / query")
def test_outside(energy, request):
    if request.config.getoption("keyword"):
        return
    inner = [*sys.argv, "-k", "test_inside", "--energy-json=inner.json", "--timeout=20"]
    with energy.window():
        subprocess.run([sys.executable, "-m", "pytest", *inner[1:]], check=True)
"""


def test_pytest_inside_a_measured_test_takes_no_lock(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(INNER)
    result = energy_pytester.run_process("--timeout=30")
    result.assert_outcomes(passed=2)
    inner = json.loads((energy_pytester.pytester.path / "inner.json").read_text())
    (test,) = inner["tests"]
    (note,) = [each for each in test["notes"] if "without a lock" in each]
    assert re.fullmatch(
        r"measured inside another measurement, test_it.py::test_outside \(process \d+\), "
        "so without a lock",
        note,
    )


def test_pytest_started_in_the_same_process_takes_no_lock(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        INNER.replace(
            'subprocess.run([sys.executable, "-m", "pytest", *inner[1:]], check=True)',
            "assert pytest.main(inner[1:]) == 0",
        )
    )
    energy_pytester.run_process("--timeout=30").assert_outcomes(passed=2)


HOLDS = """
import sys
from pathlib import Path
from pytest_energy.record.lock import CPU, Locks

with Locks(Path(sys.argv[1]), print).hold([CPU], "tests/test_[red]other.py::test_long"):
    print("holds", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(energy_pytester: EnergyPytester) -> Iterator[subprocess.Popen[str]]:
    """One that measures here until its input ends."""
    folder = energy_pytester.pytester.path / "locks"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        yield process
        process.kill()


SAYS_WHEN_IT_WAITS = """
from pathlib import Path

import pytest_energy.plugin.instruments as hooks
import pytest_energy.record.lock as lock

say, here = hooks.say, Path.cwd()

def say_and_tell(config, sentence):
    say(config, sentence)
    (here / "waits").touch()

hooks.say, lock.REPORTED_AFTER_SECONDS = say_and_tell, 0.2
"""


@contextmanager
def released(process: subprocess.Popen[str], waits: Path, after_seconds: float) -> Iterator[None]:
    """Lets the process go on and end, once this long another one has waited for it."""

    def release() -> None:
        while not waits.exists() and not given_up.wait(0.05):
            pass
        time.sleep(after_seconds)
        process.send_signal(signal.SIGCONT)
        assert process.stdin is not None
        process.stdin.close()

    given_up = threading.Event()
    thread = threading.Thread(target=release)
    thread.start()
    try:
        yield
    finally:
        given_up.set()
        thread.join()


@pytest.mark.parametrize(("stopped", "workers"), [(True, ()), (False, ("-n1",))])
def test_a_long_wait_reports_who_is_measuring(
    energy_pytester: EnergyPytester,
    other_process: subprocess.Popen[str],
    stopped: bool,
    workers: tuple[str, ...],
) -> None:
    energy_pytester.pytester.makeconftest(SAYS_WHEN_IT_WAITS)
    energy_pytester.write(NEVER_OVER)
    if stopped:
        other_process.send_signal(signal.SIGSTOP)
    with released(other_process, energy_pytester.pytester.path / "waits", 0):
        result = energy_pytester.run_process(*workers)
    result.assert_outcomes(passed=1)
    pid = other_process.pid
    path = energy_pytester.pytester.path / "locks" / "cpu.lock"
    expected = f"energy: waiting for the lock {path}, held by "
    expected += f"tests/test_[red]other.py::test_long (process {pid})"
    if stopped:
        expected += f", which is stopped; kill -CONT {pid} continues it"
    assert expected in (result.outlines + result.errlines)


def test_a_timeout_does_not_count_the_wait_for_a_lock(
    energy_pytester: EnergyPytester, other_process: subprocess.Popen[str]
) -> None:
    energy_pytester.pytester.makeconftest(SAYS_WHEN_IT_WAITS)
    energy_pytester.write(NEVER_OVER)
    with released(other_process, energy_pytester.pytester.path / "waits", 3):
        result = energy_pytester.run_process("--timeout=3")
    result.assert_outcomes(passed=1)


@pytest.fixture
def shadowed(energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package pynvml before its version 12, found before nvidia-ml-py's module."""
    site = energy_pytester.pytester.mkdir("site")
    for path, text in {
        "pynvml/__init__.py": "from .nvml import *\n",
        "pynvml/nvml.py": "class NVMLError(Exception): pass\n",
        "pynvml-11.5.0.dist-info/METADATA": "Name: pynvml\nVersion: 11.5.0\n",
    }.items():
        (site / path).parent.mkdir(exist_ok=True)
        (site / path).write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(site))


SHADOW = "the package pynvml 11.5.0 is imported instead of nvidia-ml-py: pip uninstall pynvml"


@pytest.mark.usefixtures("shadowed")
def test_a_package_that_hides_nvidias_is_named(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        NEVER_OVER + "@budget('1 kJ / query', scope='gpu')\ndef test_gpu():\n    spin(5)\n"
    )
    result = energy_pytester.run_process()
    result.assert_outcomes(passed=1, failed=1)
    flat = " ".join(result.stdout.str().split())
    assert f'scope="gpu" and no GPU in use: {SHADOW}' in flat
    assert f"GPUs cannot be read: {SHADOW}" in flat


@pytest.mark.usefixtures("shadowed")
def test_doctor_names_the_package_that_hides_nvidias(energy_pytester: EnergyPytester) -> None:
    command = [sys.executable, "-m", "pytest_energy.cli", "doctor", "--seconds=0.2", "--json"]
    answer = subprocess.run(
        command, capture_output=True, text=True, cwd=energy_pytester.pytester.path
    )
    missing = {each["what"]: each for each in json.loads(answer.stdout)["missing"]}
    gpus = missing["NVIDIA GPUs"]
    assert (gpus["why"], gpus["remedy"]) == (SHADOW, "pip uninstall pynvml")
    assert len([each for each in missing.values() if SHADOW in each["why"]]) == 1


ADVICE = "put what happens once into a fixture, and what is measured into energy.measure"


@pytest.mark.parametrize(
    "body",
    [
        "tmp_path.joinpath('out').mkdir()",
        "logging.warning('loaded'); assert len(caplog.records) == 1",
        "spy(); spy.assert_called_once()",
        "assert next(once) == 1",
    ],
)
def test_a_body_that_can_run_only_once_is_reported(
    energy_pytester: EnergyPytester, body: str
) -> None:
    energy_pytester.write(
        f"""
        import logging
        from unittest import mock

        @pytest.fixture
        def spy():
            return mock.Mock()

        @pytest.fixture
        def once():
            return iter([1, 2])

        @budget("1 kJ / query")
        def test_it(tmp_path, caplog, spy, once):
            spin(1)
            {body}
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(failed=1)
    said = f"E *energy: this was call 2 of the body; {ADVICE}"
    result.stdout.fnmatch_lines([said])
    assert len([each for each in result.outlines if "of the body" in each]) == 1
    assert energy_pytester.tests()["test_it"]["verdict"] == "unmeasured"


def test_a_body_that_fails_at_once_gets_no_advice(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write("@budget('1 kJ / query')\ndef test_it():\n    assert 1 == 2\n")
    result = energy_pytester.run()
    result.assert_outcomes(failed=1)
    assert "of the body" not in result.stdout.str()


@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="subtests came with pytest 9")
def test_a_subtest_fails_once(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget
        def test_it(subtests):
            spin(1)
            with subtests.test("wrong"):
                assert 1 == 2
        """
    )
    result = energy_pytester.run("--energy-update=new")
    failed = [each for each in result.outlines if each.startswith(("FAILED", "SUBFAILED"))]
    assert len(failed) == 2  # the subtest and its test
    result.stdout.fnmatch_lines(["energy: unmeasured after call 1 of the body: a subtest failed"])
    assert energy_pytester.tests()["test_it"]["failure"] == "a failed subtest"
    assert not (energy_pytester.pytester.path / "energy-baselines").exists()


SOFT_CHECKS = """
import sys
import types
import pytest

class Checks(types.ModuleType):
    count = 0
    def get_num_failures(self):
        return self.count

checks = sys.modules["pytest_check.check_log"] = Checks("pytest_check.check_log")

@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport():
    report = yield
    if checks.count:
        report.outcome, report.longrepr, checks.count = "failed", "Failed Checks: 1", 0
    return report
"""


@pytest.mark.parametrize("uses_fixture", [True, False])
def test_a_test_that_fails_by_soft_checks_is_no_baseline(
    energy_pytester: EnergyPytester, uses_fixture: bool
) -> None:
    energy_pytester.pytester.makeconftest(SOFT_CHECKS)
    body = "energy.measure(lambda: spin(1)); checks.count += 1"
    if not uses_fixture:
        body = "spin(1); checks.count += 1"
    energy_pytester.write(
        f"""
        import sys
        checks = sys.modules["pytest_check.check_log"]

        @budget
        def test_it({"energy" if uses_fixture else ""}):
            {body}
        """
    )
    five = ("--energy-max-rounds=5", "--energy-max-seconds=5")
    result = energy_pytester.run_process("--energy-update=new", *five, quick=False)
    result.assert_outcomes(failed=1)
    assert energy_pytester.tests()["test_it"]["failure"] == "a failed check"
    assert not (energy_pytester.pytester.path / "energy-baselines").exists()


def test_snapshots_that_are_counted_are_made_once(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makeconftest(
        """
        import pytest

        class Snapshot:
            num_executions = 0
            def __eq__(self, other):
                self.num_executions += 1
                return True

        Snapshot.__module__ = "syrupy.assertion"

        @pytest.fixture
        def answers():
            snapshot = Snapshot()
            yield snapshot
            assert snapshot.num_executions == 1
        """
    )
    energy_pytester.write(
        """
        @budget("1 kJ / query")
        def test_it(answers):
            spin(1)
            assert 5 == answers
        """
    )
    result = energy_pytester.run_process()
    result.assert_outcomes(failed=1)
    said = f"after call 1 of the body: the snapshots of call 2 would differ; {ADVICE}"
    result.stdout.fnmatch_lines([f"energy: unmeasured {said}"])
    assert energy_pytester.tests()["test_it"]["code"] == "not-repeated"


@pytest.mark.untraced
@pytest.mark.parametrize("kind", ["settrace", "setprofile"])
def test_a_tracer_is_named_as_a_cause(energy_pytester: EnergyPytester, kind: str) -> None:
    energy_pytester.write(
        f"""
        import sys

        def trace(*event):
            return None

        @pytest.fixture
        def traced():
            before = sys.get{kind[3:]}()
            sys.{kind}(trace)
            yield
            sys.{kind}(before)

        @budget("1 kJ / query")
        def test_traced(traced):
            spin(1)

        @budget("1 kJ / query")
        def test_usual():
            spin(1)
        """
    )
    energy_pytester.run_process().assert_outcomes(passed=2)
    tests = energy_pytester.tests()
    (note,) = [each for each in tests["test_traced"]["notes"] if "active" in each]
    assert note.startswith("the tracer test_it is active and multiplies the cost")
    assert not [each for each in tests["test_usual"]["notes"] if "active" in each]


def test_a_plugin_that_runs_the_body_in_threads_is_named(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makepyfile(
        pytest_run_parallel="""
        import functools
        import threading

        def parallel(body):
            @functools.wraps(body)
            def inner(**arguments):
                threads = [threading.Thread(target=body, kwargs=arguments) for _ in range(2)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            return inner

        def pytest_itemcollected(item):
            item.obj = parallel(item.obj)
        """
    )
    energy_pytester.write(NEVER_OVER)
    energy_pytester.run_process("-p", "pytest_run_parallel").assert_outcomes(passed=1)
    notes = energy_pytester.tests()["test_it"]["notes"]
    assert [each for each in notes if each.startswith("pytest-run-parallel runs the body in sev")]


@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_the_lines_of_reportlog_hold_what_was_measured(
    energy_pytester: EnergyPytester, workers: tuple[str, ...]
) -> None:
    energy_pytester.write(
        f"{NEVER_OVER}\n@budget('0.001 mJ / query')\ndef test_over():\n    spin(5)\n"
    )
    log = energy_pytester.pytester.path / "log.jsonl"
    energy_pytester.run(f"--report-log={log}", *workers)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    reports = [each for each in lines if "energy" in each]
    assert [each["when"] for each in reports] == ["call", "call"]
    measured = [test for each in reports for test in each["energy"]["tests"]]
    assert measured == energy_pytester.record()["tests"]
    assert [each["verdict"] for each in measured] == ["pass", "fail"]
