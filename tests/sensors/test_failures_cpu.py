"""What can go wrong with the CPU ends in a correct figure or a loud failure: counters, processes.

docs/failures.md holds the sentences.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_powercap import Layout, Powercap, Zone, running
from gpu_bench import LIGHT

from conftest import EnergyPytester

pytestmark = pytest.mark.realtime

WATTS_PER_CORE = 4.0
#: How far a counter may be behind, because the process that moves it had to wait for a core.
LATE_SECONDS = 0.1

#: Lets a test's body look at its counter and set it.
ZONE = """
import os, time
from pathlib import Path

def joules(zone="intel-rapl:0"):
    return int(Path(os.environ["POWERCAP"], zone, "energy_uj").read_text()) / 1e6

def order(text, zone="intel-rapl:0"):
    with open(os.environ["POWERCAP_ORDERS"], "w") as file:
        file.write(f"{zone} {text}\\n")

def halt():
    order("0")
    while True:
        before = joules()
        time.sleep(0.05)
        if joules() == before:
            break
"""


class CpuBench:
    """Runs a test file on a machine without a GPU and with a tree of counters, or without one."""

    def __init__(self, bench: EnergyPytester, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._bench = bench
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("POWERCAP", str(root))
        monkeypatch.setenv("COLUMNS", "200")  # sentences stay in one line
        bench.pytester.makepyfile(zone=ZONE)
        bench.pytester.makeini(f"[pytest]\nenergy_cpu_counter_folder = {root}\n")

    @contextmanager
    def counters(self, zones: Sequence[Zone]) -> Iterator[None]:
        with running(self.root, zones, Layout.FLAT) as process:
            self._monkeypatch.setenv("POWERCAP_ORDERS", f"/proc/{process.pid}/fd/0")
            yield

    def run(
        self, source: str, *options: str, command: Sequence[str] = (), gpus: str = "none"
    ) -> pytest.RunResult:
        """command: what pytest is started with."""
        self._bench.write("from zone import *\n" + source)
        record = f"--energy-json={self._bench.record_path}"
        pytest_ = [*command, sys.executable, "-m", "pytest", *LIGHT, f"--energy-gpus={gpus}"]
        return self._bench.pytester.run(
            *pytest_, "--energy-max-seconds=0.4", record, *options, timeout=180
        )

    def test(self, name: str = "test_it") -> dict[str, Any]:
        return self._bench.tests()[name]

    def record(self) -> dict[str, Any]:
        return self._bench.record()


@pytest.fixture
def cpu(
    energy_pytester: EnergyPytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CpuBench:
    return CpuBench(energy_pytester, tmp_path / "powercap", monkeypatch)


def window(
    body: str, limit: str = "1 kJ / query", name: str = "test_it", scope: str = "cpu"
) -> str:
    """A test whose body is measured in one window."""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    head = f"@budget('{limit}', scope='{scope}')\ndef {name}(energy):\n"
    return f"{head}    with energy.window():\n{lines}\n"


def assert_estimated(test: dict[str, Any], at_least: float, at_most: float) -> None:
    """CPU seconds within bounds, and 4 W for each of them."""
    assert test["method"] == "estimated"
    assert at_least <= test["cpu_seconds_per_unit"] <= at_most
    joules = WATTS_PER_CORE * test["cpu_seconds_per_unit"]
    assert test["joules_per_unit"] == pytest.approx(joules, rel=1e-9)


def assert_unmeasured(test: dict[str, Any], words: str) -> None:
    assert (test["verdict"], test["joules_per_unit"]) == ("unmeasured", None)
    assert words in test["reason"]


# Without counters


def test_without_gpu_driver_and_counter_the_figure_is_an_estimate_aloud(
    cpu: CpuBench, fake_nvml_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library is there and no driver answers it.
    monkeypatch.setenv("LD_LIBRARY_PATH", str(fake_nvml_library))
    monkeypatch.setenv("FAKE_NVML_SCENARIO", "")
    source = window("spin(50)", scope="auto") + window("spin(50)", name="test_gpu", scope="gpu")
    result = cpu.run(source, gpus="auto")
    result.assert_outcomes(passed=1, failed=1)
    assert_estimated(cpu.test(), 0.05, 0.1)
    result.stdout.fnmatch_lines(
        [
            'energy: unmeasured: scope="gpu" and no GPU in use: no NVIDIA driver answers (NVML: *)',
            "*test_it.py::test_it * estimated * pass *",
        ]
    )
    result = cpu.run(window("spin(50)"), "--energy-require=measured")
    result.assert_outcomes(failed=1)
    assert_unmeasured(
        cpu.test(), "--energy-require measured asks for a counter, and cpu:process is estimated ("
    )


def test_a_counter_that_this_user_may_not_read_is_an_estimate_aloud(cpu: CpuBench) -> None:
    tree = Powercap(cpu.root, [Zone("package-0")], Layout.FLAT, 0.0)
    tree.close()
    (cpu.root / "intel-rapl:0" / "energy_uj").chmod(0)
    # Root reads everything, unless it gives up these two rights.
    as_a_user = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    result = cpu.run(window("spin(50)"), command=as_a_user if os.geteuid() == 0 else [])
    result.assert_outcomes(passed=1)
    assert_estimated(cpu.test(), 0.05, 0.1)
    assert cpu.record()["machine"]["notes"] == [
        "the CPU's energy is estimated: no permission for the RAPL counters: this user may not "
        "read energy_uj of package-0; run pytest-energy doctor for details"
    ]
    result.stdout.fnmatch_lines(["the CPU's energy is estimated: no permission*"])


def test_a_counter_that_stands_still_from_the_start_is_an_estimate_aloud(cpu: CpuBench) -> None:
    frozen = Zone("package-0", files={"energy_uj": "123456\n"})
    Powercap(cpu.root, [frozen], Layout.FLAT, 0.0).close()
    result = cpu.run(window("spin(50)"))
    result.assert_outcomes(passed=1)
    assert_estimated(cpu.test(), 0.05, 0.1)
    result.stdout.fnmatch_lines(
        ["the CPU's energy is estimated: *the energy counter of package-0 does not change;*"]
    )


# Counters that are no plain sum


def test_a_mirrored_counter_counts_once_and_a_stopped_one_is_unmeasured(cpu: CpuBench) -> None:
    """One machine with psys, parts, and dies that show one counter; then a reset and an end."""
    die = Zone("package-0-die-0", 40.0, start_uj=10**9, parts=[Zone("core", 30.0), Zone("dram", 5)])
    mirror = Zone("package-0-die-1", mirrors="intel-rapl:0")
    source = (
        window("time.sleep(0.7); spin(100)")
        + window("spin(300); order('reset'); spin(300)", name="test_reset")
        + window("spin(300); order('0'); spin(300)", name="test_frozen")
    )
    with cpu.counters([die, mirror, Zone("psys", 90.0)]):
        result = cpu.run(source)
    result.assert_outcomes(passed=1, failed=2)
    test = cpu.test()
    assert [each["name"] for each in test["channels"] if each["gated"]] == [
        "cpu:package-0-die-0",
        "dram:0-die-0",
    ]
    (only,) = test["rounds"]
    true = 45.0 * only["seconds"]
    assert test["joules_per_unit"] == pytest.approx(true, abs=45.0 * LATE_SECONDS)
    assert_unmeasured(cpu.test("test_reset"), "can draw at most 1,000 W, so the counter was reset")
    assert_unmeasured(cpu.test("test_frozen"), "it may have stopped during the work")


@pytest.mark.parametrize("when", ["begin", "middle", "end"])
def test_a_counter_that_stands_still_for_a_while_in_a_window_is_unmeasured(
    cpu: CpuBench, when: str
) -> None:
    """As long as half of the window, and it goes on before the window's end."""
    before, after = {"begin": (0, 600), "middle": (300, 300), "end": (600, 20)}[when]
    source = window(
        f"spin({before}); halt(); time.sleep(0.6); order('40'); spin({after})"
    ) + window("spin(500)", name="test_after")
    with cpu.counters([Zone("package-0", 40.0)]):
        cpu.run(source).assert_outcomes(passed=1, failed=1)
    assert_unmeasured(cpu.test(), "cpu:package-0: the energy counter stalled for at least ")
    assert cpu.test()["code"] == "counter-stalled"
    assert cpu.test("test_after")["method"] == "measured"


#: Works until the counter has started again at 0 so many times; returns what it drew.
WRAPS = """
drawn, last, times = 0.0, joules(), 0
while times < {times}:
    time.sleep(0.002)
    now = joules()
    drawn += now - last + ({range} if now < last else 0)
    times += now < last
    last = now
spin(100)
"""


@pytest.mark.parametrize(
    ("times", "range_joules", "watts", "start_joules"),
    # The once comes after 0.7 s, the next would after 10 s, and could be hidden after 60 s.
    [(1, 600.0, 60.0, 560.0), (2, 15.0, 60.0, 1.0)],
    ids=["once", "twice"],
)
def test_a_counter_that_starts_again_in_a_window(
    cpu: CpuBench, times: int, range_joules: float, watts: float, start_joules: float
) -> None:
    zone = Zone(
        "package-0",
        0.2,  # until the test begins, however long pytest takes to start
        start_uj=int(start_joules * 1e6),
        range_uj=int(range_joules * 1e6),
        files={"constraint_0_max_power_uw": "35000000\n"},  # so that 70 W is the ceiling
    )
    with cpu.counters([zone]):
        source = window(WRAPS.format(times=times, range=range_joules).strip())
        busy = f"    order('{watts:g}'); time.sleep(0.1)\n    with energy"
        result = cpu.run(source.replace("    with energy", busy))
    test = cpu.test()
    (only,) = test["rounds"]
    if times == 1:
        result.assert_outcomes(passed=1)
        true = watts * only["seconds"]
        assert test["joules_per_unit"] == pytest.approx(true, abs=watts * LATE_SECONDS)
    else:  # what the counter shows is less than half of what was used
        result.assert_outcomes(failed=1)
        assert_unmeasured(
            test,
            "the energy counter starts again after 15 J, and may have done so more than once in ",
        )
        assert "measure in windows shorter than 0.2 s" in test["reason"]


# Child processes

CHILDREN = """
import subprocess, sys

BURN = "import sys, time\\nend = time.process_time() + {}\\n"
BURN += "while time.process_time() < end: pass\\n"
BURN += "print('done', flush=True)\\n"
LEFT = []

def child(seconds, after="sys.stdin.read()"):
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", BURN.format(seconds) + after],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    LEFT.append(process)
    process.stdout.readline()  # until it has used as much
    return process

def used(process):
    return time.clock_gettime((~process.pid << 3) | 2)
"""


def test_a_child_left_running_counts_as_long_as_it_runs(
    cpu: CpuBench, energy_pytester: EnergyPytester
) -> None:
    source = (
        CHILDREN
        + window("child(0.2, 'while True: pass')\ntime.sleep(0.2)\nend = used(LEFT[0])")
        + "    LEFT[0].kill(), LEFT[0].wait()\n    Path('used').write_text(str(end))\n"
        + window("forked = os.fork()\nwhile not forked: pass\nspin(20)", name="test_fork")
        + "    LEFT.append(forked)\n"
        + window("spin(20)", name="test_beside")
        + "    os.kill(LEFT[1], 9)\n    os.waitpid(LEFT[1], 0)\n"
        + window("spin(20)", name="test_after")
        + "    child(0.0)  # left idle: nobody waits for it\n"
    )
    cpu.run(source).assert_outcomes(passed=2, failed=2)
    used = float((energy_pytester.pytester.path / "used").read_text())
    # A busy child goes on with what the window asked for, but what it used until then is counted.
    for test in (cpu.test(), cpu.test("test_fork")):
        assert_unmeasured(test, "threads of the test's processes still ran")
    assert used <= cpu.test()["cpu_seconds_per_unit"] <= used + 0.15  # what starting it took here
    assert 0.02 <= cpu.test("test_fork")["cpu_seconds_per_unit"] <= 1.0
    assert_estimated(cpu.test("test_beside"), 0.02, 1.0)  # it still runs
    assert_estimated(cpu.test("test_after"), 0.02, 0.04)


def test_a_child_that_ends_in_a_window_does_not_bring_its_past(cpu: CpuBench) -> None:
    source = (
        CHILDREN
        + "@pytest.fixture\ndef server():\n    return child(0.5)\n"
        + window("spin(20)\nserver.communicate()").replace("(energy)", "(energy, server)")
    )
    cpu.run(source).assert_outcomes(passed=1)
    assert_estimated(cpu.test(), 0.02, 0.2)


# Children that nobody waits for, and tests that replace what sensors use


@pytest.mark.parametrize("inherited", [False, True])
def test_a_child_is_lost_where_its_end_is_ignored(cpu: CpuBench, inherited: bool) -> None:
    source = CHILDREN + "import signal\n"
    if not inherited:
        source += "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    source += window("child(0.4, '')\nspin(20)")
    source += window("spin(20)", name="test_alone")
    # bash ignores a signal for what it starts too.
    command = ["bash", "-c", "trap '' CHLD; exec \"$@\"", "bash"] if inherited else []
    result = cpu.run(source, command=command)
    result.assert_outcomes(passed=1, failed=1)
    assert_unmeasured(
        cpu.test(), "and SIGCHLD is ignored, so part of the CPU time is unknown; restore it: "
    )
    assert cpu.test()["code"] == "children-unseen"
    assert_estimated(cpu.test("test_alone"), 0.02, 0.04)


def test_a_grandchild_is_lost_where_its_parent_does_not_wait(cpu: CpuBench) -> None:
    parent = (
        "import signal, subprocess, sys\\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\\n"
        "subprocess.Popen([sys.executable, '-I', '-c', sys.argv[1]]).wait()\\n"
    )
    source = (
        CHILDREN
        + f'PARENT = "{parent}"\n'
        + window(
            "subprocess.run([sys.executable, '-I', '-c', PARENT, BURN.format(0.4)], check=True)"
        )
    )
    cpu.run(source).assert_outcomes(failed=1)
    assert_unmeasured(
        cpu.test(),
        "and no parent waited for it, so part of the CPU time is unknown; wait for every process",
    )
    assert cpu.test()["code"] == "children-unseen"


ORPHAN = """
def orphan(how, seconds):
    '''A process whose parent ends at once. A byte comes at half of its work, and its end.'''
    ended, end = os.pipe()
    half = BURN.format(seconds / 2) + f"import os; os.write({end}, b'.')\\n"
    command = [sys.executable, "-I", "-c", half + BURN.format(seconds / 2)]
    if how in ("shell", "of another run"):
        os.set_inheritable(end, True)
        owner = "" if how == "shell" else "_PYTEST_ENERGY_OWNER=1 "
        script = owner + '"$@" >/dev/null &'
        subprocess.run(["sh", "-c", script, "sh", *command], pass_fds=[end])
    elif not (child := os.fork()):
        os.setsid()
        if not os.fork():
            if how == "exec":
                os.set_inheritable(end, True)
                os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
                os.execv(command[0], command)
            spin(500 * seconds)
            os.write(end, b".")
            spin(500 * seconds)
        os._exit(0)
    else:
        os.waitpid(child, 0)
    os.close(end)
    return ended
"""


@pytest.mark.parametrize("how", ["shell", "exec", "fork"])
def test_an_orphan_counts_while_it_is_there_and_is_lost_after_it(cpu: CpuBench, how: str) -> None:
    source = (
        CHILDREN
        + ORPHAN
        + window(f"ended = orphan({how!r}, 0.4)\nwhile os.read(ended, 1): pass\nspin(20)")
        + window(f"os.read(orphan({how!r}, 0.8), 1)", name="test_running")
    )
    cpu.run(source)
    test = cpu.test()
    if test["verdict"] == "pass":  # whoever inherits it hasn't cleared it away yet
        assert_estimated(test, 0.4, 0.6)
    else:
        assert_unmeasured(test, "and no parent waited for it")
        assert test["code"] == "children-unseen"
    assert cpu.test("test_running")["cpu_seconds_per_unit"] > 0.3


def test_an_orphan_of_another_run_in_a_test_of_this_name_does_not_count(cpu: CpuBench) -> None:
    source = CHILDREN + ORPHAN + window("os.read(orphan('of another run', 0.8), 1)\nspin(200)")
    cpu.run(source).assert_outcomes(passed=1)
    assert cpu.test()["cpu_seconds_per_unit"] < 0.35


def test_a_fork_in_a_window_warns_of_no_thread_and_the_window_is_watched_after_it(
    cpu: CpuBench,
) -> None:
    source = (
        CHILDREN
        + ORPHAN
        + "import threading\nTHREADS = threading.active_count()\n"
        + window(
            "assert threading.active_count() == THREADS\nended = orphan('fork', 0.4)\n"
            "while os.read(ended, 1): pass\nspin(20)"
        )
    )
    cpu.run(source, "-W", "error")
    test = cpu.test()
    assert test["code"] in {"children-unseen", ""}, test["reason"]
    if test["verdict"] == "pass":  # whoever inherits it hasn't cleared it away yet
        assert_estimated(test, 0.4, 0.6)


@pytest.mark.parametrize("how", ["listdir", "clock", "modules", "pyfakefs", "freezegun"])
def test_a_test_that_patches_clocks_or_files_changes_no_figure(cpu: CpuBench, how: str) -> None:
    if how == "pyfakefs":  # its plugin imports pandas into every run, so no environment has it
        pytest.importorskip("pyfakefs")
    replaced = {
        "modules": "import types\n"  # as pyfakefs does it, in every module that is loaded
        "    fake = types.ModuleType('os')\n"
        "    vars(fake).update(vars(os), listdir=lambda *_: [], read=lambda *_: b'')\n"
        "    for name, module in list(sys.modules.items()):\n"
        "        if name.startswith('pytest_energy.') and getattr(module, 'os', 0) is os:\n"
        "            monkeypatch.setattr(module, 'os', fake)",
        "listdir": "monkeypatch.setattr(os, 'listdir', lambda *_: [])",
        "clock": "monkeypatch.setattr(time, 'clock_gettime', lambda *_: 0.0)\n"
        "    monkeypatch.setattr(time, 'process_time', lambda: 0.0)\n"
        "    monkeypatch.setattr(time, 'perf_counter', lambda: 0.0)",
        "pyfakefs": "request.getfixturevalue('fs')",
        "freezegun": "import freezegun; freezegun.freeze_time('2020-01-01').start()",
    }[how]
    spin = "CHILD.stdin.write(b'\\n'); CHILD.stdin.flush(); CHILD.stdout.readline()"
    source = (
        "import subprocess, sys\n"
        "BURN = 'import sys, time\\n'\n"
        "BURN += 'for line in sys.stdin.buffer:\\n'\n"
        "BURN += '    end = time.process_time() + 0.3\\n'\n"
        "BURN += '    while time.process_time() < end: pass\\n'\n"
        "BURN += '    print(flush=True)\\n'\n"
        "CHILD = subprocess.Popen([sys.executable, '-I', '-c', BURN], stdin=-1, stdout=-1)\n"
        "@pytest.fixture\ndef replaced(monkeypatch, request):\n"
        f"    {replaced}\n"
        + window(spin).replace("(energy)", "(energy, replaced)")
        + "    CHILD.stdin.close()\n"
    )
    cpu.run(source).assert_outcomes(passed=1)
    assert_estimated(cpu.test(), 0.3, 0.4)


def test_a_test_that_patches_what_its_children_used_changes_no_figure(cpu: CpuBench) -> None:
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    source = (
        "import resource, subprocess, sys\n"
        "@pytest.fixture\ndef replaced(monkeypatch):\n"
        "    usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "    monkeypatch.setattr(resource, 'getrusage', lambda who: usage)\n"
        + window(f"subprocess.run([sys.executable, '-I', '-c', {burn!r}])").replace(
            "(energy)", "(energy, replaced)"
        )
    )
    cpu.run(source).assert_outcomes(passed=1)
    assert_estimated(cpu.test(), 0.3, 0.6)


def test_a_test_that_has_no_descriptor_left_is_measured(cpu: CpuBench) -> None:
    source = (
        CHILDREN
        + window(
            "process = child(0.0, 'sys.stdin.read(1)\\n' + BURN.format(0.3))\n"
            "files = []\n"
            "try:\n"
            "    while True: files.append(os.open('/dev/null', os.O_RDONLY))\n"
            "except OSError: pass\n"
            "process.stdin.write(b'x'); process.stdin.flush(); process.stdout.readline()\n"
            "time.sleep(0.2)"
        )
        + "    for each in files: os.close(each)\n"
    )
    cpu.run("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n" + source)
    assert_estimated(cpu.test(), 0.3, 0.5)
