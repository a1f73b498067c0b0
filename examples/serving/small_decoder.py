"""A small decoder with random weights, and a tokenizer of a thousand words.

A token costs what one of a trained model of that size would cost, and nothing is downloaded. What
the model answers means nothing.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers

#: A request of the tests that measure whole ones: tokens in and out.
TOKENS, NEW_TOKENS = 32, 16
WORDS = [f"w{number}" for number in range(1000)]

torch.set_num_threads(1)  # threads that wait burn CPU time


def save(folder: Path) -> None:
    """Write the model and its tokenizer as `from_pretrained` and `transformers serve` read them."""
    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=None,  # no token ends an answer, so each has exactly max_tokens of them
        pad_token_id=0,
    )
    hf.LlamaForCausalLM(config).save_pretrained(folder)
    words = models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token=WORDS[0])
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=WORDS[0]).save_pretrained(
        folder
    )


def prompt(tokens: int, number: int = 0) -> str:
    """A text of exactly so many tokens; another number is another text from the first token on."""
    return " ".join(random.Random(number).choices(WORDS, k=tokens))
