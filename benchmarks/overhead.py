"""What measuring costs beside pytest alone and beside other tools, in one interleaved run.

python benchmarks/overhead.py

In each repetition every contestant runs once, in another order, so that whatever else the machine
does meets all of them. Printed are medians of the repetitions' own ratios and differences. All
tools see the same fake NVML library. The tables, all figures as JSON and a picture go to
benchmarks/results. It takes about ten minutes on two cores, a C compiler, and `pip install .
pytest-benchmark pytest-memray codecarbon==3.3.2 zeus==0.16.0 matplotlib`; not editable (-e), which
slows a start.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
sys.path[:0] = [str(HERE / "overhead"), str(HERE / "accuracy")]

import suites  # noqa: E402
import windows  # noqa: E402
from realtime import compile_library  # noqa: E402

import report  # noqa: E402

PACKAGES = (
    "pytest",
    "pytest-energy",
    "pytest-benchmark",
    "pytest-memray",
    "codecarbon",
    "zeus",
    "nvidia-ml-py",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=21)
    parser.add_argument("--marked", type=int, default=5, help="repetitions of the marked tests")
    options = parser.parse_args()
    about = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {each: version(each) for each in PACKAGES},
        "load_before": os.getloadavg(),
    }
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        compile_library(folder)
        found = {
            suite.name: suites.run(suite, folder, repetitions)
            for suite, repetitions in (
                (suites.START_UP, options.repetitions),
                (suites.UNMARKED, options.repetitions),
                (suites.MARKED, options.marked),
            )
        }
        empty = windows.run(folder, options.repetitions)
    about["load_after"] = os.getloadavg()
    lines = [*report.suites_text(found), *report.windows_text(empty), *report.about_text(about)]
    print(*lines, sep="\n")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "overhead.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    figures = {"about": about, "suites": found, "windows": empty}
    (RESULTS / "overhead.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    report.picture(RESULTS / "overhead.png", found, empty)


if __name__ == "__main__":
    main()
