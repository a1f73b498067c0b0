"""The study's models, run for real: small architectures with random weights, on the processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import fake_hub
import pytest

from pytest_energy.study.running.hub import real_inputs
from pytest_energy.study.running.models import loaded, with_random_weights
from pytest_energy.study.running.queries import inference_of, random_inputs
from pytest_energy.study.running.results import read_result
from pytest_energy.study.running.twins import Twin, pick, twins

pytestmark = pytest.mark.model

SMALL = ("minilm-l6", "mobilenet*", "resnet-18", "albert-base-v2", "yolos-tiny")


def twin(name: str) -> Twin:
    (found,) = pick((), [name], twins())
    return found


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as a user types it, without the Hub unless a variable says where it is."""
    command = [
        sys.executable,
        "-m",
        "pytest_energy.cli",
        "study",
        "run",
        "--device=cpu",
        "--seconds=1",
    ]
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120", "HF_HUB_OFFLINE": "1", **variables},
        check=False,
    )


@pytest.mark.parametrize("name", SMALL)
def test_a_twin_has_the_parameters_of_its_row(name: str) -> None:
    found = twin(name)
    model = with_random_weights(found, "float32", "cpu", 0)
    assert sum(each.numel() for each in model.parameters()) == found.parameters
    # As a model is loaded: weights that need no gradient are multiplied another, slower way.
    assert all(each.requires_grad for each in model.parameters()) and not model.training


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_query_is_one_forward_pass_in_the_dtype(dtype: str) -> None:
    found = twin("mobilenet*")
    model = with_random_weights(found, dtype, "cpu", 0)
    inputs = random_inputs(found, model, 0)
    answer = inference_of(found, model, inputs).query(inputs[0])
    assert answer.logits.shape == (1, 1001)
    assert str(answer.logits.dtype) == f"torch.{dtype}"


def test_generation_makes_a_fixed_number_of_tokens() -> None:
    found = twin("whisper-tiny")
    model = with_random_weights(found, "float32", "cpu", 0)
    inputs = random_inputs(found, model, 0)
    calls = 0
    forward = model.model.decoder.forward

    def counting(*arguments: object, **keywords: object) -> object:
        nonlocal calls
        calls += 1
        return forward(*arguments, **keywords)

    model.model.decoder.forward = counting
    inference_of(found, model, inputs).query(inputs[0])
    assert calls == found.new_tokens


def test_a_seed_makes_the_same_weights_and_inputs_again() -> None:
    found = twin("mobilenet*")
    first, again, other = (with_random_weights(found, "float32", "cpu", seed) for seed in (0, 0, 1))
    weights = [next(each.parameters()) for each in (first, again, other)]
    assert bool((weights[0] == weights[1]).all())
    assert not bool((weights[0] == weights[2]).all())
    assert weights[0].std() > 0  # zeros would cost less than real weights
    one, same = (random_inputs(found, first, 5)[0]["pixel_values"] for _ in range(2))
    assert bool((one == same).all())


def test_a_run_stores_each_model_and_goes_on_where_it_was(tmp_path: Path) -> None:
    first = run(tmp_path, "--twin=minilm-l6", "--method=codecarbon")
    assert first.returncode == 0, first.stderr
    assert "1 model, at most 1 s of measurement each: 1 s at most (" in first.stderr
    assert "[1/1] sentence-similarity/minilm-l6: 0." in first.stderr
    assert "CodeCarbon: " in first.stderr
    path = tmp_path / "energy-study/sentence-similarity/minilm-l6-float32-cpu-random.json"
    stored = path.read_bytes()
    (test,) = json.loads(stored)["tests"]
    assert test["id"] == "test_study.py::test_inference[sentence-similarity/minilm-l6]"
    assert test["labels"] == {
        "study_model": "",
        "twin": "sentence-similarity/minilm-l6",
        "dtype": "float32",
        "device": "cpu",
        "weights": "random",
    }
    found = read_result(path)
    assert found is not None
    assert found.codecarbon is not None
    assert found.codecarbon.ram_watts > 0
    assert b"codecarbon" not in stored  # its figure is never mixed with ours
    both = run(tmp_path, "--twin=minilm-l6", "--twin=mobilenet*")
    assert both.returncode == 0, both.stderr
    assert "1 of 2 already have a result" in both.stderr
    assert "[1/1] image-classification/mobilenet" in both.stderr
    assert path.read_bytes() == stored
    assert "sentence-similarity/minilm-l6" in both.stdout
    assert "image-classification/mobilenet_v1_0.75_192" in both.stdout
    assert {each.name for each in tmp_path.iterdir()} == {"energy-study"}


KILLER = """
import os, signal, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    if "mobilenet" in item.nodeid:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_model_that_the_system_kills_is_left_out_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "killer.py").write_text(KILLER, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    arguments = ["--twin=mobilenet*", "--twin=minilm-l6", "--", "-p", "killer"]
    result = run(tmp_path, *arguments)
    assert result.returncode == 1
    assert "mobilenet_v1_0.75_192: the system ended its process (SIGKILL)" in result.stderr
    assert "sentence-similarity/minilm-l6" in result.stdout
    assert not (tmp_path / "energy-study/.running").exists()


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=500, n_embd=32, n_head=2, n_layer=1, bos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "mine")
    result = run(tmp_path, "--model=./mine", "--task=text-generation")
    assert result.returncode == 0, result.stderr
    (path,) = tmp_path.rglob("mine-float32-cpu-own.json")
    found = read_result(path)
    assert found is not None
    assert (found.twin, found.weights) == ("text-generation/mine", "own")
    model = loaded(str(tmp_path / "mine"), "AutoModelForCausalLM", "bfloat16", "cpu")
    assert str(model.dtype) == "torch.bfloat16"
    limit = 'schema = 1\n[[budget]]\ntask = "text-generation"\nmax = "1 mJ / 1000 queries"\n'
    (tmp_path / "energy-budgets.toml").write_text("of another project", encoding="utf-8")
    (tmp_path / "energy-study" / "energy-budgets.toml").write_text(limit, encoding="utf-8")
    red = run(tmp_path, "--model=./mine", "--task=text-generation", "--again")
    assert red.returncode == 1
    assert "is over the limit of " in red.stderr
    assert "(energy-budgets.toml:4)" in red.stderr


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the package `datasets` would give, whatever is asked for."""
    found: list[dict[str, Any]] = []
    package = ModuleType("datasets")
    package.load_dataset = lambda *_, **__: iter(found)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", package)
    monkeypatch.setattr("huggingface_hub.dataset_info", lambda name: SimpleNamespace(id=name))
    return found


def test_real_texts_are_tokenized_for_their_model(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        DistilBertConfig,
        DistilBertForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1, "film": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="[UNK]",
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(tmp_path)
    config = DistilBertConfig(vocab_size=9, dim=32, n_heads=2, n_layers=1, hidden_dim=32)
    DistilBertForSequenceClassification(config).save_pretrained(tmp_path)
    rows += [{"text": "good good film"}, {"text": "film " * 700}, {"text": "left out"}]

    found = twin("distilbert-sst2")
    model = loaded(str(tmp_path), found.model.class_name, "float32", "cpu")
    inputs, _ = real_inputs(found, str(tmp_path), model, 2)
    assert inputs[0]["input_ids"].tolist() == [[1, 1, 2]]
    assert [each["input_ids"].shape[1] for each in inputs] == [3, 512]
    assert inference_of(found, model, inputs).query(inputs[1]).logits.shape == (1, 2)


def test_real_images_are_resized_for_their_model(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    from PIL import Image
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        image_size=32,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    ViTForImageClassification(config).save_pretrained(tmp_path)
    size = {"height": 32, "width": 32}
    settings = {"image_processor_type": "ViTImageProcessor", "size": size}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    rows += [{"img": Image.new("L", (100, 50), 255)}]

    found = twin("vit-base-224")
    model = loaded(str(tmp_path), found.model.class_name, "bfloat16", "cpu")
    (given,), _ = real_inputs(found, str(tmp_path), model, 5)
    assert given["pixel_values"].shape == (1, 3, 32, 32)
    assert given["pixel_values"].dtype == model.dtype
    assert bool((given["pixel_values"] == given["pixel_values"].max()).all())
    assert inference_of(found, model, [given]).query(given).logits.shape == (1, 2)


def test_models_and_data_come_from_the_hub(tmp_path: Path) -> None:
    from datasets import Dataset, Features, Image
    from PIL.Image import new as picture

    hub, found = tmp_path / "hub", twin("mobilenet*")
    folder = hub / "models" / found.study_id
    with_random_weights(found, "float32", "cpu", 0).save_pretrained(folder)
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": 192, "width": 192}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    rows = {"img": [picture("RGB", (32, 32), (shade, 0, 0)) for shade in range(20)]}
    # The study's first data set for the task is gone, and its second one has a namespace now.
    path = hub / "datasets" / "uoft-cs" / "cifar100" / "test-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    Dataset.from_dict(rows, Features({"img": Image()})).to_parquet(str(path))
    with fake_hub.running(hub) as address:
        result = run(
            tmp_path,
            "--weights=hub",
            "--twin=mobilenet*",
            HF_HUB_OFFLINE="0",
            HF_ENDPOINT=address,
            HF_HOME=str(tmp_path / "home"),
        )
    assert result.returncode == 0, result.stderr
    (stored,) = tmp_path.rglob("mobilenet*-float32-cpu-hub.json")
    (test,) = json.loads(stored.read_bytes())["tests"]
    assert (test["labels"]["weights"], test["labels"]["dataset"]) == ("hub", "cifar100")


def test_without_the_hub_the_reason_is_reported(tmp_path: Path) -> None:
    result = run(tmp_path, "--weights=hub", "--twin=distilgpt2")
    assert result.returncode == 1
    assert "text-generation/distilgpt2: failed: distilgpt2 can't be loaded: " in result.stderr
    assert "random weights need no download" in result.stderr


def test_models_of_pictures_run_or_report_what_they_need(tmp_path: Path) -> None:
    result = run(tmp_path, "--task=text-to-image", "--task=text-to-image-ci-sized")
    assert result.returncode == 0, result.stderr
    assert "text-to-image/sdxl: skipped: for a GPU" in result.stderr
    try:
        import diffusers  # noqa: F401
    except ImportError:
        assert (
            "ci-sized: skipped: text-to-image models need diffusers: pip install diffusers"
            in result.stderr
        )
    else:
        assert "text-to-image-ci-sized/ci-sized: 0." in result.stderr
        assert "so not compared with it: text-to-image-ci-sized/ci-sized" in result.stdout
