"""Two real processes take turns; what dies, hangs, is stopped or does something else ends that."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_energy.compare import inside
from pytest_energy.compare.outcome import CouldNotCompare
from pytest_energy.compare.processes import (
    Interrupts,
    PytestProcess,
    Ran,
    RunningPytest,
    started,
)
from pytest_energy.compare.turns import NoTurns, RanBoth, run_in_turns
from pytest_energy.measurement.memory import available_bytes
from pytest_energy.record.lock import read_holder

HEAD = """
import os, signal, sys, time
from pathlib import Path
from pytest_energy.measurement.turns import Turns

turns = Turns(*map(int, os.environ["PYTEST_ENERGY_COMPARE_PIPES"].split(",")))

def log(word):
    with open("log", "a") as file:
        file.write(word + " ")

def measure(name, side, laps=2, rounds=2):
    with turns.measurement(name, ("cpu",), Path("locks")):
        log(side.upper())
        for _ in range(rounds):
            turns.next_round()
            for _ in range(laps):
                log(side)
                turns.lap()
    log("end-" + side)

"""


class Left(RunningPytest):
    def ran(self) -> Ran:
        if self.child.status:
            raise CouldNotCompare(f"{self.side} ended with {self.child.status}")
        return Ran(None, frozenset())  # type: ignore[arg-type]  # nothing is recorded


@dataclass(frozen=True)
class Script(PytestProcess):
    """A process that measures as its text says."""

    @contextmanager
    def started(
        self, interrupts: Interrupts, pipes: tuple[int, ...] = ()
    ) -> Iterator[RunningPytest]:
        command = [sys.executable, "-c", HEAD + self.arguments[0]]
        variables = {inside.PIPES: ",".join(map(str, pipes))}
        with started(command, self.folder, variables, interrupts, pipes) as child:
            yield Left(self.side, child, self.folder)


@dataclass
class Bench:
    folder: Path

    def run(self, first: str, second: str, longest_turn_seconds: float = 60.0) -> RanBoth:
        one, other = (
            Script(side, [text], self.folder) for side, text in (("old", first), ("new", second))
        )
        return run_in_turns((one, other), Interrupts(), lambda _: None, longest_turn_seconds)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text().strip()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_they_alternate_lap_by_lap_and_meet_before_each_round_and_test(bench: Bench) -> None:
    found = bench.run(
        "measure('t', 'a', laps=2); log('between-a'); measure('u', 'a', laps=1, rounds=1)",
        "measure('t', 'b', laps=4); log('between-b'); measure('u', 'b', laps=1, rounds=1)",
    )
    assert found.why_not == ""
    first_test = "A B a b a b b b a b a b b b"
    assert bench.log.startswith(f"{first_test} end-a between-a end-b between-b")
    assert bench.log.endswith("A B a b end-a end-b")


def test_one_that_needs_more_rounds_or_has_another_test_is_not_held_up(bench: Bench) -> None:
    found = bench.run(
        "measure('t', 'a', laps=1, rounds=1)",
        "measure('t', 'b', laps=1, rounds=3); measure('more', 'b', laps=1, rounds=2)",
    )
    assert found.why_not == ""
    assert bench.log == "A B a b b b end-a end-b B b b end-b"


def test_the_machine_is_locked_for_both_until_both_have_ended(bench: Bench) -> None:
    locks = bench.folder / "locks"
    look = f"""
from pytest_energy.record.lock import read_holder
log(str(read_holder(Path({str(locks / "cpu.lock")!r})).pid == os.getppid()))
"""
    bench.run("measure('t', 'a', 1, 1)", f"measure('t', 'b', 1, 1)\n{look}")
    assert bench.log.endswith("True")
    assert read_holder(locks / "cpu.lock") is None


def test_the_clock_of_one_that_waits_stands_still(bench: Bench) -> None:
    bench.run(
        """
before = time.perf_counter(), turns.clock.now()
measure('t', 'a', 1, 1)
passed = time.perf_counter() - before[0]
log(str(turns.clock.now() - before[1] < passed - 0.3))
""",
        "time.sleep(0.3); measure('t', 'b', 1, 1)",
    )
    assert "True" in bench.log


def test_one_alone_that_fails_says_what_is_wrong(bench: Bench) -> None:
    with pytest.raises(CouldNotCompare, match="old ended with 3"):
        bench.run("sys.exit(3)", "measure('t', 'b')")


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("measure('t', 'b', 1, 1); sys.exit(3)", "the run of new failed beside the other"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the run of new failed beside the other"),
        ("os.kill(os.getpid(), signal.SIGSTOP)", "the run of new was stopped by a signal"),
        ("time.sleep(60)", "the run of new kept its turn for more than 0.5 s"),
        ("measure('other', 'b')", "t in one, other in the other"),
        ("turns.unable = 'no room'; measure('t', 'b')", "no room"),
    ],
)
def test_what_keeps_them_from_taking_turns_ends_both_at_once(
    bench: Bench, second: str, words: str
) -> None:
    patience = 0.5 if "sleep" in second else 60.0
    before = time.monotonic()
    with pytest.raises(NoTurns) as caught:
        bench.run("measure('t', 'a'); measure('u', 'a')", second, patience)
    assert words in str(caught.value)
    assert time.monotonic() - before < 20


@pytest.mark.parametrize("first", ["turns.unable = 'no room'; measure('t', 'a')", ""])
def test_the_second_starts_after_the_first_where_that_takes_no_turns(
    bench: Bench, first: str
) -> None:
    found = bench.run(f"{first}\nlog('ended')", f"log('began')\n{first}")
    assert "ended began" in bench.log
    assert found.why_not == ("no room" if first else found.why_not) != ""


def test_what_is_available_is_the_least_of_machine_and_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert available_bytes(meminfo, tmp_path) is None
    meminfo.write_text("MemTotal:       2048 kB\nMemAvailable:   1024 kB\n")
    assert available_bytes(meminfo, tmp_path) == 2**20
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(meminfo, tmp_path) == 2**20
    (tmp_path / "memory.max").write_text("5000\n")
    assert available_bytes(meminfo, tmp_path) == 4000
