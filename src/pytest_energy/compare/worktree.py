"""Git, as `--base` needs it: nothing of the user's repository is left changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.compare.interrupts import Interrupts
from pytest_energy.compare.outcome import CouldNotCompare
from pytest_energy.compare.process import GIT_VARIABLES


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
                f"--base {ref}: git knows no such commit here; for example --base main. A shallow "
                "clone holds few: fetch it (git fetch origin main, and --base origin/main)"
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
        """The files of a commit in a folder outside the repository, removed at the end."""
        with tempfile.TemporaryDirectory(prefix="pytest-energy-") as name:
            # A root folder that is a package is imported by its name, so that stays.
            folder = Path(name).resolve() / self.root.name
            if folder.is_relative_to(self.root):
                raise CouldNotCompare(
                    "the folder for temporary files is inside the repository, where a second work "
                    "tree would be seen: set TMPDIR to another, such as TMPDIR=/tmp"
                )
            try:
                with interrupts.deferred():  # else git could be killed over a half-made one
                    _git(self.root, "worktree", "add", "--detach", str(folder), commit)
                yield folder
            finally:
                self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """Raises CouldNotCompare where git still lists it."""
        shutil.rmtree(folder, ignore_errors=True)  # tests may have left what git wouldn't remove
        # Twice --force: one that is being made is locked.
        _try_git(self.root, "worktree", "remove", "--force", "--force", str(folder))
        listed = _try_git(self.root, "worktree", "list", "--porcelain") or ""
        if f"worktree {folder}" in listed.splitlines():
            raise CouldNotCompare(
                "git's worktree of the base can't be removed; git worktree prune removes it",
                str(folder),
            )


def repository_of(folder: Path) -> Repository:
    """The repository that a folder is in. Raises CouldNotCompare where there is none."""
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
    except CouldNotCompare as error:
        raise CouldNotCompare(
            "--base compares with another commit, and this folder is in no git work tree",
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
