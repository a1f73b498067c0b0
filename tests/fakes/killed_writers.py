"""Kills writers of a record and of baselines at random moments, and looks at what they left.

    python killed_writers.py FOLDER KILLS WRITERS

Each kill ends one of this many writers; then a new one starts. Prints what was found, as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from session_records import measured, session

from pytest_energy.baselines.change import change_folder
from pytest_energy.baselines.file import read_folder
from pytest_energy.baselines.update import Mode, update
from pytest_energy.record import lock
from pytest_energy.record.file import read, write
from pytest_energy.record.schema import RunRecord

#: Sessions that are kept of one test, so that no line is dropped for its age.
DAYS = 9


def forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child


def store(found: RunRecord, folder: Path) -> None:
    change_folder(
        folder / "stored", "stored", lambda lines: update(lines, [found], Mode.ADD), folder
    )


def write_on(folder: Path, writer: int, sessions: int = 10_000) -> None:
    """Write the record, and add sessions of this writer's own tests, until something kills it.

    A session counts as stored once its name stands in the log, which is written after it.
    """
    for number in range(sessions):
        test = measured(id=f"t.py::test_{writer}_{os.getpid()}_{number // DAYS}")
        found = session(test, day=1 + number % DAYS, run=f"{writer}-{os.getpid()}-{number}")
        write(found, folder / "energy.json")
        store(found, folder)
        with (folder / f"log-{writer}").open("a") as log:
            log.write(f"{found.run.uuid}\n")


def main(folder: Path, kills: int, writers: int) -> dict[str, int]:
    lock.DEFAULT_FOLDER = folder / "locks"
    moments = random.Random(kills)
    began = time.perf_counter()
    write_on(folder, writers, sessions=3)
    longest = time.perf_counter() - began
    running = {each: forked(partial(write_on, folder, each)) for each in range(writers)}
    for _ in range(kills):
        time.sleep(moments.uniform(0, longest))
        writer = moments.randrange(writers)
        os.kill(running[writer], signal.SIGKILL)
        os.waitpid(running[writer], 0)
        read(folder / "energy.json")
        read_folder(folder / "stored", "stored", folder)  # raises for half a line
        running[writer] = forked(partial(write_on, folder, writer))
    for each in running.values():
        os.kill(each, signal.SIGKILL)
        os.waitpid(each, 0)
    # The next run: it waits for no lock, and takes away what was left.
    last = session(replace(measured(), id="t.py::test_last"), run="last")
    write(last, folder / "energy.json")
    store(last, folder)
    stored = {each.run for each in read_folder(folder / "stored", "stored", folder).lines}
    logged = {each for log in folder.glob("log-*") for each in log.read_text().split()}
    left = list(folder.rglob(".*"))
    return {"stored": len(stored), "lost": len(logged - stored), "left": len(left)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
