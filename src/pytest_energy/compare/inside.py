"""The pytest plugin (-p) inside each compared process; it imports nothing of this package.

Verdicts on limits are ignored, because a failed one would look like a failed test. No baseline is
stored, because the user's tree stays as it is. The file of each loaded module is recorded, because
an editable install can load the user's tree in the run of the other. Two pipes lead to the process
that decides whose turn it is.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

#: The folder for the answers; a variable, because pytest-xdist's workers inherit it.
FOLDER = "PYTEST_ENERGY_COMPARE_FOLDER"
#: File descriptors of two pipes, "3,4": the first is read, the second written.
PIPES = "PYTEST_ENERGY_COMPARE_PIPES"


def pytest_cmdline_main(config: Any) -> None:
    """Before the settings are read."""
    config.option.energy_fail_on = "none"
    config.option.energy_strict = False
    config.option.energy_update = None
    # They are of this process alone, and of none that it starts.
    if pipes := os.environ.pop(PIPES, None):
        config.energy_turns = tuple(map(int, pipes.split(",")))
        for each in config.energy_turns:
            os.set_inheritable(each, False)


def pytest_unconfigure() -> None:
    files = {name: _file(module) for name, module in list(sys.modules.items())}
    answer = Path(os.environ[FOLDER], f"{os.getpid()}.modules")
    answer.write_text(json.dumps({name: file for name, file in files.items() if file}), "utf-8")


def _file(module: Any) -> str | None:
    # Not by getattr: lazy modules import what they are asked for.
    file = getattr(module, "__dict__", {}).get("__file__")
    if not isinstance(file, str) or not Path(file).is_absolute():
        return None
    return os.path.realpath(file)
