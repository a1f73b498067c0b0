"""Units from results of the openai client (its own classes), vLLM and transformers (stand-ins)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseCompletedEvent, ResponseTextDeltaEvent

from pytest_energy import usage
from pytest_energy.errors import EnergyUsageError

EOS, PAD, START = 2, 0, 1


def counted(units: dict[str, Callable[[Any], int]], result: Any) -> dict[str, int]:
    return {unit: count(result) for unit, count in units.items()}


def tokens(requests: int, inputs: int, outputs: int, cached: int | None = None) -> dict[str, int]:
    found = {"output-token": outputs, "input-token": inputs, "request": requests}
    return found if cached is None else {**found, "cached-input-token": cached}


def chat(name: str, prompt: int, completion: int, cached: int | None = None) -> ChatCompletion:
    details = None if cached is None else {"cached_tokens": cached}
    return ChatCompletion.model_validate(
        {
            "id": name,
            "choices": [],
            "created": 0,
            "model": "m",
            "object": "chat.completion",
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "prompt_tokens_details": details,
            },
        }
    )


def chunk(name: str, usage: dict[str, int] | None = None) -> ChatCompletionChunk:
    return ChatCompletionChunk.model_validate(
        {
            "id": name,
            "choices": [],
            "created": 0,
            "model": "m",
            "object": "chat.completion.chunk",
            "usage": usage,
        }
    )


USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


def response(name: str, *, usage: bool = True) -> Response:
    return Response.model_construct(
        id=name,
        object="response",
        usage=SimpleNamespace(
            input_tokens=40,
            output_tokens=8,
            input_tokens_details=SimpleNamespace(cached_tokens=32),
        )
        if usage
        else None,
    )


def events(name: str) -> list[Any]:
    created = SimpleNamespace(type="response.created", response=response(name, usage=False))
    delta = ResponseTextDeltaEvent.model_construct(type="response.output_text.delta", delta="a")
    completed = ResponseCompletedEvent.model_construct(
        type="response.completed", response=response(name)
    )
    return [created, delta, delta, completed]


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (chat("a", 12, 3), tokens(1, 12, 3, 0)),
        (chat("a", 12, 3, cached=8), tokens(1, 12, 3, 8)),
        ([chat("a", 12, 3), chat("b", 5, 1)], tokens(2, 17, 4, 0)),
        (chat("a", 12, 3).model_dump(), tokens(1, 12, 3, 0)),
        ([chunk("a"), chunk("a"), chunk("a", USAGE)], tokens(1, 12, 3, 0)),
        # some servers report what they did so far in each chunk
        ([chunk("a", {**USAGE, "completion_tokens": 1}), chunk("a", USAGE)], tokens(1, 12, 3, 0)),
        ([chunk("a"), chunk("b"), chunk("b", USAGE), chunk("a", USAGE)], tokens(2, 24, 6, 0)),
        (response("r"), tokens(1, 40, 8, 32)),
        (events("r"), tokens(1, 40, 8, 32)),
        (
            CreateEmbeddingResponse.model_validate(
                {
                    "data": [],
                    "model": "m",
                    "object": "list",
                    "usage": {"prompt_tokens": 9, "total_tokens": 9},
                }
            ),
            tokens(1, 9, 0, 0),
        ),
        (
            Completion.model_validate(
                {
                    "id": "c",
                    "choices": [],
                    "created": 0,
                    "model": "m",
                    "object": "text_completion",
                    "usage": USAGE,
                }
            ),
            tokens(1, 12, 3, 0),
        ),
    ],
)
def test_the_usage_of_openai_answers(result: Any, found: dict[str, int]) -> None:
    assert counted(usage.openai(), result) == found


@pytest.mark.parametrize(
    "result",
    [
        None,
        "text",
        [],
        [chunk("a"), chunk("a")],
        [chunk("a", USAGE), chunk("b")],
        events("r")[:3],  # a client that left early
        {"error": "overloaded"},
        SimpleNamespace(id="a", usage=SimpleNamespace(tokens=3)),
    ],
)
def test_an_answer_without_usage_is_an_error(result: Any) -> None:
    with pytest.raises(EnergyUsageError, match=r"include_usage|prompt_tokens nor input_tokens"):
        counted(usage.openai(), result)


def request_output(prompt: int, *outputs: int, finished: bool = True) -> Any:
    return SimpleNamespace(
        request_id="r",
        prompt_token_ids=list(range(prompt)),
        outputs=[SimpleNamespace(token_ids=list(range(each))) for each in outputs],
        finished=finished,
        num_cached_tokens=None,
    )


def test_the_tokens_of_vllm_outputs() -> None:
    assert counted(usage.vllm(), request_output(7, 3)) == tokens(1, 7, 3, 0)
    several = [request_output(7, 3, 4), request_output(2, 5)]
    assert counted(usage.vllm(), several) == tokens(2, 9, 12, 0)
    with pytest.raises(EnergyUsageError, match="RequestOutput isn't finished"):
        counted(usage.vllm(), request_output(7, 3, finished=False))
    with pytest.raises(EnergyUsageError, match="a list of them, not a list of str"):
        counted(usage.vllm(), [["text"]])


class Tensor:
    """Ids as torch holds them."""

    def __init__(self, rows: list[list[int]]) -> None:
        self._rows = rows

    def tolist(self) -> list[list[int]]:
        return self._rows


def model(*, encoder_decoder: bool = False, eos: Any = EOS, pad: int | None = PAD) -> Any:
    return SimpleNamespace(
        config=SimpleNamespace(is_encoder_decoder=encoder_decoder),
        generation_config=SimpleNamespace(eos_token_id=eos, pad_token_id=pad),
    )


ROWS = st.lists(
    st.tuples(
        st.lists(st.integers(3, 9), min_size=1, max_size=5),
        st.lists(st.integers(3, 9), max_size=6),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


@given(
    rows=ROWS,
    pad=st.sampled_from([PAD, EOS]),
    sequences=st.integers(1, 3),
    with_mask=st.booleans(),
    encoder_decoder=st.booleans(),
)
def test_a_batch_of_generate_counts_its_rows_without_padding(
    rows: Sequence[tuple[list[int], list[int], bool]],
    pad: int,
    sequences: int,
    with_mask: bool,
    encoder_decoder: bool,
) -> None:
    """Prompts padded on the left, answers on the right, some of them ended by an end token."""
    longest = max(len(prompt) for prompt, _, _ in rows)
    prompts = [[pad] * (longest - len(prompt)) + prompt for prompt, _, _ in rows]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt, _, _ in rows]
    answers = [[*new, EOS] if ends else new for _, new, ends in rows]
    width = max(map(len, answers))
    before = [[START]] * len(rows) if encoder_decoder else prompts
    output = [
        [*begin, *answer, *[pad] * (width - len(answer))]
        for begin, answer in zip(before, answers, strict=True)
        for _ in range(sequences)
    ]
    given = {"input_ids": Tensor(prompts)}
    if with_mask or pad == EOS:  # without one, an end token is no padding
        given["attention_mask"] = Tensor(mask)
    units = usage.generate(model(encoder_decoder=encoder_decoder, pad=pad))
    result = (given, SimpleNamespace(sequences=Tensor(output)))
    inputs = sum(len(prompt) for prompt, _, _ in rows)
    # Where padding looks like an end, one of it is taken for the end of an answer without one.
    unclear = sum(pad == EOS and not ends and len(new) < width for _, new, ends in rows)
    outputs = sum(map(len, answers)) + unclear
    assert counted(units, result) == tokens(len(rows), inputs, sequences * outputs)


def test_generate_needs_the_inputs_of_its_output() -> None:
    units = usage.generate(model(eos=[2, 9]))
    prompt = Tensor([[5, 6]])
    assert counted(units, (prompt, Tensor([[5, 6, 7, 9, 0]]))) == tokens(1, 2, 2)
    for result, why in (
        (Tensor([[5, 6, 7]]), "what went in is needed beside what came out"),
        ((prompt, Tensor([[7, 8, 9]])), "doesn't begin with its prompt"),
        ((Tensor([[5], [6]]), Tensor([[5, 7]])), "1 rows for 2 prompts"),
        ((prompt, ["text"]), "a tensor of rows of ids was expected, not a list of str"),
    ):
        with pytest.raises(EnergyUsageError, match=why):
            counted(units, result)
    with pytest.raises(EnergyUsageError, match="a model with a generation_config was expected"):
        usage.generate("gpt2")


def test_the_tokens_of_a_pipeline() -> None:
    class Tokenizer:
        pad_token_id = PAD

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [int(each) for each in text]}

    units = usage.pipeline(SimpleNamespace(tokenizer=Tokenizer(), model=model()))

    def results(*ids: list[int]) -> list[dict[str, Any]]:
        return [{"generated_token_ids": each} for each in ids]

    one = ("345", results([3, 4, 5, 7, 7, EOS, PAD]))
    assert counted(units, one) == tokens(1, 3, 3)
    two = (["345", "6"], [results([3, 4, 5, 7]), results([0, 0, 6, 8, 8], [0, 0, 6, 8, 2])])
    assert counted(units, two) == tokens(2, 4, 5)
    for result, why in (
        (("345", [{"generated_text": "345 seven"}]), "return_tensors=True"),
        (("345", results([7, 3, 4, 5])), "doesn't begin with the tokens of its text"),
        (([{"role": "user"}], [results([3])]), "expects texts as inputs, not dict"),
    ):
        with pytest.raises(EnergyUsageError, match=why):
            counted(units, result)
    with pytest.raises(EnergyUsageError, match="a pipeline with a tokenizer, not str"):
        usage.pipeline("text")
