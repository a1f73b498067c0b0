"""The study's tables as typed rows; each names the source of its figures.

The study is "Power Hungry Processing: Watts Driving the Cost of AI Deployment?" (Luccioni, Jernite,
Strubell, FAccT 2024, arXiv 2311.16863); data/README.md says where each file comes from. A field is
named like its column, and an empty cell is None: unknown, never to be filled in. `paper_` figures
are printed in the paper, `logs_` figures are aggregated afresh from its authors' logs. All energy
is that of a whole node of 8 GPUs, for 1,000 inferences, unless a field says otherwise.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from pytest_energy.errors import InputError
from pytest_energy.limits.task_names import hub_name

CITATION = (
    'Luccioni, Jernite, Strubell: "Power Hungry Processing: Watts Driving the Cost of AI '
    'Deployment?", FAccT 2024, arXiv 2311.16863'
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One of the ten tasks (Table 2), with the means over its models and data sets.

    `share_` fields are fractions of the logged energy, `repeat_cv_` coefficients of variation of
    the ten repeats of one model on one data set. gco2e_if_297_6: grams with the intensity that the
    paper states and doesn't use.
    """

    task: str
    modality: str
    paper_mean_kwh_per_1000: float
    paper_std_kwh_per_1000: float
    paper_median_kwh_per_1000: float | None
    logs_n_models: int
    logs_n_runs: int
    logs_mean_kwh: float
    logs_std_kwh_over_runs: float
    logs_std_kwh_over_models: float
    logs_median_kwh: float
    logs_min_kwh: float
    logs_max_kwh: float
    logs_gco2e_per_1000_mean: float
    logs_gco2e_min_model: float
    logs_gco2e_max_model: float
    logs_gco2e_max_run: float
    gco2e_if_297_6: float
    logs_mean_seconds_per_1000: float
    logs_mean_power_w: float
    share_gpu: float
    share_ram: float
    share_cpu: float
    logs_gpu_only_mean_kwh: float
    repeat_cv_median: float
    repeat_cv_p95: float
    repeat_cv_max: float
    source_paper: str
    source_logs: str

    @property
    def name(self) -> str:
        """The Hub's name, as users write it: "text-classification"."""
        return _known(self.task)


@dataclass(frozen=True, kw_only=True)
class Model:
    """One of the 88 models, with its mean over data sets; None where the logs have no such run.

    task: the study's word; eight models do several tasks without training for one ("zero-shot").
    """

    task: str
    model_id_paper: str
    model_id_logs: str
    family: str
    params_study: int | None
    params_paper_table3: str
    mean_kwh_per_1000: float | None
    mean_gco2e_per_1000: float | None
    n_runs: int
    note: str
    source_id: str
    source_params: str
    source_figures: str

    @property
    def id(self) -> str:
        """The Hub's id, as the paper has it."""
        return self.model_id_paper

    @property
    def task_name(self) -> str | None:
        """The Hub's name of its task; None for a model of several tasks."""
        return hub_name(self.task)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One of the 30 pairs of task and data set (Table 1), and how its rows become inputs."""

    task: str
    dataset_paper: str
    hub_id: str
    config: str
    split: str
    field: str
    input_rule: str
    n: int
    script: str
    source: str

    @property
    def task_name(self) -> str:
        """The Hub's name of the task."""
        return _known(self.task)


@dataclass(frozen=True)
class ProtocolItem:
    """One detail of how the study measured, and how sure it is."""

    item: str
    value: str
    source: str
    confidence: str


@dataclass(frozen=True, kw_only=True)
class ModelRun:
    """One model on one data set: 1,000 inferences, ten times.

    kwh_: of one such run, over the repeats. gpu_kwh, ram_kwh, cpu_kwh: parts of the mean. load_kwh:
    to load the model, not in the mean. in_table2: whether it belongs to the means of Table 2.
    """

    task: str
    log_file: str
    model: str
    n_runs: int
    kwh_mean: float
    kwh_std: float
    kwh_min: float
    kwh_max: float
    gpu_kwh: float
    ram_kwh: float
    cpu_kwh: float
    seconds: float
    gco2e: float
    load_kwh: float | None
    in_table2: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class MultipurposeModel:
    """One of the eight models of several tasks (Table 3), for each task from the logs."""

    model: str
    params_paper: str
    paper_gco2e: float
    paper_kwh: float
    logs_kwh: float
    logs_gco2e: float
    logs_kwh_qa: float
    logs_kwh_sentiment: float
    logs_kwh_summarize: float
    n_runs: int
    source_paper: str
    source_logs: str

    @property
    def kwh_by_task(self) -> dict[str, float]:
        """Mean kWh per 1,000 inferences, by the Hub's name of the task."""
        return {
            "question-answering": self.logs_kwh_qa,
            "text-classification": self.logs_kwh_sentiment,
            "summarization": self.logs_kwh_summarize,
        }


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Mean tokens that go in and come out (Table 4), by data set."""

    dataset: str
    input_tokens: float
    out_bloomz_560m: float
    out_bloomz_1b: float
    out_bloomz_3b: float
    out_bloomz_7b: float
    out_flan_t5_base: float
    out_flan_t5_large: float
    out_flan_t5_xl: float
    out_flan_t5_xxl: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Parity:
    """After how many inferences use overtakes training and fine-tuning (Table 5).

    parity_recomputed: from the printed energies; agrees: whether it is the printed number but for
    rounding.
    """

    model: str
    train_kwh: float
    finetune_kwh: float
    inference_kwh_each: float
    parity_paper: int
    parity_recomputed: int
    agrees: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class Performance:
    """How well a model does what it was measured at (Table 7); None where it wasn't tried."""

    model: str
    task: str
    kind: str
    sst2_accuracy: float | None
    imdb_accuracy: float | None
    tomatoes_accuracy: float | None
    sciq_accuracy: float | None
    squad_f1: float | None
    squad_v2_f1: float | None
    samsum_rouge: float | None
    xsum_rouge: float | None
    cnn_rouge: float | None
    source: str


@dataclass(frozen=True, kw_only=True)
class ScoreTask:
    """A task of the AI Energy Score, the study's follow-up, and how it is measured there."""

    task: str
    datasets: str
    input_tokens_total: str
    precision_class: str
    queries: int
    repeats: int
    batch: int
    hardware: str
    metric: str
    stars: str
    min_wh_per_1000: float | None
    median_wh_per_1000: float | None
    max_wh_per_1000: float | None
    source: str

    @property
    def name(self) -> str:
        """The Hub's name of the task, or "reasoning"."""
        return _known(self.task)


@dataclass(frozen=True, kw_only=True)
class ScoreModel:
    """A published figure of the AI Energy Score: Wh of the GPU alone per 1,000 queries."""

    model: str
    task: str
    gpu_wh_per_1000_queries: float
    stars: int | None
    source: str
    confidence: str


@cache
def tasks() -> tuple[Task, ...]:
    """The ten tasks, by rising energy."""
    return _read(Task, "tasks.csv")


@cache
def models() -> tuple[Model, ...]:
    """The 88 models, by task."""
    return _read(Model, "models.csv")


@cache
def datasets() -> tuple[Dataset, ...]:
    """The 30 pairs of task and data set."""
    return _read(Dataset, "datasets.csv")


@cache
def protocol() -> tuple[ProtocolItem, ...]:
    """How the study measured, item by item."""
    return _read(ProtocolItem, "protocol.csv")


@cache
def runs() -> tuple[ModelRun, ...]:
    """Each model on each data set, with what else is in the logs."""
    return _read(ModelRun, "runs.csv")


@cache
def multipurpose() -> tuple[MultipurposeModel, ...]:
    """Table 3."""
    return _read(MultipurposeModel, "multipurpose.csv")


@cache
def lengths() -> tuple[Lengths, ...]:
    """Table 4."""
    return _read(Lengths, "lengths.csv")


@cache
def parities() -> tuple[Parity, ...]:
    """Table 5."""
    return _read(Parity, "parity.csv")


@cache
def performances() -> tuple[Performance, ...]:
    """Table 7."""
    return _read(Performance, "performance.csv")


@cache
def score_tasks() -> tuple[ScoreTask, ...]:
    """The tasks of the AI Energy Score."""
    return _read(ScoreTask, "aes_tasks.csv")


@cache
def score_models() -> tuple[ScoreModel, ...]:
    """The few published figures of the AI Energy Score that were found."""
    return _read(ScoreModel, "aes_models.csv")


def task_named(name: str) -> Task:
    """The study's task of this name, the Hub's or any other. Raises InputError with the tasks."""
    found = next((each for each in tasks() if each.name == hub_name(name)), None)
    if found is None:
        known = ", ".join(each.name for each in tasks())
        raise InputError(f"unknown task {name!r}; the tasks of the study are {known}")
    return found


def model_named(model_id: str) -> Model | None:
    """The study's model of this id, the paper's or that of the logs; None for any other."""
    wanted = model_id.casefold()
    for each in models():
        ids = filter(None, (each.model_id_paper, each.model_id_logs))  # the logs lack some
        if wanted in map(str.casefold, ids):
            return each
    return None


def _known(task: str) -> str:
    name = hub_name(task)
    assert name is not None, f"{task!r} has no name on the Hub"
    return name


Row = TypeVar("Row")


def _read(row: type[Row], file: str) -> tuple[Row, ...]:
    from importlib.resources import files

    hints = get_type_hints(row)
    text = files(__package__).joinpath("data", file).read_text(encoding="utf-8")
    return tuple(
        row(**{name: _value(hints[name], cell) for name, cell in cells.items()})
        for cells in csv.DictReader(io.StringIO(text))
    )


def _value(hint: Any, cell: str) -> Any:
    if hint is str:
        return cell
    if hint is bool:
        return {"True": True, "False": False}[cell]
    kinds = get_args(hint) or (hint,)
    if not cell and NoneType in kinds:
        return None
    return kinds[0](cell)
