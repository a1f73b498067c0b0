"""What a machine can measure, as `pytest-energy doctor` tells it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_powercap import Layout, Zone, running

from pytest_energy.measurement.doctor import Device, Diagnosis, Gated, Reading
from pytest_energy.report.doctor import render_diagnosis
from pytest_energy.sensors.base import Missing

BOARDS = """\
gpu uuid=GPU-aaaa name=Fake-A100 watts=80 period_ms=50 limit_w=400
gpu uuid=GPU-bbbb name=Fake-T4 watts=30 counter=no
"""


class Doctor:
    """Runs the command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "COLUMNS": "80"}

    def ini(self, text: str) -> None:
        (self.folder / "pytest.ini").write_text("[pytest]\n" + text, encoding="utf-8")

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest_energy.cli", "doctor", "--seconds=0.5", *options]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )

    def found(self) -> dict[str, Any]:
        answer = self.run("--json")
        assert answer.returncode == 0, answer.stderr
        return dict(json.loads(answer.stdout))


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    folder = tmp_path / "project"
    folder.mkdir()
    return Doctor(folder)


def test_without_any_counter_the_estimate_and_the_missing_counters_are_reported(
    doctor: Doctor,
) -> None:
    doctor.ini("energy_cpu_counter_folder = nowhere\n")
    found = doctor.found()
    (reading,) = found["readings"]
    assert (reading["channel"], reading["provenance"]) == ("cpu:process", "estimated")
    assert 0 < reading["watts"] <= 4.5
    assert [each["what"] for each in found["missing"]] == [
        "NVIDIA GPUs",
        "CPU counter (RAPL)",
        "measured CPU energy",
    ]
    assert all(each["why"] and each["remedy"] for each in found["missing"])
    (auto,) = found["auto"]
    assert (auto["scope"], auto["channels"], auto["tolerance"]) == ("cpu", ["cpu:process"], 0.15)
    assert found["works"] is True


@pytest.mark.realtime
def test_every_instrument_is_read_live(
    doctor: Doctor, gpu_env: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    doctor.environment |= gpu_env(BOARDS)
    zones = [Zone("package-0", 40.0, parts=[Zone("core", 9.0), Zone("dram", 5.0)])]
    zones += [Zone("psys", 90.0)]
    with running(tmp_path / "powercap", zones, Layout.LINKED):
        doctor.ini(f"energy_cpu_counter_folder = {tmp_path / 'powercap'}\n")
        found = doctor.found()
    readings = {each["channel"]: each for each in found["readings"]}
    assert {name: each["provenance"] for name, each in readings.items()} == {
        "gpu:0": "measured",
        "gpu:1": "integrated",
        "cpu:package-0": "measured",
        "dram:0": "measured",
        "cpu:process": "estimated",
    }
    for name, watts in {"gpu:0": 80, "gpu:1": 30, "cpu:package-0": 40, "dram:0": 5}.items():
        assert readings[name]["watts"] == pytest.approx(watts, rel=0.05)
        assert readings[name]["plausible"] == "yes"
    assert readings["gpu:0"]["update_seconds"] == pytest.approx(0.05, rel=0.2)
    assert [each["what"] for each in found["missing"]] == ["energy counter of gpu:1"]
    assert len(found["left_out"]) == 2
    cpu, gpu = found["auto"]
    assert cpu["channels"] == ["cpu:package-0", "dram:0"]
    assert (gpu["channels"], gpu["evidence"]) == (["gpu:0", "gpu:1"], "integrated")
    assert found["gpus_in_use"] == []
    assert found["why_in_use"] == "the driver lists no process of this test on a GPU"


def test_nothing_private_is_printed(doctor: Doctor, tmp_path: Path) -> None:
    root = tmp_path / "powercap"
    zone = root / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("1000\n")
    doctor.ini(f"energy_cpu_counter_folder = {root}\n")
    doctor.environment |= {"LOGNAME": "zaphod", "USER": "zaphod"}
    printed = doctor.run().stdout + doctor.run("--json").stdout
    assert "Missing, and what to do about it:" in printed
    for private in (platform.node(), "zaphod", str(tmp_path), str(Path.home())):
        assert private not in printed
    lines = doctor.run().stdout.splitlines()
    assert all(len(line) <= 80 for line in lines if not line.startswith(("    docker", "    sudo")))


def test_settings_are_those_of_pytest_in_this_folder(doctor: Doctor) -> None:
    (doctor.folder / "energy-budgets.toml").write_text(
        "schema = 1\n[estimate]\ncpu_watts_per_core = 9\n", encoding="utf-8"
    )
    (reading,) = doctor.found()["readings"]
    assert "x 9 W a core" in reading["source"]
    doctor.ini("energy_gpus = all of them\nenergy_cpu_counter_folder = gone\n")
    answer = doctor.run("--json")
    assert answer.returncode == 2
    told = json.loads(answer.stdout)["missing"][0]
    assert told["what"] == "settings"
    assert "energy_gpus in pytest.ini: 'all of them'" in told["why"]


@pytest.mark.parametrize(
    "conftest",
    [
        "print('HELLO')",
        "import warnings\nwarnings.warn('x')",
        "import sys\nprint('bye', flush=True)\nsys.exit(7)",
        "raise RuntimeError('broken')",
    ],
)
def test_a_conftest_that_prints_or_fails_does_not_spoil_it(doctor: Doctor, conftest: str) -> None:
    doctor.ini("filterwarnings = error\n")
    (doctor.folder / "conftest.py").write_text(conftest + "\n", encoding="utf-8")
    answer = doctor.run("--json")
    found = json.loads(answer.stdout)
    works = "HELLO" in conftest
    assert answer.returncode == (0 if works else 2)
    assert [each["what"] for each in found["missing"]].count("settings") == (not works)


def test_the_limits_that_doctor_reports_are_those_of_pytest(doctor: Doctor) -> None:
    (doctor.folder / "energy-budgets.toml").write_text(
        "schema = 1\n[defaults]\ntolerance = 0.07\n", encoding="utf-8"
    )
    doctor.ini("energy_cpu_counter_folder = gone\n")
    assert doctor.found()["auto"][0]["tolerance"] == 0.07
    doctor.environment["PYTEST_ENERGY_REQUIRE"] = "measured"
    assert "asks for a counter" in doctor.found()["auto"][0]["problem"]


@pytest.mark.realtime
def test_slices_and_lost_boards_are_reported_without_their_ids(
    doctor: Doctor, gpu_env: Callable[[str], dict[str, str]]
) -> None:
    slices = "gpu uuid=GPU-aaaa watts=80 mig=enabled\nmig gpu=0 uuid=MIG-secret slices=3\n"
    doctor.environment |= gpu_env(slices)
    answer = doctor.run("--json")
    assert "secret" not in answer.stdout
    assert "a MIG slice of gpu:0" in answer.stdout
    doctor.environment["PYTEST_ENERGY_GPUS"] = "GPU-zzz"
    answer = doctor.run("--json")
    assert answer.returncode == 2
    assert "aaaa" not in answer.stdout
    doctor.environment.pop("PYTEST_ENERGY_GPUS")
    lost = "gpu uuid=GPU-aaaa name=A\ngpu uuid=GPU-bbbb name=B watts=70\n"
    doctor.environment |= gpu_env(lost + "fault function=nvmlDeviceGetHandleByIndex gpu=0 error=15")
    assert doctor.found()["devices"] == [
        {"channel": "gpu:1", "name": "B", "power_limit_watts": 400.0}
    ]


#: An extension with one instrument that answers, and one that does not.
EXTENSION = """
from pytest_energy.sensors import clock
from pytest_energy.sensors.base import Access, Clock, Device, Kind, Probe
from pytest_energy.testing import ScriptedSensor

def pytest_energy_sensors(config):
    sensor = ScriptedSensor(50.0, Clock(clock.now, clock.sleep), name="npu:0")
    yes = Probe(
        access=Access.READABLE,
        kinds=frozenset({Kind.MACHINE}),
        sensors=(sensor,),
        devices=(Device(channel="npu:0", name="N1", power_limit_watts=75.0),),
        notes=("npu:0: its firmware is old",),
        left_out={"npu:1": "it is reserved"},
        versions={"npu-driver": "3.1"},
    )
    no = Probe.unavailable(
        "smart plug", Access.ABSENT, {Kind.MACHINE}, "no plug answers", "# Switch it on."
    )
    return [yes, no]
"""


def test_an_extensions_devices_notes_and_missing_instruments_are_listed(doctor: Doctor) -> None:
    doctor.ini("energy_cpu_counter_folder = nowhere\n")
    (doctor.folder / "conftest.py").write_text(EXTENSION, encoding="utf-8")
    found = doctor.found()
    assert found["devices"] == [{"channel": "npu:0", "name": "N1", "power_limit_watts": 75.0}]
    assert found["notes"] == ["npu:0: its firmware is old"]
    assert found["left_out"] == {"npu:1": "it is reserved"}
    assert found["versions"]["npu-driver"] == "3.1"
    plug = {"what": "smart plug", "why": "no plug answers", "remedy": "# Switch it on."}
    assert plug in found["missing"]
    reading = next(each for each in found["readings"] if each["channel"] == "npu:0")
    assert reading["watts"] == pytest.approx(50.0, rel=0.05)


DIAGNOSIS = Diagnosis(
    os="Linux",
    architecture="x86_64",
    cpu="Xeon",
    cpu_count=8,
    devices=(Device("gpu:0", "A100", 400.0),),
    versions={"python": "3.12"},
    seconds=2.0,
    readings=(
        Reading(
            channel="gpu:0",
            source="NVML energy counter of A100",
            provenance="measured",
            watts=None,
            update_seconds=0.1,
            plausible="it stood still",
        ),
    ),
    other_cores=None,
    gpus_in_use=("gpu:0",),
    why_in_use="in use",
    auto=(
        Gated(
            case="any test",
            scope="gpu",
            channels=("gpu:0",),
            evidence="measured",
            tolerance=0.03,
            problem="gpu:0 can't be read: x",
        ),
    ),
    missing=(
        Missing("gpu:0", "can't be read", "# Look at the very\nsudo a-long-command " + "x" * 90),
    ),
    left_out={},
    works=False,
    notes=("meter:1: was calibrated a year ago",),
)


def test_a_diagnosis_as_text() -> None:
    text = render_diagnosis(DIAGNOSIS, 60)
    assert "gpu:0            no reading  measured   refreshed every\n" in text
    assert "any test: unmeasured, because gpu:0 can't be read: x" in text
    assert "    sudo a-long-command " + "x" * 90 + "\n" in text  # a command is never wrapped
    assert "Notes:\n  meter:1: was calibrated a year ago\n" in text
    assert text.endswith("This machine can neither measure nor estimate energy.\n")
