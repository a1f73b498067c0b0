"""Our clocks: a private copy of the module `time`, which no test can freeze or patch.

freezegun, time-machine's patches of Python and `monkeypatch.setattr(time, "sleep", ...)` change the
one module `time` that all others share, and the names that others took from it.
"""

from __future__ import annotations

import time as _shared
from importlib.machinery import BuiltinImporter
from importlib.util import module_from_spec
from types import ModuleType


def _private_copy() -> ModuleType:
    spec = BuiltinImporter.find_spec("time")
    if spec is None or spec.loader is None:
        return _shared  # a Python whose time is no built-in module
    copy = module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


#: For all clocks of this plugin, also where another plugin froze time before this one was loaded.
own_time = _private_copy()
#: Seconds of a clock that can't be set; only differences mean anything.
now = own_time.perf_counter
sleep = own_time.sleep
#: Seconds since 1970.
wall = own_time.time
