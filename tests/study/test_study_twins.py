"""The models that stand for those of the study: their table, constructions, inputs and memory."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy import study
from pytest_energy.limits.task_names import hub_name
from pytest_energy.study.running.hub import datasets_of, text_of
from pytest_energy.study.running.models import (
    BYTES,
    GIB,
    CannotRun,
    free_bytes,
    free_bytes_for,
    why_too_big,
)
from pytest_energy.study.running.twins import (
    Construction,
    Inputs,
    Twin,
    parse_construction,
    parse_inputs,
    pick,
    twins,
)


def twin(name: str) -> Twin:
    (found,) = pick((), [name], twins())
    return found


# -- the table of twins ---------------------------------------------------------------------------


def test_every_twin_can_be_read_and_at_least_35_run_on_a_processor() -> None:
    names = [each.name for each in twins()]
    assert len(set(names)) == len(names)
    assert all(each.name.startswith(f"{each.task}/") for each in twins())
    small = [each for each in twins() if not each.needs_gpu]
    assert sum(bool(each.study_id) for each in small) >= 35
    assert all(each.parameters > 0 for each in twins())
    assert {each.name.partition("/")[2] for each in twins() if each.needs_gpu} == {
        "sd1.5",
        "tiny-sd",
        "sd2.1",
        "sdxl",
    }


def test_all_ten_tasks_of_the_study_can_be_run() -> None:
    assert set(study.STUDY_TASKS) <= {each.task for each in twins()}


def test_twins_stand_for_models_of_the_study() -> None:
    ids = [each.study_id for each in twins() if each.study_id]
    # One was in its early logs alone, and one is of the AI Energy Score.
    assert {each for each in ids if not study.model_named(each)} == {
        "openai/whisper-tiny",
        "t5-small",
    }


def test_twins_have_as_many_parameters_as_the_models_of_the_study() -> None:
    """Its own list leaves out the heads of some models, and counts a filter that isn't run."""
    counted_otherwise = {"mobilenet_v1_0.75_192", "git-base", "sd1.5"}
    for each in twins():
        found = study.model_named(each.study_id) if each.study_id else None
        if each.name.partition("/")[2] in counted_otherwise or not (found and found.params_study):
            continue
        assert each.parameters == pytest.approx(found.params_study, rel=0.09), each.name


def test_the_ci_sized_picture_is_of_no_model() -> None:
    small = twin("ci-sized")
    assert not small.study_id
    assert hub_name(small.task) is None  # so no comparison takes it for one of the study's task
    assert "in no comparison" in small.note


PLAIN = st.one_of(
    st.integers(), st.booleans(), st.text(max_size=5), st.lists(st.integers(), max_size=3)
)
NAMES = st.from_regex(r"[A-Z][A-Za-z0-9]{0,8}", fullmatch=True)
KEYS = st.from_regex(r"[a-z]{2}_[a-z]{2}", fullmatch=True)


def constructions() -> st.SearchStrategy[Construction]:
    return st.recursive(
        st.builds(Construction, NAMES, st.just(()), st.dictionaries(KEYS, PLAIN, max_size=3)),
        lambda inner: st.builds(
            Construction,
            NAMES,
            st.lists(inner | PLAIN, max_size=2).map(tuple),
            st.dictionaries(KEYS, inner | PLAIN, max_size=2),
        ),
        max_leaves=4,
    )


def written(value: object) -> str:
    if not isinstance(value, Construction):
        return repr(value)
    parts = [*map(written, value.arguments)]
    parts += [f"{name}={written(each)}" for name, each in value.keywords.items()]
    return f"{value.class_name}({', '.join(parts)})"


@given(constructions())
def test_a_construction_is_read_as_it_is_written(construction: Construction) -> None:
    assert parse_construction(written(construction)) == construction


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BertModel",
        "{'a': 1}",
        "os.system('true')",
        "Model(size=1 + 2)",
        "Model(size=other)",
        "Model(**{'a': 1})",
        "Model(lambda: 1)",
        "Model(",
    ],
)
def test_an_invalid_construction_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a construction"):
        parse_construction(text)


def test_the_shapes_of_inputs_are_read() -> None:
    assert parse_inputs("59 tokens") == Inputs("tokens", (59,))
    assert parse_inputs("800x1066 image") == Inputs("image", (800, 1066))
    assert all(parse_inputs(str(each.inputs)) == each.inputs for each in twins())
    with pytest.raises(ValueError, match='for example, "59 tokens"'):
        parse_inputs("59 words")


# -- memory ---------------------------------------------------------------------------------------


@given(st.sampled_from(twins()), st.sampled_from(list(BYTES)), st.integers(0, 64))
def test_a_model_is_left_out_where_its_numbers_do_not_fit(
    twin: Twin, dtype: str, gibibytes: int
) -> None:
    why = why_too_big(twin, dtype, gibibytes * GIB)
    if why:
        assert f"needs about {twin.parameters * BYTES[dtype] / GIB + 2:.1f} GiB" in why
        assert f"{gibibytes:.1f} GiB are free" in why
    else:
        assert twin.parameters * BYTES[dtype] < gibibytes * GIB


def test_unknown_memory_leaves_no_model_out() -> None:
    assert why_too_big(twin("opt-1.3b"), "float32", None) == ""


def test_the_free_memory_of_a_gpu_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = ModuleType("torch")  # this machine has no GPU
    torch.cuda = SimpleNamespace(mem_get_info=lambda device: (5 * len(device), 80))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert free_bytes_for("cuda:1") == 30
    assert free_bytes_for("cpu") != 30


def test_the_free_memory_of_this_machine_is_read() -> None:
    assert (free_bytes() or 0) > 0


# -- inputs as the study's scripts made them ------------------------------------------------------


def test_prompts_are_the_first_words_of_a_row() -> None:
    data = datasets_of("text-generation")[0]
    text = text_of({data.field: " ".join(map(str, range(50)))}, data, "text-generation")
    assert text.split() == [str(each) for each in range(20)]


def test_the_last_of_the_first_words_is_masked() -> None:
    data = replace(datasets_of("fill-mask")[0], field="text")
    assert text_of({"text": "a b c"}, data, "fill-mask", "<mask>") == "a b <mask>"


def test_lists_of_words_are_joined() -> None:
    data = replace(datasets_of("token-classification")[0], field="tokens")
    assert text_of({"tokens": ["EU", "rejects"]}, data, "token-classification") == "EU rejects"


def test_zero_shot_asks_as_the_study_asked() -> None:
    data = datasets_of("zero-shot")[0]
    assert text_of({data.field: "fine"}, data, "zero-shot") == (
        "what is the binary sentiment of the following sentence? fine"
    )


def test_a_task_without_data_is_reported() -> None:
    with pytest.raises(CannotRun, match="no data set for automatic-speech-recognition"):
        datasets_of("automatic-speech-recognition")
