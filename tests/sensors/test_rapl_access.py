"""RAPL counters that are absent, masked or denied, with real permissions and mounts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_powercap import Layout, Zone, running
from rapl_bench import ALL, PACKAGE, REAL, SERVER, RaplBench, names

from pytest_energy.sensors import CPU_COUNTER_FOLDER, powercap
from pytest_energy.sensors.base import Access
from pytest_energy.sensors.rapl import probe


@pytest.fixture
def root(rapl_bench: RaplBench) -> Path:
    return rapl_bench.root()


def test_a_root_that_is_not_there_is_absent(rapl_bench: RaplBench, root: Path) -> None:
    found = rapl_bench.look(root)
    assert found.access is Access.ABSENT
    assert (
        found.problem
        == "no RAPL counters: the folder that energy_cpu_counter_folder names does not exist"
    )
    assert "sudo modprobe intel_rapl_msr" in found.remedy
    assert "Check that energy_cpu_counter_folder names the folder intel-rapl" in found.remedy


@pytest.mark.parametrize("what", ["file", "empty", "control type", "another type", "psys"])
def test_a_root_without_packages_is_absent(rapl_bench: RaplBench, root: Path, what: str) -> None:
    if what == "psys":
        root = rapl_bench.tree([Zone("psys")]).root
    elif what == "file":
        root.parent.mkdir(parents=True)
        root.touch()
    elif what == "empty":
        root.mkdir(parents=True)
    elif what == "control type":
        (root / "intel-rapl").mkdir(parents=True)
    else:
        (root / "dtpm" / "dtpm:0").mkdir(parents=True)
    found = rapl_bench.look(root)
    assert found.access is Access.ABSENT
    assert found.left_out == (
        {"psys (intel-rapl:0)": "contains the packages"} if what == "psys" else {}
    )


def test_the_usual_place_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powercap, "CPU_COUNTER_FOLDER", root)
    found = probe(root, REAL)
    assert found.problem == f"no RAPL counters: {root} does not exist"
    assert "energy_cpu_counter_folder" not in found.remedy


@pytest.mark.parametrize("gone", ["intel-rapl", "intel-rapl/intel-rapl:1"])
def test_links_that_lead_nowhere_are_masked(rapl_bench: RaplBench, gone: str) -> None:
    tree = rapl_bench.tree(SERVER, Layout.LINKED)
    shutil.rmtree(tree.devices / gone)
    found = rapl_bench.look(tree.root, tree.clock)
    assert found.access is Access.MASKED
    assert "intel-rapl:1, intel-rapl:1:0 are hidden, as in a container" in found.problem
    assert "docker run -v /sys/devices/virtual/powercap:/powercap:ro" in found.remedy
    assert "CVE-2020-8694" in found.remedy


def test_a_control_type_as_root_that_leads_nowhere_is_masked(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree(SERVER, Layout.LINKED)
    shutil.rmtree(tree.devices)
    found = rapl_bench.look(tree.root / "intel-rapl")
    assert found.access is Access.MASKED
    assert found.problem.endswith("names is a broken link")


@pytest.mark.parametrize("layout", [Layout.NESTED, Layout.FLAT])
def test_a_zone_without_its_counter_is_masked(rapl_bench: RaplBench, layout: Layout) -> None:
    tree = rapl_bench.tree(SERVER, layout)
    (tree.folders["intel-rapl:1:0"] / "energy_uj").unlink()
    found = rapl_bench.look(tree.root, tree.clock)
    assert found.access is Access.MASKED
    assert found.problem.endswith(": the counters of intel-rapl:1:0 are hidden, as in a container")


def test_a_zone_that_is_left_out_anyway_may_be_hidden(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree([PACKAGE, Zone("package-0", control="intel-rapl-mmio")])
    (tree.folders["intel-rapl-mmio:0"] / "energy_uj").unlink()
    assert names(rapl_bench.look(tree.root, tree.clock))[0] == "cpu:package-0"


@pytest.mark.parametrize(
    "file", ["energy_uj", "name", "max_energy_range_uj", "constraint_0_power_limit_uw"]
)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(rapl_bench: RaplBench, file: str) -> None:
    tree = rapl_bench.tree([Zone("package-0"), Zone("package-1")])
    path = tree.folders["intel-rapl:1"] / file
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    found = rapl_bench.look(tree.root, tree.clock)
    assert found.access is (Access.READABLE if "constraint" in file else Access.FAULTY)


@pytest.mark.parametrize("file", ["name", "max_energy_range_uj"])
def test_other_files_that_may_not_be_read_are_denied_too(rapl_bench: RaplBench, file: str) -> None:
    tree = rapl_bench.tree(SERVER)
    path = tree.folders["intel-rapl:1"] / file
    path.chmod(0o000)
    access, _, remedy, _ = look_elsewhere(tree.root, UNPRIVILEGED)
    assert access == "denied"
    assert "usermod -aG" in remedy


PROBE = """
import json, sys, time
from pathlib import Path
from pytest_energy.sensors.base import Clock
from pytest_energy.sensors.rapl import probe

found = probe(Path(sys.argv[1]), Clock(time.perf_counter, time.sleep))
channels = [channel.name for channel in found.channels]
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
def denied(rapl_bench: RaplBench) -> Path:
    tree = rapl_bench.tree(SERVER, Layout.LINKED)
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
    assert "POWERCAP_ROOT stands for the folder that energy_cpu_counter_folder names" in remedy
    assert str(denied) not in remedy


def test_one_counter_that_may_not_be_read_spoils_the_sum(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree(SERVER)
    (tree.folders["intel-rapl:1:0"] / "energy_uj").chmod(0o000)
    access, problem, *_ = look_elsewhere(tree.root, UNPRIVILEGED)
    assert access == "denied"
    assert problem.endswith(": this user may not read energy_uj of dram of package-1")


def test_a_folder_that_may_not_be_listed_is_denied(rapl_bench: RaplBench) -> None:
    root = rapl_bench.tree(SERVER).root
    root.chmod(0o000)
    access, problem, remedy, _ = look_elsewhere(root, UNPRIVILEGED)
    root.chmod(0o700)
    assert access == "denied"
    assert 'chmod -R g+rX "$POWERCAP_ROOT"' in remedy
    assert problem.endswith(
        ": this user may not list the folder that energy_cpu_counter_folder names"
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
def test_a_mount_that_hides_the_zones_is_masked(rapl_bench: RaplBench, below: str) -> None:
    root = rapl_bench.tree(SERVER).root
    command = in_mounts(f"mount -t tmpfs -o ro none '{root / below}'")
    access, problem, remedy, _ = look_elsewhere(root, command)
    assert access == "masked"
    assert problem == (
        "the RAPL counters are masked: something is mounted over the folder that "
        "energy_cpu_counter_folder names, as in a container"
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


def test_a_mount_over_a_zone_is_masked(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree(SERVER)
    command = in_mounts(f"mount -t tmpfs none '{tree.folders['intel-rapl:1']}'")
    access, problem, *_ = look_elsewhere(tree.root, command)
    assert (access, "intel-rapl:1 are hidden" in problem) == ("masked", True)


def test_dev_null_over_a_counter_is_masked(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree(SERVER)
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
        access, problem, remedy, channels = look_elsewhere(CPU_COUNTER_FOLDER, in_mounts(script))
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
    assert look_elsewhere(CPU_COUNTER_FOLDER, in_mounts(f"{empty}; {devices}"))[0] == "absent"
    command = in_mounts(f"{empty}; {devices}; {over}")
    access, problem, *_ = look_elsewhere(CPU_COUNTER_FOLDER, command)
    assert access == "masked"
    assert problem.endswith(": something is mounted over /sys/class/powercap, as in a container")
