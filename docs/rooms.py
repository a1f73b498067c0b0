"""Draw docs/rooms.svg: the folders of the package from the import contract in pyproject.toml.

python docs/rooms.py
"""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "rooms.svg"
WIDTH, ROW, GAP, LEFT = 420, 34, 6, 12
#: The way of a joule, and what each room on it makes of it.
WAY = {
    "sensors": "joules of a window",
    "measurement": "rounds of a test",
    "rules": "a verdict",
    "limits": "which limit applies",
    "baselines": "earlier sessions",
    "record": "the run as plain data",
    "report": "text for people and tools",
    "plugin": "the test passes or fails",
}
STYLE = """
  rect { fill: #ffffff; } .room { fill: #eef2f7; stroke: #64748b; } .way { fill: #d9f0e1; }
  text { fill: #1f2937; font: 14px sans-serif; } .does { font-size: 12px; fill: #475569; }
  @media (prefers-color-scheme: dark) {
    rect { fill: #131416; } .room { fill: #24292f; stroke: #94a3b8; } .way { fill: #17402a; }
    text { fill: #e5e7eb; } .does { fill: #cbd5e1; }
  }
"""


def layers(project: str) -> list[list[str]]:
    """The rooms of each layer, from the top."""
    contract = tomllib.loads(project)["tool"]["importlinter"]["contracts"][0]
    return [each.split(" | ") for each in contract["layers"]]


def picture(rows: list[list[str]]) -> str:
    """One row for each layer, as SVG."""
    height = len(rows) * (ROW + GAP) + 2 * LEFT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}"/>',
    ]
    for number, rooms in enumerate(rows):
        top = LEFT + number * (ROW + GAP)
        width = (WIDTH - 2 * LEFT - GAP * (len(rooms) - 1)) / len(rooms)
        for column, room in enumerate(rooms):
            left = LEFT + column * (width + GAP)
            kind = "room way" if room in WAY else "room"
            lines += [
                f'<rect class="{kind}" x="{left:g}" y="{top}" width="{width:g}" height="{ROW}"/>',
                f'<text x="{left + 10:g}" y="{top + 22}">{escape(room)}</text>',
            ]
            if room in WAY:
                right = left + width - 10
                lines.append(
                    f'<text class="does" x="{right:g}" y="{top + 22}" text-anchor="end">'
                    f"{escape(WAY[room])}</text>"
                )
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    PICTURE.write_text(picture(layers(project)), encoding="utf-8")


if __name__ == "__main__":
    main()
