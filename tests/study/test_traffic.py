"""What figures add up to: volumes, trainings, equivalences, and the command that prints them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import RECORD, TEST, UNMEASURED
from typer.testing import CliRunner, Result

from pytest_energy import study
from pytest_energy.carbon.intensity import EQUIVALENCES, Intensity
from pytest_energy.cli import app
from pytest_energy.record.file import write
from pytest_energy.study.figures import REMARKS
from pytest_energy.study.scale import joules_per_day, parity, parse_training, parse_volume
from pytest_energy.study.unit_costs import UnitCost, of_record, unit_costs
from pytest_energy.units import JOULES_PER_KWH

VOLUME = "10M queries / day"


def scale(*arguments: str, width: int = 80) -> Result:
    return CliRunner().invoke(app, ["scale", *arguments], env={"COLUMNS": str(width)})


def flat(result: Result) -> str:
    assert result.exit_code == 0, result.stderr
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    ("text", "units_per_day", "unit"),
    [
        ("10M queries / day", 1e7, "query"),
        ("10 M queries per day", 1e7, "query"),
        ("1.5k images/hour", 36_000, "image"),
        ("2B tokens / week", 2e9 / 7, "token"),
        ("50 queries / second", 50 * 86_400, "query"),
        ("3 Batches / minute", 3 * 1_440, "batch"),
        ("365,000 queries / year", 1000, "query"),
        ("1,200 boxes per months", 1200 * 12 / 365, "box"),
    ],
)
def test_reads_a_volume(text: str, units_per_day: float, unit: str) -> None:
    volume = parse_volume(text)
    assert volume.units_per_day == pytest.approx(units_per_day, rel=1e-12)
    assert (volume.unit, volume.text) == (unit, text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "10", "10M", "10M / day", "queries / day", "10M queries", "10M queries / fortnight"),
        *("1.000 queries / day", "1,00 queries / day", "10M queries / day / hour"),
        *("-1 queries / day", "0 queries / day", "10M queries perday"),
    ],
)
def test_an_invalid_volume_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match='write it as "10M queries / day"') as error:
        parse_volume(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize(
    ("text", "kwh"),
    [("1287 MWh", 1_287_000), ("1,287 MWh", 1_287_000), ("51686 kWh", 51_686), ("1.5GWh", 1.5e6)],
)
def test_reads_a_training(text: str, kwh: float) -> None:
    assert parse_training(text) == pytest.approx(kwh * JOULES_PER_KWH, rel=1e-12)


@pytest.mark.parametrize("text", ["", "1287", "1287 mwh", "1287 mWh", "0 MWh", "1,28 MWh", "MWh"])
def test_an_invalid_training_cost_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match='write it as "1287 MWh"'):
        parse_training(text)


@given(st.floats(1e-9, 1e9), st.floats(1e-3, 1e12))
def test_a_day_is_as_much_as_its_units(joules: float, units: float) -> None:
    volume = replace(parse_volume(VOLUME), units_per_day=units)
    assert joules_per_day(joules, "query", volume) == joules * units


def test_a_volume_of_another_unit_is_refused() -> None:
    with pytest.raises(ValueError, match=r'counts queries.*for one token; write it as "10M tokens'):
        joules_per_day(1.0, "token", parse_volume(VOLUME))


@pytest.mark.parametrize("row", study.parities(), ids=lambda row: row.model)
def test_use_overtakes_training_as_in_table_5(row: study.Parity) -> None:
    training = (row.train_kwh + row.finetune_kwh) * JOULES_PER_KWH
    units = parity(training, row.inference_kwh_each * JOULES_PER_KWH)
    assert units == row.parity_recomputed
    # One row of the paper doesn't follow from its own columns; the others are cut, not rounded.
    assert (abs(units - row.parity_paper) <= 1) == row.agrees


def test_table_5_is_what_the_command_prints() -> None:
    row = study.parities()[0]
    training = f"{row.train_kwh + row.finetune_kwh:.0f} kWh"
    output = flat(scale(f"{row.inference_kwh_each:f} kWh / query", "--training", training))
    assert f"training of {training}: as much as {row.parity_paper:,} queries" in output


def test_every_equivalence_has_a_source_and_a_size_that_can_be() -> None:
    assert len({each.source for each in EQUIVALENCES}) == len(EQUIVALENCES)
    by_name = {each.name: each.kwh_each for each in EQUIVALENCES}
    # The car goes 272 miles by the same rating, on a battery of 50 to 60 kWh and some losses.
    assert 50 < by_name["electric-car kilometre"] * 272 * 1.609344 < 75
    assert by_name["EU household-year"] < by_name["US household-year"]


def test_a_record_scales_to_traffic(tmp_path: Path) -> None:
    write(RECORD, tmp_path / "record.json")
    result = scale(str(tmp_path / "record.json"), "--volume", VOLUME)
    output = flat(result)
    daily = TEST.joules_per_unit * 1e7 / JOULES_PER_KWH  # type: ignore[operator]
    assert f"energy (kWh) {daily:.1f} 12,500" in output
    assert f"carbon at 300 gCO2e/kWh (kgCO2e) {daily * 0.3:.1f} " in output
    for each in EQUIVALENCES:
        assert each.source in output
    assert f"{TEST.id}: 3.42 Wh / 1000 queries (measured)" in output
    assert "test_mps: unmeasured, without a figure in joules" in output
    assert "test_new: it is for one token, and the volume counts others" in output
    assert all(len(line) <= 80 for line in result.output.splitlines())
    assert REMARKS[0] not in output


@given(st.floats(1e-6, 1e9))
def test_a_record_and_its_limit_scale_alike(joules: float) -> None:
    run = replace(RECORD, tests=(replace(TEST, joules_per_unit=joules),))
    (of_run,) = of_record(run).found
    (of_limit,) = unit_costs(
        f"{joules!r} J / query", Intensity(grams_per_kwh=300.0, source="x")
    ).found
    assert of_run.joules_per_unit == pytest.approx(of_limit.joules_per_unit, rel=1e-12)
    assert of_run.intensities[0].grams(1.0) == of_limit.intensities[0].grams(1.0)


def test_a_test_with_several_limits_is_scaled_once() -> None:
    assert len(of_record(replace(RECORD, tests=(TEST, replace(TEST, budget=None)))).found) == 1


def test_a_budgets_file_scales_limit_by_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    budgets = tmp_path / "energy-budgets.toml"
    budgets.write_text(
        'schema = 1\n[carbon]\nintensity = "300 gCO2e/kWh"\n'
        '[[budget]]\ntask = "chat"\nmax = "3.6 J / query"\nmax_carbon = "300 gCO2e / token"\n'
        '[[budget]]\ntask = "b"\nmax = "5 cpu-ms / query"\n',
        encoding="utf-8",
    )
    output = flat(scale("energy-budgets.toml", "--volume", "1M queries / day"))
    assert 'energy-budgets.toml:6 "3.6 J / query": 1.00 Wh / 1000 queries (a limit)' in output
    assert "energy (kWh) 1.00 365" in output
    assert "carbon at 300 gCO2e/kWh (kgCO2e) 0.300 110" in output
    assert 'energy-budgets.toml:10: limit "5 cpu-ms / query" is in CPU time' in output
    output = flat(scale("energy-budgets.toml", "--volume", "1 token / day"))
    assert "energy (kWh) 1.00 365" in output  # 300 g at 300 g/kWh


@pytest.mark.parametrize("name", ["text-generation", "text_generation", "textgen"])
def test_a_row_of_the_study_scales_with_both_factors_and_the_remarks(name: str) -> None:
    task = study.task_named("text-generation")
    output = flat(scale(name, "--volume", "1k queries / day"))
    assert f"energy (kWh) {task.logs_mean_kwh:.4f} " in output
    assert (
        f"carbon at 138.75 gCO2e/kWh (kgCO2e) {task.logs_gco2e_per_1000_mean / 1000:.5f} " in output
    )
    assert f"carbon at 297.6 gCO2e/kWh (kgCO2e) {task.gco2e_if_297_6 / 1000:.4f} " in output
    assert task.source_logs in output
    assert all(each in output for each in REMARKS)


def test_a_model_of_several_tasks_is_scaled_for_each() -> None:
    (row,) = (each for each in study.multipurpose() if each.model == "google/flan-t5-xl")
    found = unit_costs(row.model).found
    per_1000 = {each.label: each.joules_per_unit * 1000 / JOULES_PER_KWH for each in found}
    assert per_1000 == {
        f"{row.model}, {task}": pytest.approx(kwh) for task, kwh in row.kwh_by_task.items()
    }


def test_a_model_without_a_figure_is_none_that_scales() -> None:
    for each in study.models():
        if each.mean_kwh_per_1000 is None:
            with pytest.raises(ValueError, match="its logs have no figure for it"):
                unit_costs(each.id)
        else:
            assert all(isinstance(one, UnitCost) for one in unit_costs(each.id).found)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["qa"], 'add --volume "10M queries / day"'),
        (["qa", "--volume", "10"], "volume '10' is not"),
        (["qa", "--volume", "1 token / day"], 'write it as "10M queries / day"'),
        (["qa", "--training", "5 mwh"], "training '5 mwh' is not"),
        (
            ["gpt-4", "--volume", VOLUME],
            "'gpt-4' is neither a file nor a task or model of the study",
        ),
        (["5", "--volume", VOLUME], "a bare number has no unit"),
        (["1 cpu-ms / query", "--volume", VOLUME], "in CPU time, whose joules are unknown"),
        (["1 gCO2e / query", "--volume", VOLUME], 'add --carbon-intensity "300 gCO2e/kWh"'),
        (["qa", "--volume", VOLUME, "--carbon-intensity", "5"], "carbon intensity '5'"),
    ],
)
def test_a_subject_that_cannot_be_scaled_is_reported(arguments: list[str], why: str) -> None:
    result = scale(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("pytest-energy scale: ")
    assert why in result.stderr


def test_a_record_without_a_figure_is_reported(tmp_path: Path) -> None:
    write(replace(RECORD, tests=(UNMEASURED,)), tmp_path / "record.json")
    result = scale(str(tmp_path / "record.json"), "--volume", VOLUME)
    assert result.exit_code == 2
    assert "no figure in joules to scale; " in result.stderr
    (tmp_path / "record.json").write_text("{", encoding="utf-8")
    assert scale(str(tmp_path / "record.json"), "--volume", VOLUME).exit_code == 2
