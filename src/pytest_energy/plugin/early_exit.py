"""os._exit and exec in a test end the whole run at once, which nobody may take for green."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from pytest_energy.report.printable import printable


@contextmanager
def no_green_exit(item: pytest.Item) -> Iterator[None]:
    """While this holds, os._exit(0) and exec say what happened, and end the run with status 1.

    A fork of the test may end itself so, and does.
    """
    leave, owner = os._exit, os.getpid()
    real = {name: getattr(os, name) for name in ("execv", "execve")}  # the others call these

    def say(call: str) -> None:
        capture: Any = item.config.pluginmanager.get_plugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture()
        sentence = (
            f"\nenergy: {item.nodeid} called {call}, which ended the run before everything was "
            "judged and written; use sys.exit, or call it in a process of its own\n"
        )
        os.write(2, printable(sentence, lines=True).encode("utf-8", "backslashreplace"))

    def leave_red(status: int) -> NoReturn:
        if os.getpid() == owner and status == 0:
            say("os._exit(0)")
            status = 1
        leave(status)

    def replaced(name: str) -> Any:
        def replace_process(*arguments: Any, **keywords: Any) -> None:
            if os.getpid() == owner:
                say(f"os.{name}")
                leave(1)
            real[name](*arguments, **keywords)

        return replace_process

    os._exit = leave_red
    for name in real:
        setattr(os, name, replaced(name))
    try:
        yield
    finally:
        os._exit = leave
        for name, function in real.items():
            setattr(os, name, function)
