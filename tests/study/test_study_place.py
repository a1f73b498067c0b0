"""Where a model of one's own stands in the study, by the ratio to a reference."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
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

from conftest import EnergyPytester
from pytest_energy.record.file import write
from pytest_energy.record.schema import TestRecord
from pytest_energy.study.compare import Rank
from pytest_energy.study.figures import caveats, figures_of
from pytest_energy.study.place import Placements, place
from pytest_energy.study.points import points_of
from pytest_energy.study.running.codecarbon_way import codecarbon_path, write_figure


def placed(*tests: TestRecord) -> Placements:
    return place(points_of([run_of(*tests)]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record_of_the_task(tmp_path)


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


def test_references_are_listed_the_nearest_first() -> None:
    found = placed(twin(MODELS[0], 1.0), twin(MODELS[7], 5.0), own(4.0)).found
    assert [each.reference.name for each in found] == [MODELS[7], MODELS[0]]


def test_without_a_reference_the_message_names_what_to_measure() -> None:
    (message,) = placed(own(1.0)).left_out
    assert message.startswith(
        "ours can't be placed: the records hold no model of the study for fill-m"
    )
    marker = message[message.index("energy_budget") :]
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
    assert found.left_out[0].endswith("measure both under the same conditions")


def test_a_reference_of_another_precision_is_none() -> None:
    reference = twin(MODELS[0], 1.0)  # float32
    unknown, other = own(1.0), own(1.0, labels={"dtype": "bfloat16"})
    assert placed(reference, unknown).found
    found = placed(reference, other)
    assert not found.found
    assert "measured on A100 x1 @ 400 W, measured, bfloat16, the study's" in found.left_out[0]


def test_a_record_without_a_model_of_ones_own_is_reported() -> None:
    with pytest.raises(ValueError, match="no model to place"):
        placed(twin(MODELS[0], 1.0))


def test_place_prints_the_ratio_the_place_and_the_remarks(path: Path) -> None:
    result = command("place", str(path))
    assert result.exit_code == 0
    message = flat(result.output)
    assert f"ours ({TASK}): 0.833 times (0.817 to 0.850) the energy of {MODELS[2]} here" in message
    assert "A placement is rough and not a limit" in message
    assert all(each in message for each in caveats())


def test_a_place_takes_its_reference_from_another_record(tmp_path: Path) -> None:
    for name, test in (("own", own(2.0)), ("twin", twin(MODELS[0], 1.0))):
        write(run_of(test), tmp_path / f"{name}.json")
    write_figure(FIGURE, codecarbon_path(tmp_path / "twin.json"))
    result = command("place", *(str(each) for each in sorted(tmp_path.glob("*.json"))))
    assert result.exit_code == 0, result.stderr
    assert f"ours ({TASK}): 2.00 times (1.96 to 2.04) the energy of {MODELS[0]}" in flat(
        result.output
    )


def test_place_without_a_reference_ends_with_the_command_that_measures_one(tmp_path: Path) -> None:
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

        @budget("1 kJ / query", task="fill-mask", model="ours")
        def test_ours():
            spin(4)
        """
    )
    energy_pytester.run()
    record = str(energy_pytester.record_path)
    for name in ("compare", "place"):
        result = command(name, record)
        assert result.exit_code == 0, result.stderr
        message = flat(result.output)
        assert "bert-base-uncased" in message and "ours" in message
        assert all(each in message for each in caveats())
