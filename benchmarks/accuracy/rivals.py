"""Three tools measure the same script of work on the fake library, in real time.

python rivals.py JOB RESULT: a process of its own, since the library is found as the process starts.
The tools take turns, in random order, so that whatever else the machine does meets all of them.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, Protocol

from loads import LONGER

from pytest_energy.measurement.watcher import Poll, Watcher
from pytest_energy.sensors.base import Clock, SensorFault
from pytest_energy.sensors.gpu_counter import probe_counters
from pytest_energy.sensors.gpu_energy import GpuEnergy
from pytest_energy.sensors.nvml import Nvml
from pytest_energy.study.running.codecarbon_way import machine_tracker

BUSY_WATTS, IDLE_WATTS = 300.0, 50.0
#: Between two windows, so that a counter has moved since the last one, by any part of a period.
PAUSE_SECONDS = (0.25, 0.35)


class Tool(Protocol):
    def begin(self) -> None: ...

    def end(self, ended: float) -> float:
        """The joules of the window; ended: when the work did, by time.perf_counter."""


class Ours:
    def __init__(self) -> None:
        clock = Clock(time.perf_counter, time.sleep)
        nvml = Nvml()
        probed = probe_counters(nvml, clock, nvml.gpus)
        self._sensor = GpuEnergy(nvml, clock, probed)
        self._lookout = Watcher()

    def begin(self) -> None:
        names = frozenset({"gpu:0"})
        self._sensor.open(names)
        poll = Poll(self._sensor.poll, self._sensor.poll_seconds(names))
        self._lookout.start([poll], lambda: None)

    def end(self, ended: float) -> float:
        self._lookout.stop()
        reading = self._sensor.close(ended)["gpu:0"]
        if isinstance(reading, SensorFault):
            raise reading
        return reading


class CodeCarbon:
    """start_task, stop_task and what they say of the GPU."""

    def __init__(self) -> None:
        self._tracker = machine_tracker(measure_power_seconds=15)  # its default

    def begin(self) -> None:
        self._tracker.start_task()

    def end(self, ended: float) -> float:  # noqa: ARG002 (one shape for all tools)
        return float(self._tracker.stop_task().gpu_energy) * 3.6e6


class Zeus:
    """begin_window and end_window; nothing is to be waited for, since no framework runs."""

    def __init__(self) -> None:
        from zeus.monitor import ZeusMonitor

        self._monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[], approx_instant_energy=False)

    def begin(self) -> None:
        self._monitor.begin_window("accuracy", sync_execution=False)

    def end(self, ended: float) -> float:  # noqa: ARG002 (one shape for all tools)
        return float(self._monitor.end_window("accuracy", sync_execution=False).gpu_energy[0])


#: How each tool is made, and the package whose version is told.
TOOLS: Mapping[str, tuple[Callable[[], Tool], str]] = {
    "pytest-energy": (Ours, "nvidia-ml-py"),
    "CodeCarbon": (CodeCarbon, "codecarbon"),
    "Zeus": (Zeus, "zeus"),
}


class FakeBoard:
    """The control side of the fake library."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libnvidia-ml.so.1")
        self._library.fake_nvml_true_joules.restype = ctypes.c_double
        self._library.fake_nvml_set_watts.argtypes = [ctypes.c_uint, ctypes.c_double]

    def work(self, seconds: float, idle_share: float) -> tuple[float, float]:
        """Work as long as that: its true joules, and when it ended."""
        before = self._library.fake_nvml_true_joules(0)
        time.sleep(idle_share * seconds)
        self._library.fake_nvml_set_watts(0, BUSY_WATTS)
        time.sleep((1 - idle_share) * seconds)
        true = self._library.fake_nvml_true_joules(0)
        self._library.fake_nvml_set_watts(0, IDLE_WATTS)
        ended = time.perf_counter()
        return true - before, ended


def window(tool: Tool, board: FakeBoard, seconds: float, idle_share: float) -> dict[str, float]:
    tool.begin()
    true, ended = board.work(seconds, idle_share)
    joules = tool.end(ended)
    return {"seconds": seconds, "true_joules": true, "joules": joules}


def run(seconds: Sequence[float], windows: int, seed: int, idle_share: float) -> dict[str, Any]:
    """All windows of all tools; each tool is warmed up with one that is kept apart.

    idle_share: of a window, before its work.
    """
    rng = Random(seed)
    board = FakeBoard()
    tools = {name: make() for name, (make, _) in TOOLS.items()}
    warm_up = {name: window(tool, board, 1.0, idle_share) for name, tool in tools.items()}
    if not all(each["joules"] > 0 for each in warm_up.values()):
        raise RuntimeError(f"a tool saw nothing: {warm_up}")
    found = []
    for nominal in seconds:
        for _ in range(windows):
            length, pause = nominal * rng.uniform(1, 1 + LONGER), rng.uniform(*PAUSE_SECONDS)
            for name in rng.sample(sorted(tools), len(tools)):
                time.sleep(pause)
                measured = window(tools[name], board, length, idle_share)
                found.append({"tool": name, "window": nominal, **measured})
    versions = {package: version(package) for _, package in TOOLS.values()}
    return {"versions": versions, "warm_up": warm_up, "windows": found}


def main(job: str, result: str) -> None:
    found = run(**json.loads(Path(job).read_text(encoding="utf-8")))
    Path(result).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
