"""Records of models of the study, and of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from records import RECORD, TEST, UNMEASURED
from typer.testing import CliRunner, Result

from pytest_energy.cli import app
from pytest_energy.record.file import write
from pytest_energy.record.schema import ChannelRecord, RunRecord, TestRecord
from pytest_energy.study.figures import figures_of
from pytest_energy.study.running.codecarbon_way import CodeCarbonFigure

TASK = "fill-mask"
MODELS = [each.model for each in figures_of(TASK)]
FIGURE = CodeCarbonFigure(
    version="3.3.2",
    queries=100,
    seconds=8.0,
    joules_per_unit=2.0,
    gpu_joules_per_unit=0.0,
    cpu_joules_per_unit=0.5,
    ram_joules_per_unit=1.5,
    cpu_watts=6.2,
    ram_watts=20.0,
)
ON_CPU = ChannelRecord(
    name="cpu:process",
    kind="cpu",
    source="CPU time x 4 W a core",
    provenance="estimated",
    gated=True,
    joules_per_unit=1.0,
)


def twin(model: str, joules: float, task: str = TASK, /, **changes: object) -> TestRecord:
    made = replace(
        TEST,
        id=f"test_study.py::test_inference[{model}]",
        task=task,
        model=None,
        labels={"study_model": model, "dtype": "float32"},
        joules_per_unit=joules,
        interval=(joules * 0.99, joules * 1.01),
        grams_per_unit=joules * 1e-4,
        budget=None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def own(joules: float, **changes: object) -> TestRecord:
    made = twin("", joules, id="tests/test_it.py::test_mine", model="ours", labels={})
    return replace(made, **changes)  # type: ignore[arg-type]


def run_of(*tests: TestRecord) -> RunRecord:
    return replace(RECORD, tests=tests)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["study", *arguments], env={"COLUMNS": "80"})


def flat(text: str) -> str:
    return " ".join(text.split())


def record_of_the_task(folder: Path) -> Path:
    """A record of the task's models, one of one's own, and one that was not measured."""
    tests = [twin(model, 1.0 + index) for index, model in enumerate(MODELS)]
    write(run_of(*tests, own(2.5), UNMEASURED), folder / "record.json")
    return folder / "record.json"
