"""Watch the GPUs around a measurement: processes of others, temperature, clocks.

Others only add joules: a pass beside them stands, and no fail is certain.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pytest_energy.measure.explain import Surroundings
from pytest_energy.measure.in_use import in_first_pid_namespace
from pytest_energy.record import GpuStateRecord
from pytest_energy.sensors.discover import Instruments

UNKNOWN = (
    "whether others used {channel} is unknown: the driver lists several processes, and its process "
    "ids can't be matched with ours here"
)


class Watch:
    """Looks before, between and after the rounds of one measurement."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._matched = in_first_pid_namespace()
        self._strangers: dict[str, dict[int, str]] = {}
        self._unknown: dict[str, str] = {}
        self._before = self._states()

    def look(self) -> None:
        """Remember who computes on which board at this moment."""
        nvml = self._instruments.nvml
        if nvml is None:
            return
        ours = self._instruments.tree.pids()
        for gpu in nvml.gpus:
            pids = nvml.compute_process_ids(gpu)
            # In a container the driver's process ids aren't ours: nothing is known of others.
            if not self._matched and len(pids) > 1:
                self._unknown[gpu.channel] = UNKNOWN.format(channel=gpu.channel)
            for pid in pids - ours if self._matched else ():
                told = f"{_name(pid)} (process {pid}) on {gpu.channel}"
                self._strangers.setdefault(gpu.channel, {}).setdefault(pid, told)

    def end(self) -> Surroundings:
        """All that was seen."""
        self.look()
        return Surroundings(
            {channel: tuple(pids.values()) for channel, pids in self._strangers.items()},
            self._unknown,
            self._before,
            self._states(),
        )

    def _states(self) -> dict[str, GpuStateRecord]:
        nvml = self._instruments.nvml
        if nvml is None:
            return {}
        return {
            gpu.channel: GpuStateRecord(gpu.channel, **asdict(nvml.state(gpu))) for gpu in nvml.gpus
        }


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a program"
