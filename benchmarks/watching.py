"""What it costs to watch the instruments inside windows, and the work after them.

python benchmarks/watching.py

The same test runs with the watching thread and the looks before the first call and after the last,
and without both, alternately, in processes of their own, on the fake NVML library or by CPU time.
Printed are the CPU time of the thread as a share of one core, and by how much the measured test
with them is longer: the median of the pairs' ratios. It takes about five minutes, a C compiler and
`pip install .`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "accuracy")]

from realtime import compile_library, environment  # noqa: E402

BOARD = "gpu name=Fake-A100 watts=150 period_ms={period} jitter_ms=2\n"
BOARDS = {
    "1 board, 100 ms": BOARD.format(period=100),
    "1 board, 20 ms": BOARD.format(period=20),
    "8 boards, 100 ms": BOARD.format(period=100) * 8,
    "CPU time": "",
}
TEST = """
import os
import time
import pytest

@pytest.mark.energy_budget("1 kJ / query", scope=os.environ["SCOPE"])
def test_it():
    end = time.perf_counter() + 0.05
    while time.perf_counter() < end:
        pass
"""
#: Adds up what the thread used in all windows and how long the test took, or switches off both.
CONFTEST = """
import json, os, time
from pytest_energy.measurement.afterwards import Afterwards
from pytest_energy.measurement.watcher import Watcher

WATCHED = os.environ["WATCHED"] == "1"
start, stop = Watcher.start, Watcher.stop
total = {"cpu_seconds": 0.0, "seconds": 0.0, "wakeups": 0, "test_seconds": 0.0}
opened = 0.0

if not WATCHED:
    Afterwards.begin = lambda self: None
    Afterwards.end = Afterwards.outside = lambda self, rounds: ""

def begin(self, polls, forks):
    global opened
    opened = time.perf_counter()
    start(self, polls if WATCHED else (), forks)

def end(self):
    stop(self)
    total["seconds"] += time.perf_counter() - opened
    total["cpu_seconds"] += self.cpu_seconds
    total["wakeups"] += self.wakeups

Watcher.start, Watcher.stop = begin, end

def pytest_runtest_logreport(report):
    total["test_seconds"] += report.duration if report.when == "call" else 0.0

def pytest_sessionfinish():
    with open("watched.json", "w") as file:
        json.dump(total, file)
"""


def run(folder: Path, boards: str, *, watched: bool) -> dict[str, float]:
    """How long the test took in a run of pytest, and what the thread used in it."""
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--energy-gpus=all"] if boards else []
    done = subprocess.run(
        [sys.executable, *command, f"--energy-lock-folder={folder / 'locks'}"],
        cwd=folder,
        env={
            **environment(folder, boards),
            "WATCHED": str(int(watched)),
            "SCOPE": "gpu" if boards else "cpu",
        },
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    found: dict[str, float] = json.loads((folder / "watched.json").read_bytes())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        compile_library(folder)
        (folder / "test_it.py").write_text(TEST, encoding="utf-8")
        (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        lines = [f"load before: {os.getloadavg()[0]:.1f}"]
        lines.append(f"{'':18} {'of a core':>10} {'polls/s':>8} {'longer by':>10}")
        for name, boards in BOARDS.items():
            ratios, shares, polls = [], [], []
            for pair in range(pairs):
                order = (True, False) if pair % 2 == 0 else (False, True)
                seconds = {}
                for watched in order:
                    used = run(folder, boards, watched=watched)
                    seconds[watched] = used["test_seconds"]
                    if watched:
                        shares.append(used["cpu_seconds"] / used["seconds"])
                        polls.append(used["wakeups"] / used["seconds"])
                ratios.append(seconds[True] / seconds[False])
            longer = median(ratios) - 1
            lines.append(
                f"{name:18} {median(shares):>10.2%} {median(polls):>8.1f} {longer:>+10.1%}"
            )
    text = "\n".join(lines)
    print(text)
    (HERE / "results" / "watching.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
