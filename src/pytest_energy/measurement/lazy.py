"""Results whose work isn't done when a call returns: waited for, or refused."""

from __future__ import annotations

import functools
import subprocess
import threading
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from itertools import islice
from typing import Any

#: Of a container, so many results are looked at: those of a batch.
LOOKED_AT = 256
#: A metric of torchmetrics, ignite or evaluate holds what it was given, and `compute` is its end.
_METRIC = ("update", "add_batch")
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)


def waiting_for(result: object) -> Callable[[], object] | None:
    """What waits until a result is computed, where it is one that can be waited for.

    Futures of concurrent.futures, torch, dask or any library, results of multiprocessing's pools,
    started threads and processes.
    """
    kind = type(result)
    if isinstance(result, threading.Thread):
        return result.join if result.is_alive() else None
    if isinstance(result, subprocess.Popen):
        return result.wait
    if _has(kind, "result", "done") and not _has(kind, "__await__"):
        return result.result  # type: ignore[attr-defined, no-any-return]
    if _has(kind, "get", "ready", "wait"):
        return result.get  # type: ignore[attr-defined, no-any-return]
    if _has(kind, "wait", "done"):
        return result.wait  # type: ignore[attr-defined, no-any-return]
    if _has(kind, "realize", "numpy"):  # a tensor of tinygrad
        return result.realize  # type: ignore[attr-defined, no-any-return]
    return None


def kind_of_lazy(result: object) -> str:
    """In words, the kind of a result that has done nothing yet; "" for any other."""
    name = type(result).__name__
    if isinstance(result, types.GeneratorType | types.AsyncGeneratorType):
        return "a generator"
    if isinstance(result, Coroutine) or _has(type(result), "__await__"):
        return f"an awaitable ({name})"
    if isinstance(result, AsyncIterator | Iterator) and not _has(type(result), "read"):
        return f"an iterator ({name})"
    if isinstance(result, _FUNCTIONS):
        return f"a function ({name})"
    graph = getattr(type(result), "__dask_graph__", None)
    if graph is not None and graph(result) is not None:
        return f"a delayed computation ({name})"
    if graph is None and _is_query(type(result)):
        return f"a delayed computation ({name})"
    if _has(type(result), "collect", "lazy") and name == "LazyFrame":
        return f"a delayed computation ({name})"
    return ""


def unsettled(result: object) -> list[object]:
    """The result, and what it holds if it is a container, less what is never lazy."""
    held: list[object] = []
    if isinstance(result, Mapping):
        held = list(islice(result.values(), LOOKED_AT))
    elif isinstance(result, list | tuple | set | frozenset):
        held = list(islice(result, LOOKED_AT))
    if all(_is_settled(kind) for kind in {*map(type, held)}):
        held = []
    found = [each for each in held if not isinstance(each, _FUNCTIONS)]
    return [each for each in (result, *found) if not _is_settled(type(each))]  # type: ignore[arg-type]


@functools.lru_cache(maxsize=1024)
def _is_settled(kind: Any) -> bool:
    """Whether a result of this type is computed when it is there; asked for in every call."""
    lazy = ["__next__", "__anext__", "__await__", "__dask_graph__", "collect", "done", "ready"]
    lazy += ["compute", "realize"]
    known = (*_FUNCTIONS, threading.Thread, subprocess.Popen)
    return not issubclass(kind, known) and not any(hasattr(kind, each) for each in lazy)


def _has(kind: type[Any], *methods: str) -> bool:
    return all(callable(getattr(kind, each, None)) for each in methods)


def _is_query(kind: type[Any]) -> bool:
    """Whether it has a method `compute` that needs nothing more, and is no metric."""
    if not _has(kind, "compute") or any(_has(kind, each) for each in _METRIC):
        return False
    code, given = getattr(kind.compute, "__code__", None), getattr(kind.compute, "__defaults__", ())
    return code is None or code.co_argcount - len(given or ()) <= 1
