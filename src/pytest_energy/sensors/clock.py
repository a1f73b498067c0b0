"""Clocks and system calls that a test cannot replace, bound when pytest loads the plugin.

freezegun, time-machine and `monkeypatch.setattr(time, "sleep", ...)` change the one module `time`
that all others share, and the names that others took from it; so the clocks here belong to a
private copy. monkeypatch, pyfakefs and gevent replace other system calls; `real` keeps the
original ones.
"""

from __future__ import annotations

import os
import sys
import time as _shared
from _thread import get_native_id
from importlib.machinery import BuiltinImporter
from importlib.util import module_from_spec
from types import ModuleType

if sys.platform != "win32":
    import resource


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


class real:  # noqa: N801  (read as a module: real.listdir)
    """Each call as it was before any test began.

    A class, because the tools that replace calls look for functions in modules.
    """

    close = staticmethod(os.close)
    environ = os.environ
    fstat = staticmethod(os.fstat)
    get_native_id = staticmethod(get_native_id)
    getpid = staticmethod(os.getpid)
    getppid = staticmethod(os.getppid)
    listdir = staticmethod(os.listdir)
    open = staticmethod(os.open)
    perf_counter = staticmethod(own_time.perf_counter)
    process_time = staticmethod(own_time.process_time)
    read = staticmethod(os.read)
    readlink = staticmethod(os.readlink)
    sleep = staticmethod(own_time.sleep)
    thread_time = staticmethod(own_time.thread_time)
    write = staticmethod(os.write)
    if sys.platform != "win32":
        clock_gettime = staticmethod(own_time.clock_gettime)
        getrusage = staticmethod(resource.getrusage)
        pread = staticmethod(os.pread)
        sysconf = staticmethod(os.sysconf)
    if sys.platform == "linux":
        memfd_create = staticmethod(os.memfd_create)
