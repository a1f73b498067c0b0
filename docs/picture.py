"""Draw docs/failing-test.svg: the first red run of docs/tutorial.md, as narrow as on a phone.

python docs/picture.py
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text
from tutorial import PAGE, printed, steps

PICTURE = PAGE.with_name("failing-test.svg")
COLUMNS = 58


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for step in steps(PAGE.read_text(encoding="utf-8")):
            if step.name:
                (folder / step.name).write_text(step.text, encoding="utf-8")
            elif step.fails:
                output = printed(step, folder, COLUMNS, "--color=yes")
                break
    console = Console(file=io.StringIO(), width=COLUMNS, record=True)
    console.print(Text(f"$ {step.commands[-1]}", "bold"))
    console.print(Text.from_ansi(output))
    PICTURE.write_text(console.export_svg(title="pytest-energy"), encoding="utf-8")


if __name__ == "__main__":
    main()
