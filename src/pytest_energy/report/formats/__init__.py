"""Report formats: a file each, with a function `render` from a run record to the report's text.

The file's name is the name of the format, so a new file is a new format; it is imported when it is
asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

from pytest_energy.errors import InputError
from pytest_energy.record.schema import RunRecord

Format = Callable[[RunRecord], str]
#: Endings of files whose format has another name.
_ENDINGS = {
    "htm": "html",
    "md": "markdown",
    "om": "openmetrics",
    "prom": "openmetrics",
    "svg": "badge",
    "txt": "text",
}


def names() -> list[str]:
    """The formats of this package."""
    return sorted(each.name.replace("_", "-") for each in iter_modules(__path__))


def name_by_ending(ending: str) -> str:
    """The format of files that end so ("csv"), which need not exist."""
    return _ENDINGS.get(ending.lower(), ending.lower())


def format_named(name: str) -> Format:
    """One of them. Raises InputError for a name that is unknown."""
    if name not in names():
        raise InputError(f"unknown report format {name!r}; known: {', '.join(names())}")
    render: Format = import_module(f"{__name__}.{name.replace('-', '_')}").render
    return render
