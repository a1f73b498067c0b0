"""Both processes of a pair at once: one runs, the other waits, and this decides whose turn it is.

A process waits at a place: before a measurement, before a round of it, between two laps of a round,
and after it. Whoever is behind runs; where both are at one place, they alternate. So both measure
the same test, round by round and lap by lap, and what else one of them does (imports, fixtures)
disturbs no measurement of the other. A process that ends frees the other. Where one is stopped,
hangs, fails or measures something else, both end, and pairs are measured one after the other.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_energy.compare.outcome import CouldNotCompare
from pytest_energy.compare.processes import Interrupts, PytestProcess, Ran, RunningPytest
from pytest_energy.errors import EnergyError
from pytest_energy.measurement.turns import Place
from pytest_energy.record.lock import Locks
from pytest_energy.sensors import clock

#: A process that keeps its turn for longer is taken to hang.
LONGEST_TURN_SECONDS = 600.0
#: How often it is looked whether a process has ended or was stopped, and at once after its pipe
#: was closed.
LOOK_SECONDS = 0.2
CLOSED_SECONDS = 0.01


class NoTurns(EnergyError):
    """Why two processes can't take turns."""


@dataclass(frozen=True)
class RanBoth:
    """What the two processes of a pair left. why_not: why they took no turns, or ""."""

    ran: tuple[Ran, Ran]
    why_not: str


def run_in_turns(
    processes: tuple[PytestProcess, PytestProcess],
    interrupts: Interrupts,
    report: Callable[[str], None],
    longest_turn_seconds: float = LONGEST_TURN_SECONDS,
) -> RanBoth:
    """Run both; the second starts where the first waits for its first measurement, or has ended.

    report: takes a sentence about a long wait for the machine. Raises NoTurns where both were
    running and could not go on, and CouldNotCompare where one by itself left no record.
    """
    with ExitStack() as held:
        first, second = (_Seat(process=each, interrupts=interrupts) for each in processes)
        table = _Table(
            seats=(first, second),
            held=held,
            report=report,
            longest_turn_seconds=longest_turn_seconds,
        )
        table.play()
        return RanBoth((first.ran(), second.ran()), table.why_not)


@dataclass(kw_only=True)
class _Seat:
    """One of the two processes. place: where it waits; None while it runs."""

    process: PytestProcess
    interrupts: Interrupts
    running: RunningPytest | None = None
    place: Place | None = None
    has_ended: bool = False
    since: float = 0.0
    """When it was last let go on."""
    reads: int | None = None
    writes: int = -1
    _line: bytes = b""

    def start(self, held: ExitStack) -> None:
        (theirs, self.writes), (self.reads, mine) = os.pipe(), os.pipe()
        try:
            started = self.process.started(self.interrupts, (theirs, mine))
            self.running = held.enter_context(started)
        finally:
            os.close(theirs)
            os.close(mine)
        # Before the process is ended: one that waits must not wait any longer.
        held.callback(self._close)
        self.since = clock.now()

    @property
    def is_alive(self) -> bool:
        return self.running is not None and not self.has_ended

    def listen(self) -> None:
        """Take the place at which it waits from now on."""
        assert self.reads is not None
        read = os.read(self.reads, 65536)
        self._line += read
        if not read:
            os.close(self.reads)
            self.reads = None
        elif self._line.endswith(b"\n"):
            self.place, self._line = Place.of(self._line), b""

    def go_on(self) -> None:
        self.place, self.since = None, clock.now()
        with suppress(BrokenPipeError):
            os.write(self.writes, b"\n")

    def ran(self) -> Ran:
        assert self.running is not None
        return self.running.ran()

    def _close(self) -> None:
        os.close(self.writes)
        if self.reads is not None:
            os.close(self.reads)
            self.reads = None


@dataclass(kw_only=True)
class _Table:
    """Where the two sit; the first has the first turn."""

    seats: tuple[_Seat, _Seat]
    held: ExitStack
    report: Callable[[str], None]
    longest_turn_seconds: float
    why_not: str = ""
    _latest: _Seat | None = None
    _locks: ExitStack = field(default_factory=ExitStack)
    _locked: frozenset[str] = frozenset()

    def play(self) -> None:
        """Until both have ended."""
        first, second = self.seats
        first.start(self.held)
        self.held.push(self._locks)
        while not (first.has_ended and second.has_ended):
            self._listen()
            self._look()
            if not any(each.is_alive and each.place is None for each in self.seats):
                self._let_one_go_on()
        if self._latest is None:
            self.why_not = "nothing was measured in the processes themselves (pytest-xdist?)"

    def _listen(self) -> None:
        alive = [each for each in self.seats if each.is_alive]
        pipes = {each.reads: each for each in alive if each.reads is not None}
        seconds = LOOK_SECONDS if len(pipes) == len(alive) else CLOSED_SECONDS
        for pipe in select.select(list(pipes), [], [], seconds)[0]:
            pipes[pipe].listen()

    def _look(self) -> None:
        """Raises NoTurns where one of two can't go on."""
        for each in self.seats:
            if not each.is_alive:
                continue
            assert each.running is not None
            child, side = each.running.child, each.process.side
            if child.has_ended:
                each.has_ended, each.place = True, None
                if child.status != 0 and self.seats[1].running is None:
                    each.ran()  # raises what is wrong with one process alone
                elif child.status != 0:
                    raise NoTurns(f"the run of {side} failed beside the other")
            elif self.seats[1].running is not None:
                if child.is_stopped:
                    raise NoTurns(f"the run of {side} was stopped by a signal")
                if each.place is None and clock.now() - each.since > self.longest_turn_seconds:
                    raise NoTurns(
                        f"the run of {side} kept its turn for more than "
                        f"{self.longest_turn_seconds:g} s"
                    )

    def _let_one_go_on(self) -> None:
        """Start the second, or give the turn to who is behind. Raises NoTurns."""
        first, second = self.seats
        waiting = [each for each in self.seats if each.place is not None]
        places = [each.place for each in waiting if each.place is not None]
        unable = next((each.unable for each in places if each.unable), "")
        self.why_not = self.why_not or unable
        if second.running is None and (first.has_ended or not self.why_not):
            second.start(self.held)
            return
        if not waiting:
            return
        if len(places) == 2:
            if self.why_not:
                raise NoTurns(self.why_not)
            if places[0].measurement == places[1].measurement and places[0].name != places[1].name:
                raise NoTurns(
                    "they do not measure the same tests in the same order: "
                    f"{places[0].name} in one, {places[1].name} in the other"
                )
        chosen = min(waiting, key=self._rank)
        self._lock(chosen)
        self._latest = chosen
        chosen.go_on()

    def _rank(self, seat: _Seat) -> tuple[int, float, bool]:
        assert seat.place is not None
        return seat.place.measurement, seat.place.round, seat is self._latest

    def _lock(self, seat: _Seat) -> None:
        """Take from other measurements what this one needs, until both have ended."""
        place = seat.place
        assert place is not None
        if set(place.locks) <= self._locked:
            return
        self._locks.close()  # all at once, so that nobody waits for a part
        self._locked |= set(place.locks)
        try:
            locks = Locks(Path(place.lock_folder), self.report)
            self._locks.enter_context(locks.hold(self._locked, f"a comparison: {place.name}"))
        except OSError as error:
            raise CouldNotCompare(
                f"the lock folder can't be used: {error.strerror}", str(error.filename)
            ) from None
