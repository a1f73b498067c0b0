"""Turns with another process: one of the two runs, the other waits and its clock stands still.

`pytest-energy compare` starts both, and decides whose turn it is from the places at which they
wait. This is the side of the process that measures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pytest_energy.errors import EnergyError
from pytest_energy.measurement.memory import no_room_for_another
from pytest_energy.sensors import clock
from pytest_energy.sensors.accelerators import cuda_uuids
from pytest_energy.sensors.base import Clock
from pytest_energy.sensors.clock import real

_GPU = "a GPU is in use, and its driver does not tell which of two processes works on it"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a process waits for its turn.

    measurement: how many it began before this one. round: 0 before warm-up, then the round that
    comes next; infinite once it is over. name: of the measurement. locks: what it needs to have for
    itself, in `lock_folder`. unable: why it can't take turns, or "".
    """

    measurement: int
    name: str
    round: float = 0.0
    locks: tuple[str, ...] = ()
    lock_folder: str = ""
    unable: str = ""

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def of(line: bytes) -> Place:
        plain = json.loads(line)
        return Place(**plain | {"locks": tuple(plain["locks"])})


class Turns:
    """The line to the process that decides. reads, writes: file descriptors of its two pipes."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads = reads
        self._writes = writes
        self._waited = 0.0
        self._begun = 0
        self._place: Place | None = None
        self.unable = ""
        """Why this process can't take turns, or ""."""

    @property
    def clock(self) -> Clock:
        """A clock that stands still while this process waits."""
        return Clock(lambda: clock.now() - self._waited, clock.sleep)

    @contextmanager
    def measurement(self, name: str, locks: tuple[str, ...], lock_folder: Path) -> Iterator[None]:
        """Begin together with the other process, and let it end too before this one goes on.

        Raises EnergyError, here or at any place where it waits, where the comparison is over: it
        was killed, and another measurement may have begun.
        """
        place = Place(
            measurement=self._begun, name=name, locks=locks, lock_folder=str(lock_folder.resolve())
        )
        self.unable = self.unable or ("" if self._begun else no_room_for_another())
        self._begun += 1
        try:
            self._wait(place)
            yield
        finally:
            self._wait(replace(place, round=math.inf))
            self._place = None

    def next_round(self) -> None:
        """Wait until the other process has measured as many rounds."""
        if self._place is not None:
            self._wait(replace(self._place, round=self._place.round + 1))

    def lap(self) -> None:
        """Let the other process run for a lap of the same round."""
        if self._place is not None:
            self._wait(self._place)

    def _wait(self, place: Place) -> None:
        self._place = place
        self.unable = self.unable or (_GPU if cuda_uuids() else "")
        started = clock.now()
        # Whoever decides also holds the machine for both.
        answer = b""
        with suppress(BrokenPipeError):
            real.write(self._writes, replace(place, unable=self.unable).line())
            answer = real.read(self._reads, 1)
        if not answer:
            raise EnergyError(
                "the comparison that this process measures for has ended; start it again"
            )
        self._waited += clock.now() - started
