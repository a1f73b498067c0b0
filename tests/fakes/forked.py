"""Runs of pytest in processes that are forks of a loaded one: to start one takes no second."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pytest

SERVER = Path(__file__).with_name("forked_server.py")


def _read_at_start() -> dict[str, str]:
    """Variables that only a new process follows."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PYTHON", "LD_")) and name != "LD_LIBRARY_PATH"
    }


class Forked:
    """A loaded process and its forks; it is started when the first run needs it."""

    def __init__(self) -> None:
        self._at_start = _read_at_start()
        #: Values of LD_LIBRARY_PATH that add at most the fake NVML, which a fork loads itself.
        self.searches = {os.environ.get("LD_LIBRARY_PATH")}

    def fits(self) -> bool:
        """Whether a fork is what a new process would be."""
        search = os.environ.get("LD_LIBRARY_PATH")
        return search in self.searches and _read_at_start() == self._at_start

    def run(
        self, folder: Path, arguments: Sequence[str], timeout_seconds: float
    ) -> pytest.RunResult:
        """Run `python -m pytest` in a folder, as `Pytester.runpytest_subprocess` does."""
        before = time.monotonic()
        printed = [folder / "stdout", folder / "stderr"]
        paths = [str(folder), os.environ.get("PYTHONPATH")]
        temporary = tempfile.mkdtemp(prefix="runpytest-", dir=folder)
        order = {
            "folder": str(folder),
            "arguments": [f"--basetemp={temporary}", *arguments],
            "environment": os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            "files": [os.devnull, *map(str, printed)],
        }
        assert self._server.stdin is not None
        self._server.stdin.write(f"{json.dumps(order)}\n".encode())
        pid = self._answer(timeout_seconds)
        try:
            code = self._answer(timeout_seconds)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._answer(timeout_seconds)
            raise
        output, errors = (each.read_text("utf-8", "replace").splitlines() for each in printed)
        print(*output, sep="\n")
        print(*errors, sep="\n", file=sys.stderr)
        return pytest.RunResult(code, output, errors, time.monotonic() - before)

    def close(self) -> None:
        if "_server" in vars(self):
            self._server.communicate()

    @cached_property
    def _server(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(SERVER)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def _answer(self, timeout_seconds: float) -> int:
        assert self._server.stdout is not None
        if not select.select([self._server.stdout], [], [], timeout_seconds)[0]:
            raise TimeoutError(f"pytest did not end in {timeout_seconds:g} s")
        return int(self._server.stdout.readline())
