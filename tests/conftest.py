"""Shared fixtures: the compiled fake library, environments that load it, and pytester."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

FAKE_NVML = Path(__file__).parent / "fake_nvml" / "fake_nvml.c"


@pytest.fixture(scope="session")
def fake_nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a freshly compiled libnvidia-ml.so.1."""
    folder = tmp_path_factory.mktemp("fake_nvml")
    command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    command += ["-Wl,-soname,libnvidia-ml.so.1", "-o", str(folder / "libnvidia-ml.so.1")]
    subprocess.run([*command, str(FAKE_NVML), "-lpthread", "-lm"], check=True)
    return folder


@pytest.fixture
def gpu_env(fake_nvml_library: Path, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Environment variables with which a new process sees the boards of a scenario."""

    def environment(scenario: str) -> dict[str, str]:
        path = tmp_path / "scenario.txt"
        path.write_text(scenario, encoding="utf-8")
        search = os.pathsep.join(
            filter(None, [str(fake_nvml_library), os.environ.get("LD_LIBRARY_PATH")])
        )
        return {"LD_LIBRARY_PATH": search, "FAKE_NVML_SCENARIO": str(path)}

    return environment
