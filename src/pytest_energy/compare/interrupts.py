"""Signals that ask to stop, as one exception, so that what was begun is tidied up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupted(BaseException):
    """Somebody asked to stop; no Exception, so that nothing takes it for a mistake."""


class Interrupts:
    """While entered, the first of the signals raises Interrupted, and later ones are ignored.

    They are ignored to the end of this process, because all that is left is to tidy up and to say
    so, and by processes that it starts: a second Ctrl-C doesn't stop git from removing a worktree.
    """

    def __init__(self) -> None:
        self._deferring = False
        self._waiting: Interrupted | None = None

    def __enter__(self) -> Interrupts:
        # One that is ignored stays so: that is what nohup does.
        taken = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
        self._before = {each: signal.signal(each, self._stop) for each in taken}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While this holds, Interrupted waits for its end."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
            if (waiting := self._waiting) is not None:
                self._waiting = None
                raise waiting

    def _stop(self, number: int, _: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        interrupted = Interrupted(f"interrupted by {signal.Signals(number).name}")
        if not self._deferring:
            raise interrupted
        self._waiting = interrupted
