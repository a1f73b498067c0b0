"""The shape of every instrument: a Probe finds Devices and Sensors, a Sensor reads Channels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from pytest_energy.errors import EnergyError, Reason


class Kind(StrEnum):
    """What a channel's joules were used by."""

    GPU = "gpu"
    CPU = "cpu"
    DRAM = "dram"
    MACHINE = "machine"
    """All of the machine, as a meter at its plug sees it; it contains the others."""


class Provenance(StrEnum):
    """How a channel's joules are known, from best to worst evidence."""

    MEASURED = "measured"
    INTEGRATED = "integrated"
    ESTIMATED = "estimated"


#: The power of an idle device stays within this factor and these watts of its idle power.
IDLE_NOISE = 1.1
IDLE_NOISE_WATTS = 2.0


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One cumulative count of joules.

    name: "gpu:0", "cpu:process". source: the instrument, in words for people.
    update_seconds: how often the instrument refreshes its value, as seen (0: at every reading).
    window_seconds: how long a round's window is at least.
    shortest_seconds: a shorter window has no figure, because the instrument cannot resolve it.
    idle_watts: what it showed while it was probed, before anything was measured; None where it has
    no power of its own, or none was seen.
    hardware: what draws the joules, in words, where that is on another machine; "" on this one.
    """

    name: str
    kind: Kind
    source: str
    provenance: Provenance
    update_seconds: float
    window_seconds: float
    shortest_seconds: float = 0.0
    idle_watts: float | None = None
    hardware: str = ""

    @property
    def is_elsewhere(self) -> bool:
        """Whether another machine draws the joules; the user has named it, so it is in use."""
        return bool(self.hardware)

    def is_busy_at(self, watts: float) -> bool:
        """Whether this mean power proves that there was work: it is above idle beyond noise."""
        if self.idle_watts is None:
            return watts > 0
        return watts > IDLE_NOISE * self.idle_watts + IDLE_NOISE_WATTS


class SensorFault(EnergyError):
    """A reading that cannot be trusted; the message says what was seen, the code is its kind."""

    def __init__(self, message: str, code: str = "sensor-fault") -> None:
        super().__init__(message)
        self.code = code

    @property
    def reason(self) -> Reason:
        return Reason(self.code, str(self))


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

    def poll_seconds(self, names: frozenset[str]) -> float:
        """How often `poll` is called in a window on these channels; infinity for never."""
        return math.inf

    def poll(self) -> None:  # noqa: B027  (most have nothing to look at)
        """Look at the instrument inside an open window, from another thread; takes microseconds.

        The work goes on meanwhile. Never called while the window is opened or closed.
        """

    @abstractmethod
    def close(self, ended: float) -> Mapping[str, Reading]:
        """End the window whose work ended at clock time `ended`: joules for each channel."""

    @abstractmethod
    def abandon(self) -> None:
        """End a window whose work raised: nothing is read."""

    def release(self) -> None:  # noqa: B027  (most hold nothing)
        """Release what the sensor holds; nothing is measured after it."""


class Access(StrEnum):
    """Whether this user can read an instrument."""

    READABLE = "readable"
    ABSENT = "absent"
    MASKED = "masked"
    DENIED = "denied"
    FAULTY = "faulty"


@dataclass(frozen=True)
class DeviceState:
    """A device at one moment; None for what is unknown. throttled: reasons in words."""

    celsius: int | None = None
    megahertz: int | None = None
    power_limit_watts: float | None = None
    throttled: tuple[str, ...] = ()


def _unknown_state() -> DeviceState:
    return DeviceState()


def _no_list() -> frozenset[int] | None:
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class Device:
    """What channels belong to: a GPU board, the GPU of a chip.

    channel: "gpu:0", which holds its joules. id: the same at each start of the machine; "" where
    there is none. partition: how the device is divided among users, in the vendor's words.
    state: reads temperature, clock and throttling. process_ids: reads the processes with work on
    it, by the driver's numbers; None where the driver does not list them. compute_process_ids: the
    same without those that only draw. joules, watts: read the energy counter, and the power of that
    instant; None where the device lacks one of them, so that they cannot be compared.
    """

    channel: str
    name: str
    id: str = ""
    power_limit_watts: float | None = None
    partition: str = ""
    state: Callable[[], DeviceState] = _unknown_state
    process_ids: Callable[[], frozenset[int] | None] = _no_list
    compute_process_ids: Callable[[], frozenset[int]] = frozenset
    joules: Callable[[], float] | None = None
    watts: Callable[[], float] | None = None

    @property
    def index(self) -> int:
        """Its number among devices of its kind."""
        return int(self.channel.partition(":")[2])


@dataclass(frozen=True)
class Missing:
    """An instrument that is missing or not used, why, and what to do about it.

    remedy: shell commands with comments; empty where nothing helps.
    """

    what: str
    why: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What an instrument offers on this machine.

    access: READABLE where there is a sensor. kinds: what it measures where it answers; a limit that
    needs such a channel and has none reports `problem`. sensors: those that answered, in the order
    in which their windows open. devices: what their channels belong to. problem: one sentence why
    there is no sensor. remedy: commands that help.
    left_out: why a channel, or a part of one, is not counted. faults: why a device has no channel,
    by the channel's name. notes: what a user should know, in sentences that start with the channel.
    missing: what `pytest-energy doctor` lists. versions: of the driver, for the record.
    applies: False where this kind of machine never has the instrument. close: releases what the
    probe holds, after the last measurement.
    """

    access: Access
    kinds: frozenset[Kind] = frozenset()
    sensors: tuple[Sensor, ...] = ()
    devices: tuple[Device, ...] = ()
    problem: str = ""
    remedy: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    applies: bool = True
    close: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, sensor: Sensor) -> Self:
        """The probe of an instrument with one sensor that answered."""
        return cls(
            access=Access.READABLE,
            kinds=frozenset(each.kind for each in sensor.channels),
            sensors=(sensor,),
            close=sensor.release,
        )

    @classmethod
    def unavailable(
        cls,
        what: str,
        access: Access,
        kinds: Collection[Kind],
        problem: str,
        remedy: str = "",
        **more: Any,
    ) -> Self:
        """The probe of an instrument without a sensor, which `pytest-energy doctor` lists.

        what: the instrument, for example "smart plug". more: other fields of a probe.
        """
        missing = (Missing(what, problem, remedy),)
        return cls(
            access=access,
            kinds=frozenset(kinds),
            problem=problem,
            remedy=remedy,
            missing=missing,
            **more,
        )

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(channel for sensor in self.sensors for channel in sensor.channels)

    def why_not(self, channel: str) -> str:
        """Why this channel is not measured; "" where it is."""
        return self.problem or self.left_out.get(channel, "")


@dataclass(frozen=True)
class Clock:
    """Time as sensors see it; a test passes a virtual one."""

    now: Callable[[], float]
    sleep: Callable[[float], None]
