"""The study as data: complete, typed, and true to its own tables."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from importlib.resources import files
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy import study

READERS: dict[str, tuple[type, Callable[[], tuple[Any, ...]]]] = {
    "tasks.csv": (study.Task, study.tasks),
    "models.csv": (study.Model, study.models),
    "datasets.csv": (study.Dataset, study.datasets),
    "protocol.csv": (study.ProtocolItem, study.protocol),
    "runs.csv": (study.ModelRun, study.runs),
    "multipurpose.csv": (study.MultipurposeModel, study.multipurpose),
    "lengths.csv": (study.Lengths, study.lengths),
    "parity.csv": (study.Parity, study.parities),
    "performance.csv": (study.Performance, study.performances),
    "aes_tasks.csv": (study.ScoreTask, study.score_tasks),
    "aes_models.csv": (study.ScoreModel, study.score_models),
}
DATA = files("pytest_energy.study") / "data"


def rows(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader((DATA / file).read_text(encoding="utf-8").splitlines()))


def test_every_file_has_a_reader() -> None:
    assert {each.name for each in DATA.iterdir()} == {*READERS, "README.md"}


@pytest.mark.parametrize("file", READERS)
def test_a_reader_gives_every_cell_and_fills_none(file: str) -> None:
    row, reader = READERS[file]
    names = [each.name for each in fields(row)]
    assert [list(each) for each in rows(file)] == [names] * len(reader())
    for cells, found in zip(rows(file), reader(), strict=True):
        for name, cell in cells.items():
            value = getattr(found, name)
            assert (value in (None, "")) == (cell == "")
            if isinstance(value, float):
                assert value == float(cell)
            elif value is not None:
                assert str(value) == cell


@pytest.mark.parametrize("file", READERS)
def test_every_figure_has_a_source(file: str) -> None:
    for found in READERS[file][1]():
        sources = [each for each in vars(found) if each.startswith("source")]
        assert sources
        assert all(getattr(found, each) for each in sources)


def test_the_study_is_whole() -> None:
    assert [each.name for each in study.tasks()] == list(study.STUDY_TASKS)
    assert len(study.models()) == len({each.id for each in study.models()}) == 88
    by_task = Counter(each.task_name for each in study.models())
    assert by_task == dict.fromkeys((*study.STUDY_TASKS, None), 8)
    assert Counter(each.task_name for each in study.datasets()) == dict.fromkeys(
        study.STUDY_TASKS, 3
    )
    several = {each.id for each in study.models() if each.task_name is None}
    assert {each.model for each in study.multipurpose()} == several


@pytest.mark.parametrize("task", study.tasks(), ids=lambda task: task.name)
def test_the_logs_give_the_printed_means_back(task: study.Task) -> None:
    def of_task(found: study.ModelRun) -> bool:
        return found.in_table2 and study.hub_name(found.task.removesuffix("_R")) == task.name

    of_runs = fmean(each.kwh_mean for each in study.runs() if of_task(each))
    assert round(of_runs, 3) == task.paper_mean_kwh_per_1000
    assert of_runs == pytest.approx(task.logs_mean_kwh, abs=1e-6)


def test_models_are_found_by_either_id_and_any_case() -> None:
    for each in study.models():
        assert study.model_named(each.model_id_paper.upper()) == each
        if each.model_id_logs:
            assert study.model_named(each.model_id_logs) == each
    assert study.model_named("") is None
    assert study.model_named("gpt-4") is None


@pytest.mark.parametrize(
    ("name", "hub"),
    [
        ("text-classification", "text-classification"),
        ("text classification", "text-classification"),
        ("text_classification", "text-classification"),
        ("Binary text classification", "text-classification"),
        ("extractive question answering", "question-answering"),
        ("masked language modeling", "fill-mask"),
        ("image captioning", "image-to-text"),
        ("image_captioning", "image-to-text"),
        ("image generation", "text-to-image"),
        ("reasoning", "reasoning"),
        ("asr", "automatic-speech-recognition"),
        ("automatic speech recognition", "automatic-speech-recognition"),
        ("semantic sentence similarity", "sentence-similarity"),
        ("ticket-routing", None),
        ("", None),
    ],
)
def test_other_names_of_tasks_are_understood(name: str, hub: str | None) -> None:
    assert study.hub_name(name) == hub


def test_every_name_in_the_data_is_understood() -> None:
    tasks = [each.task for each in study.tasks()]
    tasks += [each.task for each in study.datasets()]
    tasks += [each.task for each in study.score_tasks()]
    assert [each for each in tasks if study.hub_name(each) is None] == []


def test_an_unknown_task_is_refused_with_those_that_there_are() -> None:
    assert study.task_named("image captioning").name == "image-to-text"
    with pytest.raises(
        ValueError, match="unknown task 'reasoning'; the tasks of the study are text-"
    ):
        study.task_named("reasoning")


@given(st.text(), st.text())
def test_free_names_are_the_same_only_when_equal(one: str, other: str) -> None:
    assert study.same_task(one, one)
    if study.hub_name(one) is None:
        assert study.same_task(one, other) == (one == other)
    assert study.same_task(one, other) == study.same_task(other, one)
