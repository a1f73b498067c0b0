"""RAPL counters on trees of known energy, with the permissions and mounts that hide them."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_powercap import RANGE_UJ, UNIT_UJ, Layout, VirtualPowercap, Zone, running
from pytest_energy.sensors import powercap
from pytest_energy.sensors.base import Clock, Kind, Provenance, SensorFault
from pytest_energy.sensors.powercap import Access
from pytest_energy.sensors.rapl import Rapl, RaplProbe, probe

LIMITED = {"constraint_0_power_limit_uw": "100000000\n"}  # so that 200 W is the ceiling
PACKAGE = Zone("package-0", watts=60.0, files=LIMITED)
DRAM = Zone("dram", watts=5.0)
SERVER = [
    replace(PACKAGE, parts=[Zone("core", 30.0), DRAM]),
    Zone("package-1", 80.0, parts=[replace(DRAM, watts=7.0)]),
]
REAL = Clock(time.perf_counter, time.sleep)
ALL = ["cpu:package-0", "dram:0", "cpu:package-1", "dram:1"]


class Bench:
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

    def look(self, root: Path, clock: Clock = REAL) -> RaplProbe:
        """Probe, and see that nothing it says holds the path."""
        found = probe(root, clock)
        sources: list[str] = []
        if found.sensor:
            self._files.callback(found.sensor.release)
            sources = [channel.source for channel in found.sensor.channels]
        left_out = [*found.left_out, *found.left_out.values()]
        for text in [found.problem, found.remedy, *sources, *left_out]:
            assert str(self._folder) not in text
        assert bool(found.problem) is (found.sensor is None) is (found.access != "readable")
        return found

    def look_at(self, zones: Sequence[Zone], layout: Layout = Layout.NESTED) -> RaplProbe:
        tree = self.tree(zones, layout)
        return self.look(tree.root, tree.clock)

    def sensor(self, tree: VirtualPowercap) -> Rapl:
        found = self.look(tree.root, tree.clock)
        assert found.sensor is not None, found.problem
        return found.sensor


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as files:
        yield Bench(tmp_path, files)


@pytest.fixture
def root(bench: Bench) -> Path:
    return bench.root()


def names(found: RaplProbe) -> list[str]:
    assert found.sensor is not None, found.problem
    return [channel.name for channel in found.sensor.channels]


# Which zones are counted


@pytest.mark.parametrize("layout", Layout)
def test_packages_and_memory_are_counted_once_in_every_layout(bench: Bench, layout: Layout) -> None:
    tree = bench.tree(SERVER, layout)
    found = bench.look(tree.root, tree.clock)
    assert names(found) == ALL
    assert found.left_out == {"core (intel-rapl:0:0)": "is inside package-0"}


@pytest.mark.parametrize(
    ("layout", "below"),
    [
        (Layout.NESTED, "intel-rapl"),
        (Layout.LINKED, "intel-rapl"),
        (Layout.LINKED, "../../devices/virtual/powercap"),
        (Layout.LINKED, "../../devices/virtual/powercap/intel-rapl"),
    ],
)
def test_the_root_may_be_the_control_type_or_the_folder_above(
    bench: Bench, layout: Layout, below: str
) -> None:
    tree = bench.tree(SERVER, layout)
    assert names(bench.look(tree.root / below, tree.clock)) == ALL


def test_a_root_inside_a_package_would_miss_the_package(bench: Bench) -> None:
    tree = bench.tree(SERVER)
    found = bench.look(tree.folders["intel-rapl:0"], tree.clock)
    assert found.access is Access.ABSENT


def test_links_that_lead_back_up_end(bench: Bench) -> None:
    tree = bench.tree(SERVER)
    for folder in tree.folders.values():
        (folder / "intel-rapl").symlink_to(tree.root / "intel-rapl")
    (tree.root / "intel-rapl" / "another-rapl").symlink_to(".")
    assert names(bench.look(tree.root, tree.clock)) == ALL


def test_many_packages_stay_in_their_order(bench: Bench) -> None:
    zones = [Zone(f"package-{number}", start_uj=number * 10**9) for number in range(12)]
    assert names(bench.look_at(zones)) == [f"cpu:package-{number}" for number in range(12)]


def test_a_channel_says_what_it_is(bench: Bench) -> None:
    tree = bench.tree(SERVER)
    package, dram, *_ = bench.sensor(tree).channels
    assert package.source == "RAPL package-0 (Intel/AMD energy counter)"
    assert dram.source == "RAPL dram of package-0 (Intel/AMD energy counter)"
    assert (package.kind, dram.kind) == (Kind.CPU, Kind.DRAM)
    assert package.provenance is dram.provenance is Provenance.MEASURED


def test_zones_that_hold_or_repeat_others_are_left_out(bench: Bench) -> None:
    zones = [
        replace(PACKAGE, parts=[Zone("core"), Zone("uncore")]),
        Zone("psys"),
        Zone("package-0", control="intel-rapl-mmio", parts=[DRAM]),
    ]
    found = bench.look_at(zones)
    assert names(found) == ["cpu:package-0"]
    assert found.left_out == {
        "core (intel-rapl:0:0)": "is inside package-0",
        "uncore (intel-rapl:0:1)": "is inside package-0",
        "psys (intel-rapl:1)": "contains the packages",
        "package-0 (intel-rapl-mmio:0)": "counts the energy of the package again",
        "dram (intel-rapl-mmio:0:0)": "counts the energy of the package again",
    }


def dies(**second: Any) -> list[Zone]:
    one = Zone("package-0-die-0", 40.0, start_uj=10**9)
    return [one, replace(one, name="package-0-die-1", **second)]


@pytest.mark.parametrize("lag", [0.0, 0.0003])
@pytest.mark.parametrize("start", [10**9, RANGE_UJ - 5 * UNIT_UJ])
def test_dies_that_mirror_the_package_are_counted_once(
    bench: Bench, lag: float, start: int
) -> None:
    zones = dies(mirrors="intel-rapl:0", lag=lag)
    zones[0] = replace(zones[0], start_uj=start)
    found = bench.look_at(zones)
    assert names(found) == ["cpu:package-0-die-0"]
    assert found.left_out == {"package-0-die-1 (intel-rapl:1)": "mirrors package-0-die-0"}


def test_mirrors_are_recognised_while_they_wrap(bench: Bench) -> None:
    first, mirror = dies(mirrors="intel-rapl:0", lag=0.0009)
    for before in range(0, 400_000, 5000):  # the second wraps a moment after the first
        zones = [replace(first, start_uj=RANGE_UJ - before), mirror]
        assert names(bench.look_at(zones)) == ["cpu:package-0-die-0"]


@pytest.mark.parametrize(
    "second",
    [
        {"start_uj": 10**9 + 500_000},  # as busy as the first
        {"watts": 400.0, "period": 0.0011},  # equal when the probe begins
        {"start_uj": 10**9 - 5_400_000, "watts": 960.0, "period": 0.00101},  # equal as it ends
        {"watts": 0.1, "start_uj": 10**9 - 50_000_000},
    ],
)
def test_dies_with_counters_of_their_own_are_all_counted(
    bench: Bench, second: dict[str, Any]
) -> None:
    found = bench.look_at(dies(**second))
    assert names(found) == ["cpu:package-0-die-0", "cpu:package-0-die-1"]


def test_the_memory_of_each_die_is_counted_unless_it_is_mirrored(bench: Bench) -> None:
    first, second = dies(start_uj=10**10)
    memory = Zone("dram", 5.0, start_uj=5000)
    own = [replace(first, parts=[memory]), replace(second, parts=[replace(memory, start_uj=9**9)])]
    tree = bench.tree(own)
    assert names(bench.look(tree.root, tree.clock))[1::2] == ["dram:0-die-0", "dram:0-die-1"]
    mirrored = [own[0], replace(second, parts=[replace(memory, mirrors="intel-rapl:0:0")])]
    found = bench.look_at(mirrored)
    assert names(found) == ["cpu:package-0-die-0", "dram:0-die-0", "cpu:package-0-die-1"]
    assert found.left_out == {"dram (intel-rapl:1:0)": "mirrors dram of package-0-die-0"}


def test_zones_of_one_name_are_treated_like_dies(bench: Bench) -> None:
    twins = [PACKAGE, replace(PACKAGE, start_uj=5000)]
    found = bench.look_at(twins)
    assert names(found) == ["cpu:package-0@intel-rapl:0", "cpu:package-0@intel-rapl:1"]
    mirror = [PACKAGE, replace(PACKAGE, mirrors="intel-rapl:0")]
    found = bench.look_at(mirror)
    assert names(found) == ["cpu:package-0"]
    assert found.left_out == {"package-0 (intel-rapl:1)": "mirrors package-0 (intel-rapl:0)"}


def test_two_packages_may_count_alike(bench: Bench) -> None:
    zones = [PACKAGE, replace(PACKAGE, name="package-1", mirrors="intel-rapl:0")]
    assert names(bench.look_at(zones)) == ALL[::2]


def test_memory_that_never_counted_is_left_out(bench: Bench) -> None:
    zones = [replace(PACKAGE, parts=[replace(DRAM, watts=0.0, start_uj=0)])]
    found = bench.look_at(zones)
    assert names(found) == ["cpu:package-0"]
    assert found.left_out == {"dram (intel-rapl:0:0)": "never counted anything"}


# Counters that can't be trusted


@pytest.mark.parametrize(
    ("zones", "label"),
    [
        ([PACKAGE, Zone("package-1", watts=0.0)], "package-1"),
        ([PACKAGE, Zone("package-1", watts=0.0, start_uj=0)], "package-1"),
        ([replace(PACKAGE, parts=[replace(DRAM, watts=0.0)])], "dram of package-0"),
    ],
)
def test_a_counter_that_stands_still_spoils_the_sum(
    bench: Bench, zones: list[Zone], label: str
) -> None:
    tree = bench.tree(zones)
    began = tree.seconds
    found = bench.look(tree.root, tree.clock)
    assert found.access is Access.FAULTY
    assert found.problem.endswith(f": the energy counter of {label} stands still")
    assert tree.seconds - began == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("energy_uj", "lots\n", "energy_uj of package-1 reads 'lots\\n', which is no number from"),
        ("energy_uj", "-5\n", "reads '-5\\n'"),
        ("energy_uj", "1_000\n", "reads '1_000\\n'"),
        ("energy_uj", f"{RANGE_UJ + 1}\n", f"no number from 0 to {RANGE_UJ}"),
        ("max_energy_range_uj", "0\n", "max_energy_range_uj of package-1 reads '0\\n', which is"),
        ("max_energy_range_uj", "\n", "reads '\\n', which is no range"),
        ("name", "", "the name of intel-rapl:1 reads ''"),
        ("name", "/home/x\n", "the name of intel-rapl:1 reads '/home/x'"),
    ],
)
def test_a_senseless_file_is_named_with_what_it_reads(
    bench: Bench, file: str, text: str, words: str
) -> None:
    zones = [PACKAGE, Zone("package-1", files={file: text})]
    found = bench.look_at(zones)
    assert found.access is Access.FAULTY
    assert "no setting mends" in found.remedy
    assert words in found.problem


@pytest.mark.parametrize("file", ["energy_uj", "max_energy_range_uj"])
def test_a_file_that_can_not_be_read_is_named(bench: Bench, file: str) -> None:
    tree = bench.tree(SERVER)
    broken = tree.folders["intel-rapl:1:0"] / file
    broken.unlink()
    broken.mkdir()
    found = bench.look(tree.root, tree.clock)
    assert found.access is Access.FAULTY
    assert found.problem.endswith(f": {file} of dram of package-1 can't be read: Is a directory")


def test_nonsense_while_the_counters_are_watched_is_named(bench: Bench) -> None:
    tree = bench.tree(SERVER)
    sleeps = iter(range(1000))

    def sleep(seconds: float) -> None:
        tree.pass_by(seconds)
        if next(sleeps) == 5:
            tree.write("intel-rapl:1", "lots\n")

    found = bench.look(tree.root, Clock(tree.clock.now, sleep))
    assert found.access is Access.FAULTY
    assert "energy_uj of package-1 reads 'lots" in found.problem


def test_a_broken_counter_of_an_uncounted_zone_does_not_matter(bench: Bench) -> None:
    zones = [replace(PACKAGE, parts=[Zone("core", files={"energy_uj": "lots"})])]
    assert names(bench.look_at(zones)) == ["cpu:package-0"]


# How often a counter is refreshed


@pytest.mark.parametrize("period", [0.001, 0.015, 0.05])
def test_the_refresh_period_is_seen(bench: Bench, period: float) -> None:
    tree = bench.tree([replace(PACKAGE, period=period, jitter=period / 5)])
    began = tree.seconds
    (channel,) = bench.sensor(tree).channels
    assert channel.update_seconds == pytest.approx(period, rel=0.2, abs=0.0003)
    assert channel.window_seconds == max(0.2, 100 * channel.update_seconds)
    assert tree.seconds - began < 8 * period


def test_a_period_shorter_than_the_polls_is_one_poll(bench: Bench) -> None:
    tree = bench.tree([replace(PACKAGE, period=1e-5, jitter=0.0)])
    (channel,) = bench.sensor(tree).channels
    assert channel.update_seconds == pytest.approx(0.0005, rel=0.02)
    assert channel.window_seconds == 0.2


def test_the_slowest_counter_is_waited_for(bench: Bench) -> None:
    tree = bench.tree([replace(PACKAGE, parts=[replace(DRAM, period=0.05)])])
    quick, slow = bench.sensor(tree).channels
    assert quick.update_seconds == pytest.approx(0.001, abs=0.0003)
    assert slow.update_seconds == pytest.approx(0.05, abs=0.001)


# Windows


@pytest.fixture
def server(bench: Bench) -> VirtualPowercap:
    return bench.tree(SERVER)


def one_window(
    seconds: float, *, watts: float, start_uj: int, reset_after: float | None = None
) -> tuple[float | SensorFault, float]:
    """What is read of a package that can draw 200 W, and the truth in joules."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as files:
        bench = Bench(Path(folder), files)
        tree = bench.tree([replace(PACKAGE, watts=1.0, start_uj=start_uj)])
        sensor = bench.sensor(tree)
        tree.set_watts("intel-rapl:0", watts)
        tree.pass_by(0.01)
        sensor.open(frozenset({"cpu:package-0"}))
        before = tree.joules("intel-rapl:0")
        if reset_after is not None:
            tree.pass_by(reset_after)
            tree.reset("intel-rapl:0")
        tree.pass_by(seconds - (reset_after or 0))
        truth = tree.joules("intel-rapl:0") - before
        return sensor.close(tree.seconds)["cpu:package-0"], truth


ANYWHERE = st.one_of(
    st.integers(0, RANGE_UJ),
    st.integers(0, 10**9).map(lambda before: RANGE_UJ - before),  # up to 1 kJ before the wrap
)


@settings(max_examples=150, deadline=None)
@given(start=ANYWHERE, watts=st.floats(0.5, 200), seconds=st.floats(0.001, 1200))
def test_joules_are_true_to_one_refresh_over_a_wrap_too(
    start: int, watts: float, seconds: float
) -> None:
    joules, truth = one_window(seconds, watts=watts, start_uj=start)
    # A refresh comes up to 1.2 ms late; a wrap counts one unit less than it should.
    assert joules == pytest.approx(truth, abs=watts * 0.0013 + 3 * UNIT_UJ / 1e6, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(start=ANYWHERE, watts=st.floats(240, 4000), seconds=st.floats(0.5, 60))
def test_more_than_the_package_can_draw_is_refused(
    start: int, watts: float, seconds: float
) -> None:
    fault, _ = one_window(seconds, watts=watts, start_uj=start)
    assert isinstance(fault, SensorFault)
    assert "and package-0 can draw at most 200 W: the counter was reset" in str(fault)


@settings(max_examples=50, deadline=None)
@given(
    start=st.integers(4 * 10**9, RANGE_UJ * 9 // 10),  # less can't be told from work
    seconds=st.floats(0.01, 60),
    part=st.floats(0, 1),
)
def test_a_counter_reset_in_the_window_is_refused(start: int, seconds: float, part: float) -> None:
    fault, _ = one_window(seconds, watts=60.0, start_uj=start, reset_after=seconds * part)
    assert isinstance(fault, SensorFault)
    assert "the counter was reset" in str(fault)


@settings(max_examples=50, deadline=None)
@given(start=ANYWHERE, watts=st.floats(0.5, 200), seconds=st.floats(2700, 90000))
def test_a_window_that_may_hold_two_wraps_is_refused(
    start: int, watts: float, seconds: float
) -> None:
    fault, _ = one_window(seconds, watts=watts, start_uj=start)
    assert isinstance(fault, SensorFault)
    assert "starts again after 262,143 J" in str(fault)
    assert "measure in windows shorter than 1,310.7 s" in str(fault)


def test_the_fault_states_the_figures() -> None:
    fault, _ = one_window(0.998, watts=4300, start_uj=0)
    assert re.fullmatch(
        r"4,29\d\.\d J in 0\.998 s implies 4,2[89]\d W, and package-0 can draw at most 200 W: "
        "the counter was reset",
        str(fault),
    )


def test_only_the_named_channels_are_read(bench: Bench, server: VirtualPowercap) -> None:
    sensor = bench.sensor(server)
    sensor.open(frozenset({"dram:1", "cpu:package-0", "gpu:0"}))
    server.pass_by(2.0)
    readings = sensor.close(server.seconds)
    assert readings == {
        "cpu:package-0": pytest.approx(120, rel=0.002),
        "dram:1": pytest.approx(14, rel=0.002),
    }


def test_an_abandoned_window_leaves_nothing(bench: Bench, server: VirtualPowercap) -> None:
    sensor = bench.sensor(server)
    sensor.open(frozenset(ALL))
    sensor.abandon()
    assert sensor.close(server.seconds) == {}


def test_counters_are_read_in_reverse_when_a_window_closes(
    bench: Bench, server: VirtualPowercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = bench.sensor(server)
    order: list[int] = []
    real = os.pread

    def pread(file: int, length: int, offset: int) -> bytes:
        order.append(file)
        return real(file, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    sensor.open(frozenset(ALL))
    sensor.close(server.seconds)
    assert len(set(order)) == 4
    assert order[4:8] == order[3::-1]


def test_a_counter_that_stands_still_in_a_window_is_refused(
    bench: Bench, server: VirtualPowercap
) -> None:
    sensor = bench.sensor(server)
    sensor.open(frozenset({"cpu:package-0"}))
    server.set_watts("intel-rapl:0", 0.0)
    sensor.close(server.seconds)
    server.pass_by(0.1)
    sensor.open(frozenset({"cpu:package-0", "dram:0"}))
    server.pass_by(0.5)
    readings = sensor.close(server.seconds)
    assert str(readings["cpu:package-0"]).startswith(
        "the energy counter of package-0 stood still for 0.50 s though it is refreshed every 1"
    )
    assert readings["dram:0"] == pytest.approx(2.5, rel=0.01)


def test_no_refresh_in_a_very_short_window_is_no_fault(
    bench: Bench, server: VirtualPowercap
) -> None:
    sensor = bench.sensor(server)
    server.set_watts("intel-rapl:0", 0.0)
    server.pass_by(0.1)
    sensor.open(frozenset({"cpu:package-0"}))
    server.pass_by(0.015)
    ended = server.seconds
    server.energies["intel-rapl:0"].set_watts(ended + 0.005, 40.0)
    assert sensor.close(ended) == {"cpu:package-0": 0.0}


def test_a_counter_that_stops_during_the_work_is_no_number(
    bench: Bench, server: VirtualPowercap
) -> None:
    sensor = bench.sensor(server)
    sensor.open(frozenset(ALL))
    server.pass_by(0.5)
    server.set_watts("intel-rapl:1", 0.0)  # a counter that stops shows no more energy
    server.pass_by(0.5)
    readings = sensor.close(server.seconds)
    assert readings["cpu:package-0"] == pytest.approx(60.0, rel=0.01)
    assert isinstance(readings["cpu:package-1"], SensorFault)
    assert "it may have stopped before" in str(readings["cpu:package-1"])


def test_a_window_that_the_counter_cannot_resolve_is_named(bench: Bench) -> None:
    tree = bench.tree([Zone("package-0", period=0.02, jitter=0.0)])
    (channel,) = bench.sensor(tree).channels
    assert channel.window_seconds == pytest.approx(2.0, rel=0.1)
    assert channel.shortest_seconds == channel.window_seconds


@pytest.mark.parametrize(
    "file", ["energy_uj", "name", "max_energy_range_uj", "constraint_0_power_limit_uw"]
)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(bench: Bench, file: str) -> None:
    tree = bench.tree([Zone("package-0"), Zone("package-1")])
    path = tree.folders["intel-rapl:1"] / file
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    found = bench.look(tree.root, tree.clock)
    assert found.access is (Access.READABLE if "constraint" in file else Access.FAULTY)


@pytest.mark.parametrize("file", ["name", "max_energy_range_uj"])
def test_other_files_that_may_not_be_read_are_denied_too(bench: Bench, file: str) -> None:
    tree = bench.tree(SERVER)
    path = tree.folders["intel-rapl:1"] / file
    path.chmod(0o000)
    access, _, remedy, _ = look_elsewhere(tree.root, UNPRIVILEGED)
    assert access == "denied"
    assert "usermod -aG" in remedy


@pytest.mark.parametrize("when", ["open", "close"])
def test_an_error_while_reading_is_the_reading(
    bench: Bench, server: VirtualPowercap, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    sensor = bench.sensor(server)

    def broken(*_: Any) -> bytes:
        raise OSError(5, "Input/output error", "/home/somebody")

    with monkeypatch.context() as patch:
        if when == "open":
            patch.setattr(os, "pread", broken)
        sensor.open(frozenset({"dram:1"}))
        server.pass_by(1.0)
        if when == "close":
            patch.setattr(os, "pread", broken)
        else:
            patch.undo()
        fault = sensor.close(server.seconds)["dram:1"]
    assert isinstance(fault, SensorFault)
    assert str(fault) == "energy_uj of dram of package-1 can't be read: Input/output error"


@pytest.mark.parametrize("text", ["", "lots\n", f"{RANGE_UJ + 1}\n"])
def test_nonsense_in_a_window_is_the_reading(
    bench: Bench, server: VirtualPowercap, text: str
) -> None:
    sensor = bench.sensor(server)
    sensor.open(frozenset(ALL))
    server.pass_by(1.0)
    server.write("intel-rapl:1", text)
    readings = sensor.close(server.seconds)
    assert isinstance(readings["cpu:package-1"], SensorFault)
    assert "energy_uj of package-1 reads" in str(readings["cpu:package-1"])
    assert readings["cpu:package-0"] == pytest.approx(60, rel=0.01)


@pytest.mark.parametrize(
    ("files", "watts"),
    [
        ({}, 1000),
        ({"constraint_0_power_limit_uw": "65000000\n"}, 130),
        ({"constraint_0_power_limit_uw": "0\n", "constraint_0_max_power_uw": "90000000\n"}, 180),
        (
            {
                "constraint_0_power_limit_uw": "28000000\n",
                "constraint_1_power_limit_uw": "64000000\n",
                "constraint_0_max_power_uw": "15000000\n",
            },
            128,
        ),
        # A board without limits lets the processor draw more than it was made for.
        (
            {
                "constraint_0_power_limit_uw": "4095875000\n",
                "constraint_0_max_power_uw": "125000000",
            },
            1000,
        ),
        (
            {
                "constraint_0_power_limit_uw": "90000000\n",
                "constraint_0_max_power_uw": "32767000000",
            },
            180,
        ),
        ({"constraint_0_power_limit_uw": "none\n"}, 1000),
    ],
)
def test_the_ceiling_is_twice_the_largest_plausible_limit(
    bench: Bench, files: dict[str, str], watts: int
) -> None:
    tree = bench.tree([Zone("package-0", files=files, start_uj=0)])
    sensor = bench.sensor(tree)
    for factor, refused in [(0.97, False), (1.03, True)]:
        tree.set_watts("intel-rapl:0", factor * watts)
        tree.pass_by(0.1)
        sensor.open(frozenset({"cpu:package-0"}))
        tree.pass_by(2.0)
        reading = sensor.close(tree.seconds)["cpu:package-0"]
        assert isinstance(reading, SensorFault) is refused
        if refused:
            assert f"can draw at most {watts:,} W" in str(reading)


def test_memory_without_limits_may_draw_500_watts(bench: Bench) -> None:
    tree = bench.tree([replace(PACKAGE, parts=[replace(DRAM, start_uj=0)])])
    sensor = bench.sensor(tree)
    tree.set_watts("intel-rapl:0:0", 550)
    tree.pass_by(0.1)
    sensor.open(frozenset({"dram:0"}))
    tree.pass_by(2.0)
    assert "dram of package-0 can draw at most 500 W" in str(sensor.close(0.0)["dram:0"])


# Descriptors


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    "zones",
    [
        [PACKAGE, Zone("package-1", files={"energy_uj": "lots"})],
        [PACKAGE, Zone("package-1", files={"energy_uj": ""})],
        [PACKAGE, Zone("package-1", watts=0.0)],
    ],
)
def test_a_probe_without_a_sensor_leaves_no_file_open(bench: Bench, zones: list[Zone]) -> None:
    tree = bench.tree(zones)
    before = open_files()
    assert bench.look(tree.root, tree.clock).sensor is None
    assert open_files() == before


def test_a_released_sensor_leaves_no_file_open(bench: Bench) -> None:
    tree = bench.tree(dies(mirrors="intel-rapl:0"))
    before = open_files()
    sensor = bench.sensor(tree)
    assert open_files() > before
    sensor.release()
    sensor.release()
    assert open_files() == before


# Nothing there, hidden, forbidden: three different things


def test_a_root_that_is_not_there_is_absent(bench: Bench, root: Path) -> None:
    found = bench.look(root)
    assert found.access is Access.ABSENT
    assert (
        found.problem == "no RAPL counters: the folder that energy_powercap_root names isn't there"
    )
    assert "sudo modprobe intel_rapl_msr" in found.remedy
    assert "Check that energy_powercap_root names the folder intel-rapl" in found.remedy


@pytest.mark.parametrize("what", ["file", "empty", "control type", "another type", "psys"])
def test_a_root_without_packages_is_absent(bench: Bench, root: Path, what: str) -> None:
    if what == "psys":
        root = bench.tree([Zone("psys")]).root
    elif what == "file":
        root.parent.mkdir(parents=True)
        root.touch()
    elif what == "empty":
        root.mkdir(parents=True)
    elif what == "control type":
        (root / "intel-rapl").mkdir(parents=True)
    else:
        (root / "dtpm" / "dtpm:0").mkdir(parents=True)
    found = bench.look(root)
    assert found.access is Access.ABSENT
    assert found.left_out == (
        {"psys (intel-rapl:0)": "contains the packages"} if what == "psys" else {}
    )


def test_the_usual_place_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powercap, "DEFAULT_ROOT", root)
    found = probe(root, REAL)
    assert found.problem == f"no RAPL counters: {root} isn't there"
    assert "energy_powercap_root" not in found.remedy


@pytest.mark.parametrize("gone", ["intel-rapl", "intel-rapl/intel-rapl:1"])
def test_links_that_lead_nowhere_are_masked(bench: Bench, gone: str) -> None:
    tree = bench.tree(SERVER, Layout.LINKED)
    shutil.rmtree(tree.devices / gone)
    found = bench.look(tree.root, tree.clock)
    assert found.access is Access.MASKED
    assert "intel-rapl:1, intel-rapl:1:0 are hidden, as in a container" in found.problem
    assert "docker run -v /sys/devices/virtual/powercap:/powercap:ro" in found.remedy
    assert "CVE-2020-8694" in found.remedy


def test_a_control_type_as_root_that_leads_nowhere_is_masked(bench: Bench) -> None:
    tree = bench.tree(SERVER, Layout.LINKED)
    shutil.rmtree(tree.devices)
    found = bench.look(tree.root / "intel-rapl")
    assert found.access is Access.MASKED
    assert found.problem.endswith("names is a link that leads nowhere")


@pytest.mark.parametrize("layout", [Layout.NESTED, Layout.FLAT])
def test_a_zone_without_its_counter_is_masked(bench: Bench, layout: Layout) -> None:
    tree = bench.tree(SERVER, layout)
    (tree.folders["intel-rapl:1:0"] / "energy_uj").unlink()
    found = bench.look(tree.root, tree.clock)
    assert found.access is Access.MASKED
    assert found.problem.endswith(": the counters of intel-rapl:1:0 are hidden, as in a container")


def test_a_zone_that_is_left_out_anyway_may_be_hidden(bench: Bench) -> None:
    tree = bench.tree([PACKAGE, Zone("package-0", control="intel-rapl-mmio")])
    (tree.folders["intel-rapl-mmio:0"] / "energy_uj").unlink()
    assert names(bench.look(tree.root, tree.clock))[0] == "cpu:package-0"


PROBE = """
import json, sys, time
from pathlib import Path
from pytest_energy.sensors.base import Clock
from pytest_energy.sensors.rapl import probe

found = probe(Path(sys.argv[1]), Clock(time.perf_counter, time.sleep))
channels = [channel.name for channel in found.sensor.channels] if found.sensor else []
print(json.dumps([found.access, found.problem, found.remedy, channels]))
"""
ROOT_USER = os.geteuid() == 0 if sys.platform == "linux" else False
#: Root reads everything; without these two capabilities it reads what its user and groups may.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if ROOT_USER else []


def look_elsewhere(
    root: Path, command: Sequence[str] = (), environment: dict[str, str] | None = None
) -> tuple[str, str, str, list[str]]:
    """Access, problem, remedy and channels that a probe finds in a process started like this."""
    answer = subprocess.run(
        [*command, sys.executable, "-c", PROBE, str(root)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert answer.returncode == 0, answer.stderr
    access, problem, remedy, channels = json.loads(answer.stdout.splitlines()[-1])
    return access, problem, remedy, channels


def in_mounts(script: str) -> list[str]:
    """A command that mounts something before what follows it, for that alone."""
    unshare = ["unshare", "-m" if ROOT_USER else "-rm"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False).returncode
    ):
        pytest.skip("this system lets this user make no mounts of their own (unshare)")
    return [*unshare, "sh", "-euc", f'{script}\nexec "$@"', "sh"]


@pytest.fixture
def denied(bench: Bench) -> Path:
    tree = bench.tree(SERVER, Layout.LINKED)
    for folder in tree.folders.values():
        (folder / "energy_uj").chmod(0o000)
    return tree.root


def test_a_counter_that_this_user_may_not_read_is_denied(denied: Path) -> None:
    access, problem, remedy, _ = look_elsewhere(denied, UNPRIVILEGED)
    assert access == "denied"
    assert problem == (
        "no permission for the RAPL counters: this user may not read energy_uj of "
        "package-0, dram of package-0, package-1, dram of package-1"
    )
    commands = [line for line in remedy.splitlines() if not line.startswith("#")]
    files = [f'"$POWERCAP_ROOT"/intel-rapl:{zone}/energy_uj' for zone in ["0", "0:1", "1", "1:0"]]
    assert commands == [
        "sudo groupadd -f energy",
        'sudo usermod -aG energy "$USER"',
        f"sudo chgrp energy {' '.join(files)}",
        f"sudo chmod g+r {' '.join(files)}",
        f"printf 'z \"%s\" 0440 root energy -\\n' {' '.join(files)} | "
        "sudo tee /etc/tmpfiles.d/pytest-energy.conf",
    ]
    assert "POWERCAP_ROOT stands for the folder that energy_powercap_root names" in remedy
    assert str(denied) not in remedy


def test_one_counter_that_may_not_be_read_spoils_the_sum(bench: Bench) -> None:
    tree = bench.tree(SERVER)
    (tree.folders["intel-rapl:1:0"] / "energy_uj").chmod(0o000)
    access, problem, *_ = look_elsewhere(tree.root, UNPRIVILEGED)
    assert access == "denied"
    assert problem.endswith(": this user may not read energy_uj of dram of package-1")


def test_a_folder_that_may_not_be_listed_is_denied(bench: Bench) -> None:
    root = bench.tree(SERVER).root
    root.chmod(0o000)
    access, problem, remedy, _ = look_elsewhere(root, UNPRIVILEGED)
    root.chmod(0o700)
    assert access == "denied"
    assert 'chmod -R g+rX "$POWERCAP_ROOT"' in remedy
    assert problem.endswith(
        ": this user may not look into the folder that energy_powercap_root names"
    )


NOBODY = 65534
#: The commands run for real, on a copy of /etc that is mounted over it for them alone.
MENDED = """
copy=$(mktemp -d)
cp -a /etc/. "$copy"
mount --bind "$copy" /etc
sudo() { "$@"; }
"""
#: Logging in again, as somebody who may do no more than their groups.
LOGGED_IN_AGAIN = 'set -- setpriv --reuid=0 --regid=0 --init-groups "$@"\n'


@pytest.mark.realtime
@pytest.mark.parametrize("when", ["now", "after a restart", "without logging in again"])
def test_the_remedy_for_a_denied_counter_mends_it(root: Path, tmp_path: Path, when: str) -> None:
    tools = ["groupadd", "usermod", "systemd-tmpfiles"]
    if not ROOT_USER or None in map(shutil.which, tools):
        pytest.skip("needs root, groupadd, usermod and systemd-tmpfiles")
    copies = {"TMPDIR": str(tmp_path), "POWERCAP_ROOT": str(root), "USER": "root"}
    with running(root, SERVER, Layout.LINKED):
        files = list(root.glob("*/energy_uj"))
        assert len(files) == 5

        def as_the_kernel_makes_them() -> None:
            for file in files:
                os.chown(file, NOBODY, NOBODY)
                file.chmod(0o400)

        as_the_kernel_makes_them()
        access, _, remedy, _ = look_elsewhere(root, UNPRIVILEGED)
        assert access == "denied"
        script = f"{MENDED}{remedy}\n"
        if when == "after a restart":
            again = " ".join(f"'{file}'" for file in files)
            script += f"chown {NOBODY}:{NOBODY} {again}\nchmod 0400 {again}\n"
            script += "systemd-tmpfiles --create /etc/tmpfiles.d/pytest-energy.conf\n"
        if when != "without logging in again":
            script += LOGGED_IN_AGAIN
        access, problem, _, channels = look_elsewhere(
            root, [*in_mounts(script), *UNPRIVILEGED], copies
        )
        if when == "without logging in again":
            assert access == "denied"
        else:
            assert (access, channels) == ("readable", ALL), problem
        # Only what is counted was opened, and only to the group.
        modes = {file.parent.name: oct(file.stat().st_mode & 0o777) for file in files}
        assert modes.pop("intel-rapl:0:0") == "0o400"
        assert set(modes.values()) == {"0o440"}


@pytest.mark.parametrize("below", [".", "intel-rapl"])
def test_a_mount_that_hides_the_zones_is_masked(bench: Bench, below: str) -> None:
    root = bench.tree(SERVER).root
    command = in_mounts(f"mount -t tmpfs -o ro none '{root / below}'")
    access, problem, remedy, _ = look_elsewhere(root, command)
    assert access == "masked"
    assert problem == (
        "the RAPL counters are masked: something is mounted over the folder that "
        "energy_powercap_root names, as in a container"
    )
    assert "docker run" in remedy


def test_a_mount_beside_the_root_explains_nothing(root: Path) -> None:
    root.mkdir(parents=True)
    command = in_mounts(f"mount -t tmpfs none '{root.parent.parent}'; mkdir -p '{root}'")
    assert look_elsewhere(root, command)[0] == "absent"


def test_a_root_behind_a_link_with_a_space_in_its_name_is_masked(tmp_path: Path) -> None:
    hidden = tmp_path / "a place"
    hidden.mkdir()
    (tmp_path / "link").symlink_to(hidden)
    command = in_mounts(f"mount -t tmpfs none '{hidden}'")
    assert look_elsewhere(tmp_path / "link", command)[0] == "masked"


def test_a_mount_over_a_zone_is_masked(bench: Bench) -> None:
    tree = bench.tree(SERVER)
    command = in_mounts(f"mount -t tmpfs none '{tree.folders['intel-rapl:1']}'")
    access, problem, *_ = look_elsewhere(tree.root, command)
    assert (access, "intel-rapl:1 are hidden" in problem) == ("masked", True)


def test_dev_null_over_a_counter_is_masked(bench: Bench) -> None:
    tree = bench.tree(SERVER)
    counter = tree.folders["intel-rapl:0:1"] / "energy_uj"
    access, problem, *_ = look_elsewhere(
        tree.root, in_mounts(f"mount --bind /dev/null '{counter}'")
    )
    assert access == "masked"
    assert problem.endswith(": the counters of dram of package-0 are hidden, as in a container")


@pytest.mark.realtime
@pytest.mark.parametrize("masked", [False, True])
def test_the_usual_place_as_container_runtimes_mask_it(tmp_path: Path, masked: bool) -> None:
    script = "\n".join(
        f"mount --bind '{tmp_path / each}' /sys/{each}" for each in ["class", "devices/virtual"]
    )
    if masked:
        script += "\nmount -t tmpfs -o ro none /sys/devices/virtual/powercap"
    with running(tmp_path / "class" / "powercap", SERVER, Layout.LINKED):
        access, problem, remedy, channels = look_elsewhere(powercap.DEFAULT_ROOT, in_mounts(script))
    if masked:
        assert access == "masked"
        assert "intel-rapl:0" in problem
        assert "-v /sys/devices/virtual/powercap:/powercap:ro" in remedy
    else:
        assert (access, channels) == ("readable", ALL), problem


def test_a_mount_over_the_devices_explains_an_empty_usual_place() -> None:
    empty = "mount -t tmpfs none /sys/class; mkdir /sys/class/powercap"
    devices = "mount -t tmpfs none /sys/devices/virtual; mkdir /sys/devices/virtual/powercap"
    over = "mount -t tmpfs none /sys/devices/virtual/powercap"
    assert look_elsewhere(powercap.DEFAULT_ROOT, in_mounts(f"{empty}; {devices}"))[0] == "absent"
    command = in_mounts(f"{empty}; {devices}; {over}")
    access, problem, *_ = look_elsewhere(powercap.DEFAULT_ROOT, command)
    assert access == "masked"
    assert problem.endswith(": something is mounted over /sys/class/powercap, as in a container")


@pytest.mark.realtime
def test_in_real_time_the_joules_are_true_within_two_percent(bench: Bench, root: Path) -> None:
    with running(root, SERVER, Layout.LINKED) as process:
        found = bench.look(root)
        sensor = found.sensor
        assert sensor is not None, found.problem
        assert all(each.update_seconds < 0.01 for each in sensor.channels)
        assert process.stdin is not None
        for watts in (60, 150):  # the first window holds a wrap, 100 mJ after the start
            process.stdin.write(f"intel-rapl:0 {watts}\n")
            process.stdin.flush()
            time.sleep(0.1)
            sensor.open(frozenset(ALL))
            began = time.perf_counter()
            time.sleep(1.0)
            readings = sensor.close(time.perf_counter())
            seconds = time.perf_counter() - began
            assert readings["cpu:package-0"] == pytest.approx(watts * seconds, rel=0.02)
            assert readings["dram:1"] == pytest.approx(7 * seconds, rel=0.02)
