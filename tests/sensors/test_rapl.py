"""RAPL: which zones of a tree are counted, and what is known of each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fake_powercap import RANGE_UJ, UNIT_UJ, Layout, Zone
from rapl_bench import ALL, DRAM, PACKAGE, SERVER, RaplBench, dies, names

from pytest_energy.sensors.base import Access, Clock, Kind, Provenance


@pytest.mark.parametrize("layout", Layout)
def test_packages_and_memory_are_counted_once_in_every_layout(
    rapl_bench: RaplBench, layout: Layout
) -> None:
    tree = rapl_bench.tree(SERVER, layout)
    found = rapl_bench.look(tree.root, tree.clock)
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
    rapl_bench: RaplBench, layout: Layout, below: str
) -> None:
    tree = rapl_bench.tree(SERVER, layout)
    assert names(rapl_bench.look(tree.root / below, tree.clock)) == ALL


def test_a_root_inside_a_package_would_miss_the_package(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree(SERVER)
    found = rapl_bench.look(tree.folders["intel-rapl:0"], tree.clock)
    assert found.access is Access.ABSENT


def test_links_that_lead_back_up_end(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree(SERVER)
    for folder in tree.folders.values():
        (folder / "intel-rapl").symlink_to(tree.root / "intel-rapl")
    (tree.root / "intel-rapl" / "another-rapl").symlink_to(".")
    assert names(rapl_bench.look(tree.root, tree.clock)) == ALL


def test_many_packages_stay_in_their_order(rapl_bench: RaplBench) -> None:
    zones = [Zone(f"package-{number}", start_uj=number * 10**9) for number in range(12)]
    assert names(rapl_bench.look_at(zones)) == [f"cpu:package-{number}" for number in range(12)]


def test_a_channel_has_its_source_kind_and_provenance(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree(SERVER)
    package, dram, *_ = rapl_bench.sensor(tree).channels
    assert package.source == "RAPL package-0 (Intel/AMD energy counter)"
    assert dram.source == "RAPL dram of package-0 (Intel/AMD energy counter)"
    assert (package.kind, dram.kind) == (Kind.CPU, Kind.DRAM)
    assert package.provenance is dram.provenance is Provenance.MEASURED


def test_zones_that_hold_or_repeat_others_are_left_out(rapl_bench: RaplBench) -> None:
    zones = [
        replace(PACKAGE, parts=[Zone("core"), Zone("uncore")]),
        Zone("psys"),
        Zone("package-0", control="intel-rapl-mmio", parts=[DRAM]),
    ]
    found = rapl_bench.look_at(zones)
    assert names(found) == ["cpu:package-0"]
    assert found.left_out == {
        "core (intel-rapl:0:0)": "is inside package-0",
        "uncore (intel-rapl:0:1)": "is inside package-0",
        "psys (intel-rapl:1)": "contains the packages",
        "package-0 (intel-rapl-mmio:0)": "counts the energy of the package again",
        "dram (intel-rapl-mmio:0:0)": "counts the energy of the package again",
    }


@pytest.mark.parametrize("lag", [0.0, 0.0003])
@pytest.mark.parametrize("start", [10**9, RANGE_UJ - 5 * UNIT_UJ])
def test_dies_that_mirror_the_package_are_counted_once(
    rapl_bench: RaplBench, lag: float, start: int
) -> None:
    zones = dies(mirrors="intel-rapl:0", lag=lag)
    zones[0] = replace(zones[0], start_uj=start)
    found = rapl_bench.look_at(zones)
    assert names(found) == ["cpu:package-0-die-0"]
    assert found.left_out == {"package-0-die-1 (intel-rapl:1)": "mirrors package-0-die-0"}


def test_mirrors_are_recognised_while_they_wrap(rapl_bench: RaplBench) -> None:
    first, mirror = dies(mirrors="intel-rapl:0", lag=0.0009)
    for before in range(0, 400_000, 5000):  # the second wraps a moment after the first
        zones = [replace(first, start_uj=RANGE_UJ - before), mirror]
        assert names(rapl_bench.look_at(zones)) == ["cpu:package-0-die-0"]


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
    rapl_bench: RaplBench, second: dict[str, Any]
) -> None:
    found = rapl_bench.look_at(dies(**second))
    assert names(found) == ["cpu:package-0-die-0", "cpu:package-0-die-1"]


def test_the_memory_of_each_die_is_counted_unless_it_is_mirrored(rapl_bench: RaplBench) -> None:
    first, second = dies(start_uj=10**10)
    memory = Zone("dram", 5.0, start_uj=5000)
    own = [replace(first, parts=[memory]), replace(second, parts=[replace(memory, start_uj=9**9)])]
    tree = rapl_bench.tree(own)
    assert names(rapl_bench.look(tree.root, tree.clock))[1::2] == ["dram:0-die-0", "dram:0-die-1"]
    mirrored = [own[0], replace(second, parts=[replace(memory, mirrors="intel-rapl:0:0")])]
    found = rapl_bench.look_at(mirrored)
    assert names(found) == ["cpu:package-0-die-0", "dram:0-die-0", "cpu:package-0-die-1"]
    assert found.left_out == {"dram (intel-rapl:1:0)": "mirrors dram of package-0-die-0"}


def test_zones_of_one_name_are_treated_like_dies(rapl_bench: RaplBench) -> None:
    twins = [PACKAGE, replace(PACKAGE, start_uj=5000)]
    found = rapl_bench.look_at(twins)
    assert names(found) == ["cpu:package-0@intel-rapl:0", "cpu:package-0@intel-rapl:1"]
    mirror = [PACKAGE, replace(PACKAGE, mirrors="intel-rapl:0")]
    found = rapl_bench.look_at(mirror)
    assert names(found) == ["cpu:package-0"]
    assert found.left_out == {"package-0 (intel-rapl:1)": "mirrors package-0 (intel-rapl:0)"}


def test_two_packages_may_count_alike(rapl_bench: RaplBench) -> None:
    zones = [PACKAGE, replace(PACKAGE, name="package-1", mirrors="intel-rapl:0")]
    assert names(rapl_bench.look_at(zones)) == ALL[::2]


def test_memory_that_never_counted_is_left_out(rapl_bench: RaplBench) -> None:
    zones = [replace(PACKAGE, parts=[replace(DRAM, watts=0.0, start_uj=0)])]
    found = rapl_bench.look_at(zones)
    assert names(found) == ["cpu:package-0"]
    assert found.left_out == {"dram (intel-rapl:0:0)": "has never counted any energy"}


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
    rapl_bench: RaplBench, zones: list[Zone], label: str
) -> None:
    tree = rapl_bench.tree(zones)
    began = tree.seconds
    found = rapl_bench.look(tree.root, tree.clock)
    assert found.access is Access.FAULTY
    assert found.problem.endswith(f": the energy counter of {label} does not change")
    assert tree.seconds - began == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("energy_uj", "lots\n", "energy_uj of package-1 reads 'lots\\n'; expected a number from"),
        ("energy_uj", "-5\n", "reads '-5\\n'"),
        ("energy_uj", "1_000\n", "reads '1_000\\n'"),
        ("energy_uj", f"{RANGE_UJ + 1}\n", f"expected a number from 0 to {RANGE_UJ}"),
        ("max_energy_range_uj", "0\n", "max_energy_range_uj of package-1 reads '0\\n'; expected"),
        ("max_energy_range_uj", "\n", "reads '\\n'; expected a number above 0"),
        ("name", "", "the name of intel-rapl:1 reads ''"),
        ("name", "/home/x\n", "the name of intel-rapl:1 reads '/home/x'"),
    ],
)
def test_a_senseless_file_is_named_with_what_it_reads(
    rapl_bench: RaplBench, file: str, text: str, words: str
) -> None:
    zones = [PACKAGE, Zone("package-1", files={file: text})]
    found = rapl_bench.look_at(zones)
    assert found.access is Access.FAULTY
    assert "no setting helps" in found.remedy
    assert words in found.problem


@pytest.mark.parametrize("file", ["energy_uj", "max_energy_range_uj"])
def test_a_file_that_can_not_be_read_is_named(rapl_bench: RaplBench, file: str) -> None:
    tree = rapl_bench.tree(SERVER)
    broken = tree.folders["intel-rapl:1:0"] / file
    broken.unlink()
    broken.mkdir()
    found = rapl_bench.look(tree.root, tree.clock)
    assert found.access is Access.FAULTY
    assert found.problem.endswith(f": {file} of dram of package-1 cannot be read: Is a directory")


def test_nonsense_while_the_counters_are_watched_is_named(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree(SERVER)
    sleeps = iter(range(1000))

    def sleep(seconds: float) -> None:
        tree.pass_by(seconds)
        if next(sleeps) == 5:
            tree.write("intel-rapl:1", "lots\n")

    found = rapl_bench.look(tree.root, Clock(tree.clock.now, sleep))
    assert found.access is Access.FAULTY
    assert "energy_uj of package-1 reads 'lots" in found.problem


def test_a_broken_counter_of_an_uncounted_zone_does_not_matter(rapl_bench: RaplBench) -> None:
    zones = [replace(PACKAGE, parts=[Zone("core", files={"energy_uj": "lots"})])]
    assert names(rapl_bench.look_at(zones)) == ["cpu:package-0"]


# How often a counter is refreshed


@pytest.mark.parametrize("period", [0.001, 0.015, 0.05])
def test_the_refresh_period_is_seen(rapl_bench: RaplBench, period: float) -> None:
    tree = rapl_bench.tree([replace(PACKAGE, period=period, jitter=period / 5)])
    began = tree.seconds
    (channel,) = rapl_bench.sensor(tree).channels
    assert channel.update_seconds == pytest.approx(period, rel=0.2, abs=0.0003)
    assert channel.window_seconds == max(0.2, 100 * channel.update_seconds)
    assert tree.seconds - began < 8 * period


def test_a_period_shorter_than_the_polls_is_one_poll(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree([replace(PACKAGE, period=1e-5, jitter=0.0)])
    (channel,) = rapl_bench.sensor(tree).channels
    assert channel.update_seconds == pytest.approx(0.0005, rel=0.02)
    assert channel.window_seconds == 0.2


def test_the_slowest_counter_is_waited_for(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree([replace(PACKAGE, parts=[replace(DRAM, period=0.05)])])
    quick, slow = rapl_bench.sensor(tree).channels
    assert quick.update_seconds == pytest.approx(0.001, abs=0.0003)
    assert slow.update_seconds == pytest.approx(0.05, abs=0.001)
