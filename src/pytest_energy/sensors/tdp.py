"""Watts of a busy core from the processor's thermal design power, on bare metal and on request.

CodeCarbon's table names processors, not cores: the table's watts are shared among the cores that
Linux lists for one package. In a virtual machine the cores are an unknown part of a processor,
so there it is refused.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from pytest_energy.errors import InputError

_CPUINFO = Path("/proc/cpuinfo")
_NOISE = re.compile(
    r"\((?:r|tm)\)|\bcpu\b|\bprocessor\b|\b\d+-core\b|\b\d+th gen\b|@.*|[^\w ]", re.IGNORECASE
)
_INSTEAD = "give the watts of a busy core as a number, for example cpu_watts_per_core = 4"


def watts_per_core(cpuinfo: str | None = None) -> float:
    """The thermal design power of this processor for one of its cores, in watts.

    `cpuinfo` is the text of /proc/cpuinfo. Raises InputError where it is unknown.
    """
    facts = _facts(_read_cpuinfo() if cpuinfo is None else cpuinfo)
    name = facts.get("model name", "")
    cores = facts.get("cpu cores", "")
    if "hypervisor" in facts.get("flags", "").split():
        raise InputError(f"tdp needs bare metal, and this is a virtual machine; {_INSTEAD}")
    if not name or not cores.isdecimal() or int(cores) < 1:
        raise InputError(f"tdp: the processor's name or its cores are not known here; {_INSTEAD}")
    listed = _table().get(_plain(name))
    if listed is None:
        raise InputError(f"tdp: {name!r} is not in CodeCarbon's table; {_INSTEAD}")
    try:
        return float(listed) / int(cores)
    except ValueError:
        raise InputError(
            f"tdp: CodeCarbon's table has {listed!r} for {name!r}; {_INSTEAD}"
        ) from None


def _read_cpuinfo() -> str:
    try:
        return _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _facts(cpuinfo: str) -> Mapping[str, str]:
    """What /proc/cpuinfo says of the first core."""
    first = cpuinfo.partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _plain(name: str) -> str:
    return " ".join(_NOISE.sub(" ", name).lower().split())


def _table() -> dict[str, str]:
    """Watts by processor, as written; not each is a number.

    Raises InputError where CodeCarbon's data are missing.
    """
    try:
        path = data_file("hardware", "cpu_power.csv")
        with path.open(encoding="utf-8", newline="") as file:
            return {_plain(row["Name"]): row["TDP"] for row in csv.DictReader(file)}
    except (OSError, LookupError, ValueError) as error:
        raise InputError(f"tdp: CodeCarbon's table cannot be read ({error}); {_INSTEAD}") from None


def data_file(*parts: str) -> Path:
    """The path of one of its data files. Raises LookupError where the package is not installed."""
    spec = importlib.util.find_spec("codecarbon")  # of a top-level package: nothing is imported
    if spec is None or not spec.submodule_search_locations:
        raise LookupError("codecarbon is not installed: pip install 'pytest-energy[carbon]'")
    return Path(spec.submodule_search_locations[0], "data", *parts)
