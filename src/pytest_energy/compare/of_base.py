"""`--base REF`: a git worktree of a commit, and the user's tree as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.compare.interrupts import Interrupts
from pytest_energy.compare.origin import Tree, check_origin, loads_any
from pytest_energy.compare.outcome import ComparisonRecord, CouldNotCompare, Side
from pytest_energy.compare.pairs import compare_pairs
from pytest_energy.compare.process import PytestProcess, run
from pytest_energy.compare.turns import Plan, Tell, take_turns
from pytest_energy.compare.worktree import Repository, repository_of
from pytest_energy.record.schema import RunRecord
from pytest_energy.sensors import clock

YOURS = "your tree"


@dataclass(frozen=True)
class OfBase:
    """Asks what the user's tree costs beside a commit, by rule B'. setup: a command, or None."""

    ref: str
    setup: str | None
    plan: Plan

    @property
    def sides(self) -> tuple[Side, Side]:
        return Side(self.ref), Side(YOURS)

    @property
    def max_increase(self) -> float:
        return self.plan.rule.max_increase

    def answer(self, interrupts: Interrupts, tell: Tell) -> ComparisonRecord:
        """Raises CouldNotCompare."""
        repository = repository_of(self.plan.folder)
        commit, head = repository.commit_of(self.ref), repository.commit_of("HEAD")
        has_changes = repository.has_changes()
        self._check(repository, commit, head, has_changes)
        changed = repository.changed_sources(commit)
        inner = self.plan.folder.resolve().relative_to(repository.root)
        yours = Tree(YOURS, repository.root)
        setup = _Setup(self.setup, inner, interrupts, tell)
        try:
            with repository.worktree(commit, interrupts) as folder:
                base = Tree("the base", folder)
                if not (folder / inner).is_dir():
                    raise CouldNotCompare(
                        f"{inner.as_posix()}, in which the command runs, isn't in {self.ref}: run "
                        "it in a folder that both have"
                    )
                turns = [
                    _Turns(own, other, changed, self._process(own, inner), setup, interrupts)
                    for own, other in ((base, yours), (yours, base))
                ]
                pairs = take_turns((turns[0].run, turns[1].run), self.plan, clock.now, tell)
        finally:
            setup.restore(yours)
        sides = (
            Side(self.ref, commit),
            Side(YOURS, head, "with changes that aren't committed" if has_changes else ""),
        )
        notes = []
        if changed and not any(each.loaded_changed for each in turns):
            notes.append("no Python file that differs between the trees was loaded by these tests")
        return compare_pairs(pairs, sides, self.plan.rule, notes)

    def _process(self, tree: Tree, inner: Path) -> PytestProcess:
        return PytestProcess(tree.name, self.plan.arguments, tree.root / inner)

    def _check(self, repository: Repository, commit: str, head: str, has_changes: bool) -> None:
        if submodules := repository.submodules(commit):
            raise CouldNotCompare(
                f"{self.ref} has submodules ({', '.join(submodules)}), which git leaves empty in a "
                "second work tree: run pytest --energy-json in a clone of each, and compare the "
                "records"
            )
        if not has_changes and repository.has_same_files(commit, head):
            raise CouldNotCompare(
                f"{self.ref} has the files of your tree: there is nothing to compare; for example "
                "--base HEAD~1"
            )


@dataclass
class _Turns:
    """The processes of one tree. changed: sources that differ between the two."""

    own: Tree
    other: Tree
    changed: Sequence[str]
    process: PytestProcess
    setup: _Setup
    interrupts: Interrupts
    loaded_changed: bool = False
    """Whether a process loaded one of them."""

    def run(self) -> RunRecord:
        """Raises CouldNotCompare."""
        self.setup.prepare(self.own)
        ran = self.process.run(self.interrupts)
        check_origin(ran.modules, self.own, self.other, self.changed)
        self.loaded_changed |= loads_any(ran.modules, self.own, self.changed)
        return ran.record


class _Setup:
    """The user's command, run in a tree when the other one's turn ends.

    Both may install into one Python environment, so once for each tree isn't enough.
    """

    def __init__(
        self, command: str | None, inner: Path, interrupts: Interrupts, tell: Tell
    ) -> None:
        self._command = command
        self._inner = inner
        self._interrupts = interrupts
        self._tell = tell
        self._prepared: Tree | None = None

    def prepare(self, tree: Tree) -> None:
        """Raises CouldNotCompare."""
        if self._command is None or self._prepared == tree:
            return
        self._prepared = tree  # also where it fails halfway
        self._tell(f"--setup in {tree.name}")
        status, output = run(self._command, tree.root / self._inner, {}, self._interrupts)
        if status != 0:
            raise CouldNotCompare(f"--setup ended with exit status {status} in {tree.name}", output)

    def restore(self, tree: Tree) -> None:
        """Leave the environment as this tree's, because the other one is gone."""
        if self._prepared is not None:
            self.prepare(tree)
