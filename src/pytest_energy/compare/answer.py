"""From a question to its answer, which also says why nothing could be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pytest_energy.compare.judgement import Pair, compare_pairs, compare_records
from pytest_energy.compare.outcome import ComparisonRecord, CouldNotCompare, Side
from pytest_energy.compare.processes import (
    Interrupted,
    Interrupts,
    OnStep,
    PytestProcess,
    Ran,
    run,
    run_pairs,
)
from pytest_energy.compare.question import (
    YOURS,
    BaseCommit,
    Plan,
    Question,
    TwoRecords,
    TwoVariants,
)
from pytest_energy.compare.turns import NoTurns, run_in_turns
from pytest_energy.compare.worktree import (
    Tree,
    check_origin,
    loads_any,
    repository_of,
)
from pytest_energy.record import file as record
from pytest_energy.record.plain import RecordError
from pytest_energy.record.schema import RunRecord
from pytest_energy.report.progress import LiveProgress, Step
from pytest_energy.sensors import clock


def answer(question: Question, stream: TextIO) -> ComparisonRecord:
    """Progress goes to the stream, and so do details that may name paths."""
    try:
        with LiveProgress(stream, lines=True) as progress, Interrupts() as interrupts:
            match question:
                case TwoRecords():
                    return _answer_records(question)
                case TwoVariants():
                    return _answer_variants(question, interrupts, progress.show)
                case BaseCommit():
                    return _answer_base(question, interrupts, progress.show)
    except (CouldNotCompare, Interrupted) as error:
        found = _chain(error)
    for each in found:
        if isinstance(each, CouldNotCompare) and each.detail:
            stream.write(f"{each.detail}\n")
    problem = "; then: ".join(map(str, found))
    reference, candidate = question.sides
    return ComparisonRecord(
        reference=reference,
        candidate=candidate,
        max_increase=question.max_increase,
        problem=problem,
    )


def _chain(error: BaseException) -> list[BaseException]:
    """All that went wrong, in order: the clean-up may fail too."""
    before = None if error.__suppress_context__ else error.__context__
    is_ours = isinstance(error, CouldNotCompare | Interrupted)
    return [*(_chain(before) if before is not None else ()), *([error] if is_ours else ())]


def _answer_records(question: TwoRecords) -> ComparisonRecord:
    try:
        reference, candidate = record.read(question.reference), record.read(question.candidate)
    except RecordError as error:
        raise CouldNotCompare("a run record can't be read", str(error)) from None
    for path, found in ((question.reference, reference), (question.candidate, candidate)):
        if found.sessions:
            raise CouldNotCompare(
                f"{path.name} was merged from {len(found.sessions)} sessions; name the record of "
                "one session"
            )
    if reference.run.uuid == candidate.run.uuid:
        raise CouldNotCompare("both records are of the same run: there is nothing to compare")
    sides = (
        Side(question.reference.name, reference.run.commit),
        Side(question.candidate.name, candidate.run.commit),
    )
    return compare_records(reference, candidate, sides, question.max_increase)


def _answer_variants(
    question: TwoVariants, interrupts: Interrupts, on_step: OnStep
) -> ComparisonRecord:
    plan = question.plan
    first, second = (
        _Runs(
            process=PytestProcess(each.name, plan.arguments, plan.folder, each.variables),
            interrupts=interrupts,
        )
        for each in question.variants
    )
    pairs, notes = _run(first, second, plan, on_step)
    return compare_pairs(pairs, question.sides, plan.rule, notes)


def _run(
    first: _Runs, second: _Runs, plan: Plan, on_step: OnStep, apart: str = ""
) -> tuple[list[Pair], list[str]]:
    """All pairs, and a note where they took no turns. apart: why they can't, or ""."""
    both = _InTurns((first, second), lambda sentence: on_step(Step(sentence)), apart)
    in_turns = None if plan.sequential else both.run
    pairs = run_pairs((first.run, second.run), plan, clock.now, on_step, in_turns)
    return pairs, [
        f"measured one after the other, not in turns: {each}" for each in (both.why_not,) if each
    ]


@dataclass
class _InTurns:
    """Runs pairs in turns until one can't; then it tries no more. why_not: why, or ""."""

    sides: tuple[_Runs, _Runs]
    report: Callable[[str], None]
    why_not: str

    def run(self, number: int) -> Pair | None:
        """One pair, in which the process of this side starts first."""
        if self.why_not:
            return None
        order = (self.sides[number], self.sides[1 - number])
        processes = (order[0].process, order[1].process)
        try:
            found = run_in_turns(processes, order[0].interrupts, self.report)
        except NoTurns as error:
            self.why_not = str(error)
            return None
        self.why_not = found.why_not
        records = [side.checked(ran) for side, ran in zip(order, found.ran, strict=True)]
        return Pair(records[number], records[1 - number], in_turns=not self.why_not)


def _answer_base(question: BaseCommit, interrupts: Interrupts, on_step: OnStep) -> ComparisonRecord:
    plan = question.plan
    repository = repository_of(plan.folder)
    commit, head = repository.commit_of(question.ref), repository.commit_of("HEAD")
    has_changes = repository.has_changes()
    if submodules := repository.submodules(commit):
        raise CouldNotCompare(
            f"{question.ref} has submodules ({', '.join(submodules)}), which git leaves empty in a "
            "second work tree: run pytest --energy-json in a clone of each, and compare the records"
        )
    if not has_changes and repository.has_same_files(commit, head):
        raise CouldNotCompare(
            f"{question.ref} has the files of your tree: there is nothing to compare; for example "
            "--base HEAD~1"
        )
    changed = repository.changed_sources(commit)
    inner = plan.folder.resolve().relative_to(repository.root)
    yours = Tree(YOURS, repository.root)
    setup = _Setup(question.setup, inner, interrupts, on_step)
    try:
        with repository.worktree(commit, interrupts) as folder:
            base = Tree("the base", folder)
            if not (folder / inner).is_dir():
                raise CouldNotCompare(
                    f"the folder {inner.as_posix()}, in which the command runs, is missing in "
                    f"{question.ref}: run the command in a folder that both have"
                )
            first, second = (
                _TreeRuns(
                    own=own,
                    other=other,
                    changed=changed,
                    process=PytestProcess(own.name, plan.arguments, own.root / inner),
                    setup=setup,
                    interrupts=interrupts,
                )
                for own, other in ((base, yours), (yours, base))
            )
            # What is installed for one tree is not there for the other.
            apart = "--setup runs before each of them" if question.setup is not None else ""
            pairs, notes = _run(first, second, plan, on_step, apart)
    finally:
        setup.restore(yours)
    sides = (
        Side(question.ref, commit),
        Side(YOURS, head, "with uncommitted changes" if has_changes else ""),
    )
    if changed and not (first.loaded_changed or second.loaded_changed):
        notes.append("no Python file that differs between the trees was loaded by these tests")
    return compare_pairs(pairs, sides, plan.rule, notes)


@dataclass(kw_only=True)
class _Runs:
    """The processes of one side."""

    process: PytestProcess
    interrupts: Interrupts

    def run(self) -> RunRecord:
        """Raises CouldNotCompare."""
        return self.checked(self.process.run(self.interrupts))

    def checked(self, ran: Ran) -> RunRecord:
        """What one of them left. Raises CouldNotCompare."""
        return ran.record


@dataclass(kw_only=True)
class _TreeRuns(_Runs):
    """Those of one tree. changed: sources that differ between the two."""

    own: Tree
    other: Tree
    changed: Sequence[str]
    setup: _Setup
    loaded_changed: bool = False
    """Whether a process loaded one of them."""

    def run(self) -> RunRecord:
        self.setup.prepare(self.own)
        return super().run()

    def checked(self, ran: Ran) -> RunRecord:
        check_origin(ran.modules, self.own, self.other, self.changed)
        self.loaded_changed |= loads_any(ran.modules, self.own, self.changed)
        return ran.record


class _Setup:
    """The user's command, run in a tree whenever the process before was of the other tree.

    Both may install into one Python environment, so once for each tree isn't enough.
    """

    def __init__(
        self, command: str | None, inner: Path, interrupts: Interrupts, on_step: OnStep
    ) -> None:
        self._command = command
        self._inner = inner
        self._interrupts = interrupts
        self._on_step = on_step
        self._prepared: Tree | None = None

    def prepare(self, tree: Tree) -> None:
        """Raises CouldNotCompare."""
        if self._command is None or self._prepared == tree:
            return
        self._prepared = tree  # also where it fails halfway
        self._on_step(Step(f"--setup in {tree.name}"))
        status, output = run(self._command, tree.root / self._inner, {}, self._interrupts)
        if status != 0:
            raise CouldNotCompare(f"--setup ended with exit status {status} in {tree.name}", output)

    def restore(self, tree: Tree) -> None:
        """Leave the environment as this tree's, because the other one is gone."""
        if self._prepared is not None:
            self.prepare(tree)
