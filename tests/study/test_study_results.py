"""docs/study-results.md says what its run records hold, and nothing else."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield importlib.import_module("study_results")


def test_the_page_is_what_the_script_writes(script: ModuleType) -> None:
    records = script.stored()
    compared = script.compare_with_study(script.points_in(records))
    page = script.page(script.measured(records), compared)
    assert page == script.PAGE.read_text(encoding="utf-8")


def test_every_model_that_runs_on_a_processor_is_there_in_both_precisions(
    script: ModuleType,
) -> None:
    from pytest_energy.study.running.twins import twins

    wanted = {each.name for each in twins() if not each.needs_gpu}
    for dtype in ("float32", "bfloat16"):
        found = script.of(script.measured(script.stored()), dtype)
        assert {each.result.twin for each in found} == wanted
        assert all(each.result.codecarbon is not None for each in found)


def test_nothing_in_the_records_names_a_host_or_a_folder(script: ModuleType) -> None:
    for path, _ in script.stored():
        text = path.read_text(encoding="utf-8")
        assert not json.loads(text)["machine"]["gpus"]  # the page says that no GPU has run
        assert "/tmp" not in text and "/home" not in text
