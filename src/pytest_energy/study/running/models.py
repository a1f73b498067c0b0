"""Models of the study: whether one fits into memory, built with random weights, or loaded.

Needs torch and transformers, and diffusers for images; they are loaded when a function is called.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_energy.errors import EnergyError
from pytest_energy.study.running.twins import Construction, Twin

#: The class that loads the user's model, by the Hub's name of its task.
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
GIB = 1024**3
#: What a query needs in addition to the weights: torch itself, and activations.
BESIDE_BYTES = 2 * GIB
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_CGROUP = Path("/sys/fs/cgroup")


class CannotRun(EnergyError):
    """A model that can't be run here, and why, in a sentence."""


class MissingPackage(CannotRun):
    """A model that this installation has no classes for."""


def why_impossible(method: str) -> str:
    """Why no model can be run by this method in this installation, or ""."""
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        return (
            f"the study's models need {' and '.join(missing)}: "
            'pip install "pytest-energy[transformers]"'
        )
    if method == "codecarbon" and find_spec("codecarbon") is None:
        return '--method=codecarbon needs codecarbon: pip install "pytest-energy[carbon]"'
    return ""


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
        part.eval()  # and no more: torch is slower with weights that need no gradient
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
            "text-to-image models need diffusers: pip install diffusers (without torchvision "
            "or timm)"
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


def why_too_big(twin: Twin, dtype: str, free_bytes: int | None) -> str:
    """Why it should not be tried, in a sentence, or ""; free_bytes: None if unknown."""
    needed = twin.parameters * BYTES[dtype] + BESIDE_BYTES
    if free_bytes is None or needed <= free_bytes:
        return ""
    return (
        f"{twin.name} in {dtype} needs about {needed / GIB:.1f} GiB of memory, but "
        f"{free_bytes / GIB:.1f} GiB are free"
    )


def free_bytes() -> int | None:
    """Memory of this machine, or of this container, that is free; None if unknown."""
    known = [each for each in (_available(), _left_in_container()) if each is not None]
    return min(known) if known else None


def free_bytes_for(device: str) -> int | None:
    """For a model on this device: it is built in the machine's memory, and put into the GPU's."""
    known = [free_bytes()]
    if device.startswith("cuda"):
        import torch

        known.append(torch.cuda.mem_get_info(device)[0])
    return min((each for each in known if each is not None), default=None)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return _total()
    kibibytes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(kibibytes[0]) * 1024 if kibibytes else None


def _total() -> int | None:
    """All memory, where the free part is unknown (macOS)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _left_in_container() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = (_CGROUP / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(limit) - int(used) if limit.isdecimal() else None
