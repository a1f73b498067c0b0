"""The pytest plugin of the study's runs: options, one test a model, results stored at once.

Loaded only with `-p pytest_energy.study.running.plugin`. A test with the fixture `inference` runs
once for each model that the options choose.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.plugin.fixture import Energy
from pytest_energy.plugin.progress import say
from pytest_energy.plugin.settings import read_settings
from pytest_energy.record import file as record
from pytest_energy.record.lock import CPU, DEFAULT_FOLDER, Locks
from pytest_energy.record.plain import from_plain, to_plain
from pytest_energy.record.schema import TestRecord
from pytest_energy.study.running import codecarbon_way, results
from pytest_energy.study.running.choice import OPTIONS, SEVERAL, Choice
from pytest_energy.study.running.codecarbon_way import CodeCarbonFigure
from pytest_energy.study.running.command import RunProgress
from pytest_energy.study.running.hub import real_inputs
from pytest_energy.study.running.models import (
    CannotRun,
    MissingPackage,
    device_for,
    free_bytes_for,
    loaded,
    why_impossible,
    why_too_big,
    with_random_weights,
)
from pytest_energy.study.running.queries import (
    INPUTS,
    Inference,
    inference_of,
    measure_in_full,
    measure_queries,
    random_inputs,
)
from pytest_energy.study.running.twins import QUERIES, Twin

_CHOICE: pytest.StashKey[Choice] = pytest.StashKey()
#: Properties of a test, which travel with its reports.
_TWIN, _CODECARBON, _DATA = "study.twin", "study.codecarbon", "study.dataset"

#: Measures a model by the options.
Measure = Callable[[Energy, Inference], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("study", "models of the study")
    for option in OPTIONS:
        if option.metavar is None:
            group.addoption(option.flag, action="store_true", help=option.help)
        elif option.flag in SEVERAL:
            group.addoption(
                option.flag, metavar=option.metavar, action="append", default=[], help=option.help
            )
        else:
            group.addoption(option.flag, metavar=option.metavar, help=option.help)


def pytest_configure(config: pytest.Config) -> None:
    choice = config.stash[_CHOICE] = _choice(config)
    # Both libraries warn of the classes that a twin is made of without a checkpoint.
    for variable in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(variable, "error")
    if not hasattr(config, "workerinput"):
        progress = None
        if config.getoption("--study-progress"):
            seconds = config.getoption("energy_max_seconds")
            progress = RunProgress(sys.stderr, choice, float(seconds or 60))
        config.pluginmanager.register(_Keeper(config, choice, progress), "energy-study-keeper")


def _choice(config: pytest.Config) -> Choice:
    """Raises pytest.UsageError for options that can't be used."""
    option = config.getoption
    if why := why_impossible(option("--study-method")):
        raise pytest.UsageError(why)
    folder = option("--study-results")
    try:
        choice = Choice(
            tasks=tuple(option("--study-task")),
            names=tuple(option("--study-twin")),
            weights=option("--study-weights") or Choice.weights,
            model=option("--study-model") or Choice.model,
            dtype=option("--study-dtype") or Choice.dtype,
            device=option("--study-device"),
            threads=int(option("--study-threads") or Choice.threads),
            seed=int(option("--study-seed") or Choice.seed),
            method=option("--study-method") or Choice.method,
            results=Path(config.invocation_params.dir, folder) if folder else None,
            full=option("--study-full"),
            again=option("--study-again"),
        )
        choice.check()
    except ValueError as error:
        raise pytest.UsageError(f"--study-...: {error}") from None
    return choice


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "inference" not in metafunc.fixturenames:
        return
    choice = metafunc.config.stash[_CHOICE]
    device = device_for(choice.device)
    metafunc.parametrize(
        "inference",
        [
            pytest.param(twin, id=twin.name, marks=_marker(twin, choice, device))
            for twin in choice.subjects()
        ],
        indirect=True,
    )


def _marker(twin: Twin, choice: Choice, device: str) -> pytest.MarkDecorator:
    return pytest.mark.energy_budget(
        task=twin.task,
        model=twin.study_id or twin.name,
        labels=results.labels(
            twin.name, twin.study_id, choice.dtype, device, choice.weights_of(twin)
        ),
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect models that have a result."""
    choice = config.stash[_CHOICE]
    device = device_for(choice.device)
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        twin = _twin_of(item)
        has_one = twin is not None and choice.has_result(twin, device)
        (left_out if has_one else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _twin_of(item: pytest.Item) -> Twin | None:
    found = getattr(getattr(item, "callspec", None), "params", {}).get("inference")
    return found if isinstance(found, Twin) else None


@pytest.fixture
def inference(request: pytest.FixtureRequest) -> Iterator[Inference]:
    """The model of this test, loaded, and its inputs; freed again after the test."""
    twin: Twin = request.param
    request.node.user_properties.append((_TWIN, twin.name))
    choice = request.config.stash[_CHOICE]
    device = device_for(choice.device)
    if twin.needs_gpu and device == "cpu":
        pytest.skip(twin.note)
    if why := why_too_big(twin, choice.dtype, free_bytes_for(device)):
        pytest.skip(why)
    with _marked_as_running(twin, choice):
        try:
            ready = _ready(twin, choice, device, request.node.user_properties)
        except MissingPackage as error:
            pytest.skip(str(error))
        except CannotRun as error:
            pytest.fail(str(error), pytrace=False)
        yield ready
        del ready
        _free()


@contextmanager
def _marked_as_running(twin: Twin, choice: Choice) -> Iterator[None]:
    """Keep its name in a file meanwhile, in case the system ends this process."""
    path = choice.running_path
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(twin.name, encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _ready(
    twin: Twin, choice: Choice, device: str, properties: list[tuple[str, object]]
) -> Inference:
    """The model and its inputs, whose data set goes into the properties. Raises CannotRun."""
    import torch

    torch.set_num_threads(choice.threads)
    weights = choice.weights_of(twin)
    if weights == "random":
        model = with_random_weights(twin, choice.dtype, device, choice.seed)
        inputs = random_inputs(twin, model, choice.seed)
    elif weights == "hub":
        if not twin.study_id:
            raise MissingPackage(f"{twin.name} has no counterpart on the Hub")
        model = loaded(twin.study_id, twin.model.class_name, choice.dtype, device)
        number = QUERIES if choice.full else INPUTS
        inputs, data = real_inputs(twin, twin.study_id, model, number)
        properties.append((_DATA, data))
    else:
        model = loaded(
            str(Path(choice.model).expanduser()), twin.model.class_name, choice.dtype, device
        )
        inputs = random_inputs(twin, model, choice.seed)
    return inference_of(twin, model, inputs)


def _free() -> None:
    """Give the memory of the model back before the next one is made."""
    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """Measures a model by the options: `measure(energy, inference)`."""
    choice = request.config.stash[_CHOICE]
    seconds = float(request.config.getoption("energy_max_seconds") or 60)
    folder = read_settings(request.config).lock_folder or DEFAULT_FOLDER
    waiting = functools.partial(say, request.config)

    def run(energy: Energy, inference: Inference) -> None:
        if choice.full:
            measure_in_full(energy, inference)
        else:
            measure_queries(energy, inference)
        if choice.method == "codecarbon":
            limit = float("inf") if choice.full else seconds
            # It counts the whole machine, so nothing is measured at the same time.
            with Locks(folder, waiting).hold([CPU], request.node.nodeid):
                found = codecarbon_way.count(inference.query, inference.inputs, limit, QUERIES)
            request.node.user_properties.append((_CODECARBON, to_plain(found)))

    return run


class _Keeper:
    """Stores each finished model at once, and shows the progress."""

    def __init__(self, config: pytest.Config, choice: Choice, progress: RunProgress | None) -> None:
        self._config = config
        self._choice = choice
        self._progress = progress

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Iterator[None]:
        # The controller of pytest-xdist has no items.
        found = filter(None, map(_twin_of, session.items)) if session.items else ()
        twins = tuple(found) or self._choice.pending(device_for(self._choice.device))
        with self._progress.running(twins) if self._progress else nullcontext():
            return (yield)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self._progress:
            self._progress.start(nodeid.partition("[")[2].removesuffix("]"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        name = properties.get(_TWIN)
        if name is None:
            return
        outcome = ""
        if report.when == "call" and hasattr(report, "energy"):
            plain = _with_data_set(report.energy, properties.get(_DATA))
            outcome = self._keep(plain, properties.get(_CODECARBON))
        if self._progress and (report.when == "call" or report.outcome != "passed"):
            parts = [outcome] if outcome else []
            parts += [] if outcome and report.outcome == "passed" else [_why(report)]
            self._progress.end(str(name), "; ".join(parts))

    def _keep(self, plain: dict[str, Any], codecarbon: Any) -> str:
        """Store the result of one model and return it as a line, or "" without a result."""
        tests = tuple(from_plain(TestRecord, each) for each in plain.get("tests", ()))
        figure = from_plain(CodeCarbonFigure, codecarbon) if codecarbon else None
        result = results.result_of(tests, figure)
        if result is None:
            return ""
        twin = next(each for each in self._choice.subjects() if each.name == result.twin)
        path = self._choice.result_path(twin, result.device)
        if path is not None:
            reporting: Any = self._config.pluginmanager.get_plugin("energy-reporting")
            record.write(reporting.record_of([plain]), path)
            if figure is not None:
                codecarbon_way.write_figure(figure, codecarbon_way.codecarbon_path(path))
        return results.in_words(result)


def _with_data_set(plain: dict[str, Any], data: object) -> dict[str, Any]:
    """The measurements of a model, with the data set that its inputs came from as a label."""
    if data is None:
        return plain
    tests = plain.get("tests", ())
    labelled = [{**each, "labels": {**each["labels"], "dataset": data}} for each in tests]
    return {**plain, "tests": labelled}


def _why(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return f"skipped: {str(report.longrepr[2]).removeprefix('Skipped: ')}"
    lines = [line for line in report.longreprtext.splitlines() if line.strip()]
    return f"failed: {lines[-1] if lines else report.outcome}"
