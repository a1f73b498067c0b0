"""What calls cost at each depth of the stack, with room for their frames and without.

python benchmarks/stack_depth.py

At each depth the same calls of two small functions are timed in CPU time, first as they are and
then below `with_room`. The figures go to benchmarks/results/stack_depth.txt.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from pytest_energy.measurement.calls import with_room

DEPTHS, CALLS, TRIES = 300, 2_000, 3
RESULTS = Path(__file__).parent / "results"


def leaf() -> int:
    return 1


def work() -> int:
    return leaf() + leaf()


def call_seconds() -> float:
    started = time.thread_time()
    for _ in range(CALLS):
        work()
    return (time.thread_time() - started) / CALLS


def at_depth(depth: int, function: Callable[[], float]) -> float:
    return function() if depth == 0 else at_depth(depth - 1, function)


def measured(function: Callable[[], float]) -> list[float]:
    return [min(at_depth(depth, function) for _ in range(TRIES)) for depth in range(DEPTHS)]


def line(name: str, found: list[float]) -> str:
    typical = median(found)
    slow = sum(each > 2 * typical for each in found) / len(found)
    return (
        f"{name}: {1e6 * typical:.2f} us at the typical depth, {1e6 * max(found):.2f} us at the "
        f"worst ({max(found) / typical:.1f} times); over twice as much at {100 * slow:.1f} % of "
        f"{len(found)} depths"
    )


def main() -> None:
    lines = [
        f"Python {platform.python_version()}, {platform.machine()}",
        line("as they are", measured(call_seconds)),
        line("with room  ", measured(lambda: with_room(call_seconds))),
    ]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    (RESULTS / "stack_depth.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
