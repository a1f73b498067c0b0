"""The system calls that instruments are read with, bound when pytest loads the plugin.

A measured test may replace them (monkeypatch, freezegun, pyfakefs, gevent), and a figure must not
depend on it. Such tools look for functions by the names in modules, and not in a class.
"""

from __future__ import annotations

import os
import sys

from pytest_energy.sensors.clock import own_time


class real:  # noqa: N801  (read as a module: real.listdir)
    """Each call as it was before any test began."""

    close = staticmethod(os.close)
    environ = os.environ
    fstat = staticmethod(os.fstat)
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
    if sys.platform != "win32":
        clock_gettime = staticmethod(own_time.clock_gettime)
        pread = staticmethod(os.pread)
        sysconf = staticmethod(os.sysconf)
    if sys.platform == "linux":
        memfd_create = staticmethod(os.memfd_create)
