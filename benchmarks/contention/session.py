"""One session: pytest in a process of its own, and the same calls timed by other methods."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, median
from typing import Any
from xml.etree import ElementTree

from before import by_windows

HERE = Path(__file__).parent
#: Of a figure, and of a comparison.
MAX_SECONDS = 10
#: Seconds of calls that are timed for the other methods.
TRACE_SECONDS = 4.0
#: Limits as shares of the true cost.
SHARES = (0.9, 1.0, 1.1)

TEST = """
import json, os, time
import pytest
from works import WORKS

budget = pytest.mark.energy_budget
make = WORKS[os.environ["WORK"]]
TRUTH = float(os.environ["TRUTH"])
SHARES = json.loads(os.environ["SHARES"]) if TRUTH else []

@budget
def test_figure(energy):
    energy.measure(make(1.0))

@pytest.mark.parametrize(
    "share",
    [pytest.param(each, marks=budget(f"{TRUTH * each * 1000:.6f} cpu-ms / query"))
     for each in SHARES],
)
def test_limit(share, energy):
    energy.measure(make(1.0))

def test_equal(energy):
    energy.compare(make(1.0), make(1.0))

def test_more(energy):
    energy.compare(make(1.0), make(1.05))

def calls_for(call, seconds):
    end, trace = time.perf_counter() + seconds, []
    while time.perf_counter() < end or len(trace) < 5:
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        trace.append((time.process_time() - cpu, time.perf_counter() - wall))
    return trace

def test_trace():
    from codecarbon import OfflineEmissionsTracker

    call, seconds = make(1.0), float(os.environ["TRACE_SECONDS"])
    trace = calls_for(call, seconds)
    tracker = OfflineEmissionsTracker(
        country_iso_code="FRA", tracking_mode="process", measure_power_secs=1,
        save_to_file=False, log_level="critical", allow_multiple_runs=True,
    )
    for task in ("first", "second"):  # its first task is wrong by what it starts
        tracker.start_task(task)
        calls = len(calls_for(call, seconds / 2 if task == "first" else seconds))
        consumed = tracker.stop_task(task).cpu_energy * 3.6e6 / calls
    tracker.stop()
    with open("trace.json", "w") as file:
        json.dump({"calls": trace, "codecarbon_joules": consumed}, file)
"""


def run(work: str, truth_seconds: float) -> dict[str, Any]:
    """What one session gives: records by test, seconds of each, and the trace of calls.

    truth_seconds: CPU seconds of a call on the quiet machine, 0 to leave limits out.
    """
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "test_it.py").write_text(TEST, encoding="utf-8")
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("--energy-json=record.json", f"--energy-lock-folder={folder / 'locks'}"),
                f"--energy-max-seconds={MAX_SECONDS}",
                "--junit-xml=junit.xml",
            ],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(HERE),
                "WORK": work,
                "TRUTH": str(truth_seconds),
                "SHARES": json.dumps(SHARES),
                "TRACE_SECONDS": str(TRACE_SECONDS),
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
        )
        junit = ElementTree.parse(folder / "junit.xml")
        record = json.loads((folder / "record.json").read_bytes())
        trace = json.loads((folder / "trace.json").read_bytes())
    seconds = {each.get("name"): float(each.get("time", 0)) for each in junit.iter("testcase")}
    return {
        "seconds": seconds,
        "tests": {name_of(each): summary(each) for each in record["tests"]},
        "others": by_others(trace["calls"]) | {"CodeCarbon": trace["codecarbon_joules"]},
    }


def name_of(test: dict[str, Any]) -> str:
    return str(test["id"]).partition("::")[2]


def summary(test: dict[str, Any]) -> dict[str, Any]:
    """CPU seconds of a call, their interval, the verdict, and how often it was measured."""
    figure, joules, interval = (
        test[key] for key in ("cpu_seconds_per_unit", "joules_per_unit", "interval")
    )
    if interval and joules:
        interval = [each / joules * figure for each in interval]
    measured = [each for each in test["rounds"] if not each["warmup"]]
    return {
        "figure": figure,
        "interval": interval,
        "verdict": test["verdict"],
        "code": test["code"],
        "rounds": len(measured),
        "seconds": sum(each["seconds"] for each in measured),
        "ratio": (test["reference"] or {}).get("ratio"),
    }


def by_others(trace: list[tuple[float, float]]) -> dict[str, float]:
    """What other methods make of the same calls: CPU seconds and seconds of each."""
    cpu, wall = zip(*trace, strict=True)
    return {
        "windows of 0.2 s": by_windows(cpu),
        "mean of three": fmean(cpu[:3]),
        "least time": min(wall),
        "median time": median(wall),
    }


class Neighbour:
    """Keeps cores busy inside the block; 0 cores is a quiet machine."""

    def __init__(self, cores: int, kind: str, seed: int) -> None:
        self._arguments = [str(cores), kind, str(seed)]

    def __enter__(self) -> None:
        command = [sys.executable, str(HERE / "neighbour.py"), *self._arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
        time.sleep(0.5)

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
