"""A neighbour that keeps cores busy, steadily or in bursts; started as a process of its own.

python neighbour.py CORES steady|bursts SEED
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import time

#: Seconds that a burst lasts, and the pause after it.
BURST_SECONDS = (0.05, 2.0)


def keep_busy(kind: str, seed: int) -> None:
    """One core, until the process is killed."""
    chance = random.Random(seed)
    while True:
        end = time.perf_counter() + chance.uniform(*BURST_SECONDS)
        while time.perf_counter() < end:
            pass
        if kind == "bursts":
            time.sleep(chance.uniform(*BURST_SECONDS))


def main() -> None:
    cores, kind, seed = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    for number in range(cores):
        multiprocessing.Process(target=keep_busy, args=(kind, seed + number), daemon=True).start()
    sys.stdin.read()  # until whoever started it closes the pipe, or ends


if __name__ == "__main__":
    main()
