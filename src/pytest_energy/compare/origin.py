"""Whether each tree's process loaded the modules of its own tree."""

from __future__ import annotations

import site
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_energy.compare.outcome import CouldNotCompare

REMEDY = (
    "An editable install or an absolute PYTHONPATH does that. Either install each tree before its "
    "runs, with --setup 'pip install -e .', or name the folder from within the tree, such as "
    "PYTHONPATH=src; and give pytest relative paths"
)


#: What a process loaded: (name, file without links).
Modules = frozenset[tuple[str, Path]]


@dataclass(frozen=True)
class Tree:
    """A work tree: what sentences call it, and its root folder without links."""

    name: str
    root: Path


def check_origin(modules: Modules, own: Tree, other: Tree, changed: Iterable[str]) -> None:
    """Raises CouldNotCompare where a process ran with modules of another tree, or with a copy.

    changed: sources that differ between the trees, as paths from their roots.
    """
    sources = {_module_name(own.root, path): path for path in changed}
    for name, file in sorted(modules):
        home = _home(file, own, other)
        if home is other:
            path = file.relative_to(other.root).as_posix()
            raise CouldNotCompare(
                f"{path} of {other.name} was loaded in the run of {own.name}, so its code would "
                f"have been measured in place of {own.name}'s. {REMEDY}"
            )
        if home is None and name in sources and not _is_copy(file, own.root / sources[name]):
            raise CouldNotCompare(
                f"{sources[name]} differs between the trees, but the run of {own.name} loaded an "
                f"installed copy that isn't {own.name}'s. Install each tree before its runs, with "
                "--setup 'pip install .'"
            )


def loads_any(modules: Modules, own: Tree, sources: Iterable[str]) -> bool:
    """Whether a process loaded one of these sources of its tree, from there or as a copy."""
    names, files = {name for name, _ in modules}, {file for _, file in modules}
    return any(
        own.root / path in files or _module_name(own.root, path) in names for path in sources
    )


def _is_copy(file: Path, source: Path) -> bool:
    """Whether they hold the same; true where that is unknown, as of what was compiled."""
    if file.suffix != ".py" or not file.is_file() or not source.is_file():
        return True
    return file.read_bytes() == source.read_bytes()


def _home(file: Path, *trees: Tree) -> Tree | None:
    """The tree that a file is in; none for the Python environment, which may stand in a tree."""
    around = [each for each in trees if file.is_relative_to(each.root)]
    found = max(around, key=lambda each: len(each.root.parts), default=None)
    if found is None:
        return None
    inside = (each for each in _environments() if found.root in each.parents)
    return None if any(file.is_relative_to(each) for each in inside) else found


def _environments() -> list[Path]:
    folders = (sys.prefix, sys.base_prefix, site.getusersitepackages())
    return [Path(folder).resolve() for folder in folders]


def _module_name(root: Path, path: str) -> str:
    """The name by which a source is imported: from the folder above its outermost package.

    A module in no package has one only in the root and in src; elsewhere it is some script, and may
    be called like a library.
    """
    pure = PurePosixPath(path)
    parts = [] if pure.stem == "__init__" else [pure.stem]
    folder = pure.parent
    while folder.name and (root / folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if len(parts) == 1 and pure.stem != "__init__" and str(folder) not in (".", "src"):
        return ""
    return ".".join(parts)
