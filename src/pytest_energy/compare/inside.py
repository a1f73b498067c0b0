"""What runs inside each compared process, as a pytest plugin (-p): it imports nothing of ours.

Verdicts on limits are left aside, because a red one would make the process look like one whose
tests failed; no session is stored, because the user's tree is left as it is; and where each module
came from is written down, because an editable install can load the user's tree in the run of
another.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

#: The folder for the answers; a variable, because pytest-xdist's workers inherit it.
FOLDER = "PYTEST_ENERGY_COMPARE_FOLDER"


def pytest_cmdline_main(config: Any) -> None:
    """Before the settings are read."""
    config.option.energy_fail_on = "none"
    config.option.energy_strict = False
    config.option.energy_update = None


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
