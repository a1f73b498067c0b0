"""Measured models beside the study's: points, ranks, agreement, places, and their commands."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner, Result

from conftest import EnergyPytester
from pytest_energy import study
from pytest_energy.cli import app
from pytest_energy.record import (
    BudgetRecord,
    ChannelRecord,
    GpuRecord,
    MachineRecord,
    RunRecord,
    TestRecord,
    write,
)
from pytest_energy.report.study import render_study_comparison, render_task, render_tasks
from pytest_energy.study.compare import Comparison, Rank, compare_with_study, study_rank
from pytest_energy.study.figures import figure_of, figures_of, spread_of
from pytest_energy.study.place import Placements, place
from pytest_energy.study.points import points_of
from pytest_energy.study.remarks import OF_ITS_GRAMS, REMARKS, STATED, said_with_figures
from pytest_energy.study.running.codecarbon_way import (
    CodeCarbonFigure,
    path_beside,
    write_figure,
)
from pytest_energy.study.running.results import points_in, records_in
from records import RECORD, TEST, UNMEASURED

TASK = "fill-mask"
MODELS = [each.model for each in figures_of(TASK)]
FIGURE = CodeCarbonFigure("3.3.2", 100, 8.0, 2.0, 0.0, 0.5, 1.5, 6.2, 20.0)
ON_CPU = ChannelRecord("cpu:process", "cpu", "CPU time x 4 W a core", "estimated", True, 1.0)


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


def compared(*tests: TestRecord) -> Comparison:
    return compare_with_study(points_of([run_of(*tests)]))


def placed(*tests: TestRecord) -> Placements:
    return place(points_of([run_of(*tests)]))


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["study", *arguments], env={"COLUMNS": "80"})


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tests = [twin(model, 1.0 + index) for index, model in enumerate(MODELS)]
    write(run_of(*tests, own(2.5), UNMEASURED), tmp_path / "record.json")
    return tmp_path / "record.json"


def test_the_remarks_tell_what_the_protocol_says() -> None:
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
def test_models_rank_and_spread_as_the_tables_say(task: study.Task) -> None:
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


def test_what_is_asked_of_a_model_of_several_tasks_is_a_text_classification() -> None:
    (point,) = points_of([run_of(twin("google/flan-t5-base", 3.0, "zero-shot"))]).found
    assert point.task == "text-classification"
    assert point.figure == figure_of("google/flan-t5-base", "text-classification")


@pytest.mark.parametrize(
    ("test", "why"),
    [
        (UNMEASURED, "it is unmeasured, without a figure in joules"),
        (replace(TEST, unit="token"), "its figure is for one token"),
        (replace(TEST, task="chat"), "'chat' is no task of the study; those are text-"),
        (replace(TEST, task="reasoning"), "'reasoning' is no task of the study"),
        (replace(TEST, task=None), "it has no task; those are text-classification, "),
    ],
)
def test_what_cannot_stand_beside_the_study_is_told(test: TestRecord, why: str) -> None:
    found = points_of([run_of(test)])
    assert found.found == ()
    (told,) = found.left_out
    assert told.startswith(f"{test.id} is left out: {why}")


def test_windows_of_one_run_are_one_point_and_other_names_are_not() -> None:
    windows = [twin(MODELS[0], joules, name=f"window {joules}") for joules in (1.0, 2.0, 6.0)]
    (point,) = points_of([run_of(*windows)]).found
    assert (point.joules_per_unit, point.interval) == (3.0, None)
    assert point.grams_per_unit == pytest.approx(3e-4)
    named = [own(joules, name=f"part {joules}") for joules in (1.0, 2.0)]
    assert [each.joules_per_unit for each in points_of([run_of(*named)]).found] == [1.0, 2.0]


def test_the_last_attempt_counts_and_several_limits_are_one_point() -> None:
    again = twin(MODELS[0], 5.0, attempt=2)
    limited = replace(again, budget=BudgetRecord("1 J / query", "test_it.py:1"))
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
    board = GpuRecord("H100", "GPU-2", 700.0, "gpu:0")
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


@given(st.floats(1e-3, 1e3), st.floats(0.01, 100), st.integers(0, 7))
def test_a_place_needs_only_the_ratio(machine: float, ratio: float, index: int) -> None:
    reference = figures_of(TASK)[index]
    joules = reference.joules_per_unit * machine
    (found,) = placed(twin(reference.model, joules), own(joules * ratio)).found
    assert found.ratio == pytest.approx(ratio)
    assert found.kwh_per_1000 == pytest.approx(reference.kwh_per_1000 * ratio)
    less = [each for each in figures_of(TASK) if each.kwh_per_1000 < found.kwh_per_1000]
    assert found.rank == Rank(len(less) + 1, 9)
    assert found.below == (less[-1] if less else None)
    assert found.above == (figures_of(TASK)[len(less)] if len(less) < 8 else None)
    assert found.interval is not None
    assert found.interval[0] < ratio < found.interval[1]


def test_every_reference_is_told_the_nearest_first() -> None:
    found = placed(twin(MODELS[0], 1.0), twin(MODELS[7], 5.0), own(4.0)).found
    assert [each.reference.name for each in found] == [MODELS[7], MODELS[0]]


def test_a_model_without_a_reference_is_told_what_to_measure() -> None:
    (told,) = placed(own(1.0)).left_out
    assert told.startswith("ours can't be placed: there is no model of the study for fill-m")
    marker = told[told.index("energy_budget") :]
    assert marker.startswith(
        f'energy_budget(task="fill-mask", labels={{"study_model": "{MODELS[0]}"}}), or run: '
    )


def test_a_reference_of_another_task_hardware_or_method_is_none() -> None:
    other_task = twin("gpt2", 1.0, "text-generation")
    assert not placed(other_task, own(1.0)).found
    on_cpu = twin(MODELS[0], 1.0, channels=(ON_CPU,), method="estimated")
    found = placed(on_cpu, own(1.0))
    assert not found.found
    assert "measured on A100 x1 @ 400 W, measured, the study's model" in found.left_out[0]
    assert found.left_out[0].endswith("measure both alike")


def test_a_reference_of_another_precision_is_none() -> None:
    reference = twin(MODELS[0], 1.0)  # float32
    unknown, other = own(1.0), own(1.0, labels={"dtype": "bfloat16"})
    assert placed(reference, unknown).found
    found = placed(reference, other)
    assert not found.found
    assert "measured on A100 x1 @ 400 W, measured, bfloat16, the study's" in found.left_out[0]


def test_a_record_without_a_model_of_ones_own_is_told() -> None:
    with pytest.raises(ValueError, match="no model to place"):
        placed(twin(MODELS[0], 1.0))


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_tasks_at_every_width(width: int) -> None:
    text = render_tasks(width)
    assert all(len(line) <= width for line in text.splitlines())
    for task in study.tasks():
        (line,) = (each for each in text.splitlines() if each.strip().startswith(f"{task.name} "))
        printed = f"{task.paper_mean_kwh_per_1000 * 1000:,g}"
        assert f"{printed}±{task.paper_std_kwh_per_1000 * 1000:,g}" in line
    assert all(each in flat(text) for each in (*said_with_figures(), "4 of the 80"))


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
    assert "'asr' is no task of the study; choose from text-classification" in result.stderr


def test_compare_prints_both_figures_the_agreement_and_what_is_left_out(path: Path) -> None:
    result = command("compare", str(path))
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.output.splitlines())
    told = flat(result.output)
    assert "distilbert-base-uncased 0.278 0.100 1 of 9 1.81 0.252 1 of 8" in told
    assert "ours 0.694 0.250 3 of 9 - - -" in told
    assert "1.00 over 8 models, - over 1 task" in told
    assert "test_mps is left out: it is unmeasured" in told
    assert all(each in told for each in said_with_figures())


def test_the_figures_of_codecarbon_stand_beside_ours(path: Path) -> None:
    """Each model then has two rows, and the order of either count is told."""
    ours = points_of([run_of(*(twin(model, 1.0 + n) for n, model in enumerate(MODELS)))]).found
    records = []
    for number, point in enumerate(ours):
        single = path.parent / f"{number}.json"
        write(run_of(twin(MODELS[number], point.joules_per_unit)), single)
        # It counts the same model four times as high, and the order the other way round.
        theirs = replace(FIGURE, joules_per_unit=4.0 * (len(ours) - number))
        write_figure(theirs, path_beside(single))
        records += [str(single), str(path_beside(single))]  # as a pattern such as *.json gives
    result = command("compare", *records)
    assert result.exit_code == 0, result.stderr
    told = flat(result.output)
    assert "(A100 x1 @ 400 W, measured, float32), Spearman's rank correlation: 1.00 over 8" in told
    assert "400 W, CodeCarbon 3.3.2, float32), Spearman's rank correlation: -1.00 over 8" in told
    table = render_study_comparison(
        compare_with_study(points_in(records_in([path.parent / "0.json"]))), 100
    )
    assert f"{MODELS[0]} (CodeCarbon 3.3.2)" in flat(table)
    assert "8.89 3.20 1 of 1" in flat(table)  # 32 J, and its grams at the same intensity


def test_compare_without_anything_to_compare_says_why(tmp_path: Path) -> None:
    write(run_of(UNMEASURED), tmp_path / "record.json")
    result = command("compare", str(tmp_path / "record.json"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing to compare with the study; tests/test_models.py::test_mps is" in result.stderr
    assert command("compare", str(tmp_path / "none.json")).exit_code == 2


def test_place_prints_the_ratio_the_place_and_the_remarks(path: Path) -> None:
    result = command("place", str(path))
    assert result.exit_code == 0
    told = flat(result.output)
    assert f"ours ({TASK}): 0.833 times (0.817 to 0.850) what {MODELS[2]} takes here" in told
    assert "This places a model roughly, and is no limit" in told
    assert all(each in told for each in said_with_figures())


def test_a_place_takes_its_reference_from_another_record(tmp_path: Path) -> None:
    for name, test in (("own", own(2.0)), ("twin", twin(MODELS[0], 1.0))):
        write(run_of(test), tmp_path / f"{name}.json")
    write_figure(FIGURE, path_beside(tmp_path / "twin.json"))
    result = command("place", *(str(each) for each in sorted(tmp_path.glob("*.json"))))
    assert result.exit_code == 0, result.stderr
    assert f"ours ({TASK}): 2.00 times (1.96 to 2.04) what {MODELS[0]}" in flat(result.output)


def test_place_without_a_reference_ends_with_the_way_out(tmp_path: Path) -> None:
    write(run_of(own(1.0)), tmp_path / "record.json")
    result = command("place", str(tmp_path / "record.json"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert 'labels={"study_model": "distilbert-base-uncased"}' in result.stderr


def test_a_run_with_a_reference_beside_ones_own_model_is_placed(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        @budget(task="fill_mask", labels={"study_model": "bert-base-uncased"})
        def test_reference():
            spin()

        @budget(task="fill-mask", model="ours")
        def test_ours():
            spin(4)
        """
    )
    energy_pytester.run()
    record = str(energy_pytester.record_path)
    for name in ("compare", "place"):
        result = command(name, record)
        assert result.exit_code == 0, result.stderr
        told = flat(result.output)
        assert "bert-base-uncased" in told and "ours" in told
        assert all(each in told for each in said_with_figures())


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


def test_a_picture_that_cannot_be_drawn_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = command("compare", str(path), "--picture", "study.doc")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "written as .png, .svg, .pdf, and study.doc ends otherwise" in result.stderr
    result = command("compare", str(path), "--picture", str(path / "x.png"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "x.png can't be written: Not a directory" in result.stderr
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = command("compare", str(path), "--picture", "study.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert 'a picture needs matplotlib: pip install "pytest-energy[report]"' in result.stderr
