"""A powercap tree whose counters show a known energy, in virtual or in real time.

    python fake_powercap.py ROOT '{"layout": "linked", "zones": [{"name": "package-0"}]}'

builds the tree, prints "ready" and moves the counters about every millisecond until its standard
input ends. A line "intel-rapl:0 120" there sets the watts of a zone, "intel-rapl:0 reset" lets its
counter start at 0 again.

No kinder than hardware: a counter starts anywhere (unless said otherwise shortly before it wraps),
counts in units of 61 microjoules, and is refreshed at uneven intervals.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pytest_energy.sensors.base import Clock

UNIT_UJ = 61
RANGE_UJ = 262_143_328_850
READING_SECONDS = 2e-6


class Layout(StrEnum):
    """How a tree shows its zones.

    NESTED: in one another. FLAT: side by side. LINKED: nested in devices/virtual/powercap, with
    links to all of them in class/powercap, as in /sys. BOTH: nested, with links beside.
    """

    NESTED = "nested"
    FLAT = "flat"
    LINKED = "linked"
    BOTH = "both"


@dataclass(frozen=True)
class Zone:
    """A zone and its counter, which draws `watts`, or what `script` says: (from second, watts).

    mirrors: the id of the zone whose counter this one shows, `lag` seconds later.
    files: more files, or another text for `name`, `energy_uj` and `max_energy_range_uj`; a counter
    with a text of its own doesn't move.
    """

    name: str
    watts: float = 20.0
    start_uj: int = RANGE_UJ - 100_000
    range_uj: int = RANGE_UJ
    period: float = 0.001
    jitter: float = 0.0002
    control: str = "intel-rapl"
    script: Sequence[tuple[float, float]] = ()
    mirrors: str = ""
    lag: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[Zone] = ()


class Energy:
    """The true energy of a zone since the beginning, and what its counter shows of it."""

    def __init__(self, zone: Zone, seconds: float) -> None:
        self._zone = zone
        self._began = seconds
        self._start_units = zone.start_uj // UNIT_UJ
        self._changes = [(seconds, 0.0, zone.watts)]
        for after, watts in zone.script:
            self.set_watts(seconds + after, watts)

    def set_watts(self, seconds: float, watts: float) -> None:
        self._changes.append((seconds, self.joules(seconds), watts))

    def reset(self, seconds: float) -> None:
        """The counter starts at 0 again."""
        self._start_units = -int(self.joules(self._refreshed(seconds)) * 1e6 / UNIT_UJ)

    def joules(self, seconds: float) -> float:
        since, joules, watts = next(
            change for change in reversed(self._changes) if change[0] <= max(seconds, self._began)
        )
        return joules + watts * (max(seconds, self._began) - since)

    def shown(self, seconds: float) -> int:
        units = self._start_units + int(self.joules(self._refreshed(seconds)) * 1e6 / UNIT_UJ)
        return units % (self._zone.range_uj // UNIT_UJ + 1) * UNIT_UJ

    def _refreshed(self, seconds: float) -> float:
        count = int(seconds / self._zone.period)
        moment = self._moment(count)
        return moment if moment <= seconds else self._moment(count - 1)

    def _moment(self, count: int) -> float:
        scattered = count * 2654435761 % 2**32 / 2**32
        return count * self._zone.period + scattered * self._zone.jitter


class Powercap:
    """A tree in a folder; `show` brings its counters up to date."""

    def __init__(self, root: Path, zones: Sequence[Zone], layout: Layout, seconds: float) -> None:
        self.root = root
        self.folders: dict[str, Path] = {}
        self.energies: dict[str, Energy] = {}
        self._zones: dict[str, Zone] = {}
        self._shown: dict[str, int] = {}
        self._files: dict[str, int] = {}
        root.mkdir(parents=True)
        top = root.parent.parent / "devices" / "virtual" / "powercap"
        self.devices = top if layout is Layout.LINKED else root
        for control in dict.fromkeys(zone.control for zone in zones):
            same = [zone for zone in zones if zone.control == control]
            folder = self.devices if layout is Layout.FLAT else self.devices / control
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "enabled").write_text("1\n")
            for index, zone in enumerate(same):
                self._add(f"{control}:{index}", zone, folder, layout)
            if layout is Layout.LINKED:
                self._link(control, folder)
        if layout in {Layout.LINKED, Layout.BOTH}:
            for zone_id, folder in self.folders.items():
                self._link(zone_id, folder)
        for zone_id, zone in self._zones.items():
            self.energies[zone_id] = (
                self.energies[zone.mirrors] if zone.mirrors else Energy(zone, seconds)
            )
        self.show(seconds)

    def show(self, seconds: float) -> None:
        for zone_id, file in self._files.items():
            value = self.energies[zone_id].shown(seconds - self._zones[zone_id].lag)
            if self._shown.get(zone_id) != value:
                # 16 bytes in one piece: nobody reads half of an old and half of a new number.
                os.pwrite(file, b"%-15d\n" % value, 0)
                self._shown[zone_id] = value

    def write(self, zone_id: str, text: str) -> None:
        """Let a counter show this text from now on."""
        file = self._files.pop(zone_id)
        os.ftruncate(file, 0)
        os.pwrite(file, text.encode(), 0)
        os.close(file)

    def close(self) -> None:
        for file in self._files.values():
            os.close(file)
        self._files = {}

    def _add(self, zone_id: str, zone: Zone, above: Path, layout: Layout) -> None:
        folder = above / zone_id
        self.folders[zone_id] = folder
        self._zones[zone_id] = zone
        texts = {
            "name": f"{zone.name}\n",
            "max_energy_range_uj": f"{zone.range_uj}\n",
            "energy_uj": "",
            "enabled": "1\n",
            "uevent": "",
            **zone.files,
        }
        (folder / "power").mkdir(parents=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
        (folder / "device").symlink_to("..")
        (folder / "subsystem").symlink_to(os.path.relpath(self.root, folder))
        if "energy_uj" not in zone.files:
            self._files[zone_id] = os.open(folder / "energy_uj", os.O_RDWR)
        (folder / "energy_uj").chmod(0o400)  # as the kernel makes it; opened for writing before
        for index, part in enumerate(zone.parts):
            inside = above if layout is Layout.FLAT else folder
            self._add(f"{zone_id}:{index}", part, inside, layout)

    def _link(self, name: str, folder: Path) -> None:
        (self.root / name).symlink_to(os.path.relpath(folder, self.root))


class VirtualPowercap(Powercap):
    """A tree on a clock of its own: time passes while somebody sleeps, works or reads."""

    def __init__(self, root: Path, zones: Sequence[Zone], layout: Layout = Layout.NESTED) -> None:
        self.seconds = 100.0
        self.clock = Clock(self._now, self.pass_by)
        super().__init__(root, zones, layout, self.seconds)

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds
        self.show(self.seconds)

    def joules(self, zone_id: str) -> float:
        return self.energies[zone_id].joules(self.seconds)

    def set_watts(self, zone_id: str, watts: float) -> None:
        self.energies[zone_id].set_watts(self.seconds, watts)

    def reset(self, zone_id: str) -> None:
        self.energies[zone_id].reset(self.seconds)
        self.show(self.seconds)

    def _now(self) -> float:
        self.pass_by(READING_SECONDS)
        return self.seconds


@contextmanager
def running(root: Path, zones: Sequence[Zone], layout: Layout) -> Iterator[subprocess.Popen[str]]:
    """A tree whose counters another process moves in real time."""
    description = json.dumps({"layout": layout, "zones": [asdict(zone) for zone in zones]})
    command = [sys.executable, __file__, str(root), description]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
        # Leaving closes its standard input, and so ends it.


def zone_from(described: Mapping[str, Any]) -> Zone:
    parts = [zone_from(part) for part in described.get("parts", [])]
    return Zone(**{**described, "parts": parts})


def main(root: str, description: str) -> None:
    described = json.loads(description)
    zones = [zone_from(zone) for zone in described["zones"]]
    tree = Powercap(Path(root), zones, Layout(described["layout"]), time.perf_counter())
    _go_first()
    print("ready", flush=True)
    while True:
        if select.select([sys.stdin], [], [], 0.001)[0]:
            if not (line := sys.stdin.readline()):
                return
            zone_id, order = line.split()
            energy, now = tree.energies[zone_id], time.perf_counter()
            if order == "reset":
                energy.reset(now)
            else:
                energy.set_watts(now, float(order))
        tree.show(time.perf_counter())


def _go_first() -> None:
    """Don't wait for a core, as hardware doesn't. A user who isn't root has to wait, though."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


if __name__ == "__main__":
    main(*sys.argv[1:])
