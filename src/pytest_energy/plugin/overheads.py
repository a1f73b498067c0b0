"""Other tools that make each call of a test cost more: coverage, profilers, threads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest


def overheads_of(item: pytest.Item) -> tuple[str, ...]:
    """A sentence for each such tool that is active in this thread."""
    notes = [
        f"{name} is active and multiplies the cost of Python code; measure without it "
        "(coverage: --no-cov)"
        for name in _tracers()
    ]
    if any("pytest_run_parallel" in each for each in _files(getattr(item, "obj", None))):
        notes.append(
            "pytest-run-parallel runs the body in several threads at once, and all of them count "
            "as one run; measure without it (--parallel-threads=1)"
        )
    if _is_followed_by_memray(item):
        notes.append(
            "pytest-memray follows every allocation, and that is in the figure; measure without it "
            "(no --memray, no limit_memory)"
        )
    return tuple(notes)


def _is_followed_by_memray(item: pytest.Item) -> bool:
    if not item.config.pluginmanager.hasplugin("memray_manager"):
        return False
    marks = {each.name for each in item.iter_markers()}
    asked = {"limit_memory", "limit_leaks", "limit_leaked_objects"} & marks
    return bool(asked or item.config.getoption("memray", False) or item.config.getini("memray"))


def _tracers() -> list[str]:
    found: list[Any] = [sys.gettrace(), sys.getprofile()]
    names = [f"the tracer {_module(each)}" for each in found if each is not None]
    monitoring: Any = getattr(sys, "monitoring", None)  # from Python 3.12 on
    for tool in range(6) if monitoring is not None else ():
        name = monitoring.get_tool(tool)
        if name is not None and (name == "coverage.py" or monitoring.get_events(tool)):
            names.append(f"the monitoring tool {name}")
    return list(dict.fromkeys(names))


def _files(function: Any) -> Iterator[str]:
    """Where a function is written, and each that it wraps."""
    while function is not None:
        code = getattr(function, "__code__", None)
        if code is not None:
            yield code.co_filename
        function = getattr(function, "__wrapped__", None)


def _module(tracer: Any) -> str:
    owner = getattr(tracer, "__self__", tracer)
    known = getattr(tracer, "__module__", None) or type(owner).__module__
    return str(known)
