"""A fixed piece of work whose CPU time tells how fast this core is at the moment.

A busy sibling thread, or a hypervisor that shares the core, makes the same work cost up to twice
the CPU time, and the kernel counts none of that. Work that is known beforehand shows it.
"""

from __future__ import annotations

from pytest_energy.sensors.clock import own_time, real

_STEPS = 300
#: A coarser clock can't time it (Windows has 15.6 ms).
_RESOLUTION_SECONDS = 1e-6


def is_readable() -> bool:
    """Whether CPU time is counted finely enough here."""
    clocks = (own_time.get_clock_info("process_time"), own_time.get_clock_info("thread_time"))
    return all(each.resolution <= _RESOLUTION_SECONDS for each in clocks)


def reference_seconds() -> float:
    """The CPU seconds of the fixed work, about 20 us: the better of two runs.

    The second one is not slowed by what the work before it left in the caches, so it depends on the
    neighbours alone.
    """
    started = real.thread_time()
    _work()
    between = real.thread_time()
    _work()
    return float(min(between - started, real.thread_time() - between))


def _work() -> int:
    number = 1
    for step in range(_STEPS):
        number = (number * 1103515245 + step) & 0x7FFFFFFF
    return number
