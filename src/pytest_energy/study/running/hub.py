"""Real inputs of the study: rows of its data sets, made into inputs as its scripts did.

Needs transformers, and datasets for the rows; both are loaded when a function is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from pytest_energy.limits.task_names import hub_name
from pytest_energy.study.running.models import CannotRun
from pytest_energy.study.running.queries import Input
from pytest_energy.study.running.twins import Twin
from pytest_energy.study.tables import Dataset, datasets

#: Width and height that the study gave to every image.
IMAGE_SIZE = (640, 480)
#: Words of a prompt, by the Hub's name of the task; other texts are whole.
FIRST_WORDS = {"text-generation": 20, "fill-mask": 20, "text-to-image": 50}
#: The task whose data a task takes that has none of its own.
DATA_OF = {"zero-shot": "text-classification", "sentence-similarity": "text-classification"}
ZERO_SHOT = "what is the binary sentiment of the following sentence? "


def real_inputs(twin: Twin, source: str, model: Any, number: int) -> tuple[list[Input], str]:
    """The first rows of the task's first data set that loads, and its id on the Hub.

    Raises CannotRun where none does.
    """
    data, rows = _first_rows(twin.task, number)
    if twin.steps is not None:
        return [{"prompt": text_of(row, data, twin.task)} for row in rows], data.hub_id
    processor = _processor(twin, source)
    return [_encoded(processor, row, data, twin, model) for row in rows], data.hub_id


def datasets_of(task: str) -> tuple[Dataset, ...]:
    """Those of the study, in its order. Raises CannotRun for a task that it has none for."""
    wanted = DATA_OF.get(task, task)
    found = tuple(each for each in datasets() if hub_name(each.task) == wanted)
    if not found:
        raise CannotRun(f"the study has no data set for {task}; use --weights random")
    return found


def text_of(row: Mapping[str, Any], data: Dataset, task: str, mask: str = "[MASK]") -> str:
    """What the study's script made of a row: its first words, or all of it."""
    field = row[data.field]
    text = " ".join(field) if isinstance(field, list) else str(field)
    words = text.split()
    if task in FIRST_WORDS:
        words = words[: FIRST_WORDS[task]]
    if task == "fill-mask":
        words = [*words[:-1], mask]
    if task == "zero-shot":
        return ZERO_SHOT + text
    return " ".join(words) if task in FIRST_WORDS else text


def _first_rows(task: str, number: int) -> tuple[Dataset, list[Mapping[str, Any]]]:
    """Some of the study's data sets are gone from the Hub, or need a loader of their own."""
    problems = []
    for data in datasets_of(task):
        try:
            return data, _rows(data, number)
        except CannotRun as problem:
            problems.append(str(problem))
    raise CannotRun("; ".join(dict.fromkeys(problems)))


def _rows(data: Dataset, number: int) -> list[Mapping[str, Any]]:
    try:
        from datasets import load_dataset
        from huggingface_hub import dataset_info
    except ImportError:
        raise CannotRun("real inputs need datasets: pip install datasets") from None
    try:
        # The study's ids are older than namespaces; the Hub knows what they are called now.
        name = dataset_info(data.hub_id).id
        rows = load_dataset(name, data.config or None, split=data.split, streaming=True)
        found = list(islice(rows, number))
    except Exception as error:  # the loader of a data set may raise anything
        raise CannotRun(
            f"the data set {data.hub_id} can't be loaded from the Hub: {type(error).__name__}: "
            f"{str(error).strip().partition(chr(10))[0]}"
        ) from error
    if not found:
        raise CannotRun(f"split {data.split} of the data set {data.hub_id} is empty")
    return found


def _processor(twin: Twin, source: str) -> Any:
    import transformers

    name = {
        "tokens": "AutoTokenizer",
        "image": "AutoImageProcessor",
        "log-mel": "AutoProcessor",
    }[twin.inputs.kind]
    try:
        return getattr(transformers, name).from_pretrained(source)
    except (OSError, ValueError, ImportError) as error:
        first = str(error).strip().partition("\n")[0]
        raise CannotRun(f"the {name} of {source} can't be loaded: {first}") from None


def _encoded(
    processor: Any, row: Mapping[str, Any], data: Dataset, twin: Twin, model: Any
) -> Input:
    if twin.inputs.kind == "image":
        image = row[data.field].convert("RGB").resize(IMAGE_SIZE, 0)  # 0: nearest
        found = processor(images=image, return_tensors="pt")
        return {"pixel_values": found["pixel_values"].to(model.device, model.dtype)}
    if twin.task == "question-answering":
        question, context = data.field.split(" ")[0].split("+")
        texts = [row[question], row[context if context in row else "support"]]
    else:
        texts = [text_of(row, data, twin.task, getattr(processor, "mask_token", None) or "[MASK]")]
    limit = min(processor.model_max_length, 512)
    found = processor(*texts, truncation=True, max_length=limit, return_tensors="pt")
    return {name: each.to(model.device) for name, each in found.items()}
