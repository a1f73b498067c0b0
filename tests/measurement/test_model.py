"""Real transformers models with random weights, on the CPU."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from conftest import EnergyPytester

pytestmark = pytest.mark.model

MODELS = """
import torch
from transformers import BertConfig, BertForSequenceClassification
from transformers import GPT2Config, GPT2LMHeadModel

torch.set_num_threads(1)
torch.manual_seed(0)

def classifier(layers=2):
    config = BertConfig(
        hidden_size=128, num_attention_heads=4, num_hidden_layers=layers,
        intermediate_size=512, vocab_size=1000, max_position_embeddings=64,
    )
    return BertForSequenceClassification(config).eval()

def generator():
    config = GPT2Config(
        vocab_size=1000, n_embd=128, n_head=4, n_layer=2, bos_token_id=0, eos_token_id=0
    )
    return GPT2LMHeadModel(config).eval()
"""


@pytest.fixture
def models(energy_pytester: EnergyPytester) -> EnergyPytester:
    energy_pytester.pytester.makepyfile(models=MODELS)
    return energy_pytester


def test_a_larger_model_costs_more_and_fails_the_build(models: EnergyPytester) -> None:
    source = """
        import torch
        from models import classifier

        @pytest.fixture(scope="module")
        def model():
            return classifier(layers={layers})

        @budget({limit}, count=4)
        def test_it(model):
            with torch.inference_mode():
                model(torch.zeros(4, 32, dtype=torch.long))
        """
    models.write(source.format(layers=2, limit="None"))
    models.run_process(quick=False).assert_outcomes(passed=1)
    joules = models.tests()["test_it"]["joules_per_unit"]
    limit = repr(f"{joules * 1.5 * 1000} mJ / query")
    models.write(source.format(layers=2, limit=limit))
    models.run_process(quick=False).assert_outcomes(passed=1)
    models.write(source.format(layers=6, limit=limit))
    result = models.run_process(quick=False)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["energy: * mJ / query is over the limit of * mJ / query *"])
    record = models.record()
    assert {"torch", "transformers"} <= set(record["run"]["versions"])


def test_generated_tokens_are_counted_in_the_result(models: EnergyPytester) -> None:
    models.write(
        """
        import torch
        from models import generator

        @budget("1 kJ / token", task="text-generation")
        def test_it(energy):
            model = generator()
            prompt = torch.ones(1, 8, dtype=torch.long)
            mask = torch.ones_like(prompt)

            def generate():
                return model.generate(
                    prompt, attention_mask=mask, min_new_tokens=12, max_new_tokens=12,
                    do_sample=False, pad_token_id=0,
                )

            with torch.inference_mode():
                out = energy.measure(generate, tokens=lambda ids: ids.shape[1] - prompt.shape[1])
            assert out.shape == (1, 20)
        """
    )
    models.run_process(quick=False).assert_outcomes(passed=1)
    test = models.tests()["test_it"]
    assert test["unit"] == "token"
    assert all(each["units"] == 12 * each["calls"] for each in test["rounds"])


def test_torch_on_the_cpu_uses_no_accelerator(models: EnergyPytester) -> None:
    models.write(
        """
        from models import classifier
        from pytest_energy.sensors.accelerators import DeviceUse, synchronise, devices_in_use

        def test_it():
            classifier()
            synchronise()
            assert devices_in_use() == DeviceUse()
        """
    )
    models.run_process().assert_outcomes(passed=1)


def test_jax_computes_in_the_window(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        import os
        import time

        # Threads that wait for each other on a busy machine use CPU time too.
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        import jax

        @jax.jit
        def work(x):
            return x @ x @ x @ x

        X = jax.numpy.ones((800, 800))

        def cpu_seconds():
            started = time.process_time()
            for _ in range(5):
                work(X).block_until_ready()
            return (time.process_time() - started) / 5

        def test_it(energy, record_property):
            cpu_seconds()
            before = cpu_seconds()
            energy.measure(lambda: work(X))
            for seconds in (before, cpu_seconds()):
                record_property("seconds", seconds)
        """
    )
    path = energy_pytester.pytester.path / "junit.xml"
    energy_pytester.run_process(f"--junit-xml={path}", quick=False).assert_outcomes(passed=1)
    truths = [
        float(each.get("value") or 0)
        for each in ElementTree.parse(path).findall(".//property[@name='seconds']")
    ]
    seconds = energy_pytester.tests()["test_it"]["cpu_seconds_per_unit"]
    # Without waiting, the call alone takes less than a hundredth of it.
    assert 0.5 * min(truths) <= seconds <= 1.5 * max(truths)


def test_flops_are_repeatable_and_grow_with_the_model(models: EnergyPytester) -> None:
    models.write(
        """
        import torch
        from models import classifier

        @pytest.mark.parametrize("layers", [2, 2, 4])
        @budget(count=4)
        def test_it(layers, request):
            model = classifier(layers)
            with torch.inference_mode():
                model(torch.zeros(4, 32, dtype=torch.long))
        """
    )
    models.run_process("--energy-flops").assert_outcomes(passed=3)
    first, again, bigger = (
        each["explanation"]["flops_per_unit"] for each in models.tests().values()
    )
    # A layer's products for each of 32 tokens: four of 128 x 128 and two of 128 x 512, each a
    # multiplication and an addition; and two of 32 x 128, where torch knows the attention's kernel.
    products = 2 * 32 * (4 * 128 * 128 + 2 * 128 * 512)
    attention = 2 * 32 * 2 * 32 * 128
    assert first == again
    assert bigger - first in (2 * products, 2 * (products + attention))
