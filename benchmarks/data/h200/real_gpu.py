"""Tests with a limit on a real GPU."""

import subprocess
import sys

import loads
import pytest

budget = pytest.mark.energy_budget


@budget("100 kJ / query")
def test_cpu_only_before():
    sum(range(200000))


@budget("100 kJ / query")
def test_matmul():
    loads.matmul(0.1)


@budget("100 kJ / query")
def test_window(energy):
    with energy.window():
        loads.matmul(0.5)


@budget("100 kJ / query")
def test_child(energy):
    with energy.window():
        subprocess.run([sys.executable, "-c", "import loads; loads.matmul(1.0)"], check=True)


@budget("100 kJ / query")
def test_cpu_only_after():
    sum(range(200000))
