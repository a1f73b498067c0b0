"""Empty windows, opened and closed again, in a process that sees the fake NVML library.

python windows.py TOOL

Our windows wait for the counter to be refreshed, which is meant and no overhead: so two of ours run
on a counter that is refreshed at every reading, with a clock whose sleeps return at once. What is
left is our own code, pynvml and the kernel. The third runs as it is, on a counter of 100 ms.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median

from realtime import environment
from suites import Cost

SEED = 20231128
#: The first is refreshed at every reading: it counts 100 kJ a second, in mJ.
BOARDS = """\
gpu name=Quick watts=100000000 period_ms=0
gpu name=Fake-A100 watts=50 period_ms=100 jitter_ms=8
"""
COUNTER = "pytest-energy, one GPU's counter"
WHOLE = "pytest-energy, all of a window"
WAITING = "pytest-energy, waiting as it does"
#: A process opens and closes so many windows, and prints their median.
WINDOWS: Mapping[str, int] = {
    COUNTER: 200,
    WHOLE: 200,
    WAITING: 3,
    "Zeus, begin_window and end_window": 200,
    "CodeCarbon, start_task and stop_task": 20,
}


def run(folder: Path, repetitions: int) -> dict[str, list[Cost]]:
    """Seconds of a window, by tool, for each repetition: each in a process of its own."""
    rng = Random(SEED)
    found: dict[str, list[Cost]] = {name: [] for name in WINDOWS}
    for repetition in range(repetitions):
        print(f"empty windows: {repetition + 1} of {repetitions}", file=sys.stderr)
        for name in rng.sample(list(WINDOWS), len(WINDOWS)):
            done = subprocess.run(
                [sys.executable, __file__, name],
                cwd=folder,
                env=environment(folder, BOARDS),
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def _opener(name: str) -> Callable[[], None]:
    """Opens a window of this tool and closes it."""
    if name.startswith("Zeus"):
        return _rival("Zeus")
    if name.startswith("CodeCarbon"):
        return _rival("CodeCarbon")
    from pytest_energy.measurement.meter import Meter
    from pytest_energy.sensors.base import Clock
    from pytest_energy.sensors.cpu_time import CpuTime
    from pytest_energy.sensors.gpu_counter import ProbedCounters, probe_counters
    from pytest_energy.sensors.gpu_energy import GpuEnergy
    from pytest_energy.sensors.nvml import Nvml
    from pytest_energy.sensors.proc import busy_seconds

    nvml = Nvml()
    quick, slow = nvml.gpus
    quick = replace(quick, power_limit_watts=1e9)  # it draws more than a board can
    clock = Clock(time.perf_counter, lambda _seconds: None)
    counter = GpuEnergy(nvml, clock, ProbedCounters(periods={quick: 0.0}))
    channel = quick.channel
    if name == WAITING:
        clock, channel = Clock(time.perf_counter, time.sleep), slow.channel
        probed = probe_counters(nvml, clock, [slow])
        counter = GpuEnergy(nvml, clock, probed)
    meter = Meter([counter], CpuTime(4.0), busy_seconds, clock)
    names = frozenset({channel})

    def alone() -> None:
        counter.open(names)
        _check(counter.close(time.perf_counter()))

    def whole() -> None:
        meter.open([channel, "cpu:process"])
        _check(meter.close().readings)

    def _check(readings: Mapping[str, object]) -> None:
        if not isinstance(readings[channel], float):
            raise RuntimeError(readings[channel])

    return alone if name == COUNTER else whole


def _rival(name: str) -> Callable[[], None]:
    import rivals

    tool = getattr(rivals, name)()

    def window() -> None:
        tool.begin()
        tool.end(0.0)

    return window


def _cost(window: Callable[[], None], count: int) -> Cost:
    """Medians; the first window, which fills caches or is slow by itself, is left out."""
    window()
    walls, cpus = [], []
    for _ in range(count):
        wall, cpu = time.perf_counter(), time.process_time()
        window()
        cpus.append(time.process_time() - cpu)
        walls.append(time.perf_counter() - wall)
    return Cost(wall=median(walls), cpu=median(cpus))


if __name__ == "__main__":
    print(json.dumps(_cost(_opener(sys.argv[1]), WINDOWS[sys.argv[1]])))
