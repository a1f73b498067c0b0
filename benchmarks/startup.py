"""What pytest-energy adds to a run without marked tests, as ratios in one interleaved run.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

RUNS = 21
FILES = {
    "one test": "def test_it(): pass\n",
    "1000 unmarked tests": (
        "import pytest\n"
        "@pytest.mark.parametrize('number', range(1000))\n"
        "def test_it(number): pass\n"
    ),
}


def seconds(folder: Path, *options: str) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    print(f"medians of {RUNS} runs of each, in turn")
    print(f"{'':22}{'without':>10}{'with':>10}{'difference':>12}{'ratio':>8}")
    for name, source in FILES.items():
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            (folder / "test_it.py").write_text(source, encoding="utf-8")
            seconds(folder)
            pairs = [(seconds(folder, "-p", "no:energy"), seconds(folder)) for _ in range(RUNS)]
        without = median(pair[0] for pair in pairs)
        with_plugin = median(pair[1] for pair in pairs)
        difference = median(pair[1] - pair[0] for pair in pairs)
        ratio = median(pair[1] / pair[0] for pair in pairs)
        print(
            f"{name:22}{without * 1000:>7.0f} ms{with_plugin * 1000:>7.0f} ms"
            f"{difference * 1000:>9.1f} ms{ratio:>8.3f}"
        )


if __name__ == "__main__":
    main()
