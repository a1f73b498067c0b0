"""A thread that polls the instruments while a window is open.

It sees what two readings don't: that a counter stood still between them, or that a process came
and went. It holds itself back, so that it never takes more than a small share of a core.
"""

from __future__ import annotations

import os
import weakref
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_energy.sensors.clock import real

#: Of one core; where looking costs more, it is done less often.
SHARE = 0.004
#: CPU time that a few slow looks may take before the rest is held back. A first look, or one on a
#: busy machine, costs many times the usual; without this, a counter goes unseen for long after it.
#: Each instrument has its own part, so that a costly one is no reason to miss what another shows.
CREDIT_SECONDS = 0.005
#: One wake-up does for what is due within so many seconds.
SOON_SECONDS = 0.02
#: For the thread's end before a fork.
PATIENCE_SECONDS = 0.05


@dataclass(frozen=True, eq=False)
class Poll:
    """What is to be looked at every so many seconds.

    instrument: what is looked at; what looking cost is remembered from one window to the next.
    """

    look: Callable[[], None]
    seconds: float
    instrument: str = ""


class Watcher:
    """Polls between `start` and `stop`.

    Not a thread of `threading`: a test that counts its threads doesn't see it. It is gone while the
    process forks, because Python warns of a fork beside a second thread.
    """

    def __init__(self) -> None:
        self._running: LockType | None = None
        self._polling = allocate_lock()
        self._polls: Sequence[Poll] = ()
        self._forks: Callable[[], None] | None = None
        self.cpu_seconds = 0.0
        """CPU time of the thread since `start`."""
        self.wakeups = 0
        self._credit: dict[str, float] = {}
        if hasattr(os, "register_at_fork"):
            _at_forks(weakref.ref(self))

    def start(self, polls: Sequence[Poll], forks: Callable[[], None]) -> None:
        """Look from now on, and tell `forks` before a fork."""
        self.cpu_seconds, self.wakeups = 0.0, 0
        self._polls, self._forks = polls, forks
        self._begin()

    def stop(self) -> None:
        """No poll is under way after this, and none begins."""
        self._polls, self._forks = (), None
        self._end()

    def before_fork(self) -> None:
        if self._forks is not None:
            self._forks()
            threads = _threads()
            self._end()
            deadline = real.perf_counter() + PATIENCE_SECONDS
            while threads and _threads() >= threads and real.perf_counter() < deadline:
                real.sleep(0.0001)

    def after_fork(self) -> None:
        if self._forks is not None:
            self._begin()

    def _begin(self) -> None:
        if self._polls:
            self._running = allocate_lock()
            self._running.acquire()
            start_new_thread(self._run, (self._polls, self._running))

    def _end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.release()
            with self._polling:
                pass

    def _run(self, polls: Sequence[Poll], running: LockType) -> None:
        now, used = real.perf_counter(), 0.0
        share, most = SHARE / len(polls), CREDIT_SECONDS / len(polls)
        credit = {each: self._credit.get(each.instrument, most) for each in polls}
        due = {each: now + max(each.seconds, -credit[each] / share) for each in polls}
        while not running.acquire(timeout=max(min(due.values()) - real.perf_counter(), 0.0)):
            with self._polling:
                if self._running is not running:
                    return
                earned, now = now, real.perf_counter()
                for each in polls:
                    credit[each] = min(credit[each] + share * (now - earned), most)
                    if due[each] <= now + SOON_SECONDS:
                        each.look()
                        cost = real.thread_time() - used  # waking up included
                        used += cost
                        self.cpu_seconds += cost
                        credit[each] -= cost
                        due[each] = now + max(each.seconds, -credit[each] / share)
                    self._credit[each.instrument] = credit[each]
                self.wakeups += 1


def _at_forks(watcher: weakref.ref[Watcher]) -> None:
    """Python keeps these for ever, and so they keep nothing else alive."""

    def before() -> None:
        if (mine := watcher()) is not None:
            mine.before_fork()

    def after() -> None:
        if (mine := watcher()) is not None:
            mine.after_fork()

    os.register_at_fork(before=before, after_in_parent=after)


def _threads() -> int:
    """How many threads this process has; 0 where the system doesn't tell."""
    try:
        return len(real.listdir("/proc/self/task"))
    except OSError:
        return 0
