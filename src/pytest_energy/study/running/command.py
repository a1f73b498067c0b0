"""`pytest-energy study run`: the plan, the progress, the pytest process, and how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pytest_energy.baselines import BASELINES_FOLDER
from pytest_energy.limits import BUDGETS_FILE
from pytest_energy.report.progress import LiveProgress, Step
from pytest_energy.study.running import suite
from pytest_energy.study.running.choice import Choice
from pytest_energy.study.running.results import Result, read_result
from pytest_energy.study.running.twins import QUERIES, Twin
from pytest_energy.units import numbered

LOG = "pytest.log"
PLUGIN = "pytest_energy.study.running.plugin"
#: The tests have the same ids wherever this package is installed.
SUITE = Path(suite.__file__).parent
SUITE_FILE, TEST = "test_study.py", "test_inference"
#: Of pytest, torch and transformers, on one core of a cloud VM.
START_SECONDS = 15.0
#: Exit status if some model could not be measured, and if nothing could be run.
FAILED, NOT_RUN = 1, 2


def duration(seconds: float) -> str:
    """Such as "40 s", "25 min" or "13 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


def plan(choice: Choice, device: str, seconds: float) -> list[str]:
    """What will be run and how long it takes, in sentences."""
    twins = choice.pending(device)
    kept = len(choice.subjects()) - len(twins)
    models = numbered(len(twins), "model")
    lines = []
    if kept:
        lines.append(
            f"{kept} of {kept + len(twins)} already have a result; --again measures them again"
        )
    if not twins:
        return lines
    expected = [choice.expected_seconds(each, seconds) for each in twins]
    known = [each for each in expected if each is not None]
    total = duration(sum(known))
    if not choice.full:
        measuring = len(twins) * seconds
        lines.append(
            f"{models}, at most {seconds:g} s of measurement each: {duration(measuring)} at most "
            "(one call to warm up and one round always run); start-up and loading add about "
            f"{duration(START_SECONDS + sum(known) - measuring)}"
        )
    elif not known:
        lines.append(f"{QUERIES:,} queries of {models}; the duration on this device is unknown")
    else:
        lines.append(f"{QUERIES:,} queries of {models}: about {total} on one core of a cloud VM")
        if unknown := len(expected) - len(known):
            lines.append(f"the duration of {unknown} of them is unknown")
    if choice.method == "codecarbon":
        lines.append("each is then measured again by CodeCarbon, which doubles the time")
    return lines


def run(
    choice: Choice,
    seconds: float,
    arguments: Sequence[str],
    echo: Callable[[str], None],
) -> int:
    """Run pytest on the pending models; gives its exit status.

    If the system ends the process (mostly for lack of memory), its model is skipped and the rest
    continues. The output of pytest goes to a file next to the results, progress to the standard
    error. pytest runs in the folder of the results, so the settings of a project don't apply.
    """
    assert choice.results is not None and choice.running_path is not None
    choice.results.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pytest", str(SUITE), f"--config-file={SUITE / 'pytest.ini'}"]
    command += ["-p", PLUGIN, "-p", "no:cacheprovider", "-W", "default"]
    command += ["-p", "no:asyncio"]  # it warns of its settings, and nothing here is asynchronous
    command += [*choice.arguments(), "--study-progress", f"--energy-max-seconds={seconds:g}"]
    command += [*_files_of(choice.results, arguments), *arguments]
    variables = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONDONTWRITEBYTECODE": "1"}
    killed: list[str] = []
    with (choice.results / LOG).open("wb") as log:
        while True:
            left_out = [f"--deselect={SUITE_FILE}::{TEST}[{name}]" for name in killed]
            child = subprocess.Popen(
                [*command, *left_out],
                cwd=choice.results,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
            )
            status = _wait(child)
            if status >= 0 or not choice.running_path.exists():
                return FAILED if killed and status == 0 else status
            killed.append(choice.running_path.read_text(encoding="utf-8"))
            choice.running_path.unlink()
            echo(
                f"{killed[-1]}: the system ended its process ({signal.Signals(-status).name}), "
                "probably for lack of memory; it is skipped"
            )


class RunProgress:
    """A line for each finished model, and on a terminal one with the time left.

    max_seconds: for each model. now: seconds of a clock.
    """

    def __init__(
        self,
        stream: TextIO,
        choice: Choice,
        max_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live = LiveProgress(stream, now)
        self._choice = choice
        self._max_seconds = max_seconds
        self._expected: dict[str, float | None] = {}
        self._done: set[str] = set()

    @contextmanager
    def running(self, twins: Sequence[Twin]) -> Iterator[None]:
        """While these are run."""
        self._expected = {
            each.name: self._choice.expected_seconds(each, self._max_seconds) for each in twins
        }
        with self._live:
            yield

    def start(self, name: str) -> None:
        seconds = [each for each in self._expected.values() if each is not None]
        known = len(seconds) == len(self._expected)
        done = sum(self._expected.get(each) or 0.0 for each in self._done)
        text = f"{len(self._done)} of {len(self._expected)}: {name}"
        self._live.show(Step(text, done, sum(seconds) if known else None))

    def end(self, name: str, outcome: str) -> None:
        """A model has ended; outcome: how, as text."""
        self._done.add(name)
        total = len(self._expected)
        self._live.print(f"[{len(self._done):>{len(str(total))}}/{total}] {name}: {outcome}")


def _files_of(folder: Path, arguments: Sequence[str]) -> list[str]:
    """Limits and baselines of these models, which pytest would look for next to the suite."""
    budgets, baselines = folder / BUDGETS_FILE, folder / BASELINES_FOLDER
    makes_baselines = any(each.startswith("--energy-update") for each in arguments)
    return [
        *([f"--energy-budgets={budgets}"] if budgets.exists() else []),
        *([f"--energy-baselines={baselines}"] if baselines.exists() or makes_baselines else []),
    ]


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Its exit status; Ctrl-C reaches both, and pytest tidies up."""
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


def found(choice: Choice, device: str) -> list[Result]:
    """The results of the chosen models that are there. Raises RecordError."""
    paths = (choice.result_path(each, device) for each in choice.subjects())
    results = [read_result(path) for path in paths if path is not None]
    return [each for each in results if each is not None]


def ending(choice: Choice, results: str, seconds: float) -> list[str]:
    """Where the results are, how long the run took, and the next command."""
    next_command = f"pytest-energy study compare {results}/*/*.json"
    if choice.model:
        next_command = f"pytest-energy study place {results}/{choice.subjects()[0].task}/*.json"
        if not choice.names:
            next_command += " (needs a model of the study too: add --twin)"
    return [
        f"results: {results}, after {duration(seconds)}",
        f"compare with the study: {next_command}",
    ]


def status_of(status: int, log: Path, echo: Callable[[str], None]) -> int:
    """The exit status of the command for that of pytest, and a sentence if something went wrong."""
    if status in (0, 5):
        return 0
    if status == 1:
        echo(f"some models were not measured or exceed a limit; see {log}")
        return FAILED
    if status == 2:
        echo("interrupted; run the same command again to continue")
        return FAILED
    how = (
        f"was ended by {signal.Signals(-status).name}"
        if status < 0
        else f"ended with exit status {status}"
    )
    echo(f"pytest {how}; see {log}")
    return NOT_RUN
