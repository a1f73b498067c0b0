"""Two trees: git for `--base`, which leaves the repository as it was, and what each tree loads."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_energy.compare.outcome import CouldNotCompare
from pytest_energy.compare.processes import GIT_VARIABLES, Interrupts
from pytest_energy.record.scratch import PREFIX, remove_left, scratch_folder

REMEDY = (
    "An editable install or an absolute PYTHONPATH causes this. Either install each tree before "
    "its runs (--setup 'pip install -e .') or use a path relative to the tree, such as "
    "PYTHONPATH=src; give pytest relative paths"
)

#: What a process loaded: (name, file without links).
Modules = frozenset[tuple[str, Path]]


@dataclass(frozen=True)
class Repository:
    """The user's work tree. root: its top folder, without links."""

    root: Path

    def commit_of(self, ref: str) -> str:
        """Raises CouldNotCompare where there is no such commit."""
        try:
            return _git(self.root, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
        except CouldNotCompare:
            raise CouldNotCompare(
                f"--base {ref}: git finds no such commit; for example --base main. In a shallow "
                "clone, fetch it first: git fetch origin main, then --base origin/main"
            ) from None

    def has_changes(self) -> bool:
        """Whether files differ from the commit, or aren't known to git."""
        return bool(_git(self.root, "status", "--porcelain"))

    def has_same_files(self, commit: str, other: str) -> bool:
        return self._tree(commit) == self._tree(other)

    def _tree(self, commit: str) -> str:
        return _git(self.root, "rev-parse", f"{commit}^{{tree}}")

    def submodules(self, commit: str) -> list[str]:
        listed = _git(self.root, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0")
        return [line.partition("\t")[2] for line in listed if line.startswith("160000 ")]

    def changed_sources(self, commit: str) -> list[str]:
        """Python files that differ from a commit, or seem to; paths from the root."""
        changed = _git(self.root, "diff-index", "--name-only", "-z", commit, "--", "*.py")
        new = _git(self.root, "ls-files", "--others", "--exclude-standard", "-z", "--", "*.py")
        return [path for path in (changed + "\0" + new).split("\0") if path]

    @contextmanager
    def worktree(self, commit: str, interrupts: Interrupts) -> Iterator[Path]:
        """The files of a commit in a folder outside the repository, removed at the end.

        One that a killed comparison has left is removed first.
        """
        self._remove_leftovers()
        with scratch_folder() as scratch:
            # A root folder that is a package is imported by its name, so that stays.
            folder = scratch.folder / self.root.name
            if folder.is_relative_to(self.root):
                raise CouldNotCompare(
                    "the folder for temporary files is inside the repository, where the second "
                    "work tree would show up: set TMPDIR to another folder, such as TMPDIR=/tmp"
                )
            try:
                with interrupts.deferred():  # else git could be killed over a half-made one
                    _git(self.root, "worktree", "add", "--detach", str(folder), commit)
                yield folder
            finally:
                self._remove(folder)

    def _remove_leftovers(self) -> None:
        listed = _try_git(self.root, "worktree", "list", "--porcelain") or ""
        for line in listed.splitlines():
            scratch = (folder := Path(line.removeprefix("worktree "))).parent
            if not scratch.name.startswith(PREFIX):
                continue
            remove_left(scratch.parent)
            if not scratch.exists():
                with suppress(CouldNotCompare):
                    self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """Raises CouldNotCompare where git still lists it."""
        shutil.rmtree(folder, ignore_errors=True)  # tests may have left what git wouldn't remove
        # Twice --force: a half-made one is locked.
        _try_git(self.root, "worktree", "remove", "--force", "--force", str(folder))
        listed = _try_git(self.root, "worktree", "list", "--porcelain") or ""
        if f"worktree {folder}" in listed.splitlines():
            raise CouldNotCompare(
                "git's work tree of the base can't be removed; run git worktree prune",
                str(folder),
            )


def repository_of(folder: Path) -> Repository:
    """The repository that a folder is in. Raises CouldNotCompare where there is none."""
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
    except CouldNotCompare as error:
        raise CouldNotCompare(
            "--base compares with another commit, but this folder is not in a git work tree",
            error.detail,
        ) from None
    return Repository(Path(top).resolve())


def _try_git(folder: Path, *arguments: str) -> str | None:
    try:
        return _git(folder, *arguments)
    except CouldNotCompare:
        return None


def _git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises CouldNotCompare.

    Without the user's hooks, which may do anything, and without refreshing the index.
    """
    kept = {name: value for name, value in os.environ.items() if name not in GIT_VARIABLES}
    # quotePath: names as they are.
    quiet = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.quotePath=false")
    try:
        answer = subprocess.run(
            ["git", *quiet, *arguments],
            cwd=folder,
            env={**kept, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except OSError as error:
        raise CouldNotCompare("--base needs git, which can't be started", str(error)) from None
    if answer.returncode != 0:
        raise CouldNotCompare(f"git {arguments[0]} failed", answer.stderr.strip())
    return answer.stdout.rstrip("\n")


@dataclass(frozen=True)
class Tree:
    """A work tree: its name in messages, and its root folder without links."""

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
                f"installed copy with other contents. Install each tree before its runs: "
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
    folders = (sys.prefix, sys.base_prefix, site.getusersitepackages())
    environments = [Path(folder).resolve() for folder in folders]
    inside = (each for each in environments if found.root in each.parents)
    return None if any(file.is_relative_to(each) for each in inside) else found


def _module_name(root: Path, path: str) -> str:
    """The name by which a source is imported: from the folder above its outermost package.

    A module outside packages has one only in the root and in src; elsewhere it is a script, which
    may have the name of a library.
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
