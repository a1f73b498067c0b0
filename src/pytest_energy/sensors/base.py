"""The shape of every sensor: it owns channels, and measures them between open and close."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a channel's joules were used by."""

    GPU = "gpu"
    CPU = "cpu"
    DRAM = "dram"


class Provenance(StrEnum):
    """How a channel's joules are known, from best to worst evidence."""

    MEASURED = "measured"
    INTEGRATED = "integrated"
    ESTIMATED = "estimated"


@dataclass(frozen=True)
class Channel:
    """One cumulative count of joules.

    name: "gpu:0", "cpu:process". source: the instrument, in words for people.
    update_seconds: how often the instrument refreshes its value, as seen (0: at every reading).
    window_seconds: how long a round's window is at least.
    shortest_seconds: a shorter window has no figure, because the instrument can't resolve it.
    idle_watts: what it showed while it was probed, before anything was measured; None where it has
    no power of its own, or none was seen.
    """

    name: str
    kind: Kind
    source: str
    provenance: Provenance
    update_seconds: float
    window_seconds: float
    shortest_seconds: float = 0.0
    idle_watts: float | None = None


class SensorFault(Exception):
    """A reading that can't be trusted; the message says what was seen."""


#: Joules of one channel in one window, or the reason why there is no number.
Reading = float | SensorFault


class Sensor(ABC):
    """Reads one kind of instrument.

    A window is `open`, the work, `close`. CPU time is opened last and closed first, so that a
    counter's waiting for its ticks is no part of it.
    """

    @property
    @abstractmethod
    def channels(self) -> tuple[Channel, ...]:
        """The channels that answered when they were probed."""

    @abstractmethod
    def open(self, names: frozenset[str]) -> None:
        """Begin a window on these channels; returns when the work may start."""

    @abstractmethod
    def close(self, ended: float) -> Mapping[str, Reading]:
        """End the window whose work ended at clock time `ended`: joules for each channel."""

    @abstractmethod
    def abandon(self) -> None:
        """End a window whose work raised: nothing is read."""


@dataclass(frozen=True)
class Clock:
    """Time as sensors see it; a test passes a virtual one."""

    now: Callable[[], float]
    sleep: Callable[[float], None]
