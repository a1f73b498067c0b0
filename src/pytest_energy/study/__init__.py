"""The study "Power Hungry Processing" (arXiv 2311.16863): its tasks, models and figures as data.

>>> from pytest_energy import study
>>> study.task_named("text-classification").paper_mean_kwh_per_1000
0.002
"""

from pytest_energy.limits.task_names import STUDY_TASKS, hub_name, same_task
from pytest_energy.study.tables import (
    CITATION,
    Dataset,
    Lengths,
    Model,
    ModelRun,
    MultipurposeModel,
    Parity,
    Performance,
    ProtocolItem,
    ScoreModel,
    ScoreTask,
    Task,
    datasets,
    lengths,
    model_named,
    models,
    multipurpose,
    parities,
    performances,
    protocol,
    runs,
    score_models,
    score_tasks,
    task_named,
    tasks,
)

__all__ = [
    "CITATION",
    "STUDY_TASKS",
    "Dataset",
    "Lengths",
    "Model",
    "ModelRun",
    "MultipurposeModel",
    "Parity",
    "Performance",
    "ProtocolItem",
    "ScoreModel",
    "ScoreTask",
    "Task",
    "datasets",
    "hub_name",
    "lengths",
    "model_named",
    "models",
    "multipurpose",
    "parities",
    "performances",
    "protocol",
    "runs",
    "same_task",
    "score_models",
    "score_tasks",
    "task_named",
    "tasks",
]
