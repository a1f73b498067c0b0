"""Trees of RAPL counters in a folder, and the sensors that read them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_powercap import Layout, VirtualPowercap, Zone

from pytest_energy.sensors.base import Clock, Probe
from pytest_energy.sensors.rapl import Rapl, probe

LIMITED = {"constraint_0_power_limit_uw": "100000000\n"}  # so that 200 W is the ceiling
PACKAGE = Zone("package-0", watts=60.0, files=LIMITED)
DRAM = Zone("dram", watts=5.0)
SERVER = [
    replace(PACKAGE, parts=[Zone("core", 30.0), DRAM]),
    Zone("package-1", 80.0, parts=[replace(DRAM, watts=7.0)]),
]
REAL = Clock(time.perf_counter, time.sleep)
ALL = ["cpu:package-0", "dram:0", "cpu:package-1", "dram:1"]


class RaplBench:
    """Trees in a folder, each in one of its own, and sensors; all are closed with `files`."""

    def __init__(self, folder: Path, files: ExitStack) -> None:
        self._folder = folder
        self._files = files
        self._trees = 0

    def root(self) -> Path:
        """Where a tree may be built: like /sys/class/powercap with a sibling for the devices."""
        self._trees += 1
        return self._folder / str(self._trees) / "class" / "powercap"

    def tree(self, zones: Sequence[Zone], layout: Layout = Layout.NESTED) -> VirtualPowercap:
        tree = VirtualPowercap(self.root(), zones, layout)
        self._files.callback(tree.close)
        return tree

    def look(self, root: Path, clock: Clock = REAL) -> Probe:
        """Probe, and see that nothing it says holds the path."""
        found = probe(root, clock)
        sources: list[str] = []
        if found.sensors:
            self._files.callback(found.close)
            sources = [channel.source for channel in found.channels]
        left_out = [*found.left_out, *found.left_out.values()]
        for text in [found.problem, found.remedy, *sources, *left_out]:
            assert str(self._folder) not in text
        assert bool(found.problem) is (not found.sensors) is (found.access != "readable")
        return found

    def look_at(self, zones: Sequence[Zone], layout: Layout = Layout.NESTED) -> Probe:
        tree = self.tree(zones, layout)
        return self.look(tree.root, tree.clock)

    def sensor(self, tree: VirtualPowercap) -> Rapl:
        found = self.look(tree.root, tree.clock)
        assert found.sensors, found.problem
        (sensor,) = found.sensors
        assert isinstance(sensor, Rapl)
        return sensor


@pytest.fixture
def rapl_bench(tmp_path: Path) -> Iterator[RaplBench]:
    with ExitStack() as files:
        yield RaplBench(tmp_path, files)


def names(found: Probe) -> list[str]:
    assert found.sensors, found.problem
    return [channel.name for channel in found.channels]


def dies(**second: Any) -> list[Zone]:
    one = Zone("package-0-die-0", 40.0, start_uj=10**9)
    return [one, replace(one, name="package-0-die-1", **second)]
