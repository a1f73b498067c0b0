"""Measurements compared with the study's figures: points, agreement, tables and pictures."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import TEST, UNMEASURED
from scipy import stats
from study_records import (
    FIGURE,
    MODELS,
    ON_CPU,
    TASK,
    command,
    flat,
    own,
    record_of_the_task,
    run_of,
    twin,
)

from pytest_energy import study
from pytest_energy.record.file import write
from pytest_energy.record.schema import BudgetRecord, GpuRecord, MachineRecord, TestRecord
from pytest_energy.study.compare import Comparison, Rank, compare_with_study, study_rank
from pytest_energy.study.figures import (
    OF_ITS_GRAMS,
    REMARKS,
    STATED,
    caveats,
    figure_of,
    figures_of,
    spread_of,
)
from pytest_energy.study.points import points_of
from pytest_energy.study.report import render_study_comparison, render_task, render_tasks
from pytest_energy.study.running.codecarbon_way import codecarbon_path, write_figure
from pytest_energy.study.running.results import points_in, records_in


def compared(*tests: TestRecord) -> Comparison:
    return compare_with_study(points_of([run_of(*tests)]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record_of_the_task(tmp_path)


def test_the_remarks_agree_with_the_protocol() -> None:
    protocol = {each.item: each.value for each in study.protocol()}
    assert protocol["carbon_intensity_stated"].startswith(f"{STATED.grams_per_kwh} gCO2")
    assert protocol["carbon_intensity_in_logs"].startswith(f"{OF_ITS_GRAMS.grams_per_kwh} gCO2")
    assert protocol["cpu_power"].startswith("42.5 W") and "42.5 W" in REMARKS[1]
    assert protocol["ram_power"].startswith("430.77675 W") and "430.8 W" in REMARKS[1]
    assert "0.012 kWh" in REMARKS[2] and "0.022 kWh" in REMARKS[2]


def test_the_grams_of_the_logs_are_their_energy_at_oregons_factor() -> None:
    for each in study.tasks():
        grams = each.logs_mean_kwh * OF_ITS_GRAMS.grams_per_kwh
        assert each.logs_gco2e_per_1000_mean == pytest.approx(grams, rel=1e-3)
        assert each.gco2e_if_297_6 == pytest.approx(
            each.logs_mean_kwh * STATED.grams_per_kwh, rel=1e-3
        )


@pytest.mark.parametrize("task", study.tasks(), ids=lambda task: task.name)
def test_models_rank_and_spread_as_in_the_tables(task: study.Task) -> None:
    figures = figures_of(task.name)
    assert [str(study_rank(each.kwh_per_1000, task.name, each.model)) for each in figures] == [
        f"{place} of {len(figures)}" for place in range(1, len(figures) + 1)
    ]
    spread = spread_of(task)
    assert (spread.known, spread.models) == (len(figures), 8)
    if spread.known == task.logs_n_models:
        assert spread.mean == pytest.approx(task.logs_mean_kwh, abs=1e-6)
        assert spread.standard_deviation == pytest.approx(task.logs_std_kwh_over_models, abs=1e-6)


def test_a_model_of_several_tasks_has_a_figure_for_each_and_no_grams() -> None:
    for several in study.multipurpose():
        for task, kwh in several.kwh_by_task.items():
            found = figure_of(several.model, task)
            assert found is not None
            assert (found.kwh_per_1000, found.gco2e_per_1000) == (kwh, None)
        assert figure_of(several.model, TASK) is None


@pytest.mark.parametrize("task", ["fill-mask", "masked language modeling", "fill_mask", None])
def test_a_measurement_is_a_point_by_its_task_and_labels(task: str | None) -> None:
    (point,) = points_of([run_of(twin(MODELS[0].upper(), 3.0, TASK, task=task))]).found
    assert (point.task, point.name, point.study_model) == (TASK, MODELS[0], MODELS[0])
    assert (point.dtype, point.joules_per_unit) == ("float32", 3.0)
    assert point.figure == figures_of(TASK)[0]
    assert str(point.evidence) == "A100 x1 @ 400 W, measured"


def test_a_model_of_ones_own_is_a_point_without_a_figure() -> None:
    (point,) = points_of([run_of(own(3.0))]).found
    assert (point.name, point.study_model, point.figure) == ("ours", None, None)
    (point,) = points_of([run_of(own(3.0, labels={"study_model": ""}))]).found
    assert point.study_model is None
    (point,) = points_of([run_of(own(3.0, labels={"study_model": "t5-small"}))]).found
    assert (point.study_model, point.figure) == ("t5-small", None)


def test_a_model_of_several_tasks_is_compared_as_a_text_classification() -> None:
    (point,) = points_of([run_of(twin("google/flan-t5-base", 3.0, "zero-shot"))]).found
    assert point.task == "text-classification"
    assert point.figure == figure_of("google/flan-t5-base", "text-classification")


@pytest.mark.parametrize(
    ("test", "why"),
    [
        (UNMEASURED, "it is unmeasured, without a figure in joules"),
        (replace(TEST, unit="token"), "its figure is for one token"),
        (
            replace(TEST, task="chat"),
            "the study has no task 'chat'; the tasks of the study are text-",
        ),
        (replace(TEST, task="reasoning"), "the study has no task 'reasoning'"),
        (
            replace(TEST, task=None),
            "it has no task; the tasks of the study are text-classification, ",
        ),
    ],
)
def test_a_measurement_that_cannot_be_compared_with_the_study_is_reported(
    test: TestRecord, why: str
) -> None:
    found = points_of([run_of(test)])
    assert found.found == ()
    (message,) = found.left_out
    assert message.startswith(f"{test.id} is left out: {why}")


def test_windows_of_one_run_are_one_point_and_other_names_are_not() -> None:
    windows = [twin(MODELS[0], joules, name=f"window {joules}") for joules in (1.0, 2.0, 6.0)]
    (point,) = points_of([run_of(*windows)]).found
    assert (point.joules_per_unit, point.interval) == (3.0, None)
    assert point.grams_per_unit == pytest.approx(3e-4)
    named = [own(joules, name=f"part {joules}") for joules in (1.0, 2.0)]
    assert [each.joules_per_unit for each in points_of([run_of(*named)]).found] == [1.0, 2.0]


def test_the_last_attempt_counts_and_several_limits_are_one_point() -> None:
    again = twin(MODELS[0], 5.0, attempt=2)
    limited = replace(again, budget=BudgetRecord(limit="1 J / query", origin="test_it.py:1"))
    (point,) = points_of([run_of(twin(MODELS[0], 9.0), again, limited)]).found
    assert (point.joules_per_unit, point.interval) == (5.0, again.interval)


def test_points_of_several_records_stand_together() -> None:
    runs = [run_of(twin(model, 1.0)) for model in MODELS]
    assert [each.name for each in points_of(runs).found] == MODELS


def test_ranks_are_among_what_may_be_compared() -> None:
    on_cpu = replace(TEST.channels[0], gated=False), ON_CPU
    found = compared(
        twin(MODELS[2], 1.0),
        own(2.0),
        twin(MODELS[0], 3.0),
        twin(MODELS[1], 0.1, channels=on_cpu, method="estimated"),
    )
    ranks = {row.point.name: (str(row.rank), row.study_rank) for row in found.rows}
    assert ranks == {
        MODELS[1]: ("1 of 1", Rank(2, 8)),
        MODELS[2]: ("1 of 3", Rank(3, 8)),
        "ours": ("2 of 3", None),
        MODELS[0]: ("3 of 3", Rank(1, 8)),
    }


def every_twin(factor: float = 1.0) -> list[TestRecord]:
    return [
        twin(each.model, each.joules_per_unit * factor, task, id=f"{task} {each.model}")
        for task in study.STUDY_TASKS
        for each in figures_of(task)
    ]


@pytest.mark.parametrize("factor", [1e-6, 0.02, 1e6])
def test_the_study_itself_on_another_machine_agrees_wholly(factor: float) -> None:
    found = compared(*every_twin(factor))
    (agreement,) = found.agreements
    assert (agreement.models, agreement.tasks) == (76, 10)
    assert agreement.over_models == pytest.approx(1)
    assert agreement.over_tasks == pytest.approx(1)
    assert all(row.study_rank is not None for row in found.rows)


@given(st.lists(st.floats(0.1, 1e3), min_size=8, max_size=8))
def test_agreement_over_models_is_spearmans(energies: list[float]) -> None:
    (agreement,) = compared(*map(twin, MODELS, energies)).agreements
    theirs = [each.kwh_per_1000 for each in figures_of(TASK)]
    if len(set(energies)) == 1:
        assert agreement.over_models is None
    else:
        assert agreement.over_models == pytest.approx(stats.spearmanr(energies, theirs).statistic)
    assert (agreement.tasks, agreement.over_tasks) == (1, None)


def test_agreement_over_tasks_is_of_means_over_the_same_models() -> None:
    ours = {
        "text-classification": {0: 1.0, 7: 100.0},
        "question-answering": {0: 2.0, 1: 3.0},
        "image-classification": {0: 4.0, 1: 5.0},
    }
    tests, means, their_means = [], [], []
    for task, joules in ours.items():
        figures = figures_of(task)
        tests += [twin(figures[index].model, each, task) for index, each in joules.items()]
        means.append(fmean(joules.values()))
        their_means.append(fmean(figures[index].kwh_per_1000 for index in joules))
    (agreement,) = compared(*tests).agreements
    assert (agreement.models, agreement.tasks) == (6, 3)
    assert agreement.over_tasks == pytest.approx(stats.spearmanr(means, their_means).statistic)
    assert agreement.over_tasks == pytest.approx(0.5)


def test_other_hardware_methods_and_precisions_agree_apart() -> None:
    alike = [twin(model, 1.0 + index) for index, model in enumerate(MODELS)]
    halves = [
        replace(each, labels={**each.labels, "dtype": "bfloat16"}, id=f"b {each.id}")
        for each in map(twin, MODELS, range(9, 1, -1))
    ]
    board = GpuRecord(name="H100", uuid="GPU-2", power_limit_watts=700.0, channel="gpu:0")
    elsewhere = replace(run_of(*halves), machine=MachineRecord(gpus=(board,)))
    found = compare_with_study(points_of([run_of(*alike, *halves), elsewhere]))
    agreements = {f"{each.evidence}, {each.dtype}": each.over_models for each in found.agreements}
    assert agreements == {
        "A100 x1 @ 400 W, measured, float32": pytest.approx(1),
        "A100 x1 @ 400 W, measured, bfloat16": pytest.approx(-1),
        "H100 x1 @ 700 W, measured, bfloat16": pytest.approx(-1),
    }
    text = render_study_comparison(found, 200)
    assert text.count(f"{MODELS[0]} (bfloat16)") == 2
    assert text.count(f"{MODELS[0]} (float32)") == 1


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_tasks_at_every_width(width: int) -> None:
    text = render_tasks(width)
    assert all(len(line) <= width for line in text.splitlines())
    for task in study.tasks():
        (line,) = (each for each in text.splitlines() if each.strip().startswith(f"{task.name} "))
        printed = f"{task.paper_mean_kwh_per_1000 * 1000:,g}"
        assert f"{printed}±{task.paper_std_kwh_per_1000 * 1000:,g}" in line
    assert all(each in flat(text) for each in (*caveats(), "4 of the 80"))


@pytest.mark.parametrize("task", study.STUDY_TASKS)
def test_the_models_of_a_task_with_unknown_ones_last(task: str) -> None:
    text = render_task(task, 80)
    assert all(len(line) <= 80 for line in text.splitlines())
    rows = render_task(task, 100).splitlines()
    known = figures_of(task)
    assert sum(line.endswith(f" of {len(known)}") for line in rows) == len(known)
    unknown = [each for each in study.models() if each.task_name == task][len(known) :]
    assert sum(line.rstrip().endswith("-        -") for line in rows) == len(unknown)
    for each in study.datasets():
        assert (each.input_rule in flat(text)) or each.task_name != task


def test_show_takes_any_name_of_a_task() -> None:
    assert command("show").output == render_tasks(80)
    assert command("show", "--task", "image captioning").output == render_task("image-to-text", 80)
    result = command("show", "--task", "asr")
    assert result.exit_code == 2
    assert "unknown task 'asr'; the tasks of the study are text-classification" in result.stderr


def test_compare_prints_both_figures_the_agreement_and_what_is_left_out(path: Path) -> None:
    result = command("compare", str(path))
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.output.splitlines())
    message = flat(result.output)
    assert "distilbert-base-uncased 0.278 0.100 1 of 9 1.81 0.252 1 of 8" in message
    assert "ours 0.694 0.250 3 of 9 - - -" in message
    assert "1.00 over 8 models, - over 1 task" in message
    assert "test_mps is left out: it is unmeasured" in message
    assert all(each in message for each in caveats())


def test_figures_of_codecarbon_are_compared_too(path: Path) -> None:
    """Each model then has two rows, and each order is printed."""
    ours = points_of([run_of(*(twin(model, 1.0 + n) for n, model in enumerate(MODELS)))]).found
    records = []
    for number, point in enumerate(ours):
        single = path.parent / f"{number}.json"
        write(run_of(twin(MODELS[number], point.joules_per_unit)), single)
        # It counts the same model four times as high, and the order the other way round.
        theirs = replace(FIGURE, joules_per_unit=4.0 * (len(ours) - number))
        write_figure(theirs, codecarbon_path(single))
        records += [str(single), str(codecarbon_path(single))]  # as a pattern such as *.json gives
    result = command("compare", *records)
    assert result.exit_code == 0, result.stderr
    message = flat(result.output)
    assert (
        "(A100 x1 @ 400 W, measured, float32), Spearman's rank correlation: 1.00 over 8" in message
    )
    assert "400 W, CodeCarbon 3.3.2, float32), Spearman's rank correlation: -1.00 over 8" in message
    table = render_study_comparison(
        compare_with_study(points_in(records_in([path.parent / "0.json"]))), 100
    )
    assert f"{MODELS[0]} (CodeCarbon 3.3.2)" in flat(table)
    assert "8.89 3.20 1 of 1" in flat(table)  # 32 J, and its grams at the same intensity


def test_compare_without_anything_to_compare_gives_the_reason(tmp_path: Path) -> None:
    write(run_of(UNMEASURED), tmp_path / "record.json")
    result = command("compare", str(tmp_path / "record.json"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing to compare with the study; tests/test_models.py::test_mps is" in result.stderr
    assert command("compare", str(tmp_path / "none.json")).exit_code == 2


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf", ".PNG"])
def test_a_picture_is_written_in_the_format_of_its_ending(path: Path, ending: str) -> None:
    picture = path.with_suffix(ending)
    result = command("compare", str(path), "--picture", str(picture))
    assert result.exit_code == 0
    assert result.output.endswith(f"picture: {picture}\n")
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending.lower()]
    assert picture.read_bytes().startswith(magic)


def test_the_picture_has_a_point_for_each_model_and_the_remarks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    picture = path.with_suffix(".svg")
    command("compare", str(path), "--picture", str(picture))
    root = ElementTree.parse(picture).getroot()
    svg = "{http://www.w3.org/2000/svg}"
    (axes,) = (each for each in root.iter(f"{svg}g") if each.get("id") == "axes_1")
    points = [
        len(each.findall(f".//{svg}use"))
        for each in axes
        if each.get("id", "").startswith("PathCollection")
    ]
    # The study's 76 models with a figure, the eight twins, and the model of one's own.
    assert sorted(points) == [1, 8, 76]
    text = flat(" ".join(filter(None, ("".join(each.itertext()) for each in root.iter()))))
    for said in (*study.STUDY_TASKS, "log axis", "2311.16863", "138.75", "not joules", "0.022"):
        assert said in text


def test_a_picture_that_cannot_be_drawn_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = command("compare", str(path), "--picture", "study.doc")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--picture study.doc: expected a name that ends in .png, .svg, .pdf" in result.stderr
    result = command("compare", str(path), "--picture", str(path / "x.png"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "x.png can't be written: Not a directory" in result.stderr
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = command("compare", str(path), "--picture", "study.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert 'a picture needs matplotlib: pip install "pytest-energy[report]"' in result.stderr
