"""CPU time of the process tree, on real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_energy.sensors.cpu_time import CHANNEL, CpuTime
from pytest_energy.sensors.process_tree import ProcessTree

BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"
NAMES = frozenset({CHANNEL})

pytestmark = pytest.mark.realtime


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def child(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", "-c", code], stdin=subprocess.PIPE)


def cpu_seconds_of_child(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | 2)


def test_our_own_time_is_counted_and_turned_into_joules() -> None:
    sensor = CpuTime(4.0)
    sensor.open(NAMES)
    burn(0.1)
    joules = sensor.close(0.0)[CHANNEL]
    assert sensor.cpu_seconds == pytest.approx(0.1, abs=0.02)
    assert joules == sensor.cpu_seconds * 4.0


def test_sleeping_costs_nothing() -> None:
    sensor = CpuTime(4.0)
    sensor.open(NAMES)
    time.sleep(0.2)
    sensor.close(0.0)
    assert sensor.cpu_seconds < 0.01


def test_a_child_that_starts_and_ends_in_the_window_is_counted() -> None:
    sensor = CpuTime(4.0)
    sensor.open(NAMES)
    with child(BURN.format(0.3)):
        pass
    sensor.close(0.0)
    assert 0.3 <= sensor.cpu_seconds < 0.6


def test_a_child_reaped_in_the_window_does_not_bring_its_past() -> None:
    with child(BURN.format(0.5) + "input()\n") as process:
        while cpu_seconds_of_child(process.pid) < 0.5:
            time.sleep(0.01)
        sensor = CpuTime(4.0)
        sensor.open(NAMES)
        process.communicate(b"\n")
        sensor.close(0.0)
    assert sensor.cpu_seconds < 0.1


def test_a_child_left_running_is_counted_while_it_runs() -> None:
    with child("while True: pass") as process:
        try:
            sensor = CpuTime(4.0)
            sensor.open(NAMES)
            before = cpu_seconds_of_child(process.pid)
            time.sleep(0.3)
            used = cpu_seconds_of_child(process.pid) - before
            sensor.close(0.0)
        finally:
            process.kill()
    assert sensor.cpu_seconds == pytest.approx(used, abs=0.03)


def test_a_grandchild_whose_parent_has_ended_is_still_ours() -> None:
    code = (
        "import subprocess, sys\n"
        "command = [sys.executable, '-I', '-c', 'while True: pass']\n"
        "grandchild = subprocess.Popen(command, stdout=subprocess.DEVNULL)\n"
        "print(grandchild.pid, flush=True)\n"
        "input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    grandchild = int(parent.stdout.readline())
    try:
        sensor = CpuTime(4.0)
        sensor.open(NAMES)
        before = cpu_seconds_of_child(grandchild)
        parent.communicate(b"\n")
        time.sleep(0.3)
        used = cpu_seconds_of_child(grandchild) - before
        sensor.close(0.0)
    finally:
        os.kill(grandchild, 9)
    assert sensor.cpu_seconds == pytest.approx(used, abs=0.05)


@pytest.fixture
def somebody_else() -> Iterator[int]:
    """A busy process that isn't in our tree, because its parent has ended."""
    code = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    script = f"'{sys.executable}' -c '{code}' >/dev/null 2>&1 & echo $!"
    answer = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    pid = int(answer.stdout)
    yield pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def joules_beside(sensor: CpuTime, seconds: float) -> float:
    sensor.open(NAMES)
    time.sleep(seconds)  # the other process works meanwhile
    joules = sensor.close(0.0)[CHANNEL]
    assert isinstance(joules, float)
    return joules


def test_a_listed_process_counts_and_its_end_is_a_fault(somebody_else: int) -> None:
    before = cpu_seconds_of_child(somebody_else)
    unlisted = joules_beside(CpuTime(10.0), 0.5)
    used = cpu_seconds_of_child(somebody_else) - before
    assert unlisted < 0.1 * 10.0 * used
    sensor = CpuTime(10.0, ProcessTree([somebody_else]))
    assert str(somebody_else) in sensor.channels[0].source
    before = cpu_seconds_of_child(somebody_else)
    listed = joules_beside(sensor, 0.5)
    used = cpu_seconds_of_child(somebody_else) - before
    assert listed == pytest.approx(10.0 * used, abs=0.3)
    sensor.open(NAMES)
    os.kill(somebody_else, signal.SIGKILL)
    while Path(f"/proc/{somebody_else}").exists():
        time.sleep(0.01)
    fault = sensor.close(0.0)[CHANNEL]
    assert (
        str(fault) == f"process {somebody_else} of --energy-pids has ended; "
        "keep it running until the tests end"
    )
    with pytest.raises(ValueError, match=f"no process {somebody_else} on this machine"):
        ProcessTree([somebody_else])
