"""From a question to its answer, which also says why nothing could be compared."""

from __future__ import annotations

from typing import TextIO

from pytest_energy.compare.interrupts import Interrupted, Interrupts
from pytest_energy.compare.outcome import ComparisonRecord, CouldNotCompare
from pytest_energy.compare.progress_line import ProgressLine
from pytest_energy.compare.question import Question


def answer(question: Question, stream: TextIO) -> ComparisonRecord:
    """Progress, and what only this terminal may show, go to the stream."""
    progress = ProgressLine(stream)
    try:
        with Interrupts() as interrupts:
            return question.answer(interrupts, progress)
    except (CouldNotCompare, Interrupted) as error:
        progress.clear()
        found = _chain(error)
    finally:
        progress.clear()
    for each in found:
        if isinstance(each, CouldNotCompare) and each.detail:
            stream.write(f"{each.detail}\n")
    problem = "; then: ".join(map(str, found))
    return ComparisonRecord(*question.sides, question.max_increase, problem=problem)


def _chain(error: BaseException) -> list[BaseException]:
    """All that went wrong, the first first: tidying up may fail too."""
    before = None if error.__suppress_context__ else error.__context__
    is_ours = isinstance(error, CouldNotCompare | Interrupted)
    return [*(_chain(before) if before is not None else ()), *([error] if is_ours else ())]
