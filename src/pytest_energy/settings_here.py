"""The settings that pytest would take in a folder, learned from a pytest of its own.

Another process, because starting pytest runs the user's conftest files, which may print, change
warnings into errors, or end the process.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_energy.settings import Settings, read_settings


def settings_here() -> Settings:
    """Those of the current folder. Raises ValueError for settings that can't be used."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "settings")
        command = [sys.executable, "-m", "pytest_energy.settings_here", str(answer)]
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
        if not answer.exists():
            raise ValueError(f"pytest can't start in this folder (exit status {status})")
        found = pickle.loads(answer.read_bytes())
    if isinstance(found, Settings):
        return found
    raise ValueError(found)


class _Reader:
    """Takes the settings from pytest as soon as it knows them, and ends it there."""

    def __init__(self, answer: Path) -> None:
        self._answer = answer

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        found: Settings | str
        try:
            found = read_settings(config)
        except pytest.UsageError as error:
            found = str(error)
        self._answer.write_bytes(pickle.dumps(found))
        return 0


if __name__ == "__main__":
    # Our modules are loaded before pytest can rewrite them, of which it may warn as of an error.
    arguments = ["-p", "energy", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    sys.exit(pytest.main(arguments, plugins=[_Reader(Path(sys.argv[1]))]))
