"""Servers that a test talks to and that aren't in its process tree, by real sockets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import EnergyPytester
from pytest_energy.errors import code_of
from pytest_energy.measurement.meter import Window
from pytest_energy.measurement.no_work import work_elsewhere
from pytest_energy.measurement.peers import Peer
from pytest_energy.measurement.protocol import Round
from pytest_energy.sensors.process_tree import ProcessTree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets of others are in /proc")

#: Answers each line with one, after so many milliseconds of CPU time or of sleep.
SERVER = """
import socket, sys, threading, time

kind, where, busy, asleep = sys.argv[1:]

def serve(connection):
    with connection, connection.makefile("rw") as file:
        for line in file:
            end = time.thread_time() + float(busy) / 1000
            while time.thread_time() < end:
                pass
            time.sleep(float(asleep) / 1000)
            file.write("a line that is long enough\\n")
            file.flush()

family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
listener = socket.socket(family)
listener.bind(where if kind == "unix" else ("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1] if kind == "tcp" else where, flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

CLIENT = """
import socket
import time

WHERE = {where!r}

def connected():
    family = socket.AF_UNIX if isinstance(WHERE, str) else socket.AF_INET
    connection = socket.socket(family)
    connection.connect(WHERE if isinstance(WHERE, str) else ("127.0.0.1", WHERE))
    return connection

def asked(connection):
    connection.sendall(b"a line that is long enough\\n")
    return connection.recv(100)

POOL = []
"""
KEPT = """
@budget("1 J / query")
def test_it():
    if not POOL:
        POOL.append(connected())
    spin(0.2)
    asked(POOL[0])
"""
EACH_CALL = """
@budget("1 J / query")
def test_it():
    with connected() as connection:
        asked(connection)
"""
IDLE_POOL = """
@budget("1 J / query")
def test_it():
    if not POOL:
        POOL.append(connected())
        asked(POOL[0])
    spin(3)
"""


class Server:
    """A process of its own, that runs until the test ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[str]] = []

    def start(self, kind: str = "tcp", busy: float = 5, asleep: float = 0) -> tuple[int, int | str]:
        where = str(self._folder / "socket")
        command = [sys.executable, "-c", SERVER, kind, where, str(busy), str(asleep)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        return process.pid, int(line) if kind == "tcp" else line

    def stop(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.mark.parametrize("source", [KEPT, EACH_CALL], ids=["kept", "each call"])
@pytest.mark.parametrize("load", [(5, 0), (0, 10)], ids=["on the CPU", "elsewhere"])
def test_a_server_outside_the_tree_is_unmeasured_with_its_remedy(
    energy_pytester: EnergyPytester, server: Server, source: str, load: tuple[float, float]
) -> None:
    pid, where = server.start("tcp", *load)
    energy_pytester.write(CLIENT.format(where=where) + source)
    energy_pytester.run_process("--energy-max-seconds=1", quick=False).assert_outcomes(failed=1)
    (test,) = energy_pytester.tests().values()
    assert (test["verdict"], test["code"]) == ("unmeasured", "server-outside")
    assert re.fullmatch(
        rf"the test exchanged data with python\S* \(process {pid}, port {where}\), which isn't in "
        rf"its process tree: what that process used isn't counted; add --energy-pids={pid}, or "
        "--energy-pids=auto for each server that a test talks to",
        test["reason"],
    )


@pytest.mark.parametrize("source", [KEPT, EACH_CALL], ids=["kept", "each call"])
def test_so_is_one_behind_a_socket_in_the_file_system(
    energy_pytester: EnergyPytester, server: Server, source: str
) -> None:
    pid, where = server.start("unix")
    energy_pytester.write(CLIENT.format(where=where) + source)
    energy_pytester.run_process("--energy-max-seconds=1", quick=False)
    (test,) = energy_pytester.tests().values()
    assert (test["verdict"], test["code"]) == ("unmeasured", "server-outside")
    assert f"(process {pid}, a socket in the file system)" in test["reason"]


def test_a_server_that_the_user_names_is_measured(
    energy_pytester: EnergyPytester, server: Server
) -> None:
    pid, where = server.start("tcp")
    energy_pytester.write(CLIENT.format(where=where) + KEPT)
    energy_pytester.run_process(f"--energy-pids={pid}").assert_outcomes(passed=1)


@pytest.mark.parametrize(("kind", "source"), [("tcp", EACH_CALL), ("unix", KEPT)])
def test_with_auto_a_server_outside_counts_for_the_test_that_talks_to_it(
    energy_pytester: EnergyPytester, server: Server, kind: str, source: str
) -> None:
    pid, where = server.start(kind)
    alone = '@budget("1 J / query")\ndef test_alone():\n    spin(2)\n'
    energy_pytester.write(CLIENT.format(where=where) + source + alone)
    options = ("--energy-max-seconds=20", "--energy-max-rounds=5", "--energy-pids=auto")
    energy_pytester.run_process(*options, quick=False)
    talks, another = energy_pytester.tests().values()
    assert talks["verdict"] == "pass", talks["reason"]
    assert talks["cpu_seconds_per_unit"] >= 0.005
    (note,) = [each for each in talks["notes"] if "count too" in each]
    assert f"(process {pid})" in note
    assert not [each for each in another["notes"] if "count too" in each]


def test_with_auto_a_server_counts_where_the_first_call_was_all_of_warm_up(
    energy_pytester: EnergyPytester, server: Server
) -> None:
    pid, where = server.start()
    source = KEPT.replace("    spin(0.2)", "        time.sleep(1)\n    spin(0.2)")
    energy_pytester.write(CLIENT.format(where=where) + source)
    energy_pytester.run_process("--energy-max-seconds=2", "--energy-pids=auto", quick=False)
    (test,) = energy_pytester.tests().values()
    assert len([each for each in test["rounds"] if each["warmup"]]) == 1
    assert [f"(process {pid})" in each for each in test["notes"] if "count too" in each] == [True]


def test_with_auto_a_window_counts_what_it_is_connected_to(
    energy_pytester: EnergyPytester, server: Server
) -> None:
    pid, where = server.start()
    energy_pytester.write(
        CLIENT.format(where=where)
        + """
@budget("1 J / query")
def test_it(energy):
    connection = connected()
    asked(connection)
    with energy.window():
        for _ in range(20):
            asked(connection)
"""
    )
    energy_pytester.run_process("--energy-pids=auto")
    (test,) = energy_pytester.tests().values()
    assert test["cpu_seconds_per_unit"] >= 0.1, test["reason"]
    assert f"(process {pid})" in " ".join(test["notes"])


def test_a_process_that_is_added_counts_until_it_is_forgotten() -> None:
    begun = subprocess.run(
        ["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"],
        capture_output=True,
        text=True,
        check=True,
    )
    orphan = int(begun.stdout)  # of a parent that has ended
    try:
        tree = ProcessTree()
        assert orphan not in tree.pids()
        assert tree.add(orphan) and orphan in tree.pids()
        assert not tree.add(orphan)  # it is there
        assert not tree.add(os.getppid())  # what it counts holds this process
        assert not tree.add(2**22 + 1)  # nobody
        tree.forget()
        assert orphan not in tree.pids()
    finally:
        os.kill(orphan, signal.SIGKILL)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_an_idle_connection_of_a_pool_is_not_work(
    energy_pytester: EnergyPytester, server: Server, kind: str
) -> None:
    _, where = server.start(kind)
    energy_pytester.write(CLIENT.format(where=where) + IDLE_POOL)
    energy_pytester.run_process("--energy-max-seconds=1", quick=False).assert_outcomes(passed=1)


def test_a_server_that_the_test_starts_is_measured(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makepyfile(server=SERVER)
    energy_pytester.write(
        """
        import subprocess, sys

        @pytest.fixture(scope="module", autouse=True)
        def server():
            global WHERE
            process = subprocess.Popen(
                [sys.executable, "server.py", "tcp", "", "5", "0"],
                stdout=subprocess.PIPE, text=True,
            )
            WHERE = int(process.stdout.readline())
            yield
            process.kill()
            process.communicate()
        """
    )
    path = energy_pytester.pytester.path / "test_it.py"
    path.write_text(path.read_text() + CLIENT.format(where=0) + KEPT)
    energy_pytester.run_process().assert_outcomes(passed=1)


def rounds(cpu_share: float) -> list[Round]:
    window = Window(seconds=1.0, readings={}, cpu_seconds=cpu_share)
    return [Round(window, 10, {"query": 10.0}, warmup=False)] * 5


def peer(**changes: object) -> Peer:
    values: dict[str, object] = {
        "pid": None, "name": "", "port": 443, "is_remote": True, "exchanged": 50_000,
        "connections": 0, "cpu_seconds": 0.0,
    }  # fmt: skip
    return Peer(**(values | changes))  # type: ignore[arg-type]


def test_another_machine_is_named_by_its_port_alone() -> None:
    told = work_elsewhere([peer()], rounds(0.06))
    assert code_of(told) == "server-elsewhere"
    assert told == (
        "the test exchanged data with port 443 of another machine and used 6 % of one core "
        "itself: what that machine used isn't counted; measure where the model runs, or name its "
        "energy counters with --energy-remote"
    )


def test_a_busy_server_that_answers_single_bytes_did_the_work_that_is_waited_for() -> None:
    found = peer(pid=7, name="server", is_remote=False, exchanged=100, cpu_seconds=3.0)
    assert code_of(work_elsewhere([found], rounds(0.1))) == "server-outside"


@pytest.mark.parametrize(
    ("found", "cpu_share"),
    [
        (peer(), 0.9),  # telemetry beside work that is done here
        (peer(exchanged=300), 0.1),  # a heartbeat
        (peer(exchanged=None, connections=2), 0.1),  # a log line now and then
        (peer(pid=7, is_remote=False, exchanged=0, cpu_seconds=3.0), 0.9),  # busy for others
        (peer(pid=7, is_remote=False, exchanged=300, cpu_seconds=3.0), 0.9),  # and a heartbeat
        (peer(pid=7, is_remote=False, exchanged=99, cpu_seconds=3.0), 0.1),  # two calls in three
        (peer(pid=7, is_remote=False, cpu_seconds=0.01), 0.9),
    ],
)
def test_connections_that_are_no_part_of_the_work(found: Peer, cpu_share: float) -> None:
    assert work_elsewhere([found], rounds(cpu_share)) == ""
