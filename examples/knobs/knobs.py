"""Turn every knob, and show the energy of a query against it: a table, and a picture (knobs.svg).

python examples/knobs/knobs.py [ARGUMENTS OF PYTEST]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from pytest_energy.units import figure

FOLDER = Path(__file__).resolve().parent
PANEL_WIDTH, PANEL_HEIGHT, COLUMNS, BAR_AREA = 230, 180, 4, 100


@dataclass(frozen=True)
class Point:
    """One position of one knob. method: how good the evidence is."""

    knob: str
    value: str
    joules: float
    seconds: float
    method: str


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        record = Path(name, "energy.json")
        command = [sys.executable, "-m", "pytest", str(FOLDER), "-q", "-p", "no:cacheprovider"]
        status = subprocess.run([*command, f"--energy-json={record}", *sys.argv[1:]]).returncode
        if not record.exists():
            print(f"pytest ended with status {status}, and nothing was measured")
            return 1
        points = read(json.loads(record.read_text(encoding="utf-8"))["tests"])
    print(table(points))
    (FOLDER / "knobs.svg").write_text(picture(points), encoding="utf-8")
    print(f"written: {FOLDER / 'knobs.svg'}")
    return status


def read(tests: list[dict[str, Any]]) -> list[Point]:
    """Of the ids: test_batch_size.py::test_batch_size[8] is the knob "batch size" at 8."""
    points = []
    for test in tests:
        name, _, value = test["id"].rpartition("::test_")[2].partition("[")
        if test["joules_per_unit"] is not None:
            seconds = 1 / test["explanation"]["units_per_second"]
            knob = name.replace("_", " ")
            points.append(Point(knob, value[:-1], test["joules_per_unit"], seconds, test["method"]))
    return points


def table(points: list[Point]) -> str:
    """Each position beside the first one of its knob."""
    lines = [f"{'':15}{'':>9}{'mJ / query':>12}{'times':>8}{'ms / query':>12}  method"]
    for knob, group in groupby(points, lambda each: each.knob):
        first, *_ = positions = list(group)
        for each in positions:
            label = knob if each is first else ""
            millijoules, milliseconds = figure(each.joules * 1000), figure(each.seconds * 1000)
            lines.append(
                f"{label:15}{each.value:>9}{millijoules:>12}{each.joules / first.joules:>8.2f}"
                f"{milliseconds:>12}  {each.method}"
            )
    return "\n".join(lines)


def picture(points: list[Point]) -> str:
    """A panel of bars for each knob, all from zero, as SVG."""
    panels = [list(group) for _, group in groupby(points, lambda each: each.knob)]
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * PANEL_WIDTH, rows * PANEL_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for index, panel in enumerate(panels):
        x, y = index % COLUMNS * PANEL_WIDTH, index // COLUMNS * PANEL_HEIGHT
        parts.append(f'<g transform="translate({x + 15} {y + 20})">{_panel(panel)}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(points: list[Point]) -> str:
    most = max(each.joules for each in points)
    step = (PANEL_WIDTH - 30) / len(points)
    parts = [f'<text font-weight="bold">{escape(points[0].knob)}, mJ / query</text>']
    for index, each in enumerate(points):
        high = BAR_AREA * each.joules / most
        left, top = index * step, 30 + BAR_AREA - high
        middle = left + step * 0.4
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{step * 0.8:.1f}" height="{high:.1f}" '
            'fill="#2a7f62"/>'
            f'<text x="{middle:.1f}" y="{top - 4:.1f}" text-anchor="middle">'
            f"{figure(each.joules * 1000)}</text>"
            f'<text x="{middle:.1f}" y="{30 + BAR_AREA + 15}" text-anchor="middle">'
            f"{escape(each.value)}</text>"
        )
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(main())
