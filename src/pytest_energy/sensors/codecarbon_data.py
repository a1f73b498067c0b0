"""Where CodeCarbon keeps its data; found without importing it, which would start NVML."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def data_file(*parts: str) -> Path:
    """The path of one of its data files. Raises LookupError where the package isn't installed."""
    spec = importlib.util.find_spec("codecarbon")  # of a top-level package: nothing is imported
    if spec is None or not spec.submodule_search_locations:
        raise LookupError("the package codecarbon is not installed")
    return Path(spec.submodule_search_locations[0], "data", *parts)
