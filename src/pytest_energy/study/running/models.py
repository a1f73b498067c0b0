"""Models of the study: built with random weights, or loaded from the Hub or a folder.

Needs torch and transformers, and diffusers for pictures; they are loaded when a function is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from pytest_energy.errors import EnergyError
from pytest_energy.study.running.twins import Construction, Twin

#: The class that loads a model of one's own, by the Hub's name of its task.
AUTO_CLASSES = {
    "text-classification": "AutoModelForSequenceClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "fill-mask": "AutoModelForMaskedLM",
    "token-classification": "AutoModelForTokenClassification",
    "image-classification": "AutoModelForImageClassification",
    "object-detection": "AutoModelForObjectDetection",
    "text-generation": "AutoModelForCausalLM",
    "summarization": "AutoModelForSeq2SeqLM",
    "image-to-text": "AutoModelForImageTextToText",
    "zero-shot": "AutoModelForSeq2SeqLM",
    "sentence-similarity": "AutoModel",
    "automatic-speech-recognition": "AutoModelForSpeechSeq2Seq",
    "text-to-image": "DiffusionPipeline",
}


class CannotRun(EnergyError):
    """A model that can't be run here, and why, in a sentence."""


class MissingPackage(CannotRun):
    """A model that this installation has no classes for."""


def why_impossible() -> str:
    """Why no model can be run in this installation, or ""."""
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if not missing:
        return ""
    return (
        f"the study's models need {' and '.join(missing)}: "
        'pip install "pytest-energy[transformers]"'
    )


def device_for(asked: str | None) -> str:
    """The device that was asked for, else CUDA's where torch has one, else the processor."""
    if asked:
        return asked
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def with_random_weights(twin: Twin, dtype: str, device: str, seed: int) -> Any:
    """The twin, ready to be called. Raises MissingPackage."""
    import torch

    torch.manual_seed(seed)
    with _default_dtype(dtype):  # built as it will be run, so it needs its memory only once
        model = _construct(twin.model)
    return _ready(model, dtype, device)


def loaded(source: str, class_name: str, dtype: str, device: str) -> Any:
    """The model of a folder or of an id of the Hub. Raises CannotRun where it can't be loaded."""
    import torch

    try:
        model = _class(class_name).from_pretrained(source, dtype=getattr(torch, dtype))
    except (OSError, ValueError, ImportError) as error:
        raise CannotRun(
            f"{source} can't be loaded: {_first_line(error)} (random weights need no download: "
            "--weights random)"
        ) from None
    return _ready(model, dtype, device)


def _parts(model: Any) -> list[Any]:
    """Modules of torch in it: the model itself, or those of a pipeline."""
    import torch

    if isinstance(model, torch.nn.Module):
        return [model]
    return [each for each in model.components.values() if isinstance(each, torch.nn.Module)]


def _ready(model: Any, dtype: str, device: str) -> Any:
    import torch

    model.to(device=device, dtype=getattr(torch, dtype))
    for part in _parts(model):
        part.eval()  # and no more: torch takes a slower way with weights that need no gradient
    if hasattr(model, "set_progress_bar_config"):
        model.set_progress_bar_config(disable=True)
    return model


def _construct(value: Any) -> Any:
    """What a construction describes; other values are themselves."""
    if not isinstance(value, Construction):
        return value
    arguments = [_construct(each) for each in value.arguments]
    keywords = {name: _construct(each) for name, each in value.keywords.items()}
    return _class(value.class_name)(*arguments, **keywords)


def _class(name: str) -> Any:
    """The class of this name in transformers or diffusers, the only ones that are looked at."""
    import transformers

    if hasattr(transformers, name):
        return getattr(transformers, name)
    try:
        import diffusers
    except ImportError:
        raise MissingPackage(
            "pictures need diffusers: pip install diffusers (it needs neither torchvision nor timm)"
        ) from None
    try:
        return getattr(diffusers, name)
    except AttributeError:
        raise MissingPackage(
            f"neither transformers {transformers.__version__} nor diffusers "
            f"{diffusers.__version__} has {name}"
        ) from None


@contextmanager
def _default_dtype(dtype: str) -> Iterator[None]:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
