"""How far the joules of a window are from the truth: ours, CodeCarbon's and Zeus's.

python benchmarks/accuracy.py

A virtual part drives our sensors on instruments of known truth; a real-time part lets all three
tools measure the same script of work on a fake NVML library. The tables, all figures as JSON and a
picture go to benchmarks/results. The real-time part takes about ten minutes, and needs a C
compiler and `pip install codecarbon==3.3.2 zeus`; `--part virtual` does without.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
sys.path[:0] = [str(HERE / "accuracy"), str(HERE.parent / "tests" / "fakes")]

import realtime  # noqa: E402
import show  # noqa: E402
from instruments import LAGGING, SEED, WINDOWS, Cell, all_cells, measure  # noqa: E402
from loads import ENDINGS, LOADS  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["virtual", "realtime", "both"], default="both")
    parser.add_argument("--phases", type=int, default=200, help="windows a virtual cell")
    parser.add_argument("--windows", type=int, default=20, help="windows a real-time cell")
    options = parser.parse_args()
    lines: list[str] = []

    def say(*texts: str) -> None:
        shown = [line.rstrip() for text in texts for line in text.split("\n")]
        lines.extend(shown)
        print(*shown, sep="\n", flush=True)

    cells: list[Cell] = []
    if options.part != "realtime":
        cells = list(all_cells(options.phases, WINDOWS, (*LOADS, *ENDINGS)))
        say(*show.virtual_text(cells, options.phases), "")
        lagging = [
            measure(each, load, 1.0, options.phases)
            for each in LAGGING
            for load in (LOADS[0], *ENDINGS)
        ]
        say(*show.lagging_text(lagging), "")
        say(*show.physics_text(cells), "", *show.misses_text(cells), "")
    result = burst = None
    if options.part != "virtual":
        print(f"in real time, about {realtime.minutes(options.windows):.0f} minutes", flush=True)
        result = realtime.run(options.windows, SEED, 0.0, 0.0)
        say(*show.realtime_text(result, options.windows, show.CONSTANT), "")
        burst = realtime.run(options.windows, SEED, realtime.IDLE_SHARE, 80.0)
        say(*show.realtime_text(burst, options.windows, show.BURST))
    RESULTS.mkdir(exist_ok=True)
    stem = "accuracy" if options.part == "both" else f"accuracy-{options.part}"
    (RESULTS / f"{stem}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    about = {
        "seed": SEED,
        "phases": options.phases,
        "windows": options.windows,
        "python": platform.python_version(),
    }
    (RESULTS / f"{stem}.json").write_text(
        show.as_json(cells, result, burst, about), encoding="utf-8"
    )
    if cells:
        show.picture(RESULTS / f"{stem}.png", cells, result)


if __name__ == "__main__":
    main()
