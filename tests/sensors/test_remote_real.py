"""Against the real prometheus-node-exporter and a real Prometheus server, in real time.

    apt-get install prometheus-node-exporter prometheus

The exporter reads a powercap tree whose counters show a known energy.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from fake_powercap import Layout, Zone, running

from pytest_energy.sensors.base import Clock, Kind, Probe, SensorFault
from pytest_energy.sensors.remote import probe
from pytest_energy.sensors.remote_counters import Taken
from pytest_energy.sensors.remote_metrics import Endpoint
from pytest_energy.sensors.remote_page import fetch

NODE_EXPORTER = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(NODE_EXPORTER is None, reason="prometheus-node-exporter isn't installed"),
]
REAL = Clock(time.perf_counter, time.sleep)
IDLE_WATTS, BUSY_WATTS, DRAM_WATTS = 20.0, 100.0, 5.0
ZONES = [Zone("package-0", IDLE_WATTS, start_uj=1_000_000, parts=[Zone("dram", DRAM_WATTS)])]
SCRAPE_SECONDS = 0.25


class Machine:
    """A machine with an exporter: its pages, and the power that its processor draws."""

    def __init__(self, url: str, draw: Callable[[float], None], reset: Callable[[], None]) -> None:
        self.url = url
        self.draw = draw
        self.reset = reset

    def look(self, url: str = "") -> Probe:
        found = probe(Endpoint("box", url or self.url), (), REAL, Taken(), print)
        assert found.sensors, found.problem
        return found


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@contextmanager
def serving(command: list[str], page: Endpoint, log: Path) -> Iterator[None]:
    """A program, until it serves a page that lists the processor's counter."""
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as program:
        try:
            ends = time.perf_counter() + 20
            text = ""
            while "node_rapl_package_joules_total" not in text:
                assert program.poll() is None and time.perf_counter() < ends, log.read_text()
                time.sleep(0.05)
                with suppress(SensorFault):
                    text = fetch(page, 1.0)
            yield
        finally:
            program.terminate()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    sysfs = tmp_path / "sys"
    with ExitStack() as stack:
        tree = stack.enter_context(running(sysfs / "class" / "powercap", ZONES, Layout.FLAT))

        def tell(order: str) -> None:
            assert tree.stdin is not None
            tree.stdin.write(f"intel-rapl:0 {order}\n")
            tree.stdin.flush()

        place = f"127.0.0.1:{free_port()}"
        command = [
            str(NODE_EXPORTER),
            "--collector.disable-defaults",
            "--collector.rapl",
            f"--path.sysfs={sysfs}",
            f"--web.listen-address={place}",
        ]
        url = f"http://{place}/metrics"
        stack.enter_context(serving(command, Endpoint("box", url), tmp_path / "exporter.log"))
        yield Machine(url, lambda watts: tell(str(watts)), lambda: tell("reset"))


@contextmanager
def prometheus(machine: Machine, folder: Path) -> Iterator[str]:
    """A Prometheus server that scrapes the exporter: the address of what it federates."""
    place = f"127.0.0.1:{free_port()}"
    target = machine.url.removeprefix("http://").removesuffix("/metrics")
    settings = folder / "prometheus.yml"
    milliseconds = round(SCRAPE_SECONDS * 1000)
    settings.write_text(
        f"global: {{scrape_interval: {milliseconds}ms, scrape_timeout: {milliseconds}ms}}\n"
        f"scrape_configs: [{{job_name: node, static_configs: [{{targets: ['{target}']}}]}}]\n",
        encoding="utf-8",
    )
    command = [
        str(PROMETHEUS),
        f"--config.file={settings}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={place}",
    ]
    url = f"http://{place}/federate?match[]=node_rapl_package_joules_total"
    with serving(command, Endpoint("box", url), folder / "prometheus.log"):
        yield url


def window(
    found: Probe, machine: Machine, seconds: float, meanwhile: Callable[[], None] = lambda: None
) -> tuple[dict[str, float | SensorFault], float]:
    """What each counter counted of busy seconds, and how many these were."""
    (sensor,) = found.sensors
    sensor.open(frozenset(each.name for each in sensor.channels))
    machine.draw(BUSY_WATTS)
    began = time.perf_counter()
    time.sleep(seconds / 2)
    meanwhile()
    sensor.poll()
    time.sleep(seconds / 2)
    machine.draw(IDLE_WATTS)
    ended = time.perf_counter()
    return dict(sensor.close(ended)), ended - began


def test_the_real_node_exporter_is_read_afresh_at_each_request(machine: Machine) -> None:
    found = machine.look()
    # It is on this machine, so it stands for this machine's own counters.
    assert [(each.name, each.kind, each.hardware) for each in found.channels] == [
        ("box:cpu-0", Kind.CPU, ""),
        ("box:dram-0", Kind.DRAM, ""),
    ]
    assert {each.update_seconds for each in found.channels} == {0.0}
    readings, seconds = window(found, machine, 1.0)
    assert readings["box:cpu-0"] == pytest.approx(BUSY_WATTS * seconds, rel=0.04)
    assert readings["box:dram-0"] == pytest.approx(DRAM_WATTS * seconds, rel=0.04)


def test_a_reset_of_the_real_counter_is_a_fault(machine: Machine) -> None:
    machine.draw(500.0)
    time.sleep(0.2)
    readings, _ = window(machine.look(), machine, 0.4, machine.reset)
    fault = readings["box:cpu-0"]
    assert isinstance(fault, SensorFault) and fault.code == "counter-reset"


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus isn't installed")
def test_behind_a_real_prometheus_server_windows_follow_its_scrapes(
    machine: Machine, tmp_path: Path
) -> None:
    with prometheus(machine, tmp_path) as url:
        found = machine.look(url)
        (channel,) = found.channels
        assert channel.update_seconds == pytest.approx(SCRAPE_SECONDS, rel=0.1)
        readings, seconds = window(found, machine, channel.window_seconds)
        assert readings["box:cpu-0"] == pytest.approx(BUSY_WATTS * seconds, rel=0.05)
