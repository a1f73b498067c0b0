"""Once a session, each board's energy counter is compared with its own power, integrated.

This happens while a test warms up, so it takes no time and falls into no measured round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pytest_energy.errors import Reason
from pytest_energy.record.schema import SelfCheckRecord
from pytest_energy.sensors.base import Clock, SensorFault
from pytest_energy.sensors.discover import Instruments
from pytest_energy.sensors.gpu_power import SAMPLE_SECONDS, integrate
from pytest_energy.units import signed_percent

#: A shorter comparison says more about when the two are refreshed than about either.
SHORTEST_SECONDS = 2.0
#: A refresh that lies in a longer gap between two readings has no known time.
LONGEST_GAP_SECONDS = 3 * SAMPLE_SECONDS
#: Further apart than this, one of the two is wrong; boards' own gains differ by about 5 %.
APART = 0.15
#: And so far that no figure by either of them is a measurement.
HALF = 1 / 3


@dataclass(frozen=True)
class Sample:
    """Counter and power of a board at one moment."""

    seconds: float
    joules: float
    watts: float


def compared(channel: str, samples: Sequence[Sample]) -> SelfCheckRecord | None:
    """What the counter rose by between two refreshes, beside the power in between.

    None where they lie less than two seconds apart, or where the readings have gaps.
    """
    refreshes = [
        ((earlier.seconds + later.seconds) / 2, later.joules)
        for earlier, later in pairwise(samples)
        if later.joules != earlier.joules and later.seconds - earlier.seconds <= LONGEST_GAP_SECONDS
    ]
    if not refreshes:
        return None
    (started, before), (ended, after) = refreshes[0], refreshes[-1]
    if ended - started < SHORTEST_SECONDS:
        return None
    joules = integrate([(each.seconds, each.watts) for each in samples], started, ended)
    if isinstance(joules, SensorFault) or joules <= 0:
        return None
    return SelfCheckRecord(channel, ended - started, after - before, joules)


def warning(found: SelfCheckRecord) -> str:
    """What is to be said where counter and power are too far apart, else ""."""
    apart = found.counter_joules / found.power_joules - 1
    if abs(apart) <= APART:
        return ""
    return (
        f"{found.channel}: its energy counter and its power don't agree: "
        f"{found.counter_joules:.1f} J counted and {found.power_joules:.1f} J of power integrated "
        f"over the same {found.seconds:.1f} s ({signed_percent(apart)}); one of them is wrong, and "
        "verdicts go by the counter"
    )


def disagreement(found: Sequence[SelfCheckRecord], channels: Sequence[str]) -> str:
    """Why one of the channels can't be believed, or ""."""
    for each in found:
        ratio = each.counter_joules / each.power_joules
        if each.channel in channels and not 1 - HALF <= ratio <= 1 / (1 - HALF):
            return Reason(
                "counter-disagrees",
                f"{each.channel}: its energy counter and its power don't agree: "
                f"{each.counter_joules:.1f} J counted and {each.power_joules:.1f} J of power "
                f"integrated over the same {each.seconds:.1f} s, so one of them is wrong",
            )
    return ""


class SelfCheck:
    """Watches the boards that have both a counter and power as it is at an instant."""

    def __init__(self, instruments: Instruments, clock: Clock) -> None:
        self._clock = clock
        self._left = _readers(instruments)
        self._samples: dict[str, list[Sample]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.found: tuple[SelfCheckRecord, ...] = ()

    def begin(self) -> None:
        """Watch the boards that haven't been compared yet, until `end`."""
        if not self._left:
            return
        self._samples = {channel: [] for channel in self._left}
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._run, name="pytest-energy self-check", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Compare what was seen; boards that were seen for too short a time are left for later."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        for channel, samples in self._samples.items():
            if (found := compared(channel, samples)) is not None:
                self.found = (*self.found, found)
                del self._left[channel]

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            for channel, (joules, watts) in self._left.items():
                try:
                    sample = Sample(self._clock.now(), joules(), watts())
                except SensorFault:
                    continue  # a gap; the measurement itself says what is wrong
                self._samples[channel].append(sample)


_Reading = Callable[[], float]


def _readers(instruments: Instruments) -> dict[str, tuple[_Reading, _Reading]]:
    """How counter and power are read, by channel."""
    return {
        each.channel: (each.joules, each.watts)
        for each in instruments.devices
        if each.joules is not None and each.watts is not None
    }
