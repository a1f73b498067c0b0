"""Small architectures with random weights: a query costs what one of a trained model of that size
would cost, and nothing is downloaded. Their answers mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import transformers as hf

VOCABULARY = 1000

torch.manual_seed(0)
torch.set_num_threads(1)  # waiting threads burn CPU time; test_threads turns this knob


def text_classifier() -> Any:
    config = hf.DistilBertConfig(
        vocab_size=VOCABULARY, dim=256, n_layers=4, n_heads=4, hidden_dim=1024
    )
    return _ready(hf.DistilBertForSequenceClassification(config))


def image_classifier(size: int) -> Any:
    config = hf.ViTConfig(
        image_size=size,
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=3,
        intermediate_size=768,
    )
    return _ready(hf.ViTForImageClassification(config))


def text_generator() -> Any:
    config = hf.GPT2Config(
        vocab_size=VOCABULARY, n_embd=256, n_layer=4, n_head=4, bos_token_id=0, eos_token_id=0
    )
    return _ready(hf.GPT2LMHeadModel(config))


def summarizer() -> Any:
    config = hf.T5Config(
        vocab_size=VOCABULARY,
        d_model=256,
        d_kv=64,
        d_ff=1024,
        num_layers=4,
        num_heads=4,
        decoder_start_token_id=0,
    )
    return _ready(hf.T5ForConditionalGeneration(config))


def painter() -> Callable[[int], Any]:
    """Paints a picture of 128 x 128 in so many steps: the study run's smallest pipeline."""
    from pytest_energy.study.running.models import with_random_weights
    from pytest_energy.study.running.queries import inference_of, random_inputs
    from pytest_energy.study.running.twins import pick, twins

    (twin,) = pick((), ["ci-sized"], twins())
    pipeline = with_random_weights(twin, "float32", "cpu", 0)
    (prompt, *_) = random_inputs(twin, pipeline, 0)

    def paint(steps: int) -> Any:
        return inference_of(replace(twin, steps=steps), pipeline, [prompt]).query(prompt)

    return paint


def _ready(model: Any) -> Any:
    """Without what training needs."""
    return model.eval().requires_grad_(False)


def tokens(number: int, batch: int = 1) -> torch.Tensor:
    return torch.randint(100, VOCABULARY, (batch, number))


def generated(model: Any, prompt: torch.Tensor, new_tokens: int, beams: int = 1) -> Any:
    """Exactly so many new tokens, so that every call does the same work."""
    return model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        num_beams=beams,
        do_sample=False,
        pad_token_id=0,
    )
