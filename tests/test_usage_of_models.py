"""Tokens of a real transformers model with random weights, and of a pipeline around it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pytest_energy import usage

pytestmark = pytest.mark.model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

EOS, PAD = 2, 0
WORDS = {"[PAD]": PAD, "[UNK]": 1, "[EOS]": EOS, "a": 3, "b": 4, "c": 5, "d": 6}


@pytest.fixture(scope="module")
def model() -> Any:
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
        eos_token_id=EOS,
        pad_token_id=PAD,
        bos_token_id=1,
    )
    torch.manual_seed(1)
    return transformers.LlamaForCausalLM(config).eval()


def counted(units: usage.Units, result: Any) -> list[int]:
    return [units[unit](result) for unit in ("request", "input-token", "output-token")]


def ending(*positions: int) -> Any:
    """Makes the rows of a batch end after so many new tokens."""

    class End(transformers.LogitsProcessor):  # type: ignore[misc,name-defined]
        calls = 0

        def __call__(self, ids: Any, scores: Any) -> Any:
            self.calls += 1
            scores[:, EOS] = -float("inf")
            for row, position in enumerate(positions):
                if self.calls == position:
                    scores[row] = -float("inf")
                    scores[row, EOS] = 0.0
            return scores

    return transformers.LogitsProcessorList([End()])


def test_a_batch_with_padding_on_both_sides(model: Any) -> None:
    batch = {
        "input_ids": torch.tensor([[PAD, PAD, 7, 8], [9, 10, 11, 12]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]),
    }
    options = {"max_new_tokens": 6, "do_sample": False}
    units = usage.generate(model)
    output = model.generate(**batch, **options, logits_processor=ending(2, 5))
    assert output.shape == (2, 4 + 5)
    assert counted(units, (batch, output)) == [2, 6, 2 + 5]
    as_dict = model.generate(
        **batch, **options, return_dict_in_generate=True, logits_processor=ending(3, 99)
    )
    assert counted(units, (batch, as_dict)) == [2, 6, 3 + 6]
    without_mask = {"input_ids": batch["input_ids"]}
    output = model.generate(**without_mask, **options, logits_processor=ending(1, 1))
    assert counted(units, (without_mask, output)) == [2, 6, 2]


def test_an_encoder_decoder() -> None:
    config = transformers.T5Config(
        vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        decoder_start_token_id=PAD, eos_token_id=EOS, pad_token_id=PAD,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config).eval()
    batch = {"input_ids": torch.tensor([[7, 8, EOS, PAD]])}
    output = model.generate(**batch, max_new_tokens=5, do_sample=False, logits_processor=ending(4))
    assert counted(usage.generate(model), (batch, output)) == [1, 3, 4]


def test_a_pipeline_in_batches(model: Any) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", eos_token="[EOS]", padding_side="left"
    )
    pipe = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)
    texts = ["a b c", "d"]
    results = pipe(
        texts, return_tensors=True, batch_size=2, max_new_tokens=4, logits_processor=ending(2, 99)
    )
    assert counted(usage.pipeline(pipe), (texts, results)) == [2, 4, 2 + 4]
    one = pipe("a b", return_tensors=True, max_new_tokens=3, logits_processor=ending(99))
    assert counted(usage.pipeline(pipe), ("a b", one)) == [1, 2, 3]


def test_counting_is_cheap_beside_generating(model: Any) -> None:
    """The ids of a batch become lists; a thousand tokens of the smallest model take far longer."""
    batch = {"input_ids": torch.randint(3, 60, (8, 128))}
    started = time.thread_time()
    output = model.generate(**batch, min_new_tokens=32, max_new_tokens=32)
    generated = time.thread_time() - started
    started = time.thread_time()
    assert counted(usage.generate(model), (batch, output)) == [8, 8 * 128, 8 * 32]
    assert time.thread_time() - started < 0.1 * generated
