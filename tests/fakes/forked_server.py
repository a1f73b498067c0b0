"""Loads pytest with its plugins once, and runs each order of stdin in a fork of this process."""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

NVML = "libnvidia-ml.so.1"


class Loading:
    """Loads all of pytest-energy while pytest looks at what is imported, as in a run."""

    def pytest_configure(self) -> None:
        import pytest_energy

        for module in pkgutil.walk_packages(pytest_energy.__path__, "pytest_energy."):
            importlib.import_module(module.name)


def load() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
        pytest.main(["-qq", "--collect-only", "-p", "no:hypothesispytest"], plugins=[Loading()])
        os.chdir("/")


def run(order: dict[str, Any]) -> None:
    """Become `python -m pytest ...`, and end."""
    for descriptor, name in enumerate(order["files"]):
        opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.path[0] = order["folder"]
    sys.argv = ["pytest", *order["arguments"]]
    # Where the loader looks is settled when a process starts, and what is loaded is found by name.
    for folder in filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)):
        if Path(folder, NVML).exists():
            ctypes.CDLL(str(Path(folder, NVML)))
    sys.exit(pytest.main())


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    load()
    gc.freeze()  # what is loaded is not copied by a collection
    with os.fdopen(os.dup(0), "rb", buffering=0) as orders:
        while line := orders.readline():
            if not (pid := os.fork()):
                orders.close()
                answers.close()
                run(json.loads(line))
            answers.write(f"{pid}\n")
            _, status = os.waitpid(pid, 0)
            answers.write(f"{os.waitstatus_to_exitcode(status)}\n")


main()
