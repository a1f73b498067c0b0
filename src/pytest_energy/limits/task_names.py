"""What tasks are called: by the Hugging Face Hub, by the study, and by the AI Energy Score."""

from __future__ import annotations

import re

#: The Hub's name, which users write -> the other names of the same task. The study's logs have
#: short names of their own; the AI Energy Score writes most with underscores.
_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "text-classification": ("binary text classification", "text_classif"),
    "question-answering": ("extractive question answering", "qa"),
    "fill-mask": ("masked language modeling", "masked language modelling", "fillmask"),
    "token-classification": ("token_classif",),
    "image-classification": ("image_class",),
    "object-detection": ("obj_detection",),
    "text-generation": ("textgen",),
    "summarization": ("summarisation", "summarize"),
    "image-to-text": ("image captioning", "itt"),
    "text-to-image": ("image generation", "tti"),
    # Of the AI Energy Score alone:
    "reasoning": (),
    "automatic-speech-recognition": ("asr", "speech recognition"),
    "sentence-similarity": ("semantic sentence similarity",),
}

#: The study's ten tasks, by the Hub's names, in the order of its Table 2 (rising energy).
STUDY_TASKS = tuple(_OTHER_NAMES)[:10]


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", name.strip()).casefold()


_KNOWN = {
    _folded(each): hub_name
    for hub_name, others in _OTHER_NAMES.items()
    for each in (hub_name, *others)
}


def hub_name(task: str) -> str | None:
    """The Hub's name of a task, or None for a task of which neither source has a word.

    Case doesn't matter, and blanks, underscores and hyphens are alike.
    """
    return _KNOWN.get(_folded(task))


def same_task(one: str, other: str) -> bool:
    """Whether two names are equal, or names of one task that is known here."""
    return one == other or (hub_name(one) is not None and hub_name(one) == hub_name(other))
