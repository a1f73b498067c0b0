"""`pytest-energy compare` of equal variants: processes one after the other, and in turns.

python benchmarks/turns.py [comparisons]

One process is busy for 0.05 to 1 s and pauses as long. Each comparison has five pairs of processes.
Printed are the ratios of its pairs and half of its interval; at the end, for each way, how far the
ratios of one comparison lie apart (their coefficient of variation), the half intervals, and how
long one took. The ways alternate, so that both meet the same machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

sys.path.insert(0, str(Path(__file__).parent))
from laps import neighbour

TEST = """
import array, random
import pytest

NUMBERS = array.array("q", range(1_000_000))
PLACES = random.Random(1).choices(range(1_000_000), k=50_000)

@pytest.mark.energy_budget("1000 cpu-ms / query")
def test_loop():
    sum(i * i for i in range(60_000))

@pytest.mark.energy_budget("1000 cpu-ms / query")
def test_gather():
    sum(NUMBERS[place] for place in PLACES)
"""
WAYS: Mapping[str, Sequence[str]] = {"one after the other": ["--sequential"], "in turns": []}


def compare(folder: Path, options: Sequence[str]) -> dict[str, list[float]]:
    """The ratios of the pairs of each test, and its half interval as the last of them."""
    output = folder / "found.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest_energy.cli", "compare", "--pairs=5"),
            *("--variant", "a:SIDE=1", "--variant", "b:SIDE=2", f"--json={output}"),
            *options,
            *("--", "-q", "-p", "no:hypothesispytest", f"--energy-lock-folder={folder / 'locks'}"),
        ],
        cwd=folder,
        capture_output=True,
    )
    found = json.loads(output.read_bytes())
    if found["notes"]:
        print(*found["notes"], file=sys.stderr)
    return {
        test["id"].partition("::")[2]: [
            *(new / old for old, new in test["pairs"]),
            (test["interval"][1] / test["interval"][0]) ** 0.5 - 1,
        ]
        for test in found["tests"]
    }


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found: dict[tuple[str, str], list[list[float]]] = {}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as text, neighbour():
        folder = Path(text)
        (folder / "test_it.py").write_text(TEST, encoding="utf-8")
        for _ in range(times):
            for way, options in WAYS.items():
                began = time.perf_counter()
                for test, ratios in compare(folder, options).items():
                    found.setdefault((test, way), []).append(ratios)
                    print(test, way, *(f"{each:.4f}" for each in ratios), flush=True)
                seconds[way].append(time.perf_counter() - began)
    print(f"{times} comparisons of equals, five pairs each, on {os.cpu_count()} cores")
    print(f"{'':34}{'pairs':>8}{'interval':>20}{'seconds':>9}")
    for (test, way), comparisons in sorted(found.items()):
        spread = fmean(stdev(each[:-1]) / fmean(each[:-1]) for each in comparisons)
        halves = sorted(each[-1] for each in comparisons)
        shown = f"+-{halves[0]:.1%} to {halves[-1]:.1%}"
        took = fmean(seconds[way])
        print(f"{test:13} {way:20}{spread:8.1%}{shown:>20}{took:9.0f}")


if __name__ == "__main__":
    main()
