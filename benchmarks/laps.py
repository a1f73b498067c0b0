"""Ways to find the CPU time of one piece of work beside a neighbour that is busy in bursts.

python benchmarks/laps.py [seconds]

Three works are measured in turn for two seconds each (a "session"), for a minute unless told
otherwise, while one process is busy for 0.05 to 1 s and pauses as long. The same laps are then made
into figures in several ways. Printed are the spread of the sessions' figures (their coefficient of
variation), and their mean over the least of all sessions' 5 % quantiles. That is no quiet truth,
which a shared machine has not, but the same for all ways.
"""

from __future__ import annotations

import array
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

from pytest_energy.measurement.laps import cleaned
from pytest_energy.measurement.meter import Meter, Window
from pytest_energy.rules.estimate import estimate
from pytest_energy.sensors import clock
from pytest_energy.sensors.base import Clock
from pytest_energy.sensors.cpu_time import CHANNEL, CpuTime
from pytest_energy.sensors.proc import busy_seconds

sys.path.append(str(Path(__file__).parent / "contention"))
from before import WINDOW_SECONDS, by_windows

NEIGHBOUR = """
import random, time
choose = random.Random(1)
while True:
    end = time.perf_counter() + choose.uniform(0.05, 1)
    while time.perf_counter() < end:
        pass
    time.sleep(choose.uniform(0.05, 1))
"""
SESSION_SECONDS = 2.0
NUMBERS = array.array("q", range(4_000_000))
PLACES = random.Random(1).choices(range(4_000_000), k=100_000)
LENGTHS = random.Random(2)


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that is busy in bursts, inside the block.

    Started by another process, because the work of our own descendants counts as ours.
    """
    start = f"{shlex.quote(sys.executable)} -c {shlex.quote(NEIGHBOUR)} >/dev/null & echo $!"
    process = int(subprocess.check_output(["sh", "-c", start], text=True))
    try:
        yield
    finally:
        os.kill(process, signal.SIGTERM)


def loop(steps: int = 120_000) -> int:
    return sum(i * i for i in range(steps))


def gather() -> int:
    return sum(NUMBERS[place] for place in PLACES)


def lengths() -> int:
    """A fifth of the calls costs six times the others; 60,000 steps on average."""
    return loop(LENGTHS.choice([30_000] * 4 + [180_000]))


WORKS: dict[str, Callable[[], int]] = {"loop": loop, "gather": gather, "random lengths": lengths}


def session(meter: Meter, work: Callable[[], int]) -> list[Window]:
    """Rounds of one call a lap."""
    windows = []
    end = time.perf_counter() + SESSION_SECONDS
    while time.perf_counter() < end:
        laps = []
        with meter.window([CHANNEL], laps=True) as measured:
            while meter.elapsed() < WINDOW_SECONDS:
                work()
                laps.append(meter.lap(0, 1, {"query": 1.0}))
        windows.append(replace(measured.window, laps=tuple(laps)))
    return windows


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def calls(windows: Sequence[Window]) -> list[float]:
    return [lap.cpu_seconds for window in windows for lap in window.laps]


def by_laps(windows: Sequence[Window]) -> float:
    found = cleaned(windows, "query")
    if found is None or not found.values:
        return by_windows(calls(windows))
    values = [value for value in found.values if value is not None]
    return estimate(values, [units for units in found.units if units]).centre


def by_reference(windows: Sequence[Window]) -> float:
    """In units of the fixed work, so with the mean of that."""
    laps = [lap for window in windows for lap in window.laps]
    usual = quantile([lap.before for lap in laps], 0.05)
    return usual * quantile([lap.cpu_seconds / ((lap.before + lap.after) / 2) for lap in laps], 0.1)


WAYS: dict[str, Callable[[Sequence[Window]], float]] = {
    "windows of 0.2 s, trimmed mean (before)": lambda windows: by_windows(calls(windows)),
    "one call, median": lambda windows: quantile(calls(windows), 0.5),
    "one call, 10 % quantile": lambda windows: quantile(calls(windows), 0.1),
    "one call, 5 % quantile": lambda windows: quantile(calls(windows), 0.05),
    "call / fixed work beside it, 10 % quantile": by_reference,
    "laps, disturbed ones left out (now)": by_laps,
}


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    meter = Meter([], CpuTime(4.0), busy_seconds, Clock(clock.now, clock.sleep))
    found: dict[str, list[list[Window]]] = {name: [] for name in WORKS}
    with neighbour():
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for name, work in WORKS.items():
                found[name].append(session(meter, work))
    windows = [window for each in found.values() for one in each for window in one]
    others = sum(window.other_cpu_seconds or 0.0 for window in windows)
    cores = others / sum(window.seconds for window in windows)
    print(f"other processes used {cores:.1f} of {os.cpu_count()} cores; two seconds a session")
    print("spread between sessions, and mean over the least 5 % quantile")
    print(f"{'':44}" + "".join(f"{name:>18}" for name in WORKS))
    for way, figure in WAYS.items():
        row = f"{way:44}"
        for sessions in found.values():
            values = [figure(each) for each in sessions]
            least = min(quantile(calls(each), 0.05) for each in sessions)
            mean = fmean(values)
            row += f"{stdev(values) / mean:9.1%} {mean / least - 1:+7.1%} "
        print(row.rstrip())
    print(f"sessions: {', '.join(str(len(each)) for each in found.values())}")


if __name__ == "__main__":
    main()
