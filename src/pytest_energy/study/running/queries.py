"""One inference: its input, the call, and how it is measured: batch 1, after warm-up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, TypedDict

from pytest_energy.plugin.fixture import Energy
from pytest_energy.study.running.twins import QUERIES, Twin

#: Different inputs that a run cycles through; each has the same shape, so costs the same.
INPUTS = 8
#: Ids below this are special in most vocabularies (padding, mask).
FIRST_ID = 100
GUIDANCE = 7.5
#: Prompts are padded to this, as by the study's pipelines.
PROMPT_TOKENS = 77
#: 1,000 queries that take longer than this are measured in ten windows that follow each other,
#: because the counters of processors wrap.
ONE_WINDOW_SECONDS = 100.0
WINDOWS = 10
WARM_UP_QUERIES = 3

#: The keyword arguments of one call.
Input = dict[str, Any]


@dataclass(frozen=True)
class Inference:
    """A model that is ready: `query(input)` does one inference, and returns what the model does."""

    twin: Twin
    query: Callable[[Input], Any]
    inputs: Sequence[Input]


def inference_of(twin: Twin, model: Any, inputs: Sequence[Input]) -> Inference:
    """One inference at a time: one forward pass, greedy or beam search, or one image."""
    import torch

    if twin.steps is not None:
        query = _picture(twin, model)
    elif twin.new_tokens is not None:
        query = _generation(twin, model)
    else:

        def query(given: Input) -> Any:
            return model(**given)

    def once(given: Input) -> Any:
        with torch.inference_mode():
            return query(given)

    return Inference(twin, once, tuple(inputs))


def _generation(twin: Twin, model: Any) -> Callable[[Input], Any]:
    """A fixed number of new tokens, so that each model and each query does the same work."""
    arguments = {
        "min_new_tokens": twin.new_tokens,
        "max_new_tokens": twin.new_tokens,
        "num_beams": twin.beams,
        "do_sample": False,
    }
    settings = model.generation_config
    if settings.pad_token_id is None:  # there is one input, so nothing is padded
        settings.pad_token_id = 0
    if settings.decoder_start_token_id is None and settings.bos_token_id is None:
        settings.decoder_start_token_id = 0

    def query(given: Input) -> Any:
        return model.generate(**given, **arguments)

    return query


def _picture(twin: Twin, pipeline: Any) -> Callable[[Input], Any]:
    height, width = twin.inputs.sizes

    def query(given: Input) -> Any:
        return pipeline(
            **_encoded(pipeline, given),
            height=height,
            width=width,
            num_inference_steps=twin.steps,
            guidance_scale=GUIDANCE,
            output_type="np",
        )

    return query


def _encoded(pipeline: Any, given: Input) -> Input:
    """The prompt, and the empty one that guidance goes away from, through the text encoders.

    A pipeline with random weights has no tokenizer, so its prompts are ids.
    """
    if "input_ids" not in given:
        return given
    found: Input = {}
    for prefix, ids in (("", given["input_ids"]), ("negative_", given["negative_ids"])):
        if not hasattr(pipeline, "text_encoder_2"):
            found[f"{prefix}prompt_embeds"] = pipeline.text_encoder(ids).last_hidden_state
            continue
        import torch

        encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
        encoded = [each(ids, output_hidden_states=True) for each in encoders]
        layers = [each.hidden_states[-2] for each in encoded]
        found[f"{prefix}prompt_embeds"] = torch.cat(layers, dim=-1)
        found[f"{prefix}pooled_prompt_embeds"] = encoded[1].text_embeds
    return found


def random_inputs(twin: Twin, model: Any, seed: int) -> list[Input]:
    """Inputs of the twin's shape, on the model's device and in its dtype."""
    import torch

    source = torch.Generator().manual_seed(seed)
    device, dtype = model.device, model.dtype

    def ids(number: int, vocabulary: int) -> Any:
        first = min(FIRST_ID, vocabulary // 2)
        found = torch.randint(first, vocabulary, (1, number), generator=source)
        return found.to(device)

    def noise(*sizes: int) -> Any:
        return torch.randn(1, *sizes, generator=source).to(device, dtype)

    def one() -> Input:
        if twin.steps is not None:
            vocabulary = model.text_encoder.config.vocab_size
            return {
                "input_ids": ids(PROMPT_TOKENS, vocabulary),
                "negative_ids": ids(PROMPT_TOKENS, vocabulary),
            }
        sizes = twin.inputs.sizes
        match twin.inputs.kind:
            case "tokens":
                tokens = ids(sizes[0], model.config.get_text_config().vocab_size)
                return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
            case "image":
                return {"pixel_values": noise(3, *sizes)}
            case "log-mel":
                return {"input_features": noise(*sizes)}

    return [one() for _ in range(INPUTS)]


def measure_queries(energy: Energy, inference: Inference) -> None:
    """As many queries as the figure needs, within --energy-max-seconds."""
    if _cost_the_same(inference.inputs):
        given = cycle(inference.inputs)
        energy.measure(lambda: inference.query(next(given)), **_counts(inference))
    else:
        energy.measure(inference.query, inputs=inference.inputs, **_counts(inference))


def measure_in_full(energy: Energy, inference: Inference) -> None:
    """1,000 queries, as in the study."""
    inputs = cycle(inference.inputs)
    seconds = [_seconds(inference, next(inputs)) for _ in range(WARM_UP_QUERIES)]
    windows = WINDOWS if min(seconds) * QUERIES > ONE_WINDOW_SECONDS else 1
    number = QUERIES // windows
    for first in range(0, QUERIES, number):
        name = f"queries {first + 1} to {first + number}"
        with energy.window(name=name, **_counts(inference, number)):
            for given in islice(inputs, number):
                inference.query(given)


def _cost_the_same(inputs: Sequence[Input]) -> bool:
    """Whether some of these inputs represent all: those of one shape do, and padded prompts."""
    shapes = [{name: getattr(each, "shape", None) for name, each in one.items()} for one in inputs]
    return all(each == shapes[0] for each in shapes)


def _seconds(inference: Inference, given: Input) -> float:
    started = time.perf_counter()
    inference.query(given)
    return time.perf_counter() - started


class _Counts(TypedDict, total=False):
    """Arguments of `measure` that count units."""

    count: int
    tokens: int
    images: int


def _counts(inference: Inference, number: int = 1) -> _Counts:
    return {"images": number} if inference.twin.steps is not None else {"count": number}
