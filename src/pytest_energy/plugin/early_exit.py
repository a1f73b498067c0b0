"""os._exit and exec in a test end the whole run at once, which nobody may take for green."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType
from typing import Any

import pytest

from pytest_energy.report.printable import printable

#: What ends a process without a word, or puts another program in its place; the other functions of
#: os that replace it call these.
_ENDING = ("_exit", "execv", "execve")


@contextmanager
def no_green_exit(item: pytest.Item) -> Iterator[None]:
    """While this holds, os._exit(0) and exec say what happened, and end the run with status 1.

    A fork of the test may end itself so, and does. What the test's own fixtures have replaced is
    left as it is.
    """
    owner, leave, holds = os.getpid(), os._exit, True

    def guarded(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def function(*arguments: Any, **keywords: Any) -> Any:
            status = [*arguments, *keywords.values()][:1]
            is_green = name != "_exit" or status == [0]
            if holds and is_green and os.getpid() == owner:
                _say(item, "os._exit(0)" if name == "_exit" else f"os.{name}")
                leave(1)
            return real(*arguments, **keywords)

        return function

    found = {name: getattr(os, name) for name in _ENDING}
    real = {name: each for name, each in found.items() if isinstance(each, BuiltinFunctionType)}
    ours = {name: guarded(name, each) for name, each in real.items()}
    vars(os).update(ours)
    try:
        yield
    finally:
        holds = False  # a fixture that outlives the test may put them back
        vars(os).update({name: real[name] for name in ours if getattr(os, name) is ours[name]})


def _say(item: pytest.Item, call: str) -> None:
    capture: Any = item.config.pluginmanager.get_plugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture()
    sentence = (
        f"\nenergy: {item.nodeid} called {call}, which ended the run before everything was "
        "judged and written; use sys.exit, or call it in a process of its own\n"
    )
    os.write(2, printable(sentence, lines=True).encode("utf-8", "backslashreplace"))
