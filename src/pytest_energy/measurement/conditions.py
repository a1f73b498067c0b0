"""Watch the GPUs around a measurement: processes of others, temperature, clocks.

Others only add joules: a pass next to them stands, and no fail is certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pytest_energy.measurement.explanation import Surroundings
from pytest_energy.measurement.in_use import in_first_pid_namespace
from pytest_energy.measurement.no_work import from_cache, working_peers
from pytest_energy.measurement.peers import Connects, Peer, Peers
from pytest_energy.measurement.protocol import Round
from pytest_energy.record.schema import GpuStateRecord
from pytest_energy.sensors.discover import Instruments
from pytest_energy.sensors.remote_caches import CacheCounts, PrefixCache

UNKNOWN = (
    "whether others used {channel} is unknown: the driver lists several processes, and its process "
    "ids can't be matched with ours here"
)


class Watch:
    """Looks before, between and after the rounds of one measurement."""

    def __init__(self, instruments: Instruments, connects: Connects) -> None:
        self._instruments = instruments
        self._connects = connects
        self._peers: Peers | None = None
        self._matched = in_first_pid_namespace()
        self._others: dict[str, dict[int, str]] = {}
        self._unknown: dict[str, str] = {}
        self._caches: list[tuple[PrefixCache, CacheCounts | None]] = []
        self._counted: dict[int, str] = {}
        self._before = self._states()

    def look(self) -> None:
        """Remember who computes on which board at this moment."""
        if self._peers is None:  # the first call may load what the others use
            self._peers = Peers(self._connects, self._instruments.tree.pids())
        devices = self._instruments.devices
        ours = self._instruments.tree.pids() if devices else frozenset[int]()
        for gpu in devices:
            pids = gpu.compute_process_ids()
            # In a container the driver's process ids aren't ours: nothing is known of others.
            if not self._matched and len(pids) > 1:
                self._unknown[gpu.channel] = UNKNOWN.format(channel=gpu.channel)
            for pid in pids - ours if self._matched else ():
                seen = f"{_name(pid)} (process {pid}) on {gpu.channel}"
                self._others.setdefault(gpu.channel, {}).setdefault(pid, seen)

    def count_servers(self, rounds: Sequence[Round] | None = None) -> None:
        """With --energy-pids auto, let those that did a part of these rounds' work count from now.

        rounds: since the first look; None for all that the test is connected to.
        """
        if not self._instruments.counts_servers or self._peers is None:
            return
        peers = self.peers()
        for each in peers if rounds is None else working_peers(peers, rounds):
            if each.pid is not None and self._instruments.tree.add(each.pid):
                self._counted[each.pid] = each.name
        self._peers.are_counted(self._counted)

    def read_caches(self) -> None:
        """Remember what the caches of servers have answered until now."""
        self._caches = [(each, each.read()) for each in self._instruments.caches]

    def notes(self) -> tuple[str, ...]:
        """Sentences about servers outside the process tree: which count, and what caches answered.

        The caches are read once more.
        """
        return (self._counted_servers(), *self._from_caches())

    def peers(self) -> tuple[Peer, ...]:
        """Whom the test talked to since the first look."""
        return self._peers.seen(self._instruments.tree.pids()) if self._peers is not None else ()

    def end(self) -> Surroundings:
        """All that was seen on the boards."""
        self.look()
        return Surroundings(
            other_processes={
                channel: tuple(pids.values()) for channel, pids in self._others.items()
            },
            unknown=self._unknown,
            before=self._before,
            after=self._states(),
        )

    def _counted_servers(self) -> str:
        names = ", ".join(f"{name} (process {pid})" for pid, name in self._counted.items())
        return f"servers outside the process tree that count too: {names}" if names else ""

    def _from_caches(self) -> tuple[str, ...]:
        pairs = [(cache.alias, before, cache.read()) for cache, before in self._caches]
        return tuple(
            from_cache(alias, after.since(before))
            for alias, before, after in pairs
            if before is not None and after is not None
        )

    def _states(self) -> dict[str, GpuStateRecord]:
        return {
            each.channel: GpuStateRecord(channel=each.channel, **asdict(each.state()))
            for each in self._instruments.gpus
        }


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a program"
