"""Units from the results of common libraries, for `units=` of the `energy` fixture.

Each function returns a dict of units and how to count them in the result of one call:

    energy.measure(lambda: client.chat.completions.create(...), units=usage.openai())

Nothing is imported here: results are read by their documented attributes, and one that lacks them
raises EnergyUsageError, which names what was expected. Tokens are those of the model: every row of
a batch counts, padding does not, and the prompt is no output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_energy.errors import EnergyUsageError

OUTPUT, INPUT, REQUEST, CACHED = "output-token", "input-token", "request", "cached-input-token"


@dataclass(frozen=True)
class _Usage:
    """What was done: requests, their tokens in and out, and those in that a cache answered."""

    requests: int
    inputs: int
    outputs: int
    cached: int = 0


Units = dict[str, Callable[[Any], int]]


def generate(model: Any) -> Units:
    """Units of a call that returns what it gave to a transformers `generate`, and what came out:
    `lambda batch: (batch, model.generate(**batch))`.

    model: it, for the ids of its end and padding tokens. The inputs are a tokenizer's result, or a
    tensor of ids; the output is a tensor of ids or has one as `sequences`. What follows the end of
    a row is padding.
    """
    ends, pad = _special_ids(model)
    config = getattr(model, "config", None)
    is_encoder_decoder = bool(getattr(config, "is_encoder_decoder", False))

    def read(result: Any) -> _Usage:
        given, output = _pair(result, "lambda batch: (batch, model.generate(**batch))")
        prompts = _ids(_value(given, "input_ids", given), "input_ids of the inputs")
        mask = _value(given, "attention_mask", None)
        if mask is not None:
            inputs = sum(sum(row) for row in _ids(mask, "attention_mask of the inputs"))
        else:
            padding = {pad} - ends  # as `generate` itself takes it where there is no mask
            inputs = sum(each not in padding for row in prompts for each in row)
        rows = _ids(_value(output, "sequences", output), "the output of generate")
        if len(rows) % len(prompts):
            raise EnergyUsageError(
                f"generate returned {len(rows)} rows for {len(prompts)} prompts; return the inputs "
                "of this very call beside its output"
            )
        outputs = 0
        for index, row in enumerate(rows):
            prompt = prompts[index * len(prompts) // len(rows)]
            if is_encoder_decoder:
                new = row[1:]  # the first starts the decoder
            elif row[: len(prompt)] == prompt:
                new = row[len(prompt) :]
            else:
                raise EnergyUsageError(
                    "a row of the output doesn't begin with its prompt; return the inputs of this "
                    "very call beside its output, as ids and not as embeddings"
                )
            outputs += _length(new, ends, pad)
        return _Usage(len(prompts), inputs, outputs)

    return _units(read)


def pipeline(pipe: Any) -> Units:
    """Units of a call that returns texts and what a transformers pipeline generated from them:
    `lambda texts: (texts, pipe(texts, return_tensors=True))`.

    Token ids are read, because a text that is split again may come to other tokens.
    """
    tokenizer = getattr(pipe, "tokenizer", None)
    if not callable(tokenizer):
        raise EnergyUsageError(
            f"usage.pipeline expects a pipeline with a tokenizer, not {type(pipe).__name__}"
        )
    ends, pad = _special_ids(getattr(pipe, "model", None))
    padding = {pad, getattr(tokenizer, "pad_token_id", None)}

    def read(result: Any) -> _Usage:
        texts, results = _pair(result, "lambda texts: (texts, pipe(texts, return_tensors=True))")
        if isinstance(texts, str):
            texts, results = [texts], [results]
        inputs = outputs = 0
        for text, generated in zip(texts, results, strict=True):
            if not isinstance(text, str):
                raise EnergyUsageError(
                    f"usage.pipeline expects texts as inputs, not {type(text).__name__}; for chats "
                    "call model.generate and use usage.generate"
                )
            prompt = list(_value(tokenizer(text), "input_ids", ()))
            inputs += len(prompt)
            for each in generated:
                ids = _value(each, "generated_token_ids", None)
                if ids is None:
                    raise EnergyUsageError(
                        "usage.pipeline expects generated_token_ids in each result; call the "
                        "pipeline with return_tensors=True"
                    )
                outputs += _length(_after(prompt, list(ids), padding), ends, pad)
        return _Usage(len(texts), inputs, outputs)

    return _units(read)


def openai() -> Units:
    """Units of a call that returns what an OpenAI-compatible server answered, by its `usage`.

    A chat completion, a completion, an embedding or a response, as an object or as parsed JSON; a
    list of them; or the list of all chunks or events of a stream. A stream of completions has a
    usage where it is asked for: stream_options={"include_usage": True}.
    """

    def read(result: Any) -> _Usage:
        latest: dict[Any, Any] = {}  # all chunks of one answer have its id, and the last its usage
        for index, each in enumerate(_several(result)):
            answer = _value(each, "response", None)  # of an event at the start or the end
            if answer is None and _value(each, "type", None) is not None:
                continue  # an event in between
            answer = answer or each
            name = _value(answer, "id", None) or index
            latest[name] = _value(answer, "usage", None) or latest.get(name)
        if not latest or None in latest.values():
            raise EnergyUsageError(
                f"no usage in {_kind(result)}; usage.openai expects an answer with `usage`, or a "
                'list of all chunks of a stream with stream_options={"include_usage": True}'
            )
        found = [_tokens_of(each) for each in latest.values()]
        return _Usage(
            len(found),
            sum(each.inputs for each in found),
            sum(each.outputs for each in found),
            sum(each.cached for each in found),
        )

    return _units(read, CACHED)


def vllm() -> Units:
    """Units of a call that returns vLLM's RequestOutput, or a list of them: `llm.generate(...)`."""

    def read(result: Any) -> _Usage:
        answers = list(_several(result))
        for each in answers:
            if not all(hasattr(each, name) for name in ("prompt_token_ids", "outputs", "finished")):
                raise EnergyUsageError(
                    f"usage.vllm expects a RequestOutput, or a list of them, not {_kind(each)}"
                )
            if not each.finished:
                raise EnergyUsageError(
                    "a RequestOutput isn't finished; return the last one of each request"
                )
        return _Usage(
            len(answers),
            sum(len(each.prompt_token_ids or ()) for each in answers),
            sum(len(one.token_ids) for each in answers for one in each.outputs),
            sum(getattr(each, "num_cached_tokens", None) or 0 for each in answers),
        )

    return _units(read, CACHED)


def _units(read: Callable[[Any], _Usage], *more: str) -> Units:
    """The functions that count; the first is the unit of a test without a limit."""
    found: Units = {
        OUTPUT: lambda result: read(result).outputs,
        INPUT: lambda result: read(result).inputs,
        REQUEST: lambda result: read(result).requests,
    }
    if CACHED in more:
        found[CACHED] = lambda result: read(result).cached
    return found


def _tokens_of(usage: Any) -> _Usage:
    """Chat completions and responses call them differently."""
    for inputs, outputs in (("prompt", "completion"), ("input", "output")):
        number = _value(usage, f"{inputs}_tokens", None)
        if isinstance(number, int):
            details = _value(usage, f"{inputs}_tokens_details", None)
            cached = _value(details, "cached_tokens", None) or 0
            return _Usage(1, number, _value(usage, f"{outputs}_tokens", None) or 0, cached)
    raise EnergyUsageError(
        f"a usage of type {type(usage).__name__} has neither prompt_tokens nor input_tokens"
    )


def _special_ids(model: Any) -> tuple[set[int], int | None]:
    """The ids that end a row, and that of its padding."""
    config = getattr(model, "generation_config", None)
    if config is None:
        raise EnergyUsageError(
            f"a model with a generation_config was expected, not {type(model).__name__}"
        )
    end = getattr(config, "eos_token_id", None)
    ends = end if isinstance(end, Iterable) else [end]
    return {each for each in ends if each is not None}, getattr(config, "pad_token_id", None)


def _length(new: Sequence[int], ends: set[int], pad: int | None) -> int:
    """How many of these tokens were generated: up to the end, or to the padding after it."""
    for position, each in enumerate(new, start=1):
        if each in ends:
            return position
    length = len(new)
    while length and new[length - 1] == pad:  # a row that a stop string has ended
        length -= 1
    return length


def _after(prompt: list[int], row: list[int], padding: set[int | None]) -> list[int]:
    """What follows the prompt, which padding may come before."""
    start = 0
    while row[start : start + len(prompt)] != prompt:
        if start >= len(row) or row[start] not in padding:
            raise EnergyUsageError(
                "a result doesn't begin with the tokens of its text; return the texts of this very "
                "call beside its results, and give the pipeline no prefix and no truncation"
            )
        start += 1
    return row[start + len(prompt) :]


def _pair(result: Any, example: str) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise EnergyUsageError(
            f"the call returned {_kind(result)}, and what went in is needed beside what came out; "
            f"measure: {example}"
        )
    return result


def _ids(value: Any, what: str) -> list[list[int]]:
    """A tensor of ids as lists."""
    rows = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise EnergyUsageError(f"{what}: a tensor of rows of ids was expected, not {_kind(value)}")
    return rows


def _several(result: Any) -> Iterator[Any]:
    """The items of a list, or the only one."""
    if isinstance(result, list | tuple):
        yield from result
    else:
        yield result


def _value(holder: Any, name: str, otherwise: Any) -> Any:
    """An attribute, or a key of parsed JSON or of a tokenizer's result."""
    if isinstance(holder, Mapping):
        return holder.get(name, otherwise)
    return getattr(holder, name, otherwise)


def _kind(value: object) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    if isinstance(value, list | tuple) and value:
        return f"a {kind} of {_kind(value[0])}"
    return kind
