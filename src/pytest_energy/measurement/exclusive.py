"""What a measurement has for itself: its devices, by locks or in turns with one other process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from pytest_energy.errors import EnergyError, InputError
from pytest_energy.measurement.turns import Turns
from pytest_energy.record.lock import CPU, DEFAULT_FOLDER, Locks

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines


class AlreadyMeasuring(EnergyError):
    """A measurement was asked for inside another one."""

    def __init__(self) -> None:
        super().__init__(
            "a measurement is already under way, and two would count each other's energy: measure "
            "one after the other, and ask for the energy fixture as the test's argument"
        )


class Exclusive:
    """Keeps others away from what is measured, other processes and other measurements of this one.

    say: takes a sentence about a long wait. turns: with another process, which then has the locks
    for both. Raises InputError, here or later, where the lock folder can't be used.
    """

    def __init__(
        self, folder: Path | None, say: Callable[[str], None], turns: Turns | None
    ) -> None:
        self._folder = folder or DEFAULT_FOLDER
        self._turns = turns
        self._busy = False
        try:
            self._locks = Locks(self._folder, say)
            with self._locks.hold([CPU]):
                pass  # whether a lock can be taken
        except OSError as error:
            _refuse(error)

    @contextmanager
    def hold(self, devices: Sequence[str], what: str) -> Iterator[str]:
        """These devices until the end of this; what this process holds already isn't waited for.

        what: what is measured, for those who wait. Gives a sentence where no lock is taken, or "".
        """
        with ExitStack() as held:
            try:
                around = held.enter_context(self._locks.hold(devices, what))
            except OSError as error:  # the folder has vanished, or its disk fails
                _refuse(error)
            yield around

    @contextmanager
    def measurement(self, devices: Sequence[str], test_id: str, name: str | None) -> Iterator[str]:
        """The same for one measurement, or its turn. Raises AlreadyMeasuring inside another one."""
        if self._busy:
            raise AlreadyMeasuring
        self._busy = True
        try:
            if self._turns is None:
                with self.hold(devices, test_id) as around:
                    yield around
            else:
                # The other process is as far, and has measured as much at the end of this.
                label = f"{test_id} {name or ''}".strip()
                with self._turns.measurement(label, tuple(devices), self._folder):
                    yield ""
        finally:
            self._busy = False


def _refuse(error: OSError) -> NoReturn:
    raise InputError(
        f"the lock folder can't be used: {error.filename}: {error.strerror}; make that folder "
        "writable for all its users, or name another with --energy-lock-folder"
    ) from None
