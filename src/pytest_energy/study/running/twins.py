"""The twins: the study's models, rebuilt from their classes without any download.

A twin has the architecture and the size of a model of the study, with random weights. A query costs
the same as with trained ones, and its answers are meaningless.
"""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pytest_energy.errors import InputError
from pytest_energy.limits.task_names import hub_name
from pytest_energy.spelling import alike

#: Inferences of one run of the study.
QUERIES = 1000


@dataclass(frozen=True)
class Construction:
    """A class of transformers or diffusers, by name, and what it is made with.

    Arguments are plain values, or constructions of their own.
    """

    class_name: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """The shape of one input: a number of tokens, or height and width of what is seen or heard."""

    kind: Literal["tokens", "image", "log-mel"]
    sizes: tuple[int, ...]

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.sizes))} {self.kind}"


@dataclass(frozen=True, kw_only=True)
class Twin:
    """One model to run, and what one query of it is.

    name: "task/model". task: the Hub's name. study_id: the Hub's id of the study's model, ""
    without one. new_tokens, beams: how much is generated, None for a single forward pass. steps:
    of an image. needs_gpu: whether a query takes minutes on a processor. parameters: how many.
    cpu_seconds: of one query on one core, by dtype, on the machine that the table was made on.
    """

    name: str
    task: str
    study_id: str
    model: Construction
    inputs: Inputs
    new_tokens: int | None = None
    beams: int = 1
    steps: int | None = None
    needs_gpu: bool = False
    parameters: int = 0
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def one_query(self) -> str:
        """What one query does, as text."""
        if self.steps is not None:
            return f"one image of {'x'.join(map(str, self.inputs.sizes))} in {self.steps} steps"
        if self.new_tokens is None:
            return f"{self.inputs}, one forward pass"
        how = "greedy" if self.beams == 1 else f"{self.beams} beams"
        return f"{self.inputs}, {self.new_tokens} new tokens, {how}"


@cache
def twins() -> tuple[Twin, ...]:
    """All twins, task by task."""
    text = files(__package__).joinpath("twins.csv").read_text(encoding="utf-8")
    return tuple(_twin(row) for row in csv.DictReader(text.splitlines()))


def pick(tasks: Sequence[str], names: Sequence[str], among: Sequence[Twin]) -> tuple[Twin, ...]:
    """Those of the tasks (all where none is named) whose name is among the patterns.

    A task may have the Hub's name or the study's. A name may omit its task and contain * and ?.
    Raises InputError for an unknown task and a name without a match.
    """
    wanted = {task: hub_name(task) or task for task in tasks}
    for task, known in wanted.items():
        if known not in {each.task for each in among}:
            there = ", ".join(dict.fromkeys(each.task for each in among))
            raise InputError(f"unknown task {task!r}; choose from {there}")
    found = [each for each in among if not wanted or each.task in wanted.values()]
    for name in names:
        if not any(_matches(each, name) for each in found):
            near = alike(name, [each.name for each in found], 3, cutoff=0.3)
            raise InputError(
                f"{name!r} matches none of the {len(found)} models; for example "
                f"{', '.join(near) or found[0].name}"
            )
    return tuple(each for each in found if not names or any(_matches(each, name) for name in names))


def _matches(twin: Twin, pattern: str) -> bool:
    short = twin.name.partition("/")[2]
    return any(fnmatchcase(each, pattern) for each in (twin.name, short, twin.study_id) if each)


def _twin(row: Mapping[str, str]) -> Twin:
    dtypes = ("float32", "bfloat16")
    return Twin(
        name=row["name"],
        task=row["task"],
        study_id=row["study_id"],
        model=parse_construction(row["model"]),
        inputs=parse_inputs(row["inputs"]),
        new_tokens=_whole(row["new_tokens"]),
        beams=_whole(row["beams"]) or 1,
        steps=_whole(row["steps"]),
        needs_gpu=row["needs_gpu"] == "True",
        parameters=int(row["parameters"]),
        cpu_seconds={
            each: float(row[f"cpu_seconds_{each}"]) for each in dtypes if row[f"cpu_seconds_{each}"]
        },
        note=row["note"],
    )


def _whole(cell: str) -> int | None:
    return int(cell) if cell else None


def parse_inputs(text: str) -> Inputs:
    """The shape written as "59 tokens", "224x224 image" or "80x3000 log-mel".

    Raises ValueError.
    """
    found = re.fullmatch(r"(\d+) tokens|(\d+)x(\d+) (image|log-mel)", text)
    if found is None:
        raise InputError(f'unknown shape of an input {text!r}; expected, for example, "59 tokens"')
    if found[1]:
        return Inputs("tokens", (int(found[1]),))
    kind: Literal["image", "log-mel"] = "image" if found[4] == "image" else "log-mel"
    return Inputs(kind, (int(found[2]), int(found[3])))


def parse_construction(text: str) -> Construction:
    """What `Model(Config(size=2, kinds=["a"]))` says; nothing is run. Raises ValueError."""
    try:
        found = _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{text!r} is not a construction: {error}") from None
    if not isinstance(found, Construction):
        raise InputError(
            f"{text!r} is not a construction; expected, for example, BertModel(BertConfig())"
        )
    return found


def _value(node: ast.expr) -> Any:
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    if not isinstance(node.func, ast.Name):
        raise InputError(f"{ast.unparse(node.func)} is not the name of a class")
    keywords = {}
    for each in node.keywords:
        if each.arg is None:
            raise InputError(f"**{ast.unparse(each.value)} is not a plain keyword")
        keywords[each.arg] = _value(each.value)
    return Construction(node.func.id, tuple(_value(each) for each in node.args), keywords)
