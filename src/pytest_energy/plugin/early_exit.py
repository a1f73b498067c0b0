"""os._exit in a measured test ends the whole run at once, which nobody may take for green."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from pytest_energy.report.printable import printable


@contextmanager
def no_green_exit(item: pytest.Item) -> Iterator[None]:
    """While this holds, os._exit(0) says what happened, and ends the run with status 1.

    A fork of the test may end itself so, and does.
    """
    leave, owner = os._exit, os.getpid()

    def leave_red(status: int) -> NoReturn:
        if os.getpid() == owner and status == 0:
            capture: Any = item.config.pluginmanager.get_plugin("capturemanager")
            if capture is not None:
                capture.suspend_global_capture()
            sentence = (
                f"\nenergy: {item.nodeid} called os._exit(0), which ended the run before anything "
                "was judged or written; use sys.exit, or call it in a process of its own\n"
            )
            os.write(2, printable(sentence, lines=True).encode("utf-8", "backslashreplace"))
            status = 1
        leave(status)

    os._exit = leave_red
    try:
        yield
    finally:
        os._exit = leave
