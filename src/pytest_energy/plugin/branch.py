"""What this branch changes in energy-budgets.toml, as git knows it; nothing where it knows none."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pytest_energy.limits.changes import LimitChange, limit_changes
from pytest_energy.limits.file import BudgetsFile, BudgetsFileError, parse_budgets
from pytest_energy.limits.toml_file import LARGEST_BYTES

#: Branches that others start from, where the job names none.
_USUAL = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_BRANCH = re.compile(r"[\w][\w./+-]{0,200}")


class BranchChanges(NamedTuple):
    """The changed limits, and what they are compared with ("origin/main"), "" for nothing."""

    base: str = ""
    limits: tuple[LimitChange, ...] = ()


def branch_changes(
    root: Path, name: str, now: BudgetsFile, environment: Mapping[str, str]
) -> BranchChanges:
    """Compare the budgets file of this run with that of the commit where its branch began.

    name: the file's, from the root folder. Git is asked for what it has, and fetches nothing.
    """
    path = root / name
    for base in _bases(environment) if _git(path.parent, "rev-parse", "HEAD") else ():
        start = _git(path.parent, "merge-base", "HEAD", base)
        if start is None:
            continue
        commit = start.decode("ascii", "replace").strip()
        before = _git(path.parent, "cat-file", "blob", f"{commit}:./{path.name}") or b""
        try:
            old = parse_budgets(before.decode(), name) if before else BudgetsFile()
        except (BudgetsFileError, UnicodeDecodeError):  # written for another version
            return BranchChanges()
        return BranchChanges(base, limit_changes(old, now))
    return BranchChanges()


def _bases(environment: Mapping[str, str]) -> Iterator[str]:
    """What the job says that it is to be merged into, then the usual branches."""
    branches = ("GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "CHANGE_TARGET")
    commit = environment.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "")
    if _COMMIT.fullmatch(commit):
        yield commit
    named = [environment.get(each, "") for each in branches]
    yield from (f"origin/{each}" for each in named if _BRANCH.fullmatch(each))
    yield from _USUAL


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git prints, or None where it fails or prints too much."""
    # A hook of git sets variables that would lead to its repository.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**kept, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    if answer.returncode != 0 or len(answer.stdout) > LARGEST_BYTES:
        return None
    return answer.stdout
