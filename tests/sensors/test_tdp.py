"""Watts of a core from the processor's thermal design power."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester
from pytest_energy.sensors.tdp import watts_per_core

CPUINFO = """\
processor\t: 0
model name\t: {name}
cpu cores\t: {cores}
flags\t\t: fpu vme {flag}

processor\t: 1
model name\t: another
cpu cores\t: 3
"""


def cpuinfo(name: str, cores: object, flag: str = "") -> str:
    return CPUINFO.format(name=name, cores=cores, flag=flag)


@pytest.mark.parametrize(
    ("name", "cores", "watts"),
    [
        ("AMD EPYC 7763 64-Core Processor", 64, 280 / 64),
        ("Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", 24, 210 / 24),
        ("13th Gen Intel(R) Core(TM) i7-13700E", 16, 65 / 16),
    ],
)
def test_the_tables_watts_are_shared_among_the_cores(name: str, cores: int, watts: float) -> None:
    assert watts_per_core(cpuinfo(name, cores)) == pytest.approx(watts)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (cpuinfo("AMD EPYC 7763 64-Core Processor", 2, "hypervisor"), "a virtual machine"),
        (cpuinfo("Intel(R) Xeon(R) Processor", 2), "is not in CodeCarbon's table"),
        (cpuinfo("AMD EPYC 7763 64-Core Processor", "?"), "not known here"),
        ("", "not known here"),
    ],
)
def test_a_processor_without_a_known_tdp_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as error:
        watts_per_core(text)
    assert "cpu_watts_per_core = 4" in str(error.value)


def test_a_test_without_its_watts_is_an_error(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_energy.sensors.tdp._read_cpuinfo", lambda: "")
    energy_pytester.write("@budget('1 kJ / query')\ndef test_it():\n    spin()\n")
    result = energy_pytester.run("--energy-cpu-watts-per-core=tdp")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*tdp: the processor's name*"])
    monkeypatch.setattr(
        "pytest_energy.sensors.tdp._read_cpuinfo",
        lambda: cpuinfo("AMD EPYC 7763 64-Core Processor", 64),
    )
    energy_pytester.run("--energy-cpu-watts-per-core=tdp").assert_outcomes(passed=1)
    (channel,) = energy_pytester.tests()["test_it"]["channels"]
    assert channel["source"].endswith(" x 4.375 W a core")
