"""A stand-in of zeus-apple-silicon 1.1.0 on a virtual Mac whose true energy is known.

Its interface is that of the library's bindings, without begin_window and end_window, which aren't
used: AppleEnergyMonitor().get_cumulative_energy() gives an AppleEnergyMetrics, whose fields are
whole millijoules, or None. So is what it makes of macOS's channels: nJ are cut down to mJ, and of
two dies the last one's CPU is taken for the whole, without its cores. The channels' names and units
are as recorded on such Macs.

No kinder than a Mac: a counter starts anywhere, is refreshed at uneven intervals, rests at exactly
the same value where nothing runs, and a reading takes 4 ms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

from pytest_energy.testing import VirtualTime

READING_SECONDS = 0.004

CORES = {"ECPU0": "mJ", "PCPU0": "mJ", "PCPU1": "mJ", "ECPU": "mJ", "PCPU": "mJ"}
LAPTOP = {**CORES, "CPU Energy": "mJ", "GPU SRAM0": "mJ", "ANE0": "mJ", "DRAM0": "mJ"}
LAPTOP |= {"PCIe Port 0 Energy": "uJ", "GPU Energy": "nJ"}
#: An M5 Max counts the GPU's memory with the GPU.
M5_MAX = {"MCPU0_0": "mJ", "PACC_0": "mJ", "MCPU0": "mJ", "PCPU": "mJ", "PCPU0_SRAM": "mJ"}
M5_MAX |= {"CPU Energy": "mJ", "ANE0": "mJ", "DRAM0": "mJ", "GPU Energy": "nJ"}
#: Two dies, and no total of both.
ULTRA = {f"DIE_{die}_{name}": unit for die in (0, 1) for name, unit in CORES.items()}
ULTRA |= {"DIE_0_CPU Energy": "mJ", "DIE_1_CPU Energy": "mJ", "GPU SRAM0_0": "mJ"}
ULTRA |= {"ANE0_0": "mJ", "ANE0_1": "mJ", "DRAM0_0": "mJ", "DRAM0_1": "mJ", "GPU Energy": "nJ"}

_PER_JOULE = {"mJ": 1e3, "uJ": 1e6, "nJ": 1e9}


@dataclass
class AppleEnergyMetrics:
    cpu_total_mj: int | None = None
    efficiency_cores_mj: list[int] | None = None
    performance_cores_mj: list[int] | None = None
    efficiency_cluster_mj: list[int] | None = None
    performance_cluster_mj: list[int] | None = None
    efficiency_core_manager_mj: int | None = None
    performance_core_manager_mj: int | None = None
    dram_mj: int | None = None
    gpu_mj: int | None = None
    gpu_sram_mj: int | None = None
    ane_mj: int | None = None


@dataclass
class Rail:
    """One channel of macOS: its energy, and what its counter shows of it.

    period: seconds between two refreshes, up to a quarter longer; 0: at every reading.
    stopped: since when the counter isn't refreshed.
    """

    unit: str
    began: float
    period: float
    start_joules: float
    stopped: float | None = None

    def __post_init__(self) -> None:
        self._changes = [(self.began, 0.0, 0.0)]

    def draw(self, watts: float, seconds: float) -> None:
        self._changes.append((seconds, self.joules(seconds), watts))

    def joules(self, seconds: float) -> float:
        since, joules, watts = next(
            change for change in reversed(self._changes) if change[0] <= seconds
        )
        return joules + watts * (seconds - since)

    def shown(self, seconds: float) -> int:
        seconds = seconds if self.stopped is None else min(seconds, self.stopped)
        joules = self.start_joules + self.joules(self._refreshed(seconds))
        return int(joules * _PER_JOULE[self.unit])

    def _refreshed(self, seconds: float) -> float:
        if not self.period:
            return seconds
        count = int((seconds - self.began) / self.period)
        moment = self._moment(count)
        return moment if moment <= seconds else self._moment(count - 1)

    def _moment(self, count: int) -> float:
        scattered = count * 2654435761 % 2**32 / 2**32
        return self.began + max(count, 0) * self.period + scattered * self.period / 4


class VirtualMac:
    """A Mac with these channels; `library` is what zeus_apple_silicon would be there.

    broken: what a reading or a new monitor raises. shows: fields that read otherwise.
    """

    def __init__(
        self, channels: Mapping[str, str] = LAPTOP, period: float = 0.0, start_joules: float = 7.5
    ) -> None:
        self.time = VirtualTime()
        began = self.time.seconds - 50
        self.rails = {
            name: Rail(unit, began, period, start_joules) for name, unit in channels.items()
        }
        self.broken: Exception | None = None
        self.shows: dict[str, Any] = {}
        self.draw(cpu=2.0, dram=0.5)
        self.library = SimpleNamespace(
            AppleEnergyMonitor=partial(AppleEnergyMonitor, self),
            AppleEnergyMetrics=AppleEnergyMetrics,
        )

    def named(self, word: str) -> list[Rail]:
        """The channels of one part: "CPU Energy", "GPU Energy", "GPU SRAM", "DRAM", "ANE"."""
        return [rail for name, rail in self.rails.items() if word in name]

    def draw(self, **watts: float) -> None:
        """Set the watts of cpu, gpu, sram, dram or ane, shared out to the dies."""
        words = {"cpu": "CPU Energy", "gpu": "GPU Energy", "sram": "GPU SRAM"}
        for part, value in watts.items():
            rails = self.named(words.get(part, part.upper()))
            for rail in rails:
                rail.draw(value / len(rails), self.time.seconds)

    def joules(self, word: str) -> float:
        """The true energy of a part."""
        return sum(rail.joules(self.time.seconds) for rail in self.named(word))

    def metrics(self) -> AppleEnergyMetrics:
        if self.broken is not None:
            raise self.broken
        self.time.pass_by(READING_SECONDS / 2)
        found = AppleEnergyMetrics()
        for name, rail in self.rails.items():
            _add(found, name, rail.shown(self.time.seconds) // round(_PER_JOULE[rail.unit] / 1e3))
        for name, value in self.shows.items():
            setattr(found, name, value)
        self.time.pass_by(READING_SECONDS / 2)
        return found


class AppleEnergyMonitor:
    def __init__(self, mac: VirtualMac) -> None:
        if mac.broken is not None:
            raise mac.broken
        self._mac = mac

    def get_cumulative_energy(self) -> AppleEnergyMetrics:
        return self._mac.metrics()


#: How the library sorts macOS's channels: the first that matches. "=": the last one is taken; "+":
#: they are added up; "[]": they are listed.
_SORTED = (
    ("CPU Energy", "=", "cpu_total_mj"),
    (r"^(E.*CPU\d+|MCPU\d+_\d+)$", "[]", "efficiency_cores_mj"),
    (r"^(P.*CPU\d+|PACC_\d+)$", "[]", "performance_cores_mj"),
    (r"^(E.*CPU|MCPU\d+)$", "[]", "efficiency_cluster_mj"),
    (r"^P.*CPU$", "[]", "performance_cluster_mj"),
    ("DRAM", "+", "dram_mj"),
    ("GPU Energy", "=", "gpu_mj"),
    ("GPU SRAM", "+", "gpu_sram_mj"),
    ("ANE", "+", "ane_mj"),
)


def _add(metrics: AppleEnergyMetrics, channel: str, millijoules: int) -> None:
    for pattern, how, name in _SORTED:
        if re.search(pattern, channel):
            before = getattr(metrics, name)
            if how == "[]":
                setattr(metrics, name, [*(before or []), millijoules])
            else:
                setattr(metrics, name, millijoules + (before or 0 if how == "+" else 0))
            return
