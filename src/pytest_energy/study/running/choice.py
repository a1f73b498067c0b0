"""Which models are run, and how: the options of pytest and of the command."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pytest_energy.errors import InputError
from pytest_energy.study.running.codecarbon_way import codecarbon_path
from pytest_energy.study.running.models import AUTO_CLASSES, BYTES
from pytest_energy.study.running.twins import QUERIES, Construction, Twin, pick, twins

WEIGHTS = ("random", "hub")
METHODS = ("ours", "codecarbon")
DTYPES = tuple(BYTES)
#: To make a model, without its queries: for each, and for each of its parameters.
LOAD_SECONDS = 4.0
LOAD_SECONDS_PER_PARAMETER = 1.2e-8


class StudyOption(NamedTuple):
    """An option of pytest; the command has the same without `study-`."""

    flag: str
    metavar: str | None
    help: str


OPTIONS = (
    StudyOption("--study-task", "TASK", "run only models of this task; may be repeated"),
    StudyOption(
        "--study-twin", "NAME", "run only models of this name, with * and ?; may be repeated"
    ),
    StudyOption("--study-weights", "random|hub", "use random weights, or those of the Hub"),
    StudyOption(
        "--study-model", "PATH", "run your own model, a folder or an id of the Hub; needs a task"
    ),
    StudyOption("--study-dtype", "DTYPE", f"use {', '.join(DTYPES)} (default float32)"),
    StudyOption(
        "--study-device",
        "DEVICE",
        "use cpu, cuda, cuda:1 (default: cuda if torch has it, else cpu)",
    ),
    StudyOption("--study-threads", "N", "use N threads of torch on a CPU (default 1)"),
    StudyOption("--study-seed", "N", "seed random weights and inputs (default 0)"),
    StudyOption(
        "--study-method",
        "ours|codecarbon",
        "codecarbon: also measure by CodeCarbon, as in the study",
    ),
    StudyOption("--study-results", "FOLDER", "store each finished model in FOLDER"),
    StudyOption("--study-full", None, "run 1,000 queries of each model"),
    StudyOption("--study-again", None, "also measure models that have a result"),
    StudyOption("--study-progress", None, "print each finished model to the standard error"),
)
SEVERAL = ("--study-task", "--study-twin")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which models are run, from where, and how.

    tasks, names: all where empty. weights: "random" or "hub". model: a folder or an id of the Hub,
    or "": it is run with the twins that `names` chooses, alone where that is empty. device: None
    for torch's CUDA device where there is one. method:
    "codecarbon" also measures by CodeCarbon. results: None stores nothing. again: existing results
    are replaced.
    """

    tasks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    weights: str = "random"
    model: str = ""
    dtype: str = "float32"
    device: str | None = None
    threads: int = 1
    seed: int = 0
    method: str = "ours"
    results: Path | None = None
    full: bool = False
    again: bool = False

    def check(self) -> None:
        """Raises InputError for what can't be run, with what would work."""
        for flag, value, known in (
            ("weights", self.weights, WEIGHTS),
            ("method", self.method, METHODS),
            ("dtype", self.dtype, DTYPES),
        ):
            if value not in known:
                raise InputError(f"--{flag}={value}: choose from {', '.join(known)}")
        if self.threads < 1:
            raise InputError(f"--threads={self.threads}: expected a whole number from 1")
        if self.model and len(self.tasks) != 1:
            raise InputError(
                f"--model={self.model} needs exactly one task, for example "
                "--task=text-classification"
            )
        if self.model and self.weights != "random" and not self.names:
            raise InputError(
                f"--weights={self.weights} applies to twins, and --model runs none without --twin: "
                "remove --weights, or add --twin"
            )
        looks_like_a_path = self.model.startswith((".", "/", "~"))
        if looks_like_a_path and not Path(self.model).expanduser().exists():
            raise InputError(f"--model={self.model}: no such folder")
        self.subjects()

    def subjects(self) -> tuple[Twin, ...]:
        """The models to be run, the user's first. Raises InputError for an unknown task or name."""
        if not self.model:
            return pick(self.tasks, self.names, twins())
        own = self._own_model()
        others = pick(self.tasks, self.names, twins()) if self.names else ()
        if own.name in {each.name for each in others}:
            raise InputError(
                f"--model={self.model} has the name of the twin {own.name}: rename the folder"
            )
        return own, *others

    def _own_model(self) -> Twin:
        similar = pick(self.tasks, (), twins())[0]
        name = Path(self.model).name if Path(self.model).exists() else self.model
        return replace(
            similar,
            name=f"{similar.task}/{name}",
            study_id="",
            model=Construction(AUTO_CLASSES[similar.task]),
            parameters=0,
            cpu_seconds={},
            beams=1,
            note="your own model",
        )

    def weights_of(self, twin: Twin) -> str:
        """random, hub or own."""
        return "own" if self.model and twin.name == self._own_model().name else self.weights

    @property
    def running_path(self) -> Path | None:
        """The file that names the current model, to tell which one a killed process was running."""
        return None if self.results is None else self.results / ".running"

    def result_path(self, twin: Twin, device: str) -> Path | None:
        """The file of one result; each setting that changes the figure is in its name."""
        if self.results is None:
            return None
        kind = device.partition(":")[0]
        parts = [twin.name.partition("/")[2].replace("/", "--"), self.dtype, kind]
        parts += [self.weights_of(twin)]
        parts += [f"{self.threads}-threads"] if self.threads > 1 and kind == "cpu" else []
        parts += ["full"] if self.full else []
        return self.results / twin.task / f"{'-'.join(parts)}.json"

    def has_result(self, twin: Twin, device: str) -> bool:
        """Whether it need not be run again."""
        path = self.result_path(twin, device)
        if path is None or self.again or not path.exists():
            return False
        return self.method != "codecarbon" or codecarbon_path(path).exists()

    def pending(self, device: str) -> tuple[Twin, ...]:
        """The models that are still to be run."""
        return tuple(each for each in self.subjects() if not self.has_result(each, device))

    def expected_seconds(self, twin: Twin, max_seconds: float) -> float | None:
        """How long a model takes, at most or about; None where that is unknown."""
        load = LOAD_SECONDS + LOAD_SECONDS_PER_PARAMETER * twin.parameters
        if not self.full:
            return max_seconds + load
        if self.device not in (None, "cpu") or self.dtype not in twin.cpu_seconds:
            return None
        return QUERIES * twin.cpu_seconds[self.dtype] + load

    def arguments(self) -> list[str]:
        """The same as options of pytest."""
        given: list[tuple[str, object]] = [
            *(("--study-task", each) for each in self.tasks),
            *(("--study-twin", each) for each in self.names),
            ("--study-weights", self.weights),
            ("--study-model", self.model),
            ("--study-dtype", self.dtype),
            ("--study-device", self.device or ""),
            ("--study-threads", self.threads),
            ("--study-seed", self.seed),
            ("--study-method", self.method),
            ("--study-results", self.results or ""),
        ]
        flags = [("--study-full", self.full), ("--study-again", self.again)]
        return [
            *(f"{flag}={value}" for flag, value in given if value != ""),
            *(flag for flag, is_set in flags if is_set),
        ]
