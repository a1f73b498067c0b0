"""Whatever a reader is given, it reads it or says what is wrong with it, in its own error.

    pytest --hypothesis-profile=nightly tests/test_readers.py

tries 10,000 inputs on each; the ordinary run tries 500, and 100 in all reports of a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pynvml
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from records import RECORD
from session_records import session

from pytest_energy.baselines.file import BaselineError, parse_line, text_of
from pytest_energy.baselines.update import Mode, update
from pytest_energy.carbon.intensity import parse_intensity
from pytest_energy.errors import EnergyError
from pytest_energy.limits.file import BudgetsFileError, parse_budgets
from pytest_energy.limits.limit import parse_limit
from pytest_energy.limits.suggest import suggest
from pytest_energy.plugin.marker import MarkerError, energy_budget
from pytest_energy.plugin.options import OPTIONS, unknown_variables
from pytest_energy.plugin.settings import read_settings
from pytest_energy.plugin.values import PARSERS
from pytest_energy.record.file import read
from pytest_energy.record.hardware import file_name
from pytest_energy.record.plain import RecordError, to_plain
from pytest_energy.record.schema import GpuRecord
from pytest_energy.report.formats import format_named, names
from pytest_energy.sensors import nvml, powercap
from pytest_energy.sensors.gpu_choice import Board, allotted, is_cuda_order_open, listed
from pytest_energy.sensors.remote_page import read_page
from pytest_energy.sensors.tdp import watts_per_core

#: Numbers that no arithmetic is made for, and texts that something could interpret.
HOSTILE: list[Any] = [
    *(0, -1, 1e-320, 5e-324, 1e99, -1e99, 10**99, 1 << 63, 1e308, True, None),
    *("", " ", "\ud800", "\x1b[2J", "::error::x", "=1+1", "a\nb", "\0", "NaN", "9" * 5000),
    *([], {}, "fail", "flops", "cpu-time", "9999-12-31T23:59:59+00:00", "x" * 3000),
]
#: Words of what these readers read, so that a text gets further than its first character.
WORDS = [
    *(
        "schema = 1\n",
        "[[budget]]\n",
        "[hardware.a]\n",
        "[carbon]\n",
        "max = ",
        "tests = ",
        "id = ",
    ),
    *('"1 J / query"', "'''", '"""', "\\", "#", ".", "=", "[", "]", "{", "}", ",", '"', "\n", "\r"),
    *(
        "1e999",
        "9" * 4301,
        "nan",
        "inf",
        "-",
        "/",
        " per ",
        "1000",
        "Wh",
        "J",
        "FLOP",
        "gCO2e",
        "%",
    ),
    *("GPU-", "MIG-", "MIG-GPU-", "all", "none", "0", "٣", "²", "-1", ":", "measured", "tdp", "\0"),
    *("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 'gpu="0"', "# TYPE ", " 1.5", " 1e400", "\ufeff"),
]
TEXT = st.one_of(st.text(), st.lists(st.sampled_from(WORDS) | st.text(max_size=3)).map("".join))
LIMITS = [
    *("1 J / query", "2,1 Wh / query", f"{'9' * 400} J / query", "1 J / 1e999 queries"),
]
MANY = settings(max_examples=max(500, settings().max_examples))
#: A folder without limits and baselines.
ROOT = Path(__file__).parent / "fakes" / "fake_nvml"
BOARDS = tuple(Board(each, f"GPU-{each}") for each in (0, 1))


def reads(reader: Callable[[], object], *errors: type[Exception]) -> Any:
    """What it read, or None; its message is a sentence for people."""
    said = "a sentence"
    try:
        return reader()
    except errors as error:
        said = str(error)
    assert said.strip()
    assert "Traceback" not in said
    return None


@MANY
@given(TEXT)
@example('x = "' + '\\"' * 99)
def test_budgets_files(text: str) -> None:
    found = reads(lambda: parse_budgets(text, "b.toml"), BudgetsFileError)
    assert found is None or found.shown == "b.toml"


@MANY
@given(TEXT | st.sampled_from(LIMITS))
def test_limits_and_intensities(text: str) -> None:
    reads(lambda: parse_limit(text), EnergyError)
    reads(lambda: parse_intensity(text), ValueError)


ANY = st.one_of(TEXT, st.sampled_from(HOSTILE), st.integers(), st.floats(), st.binary())
ANYTHING = ANY | st.lists(ANY, max_size=2) | st.dictionaries(TEXT, ANY, max_size=2)


@MANY
@given(
    st.sampled_from(["limit", "count", "task", "scope", "max_increase", "method", "labels", "id"]),
    ANYTHING,
)
@example("count", -(10**5000))
@example("scope", 10**5000)
@example("max_increase", 10**5000)
@example("labels", {"a": 10**5000})
@example("labels", {1: 1})
def test_marker_arguments(name: str, value: Any) -> None:
    reads(lambda: energy_budget(**{name: value}), MarkerError)


@MANY
@given(st.sampled_from([*PARSERS]), TEXT)
@example("gpus", "9" * 5000)
@example("pids", "9" * 5000)
@example("max_rounds", "9" * 5000)
def test_values_of_options_ini_and_environment(name: str, text: str) -> None:
    reads(lambda: PARSERS[name](text), ValueError)


@MANY
@given(st.lists(TEXT, max_size=3))
def test_variables(names: list[str]) -> None:
    environment = {f"PYTEST_ENERGY_{each}": each for each in names}
    assert len(unknown_variables(environment)) <= len(environment)


@MANY
@given(TEXT)
@example("9" * 5000)
@example("0," * 5000)
def test_lists_of_gpus(text: str) -> None:
    found = allotted(text, BOARDS)
    assert len(set(found)) == len(found)
    assert {each.board for each in found} <= set(BOARDS)
    is_cuda_order_open(text, text, (text, "b"))
    reads(lambda: listed(text.split(","), BOARDS), EnergyError)


@MANY
@given(st.binary())
@example(b"9" * 5000)
@example("٣".encode())
def test_powercap_files(data: bytes) -> None:
    found = powercap.number(data)
    assert found is None or found >= 0
    assert powercap.shown(data).isprintable()


@MANY
@given(TEXT)
def test_pages_of_metrics_and_processors(text: str) -> None:
    reads(
        lambda: read_page(text, ["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"]), EnergyError, ValueError
    )
    assert (reads(lambda: watts_per_core(text), EnergyError) or 1.0) > 0


#: What C holds behind a pointer: no text has to be UTF-8.
C_TEXT = st.binary(max_size=95).map(lambda each: each.replace(b"\0", b"?"))


@MANY
@given(C_TEXT, C_TEXT, C_TEXT, C_TEXT)
@example(b"\xe9\xff", b"GPU-\xff", b"../\xff", b"x MIG \xff")
@example(b"", b"", b"", b"")
@example(b"\x1b[2J::error::\r\n", b"MIG-\n", b"\xe2\x80\xae", b" MIG ")
def test_texts_of_nvml(name: bytes, uuid: bytes, driver: bytes, part: bytes) -> None:
    answers: dict[str, Any] = {
        "Init": None,
        "SystemGetDriverVersion": driver,
        "DeviceGetCount": 1,
        "DeviceGetHandleByIndex": "board",
        "DeviceGetUUID": uuid,
        "DeviceGetName": name,
        "DeviceGetEnforcedPowerLimit": 400_000,
        "DeviceGetMigMode": (1, 1),
        "DeviceGetMaxMigDeviceCount": 1,
        "DeviceGetMigDeviceHandleByIndex": "slice",
        "DeviceGetAttributes": SimpleNamespace(gpuInstanceSliceCount=1),
    }

    def answering(answer: Any) -> Callable[..., Any]:
        def function(handle: object = None, *_: object) -> Any:
            found = part if handle == "slice" and answer is name else answer
            return found.decode() if isinstance(found, bytes) else found  # as pynvml does

        return function

    functions: Any = {f"nvml{key}": answering(answer) for key, answer in answers.items()}
    with patch.multiple(pynvml, **functions):
        found = nvml.Nvml()
    (gpu,) = found.gpus
    mig = ", ".join(each.profile for each in gpu.board.migs)
    board = GpuRecord(
        name=gpu.name, uuid=gpu.board.uuid, power_limit_watts=400.0, channel="gpu:0", mig=mig
    )
    kept = replace(RECORD.run, versions={"driver": found.driver})
    (line,) = update((), [replace(session(gpus=(board,)), run=kept)], Mode.ADD).lines
    assert parse_line(text_of([line]).encode()) == line
    assert re.fullmatch(r"[\w.+-]{1,200}", file_name(line.hardware), re.ASCII)
    allotted(gpu.board.uuid, found.boards)
    reads(lambda: listed([gpu.board.uuid], found.boards), EnergyError)


INI = [each.ini for each in OPTIONS]


@MANY
@given(st.lists(st.tuples(st.sampled_from(INI), TEXT), min_size=1, max_size=3))
@example([("energy_budgets", "a\n::error::x"), ("energy_gpus", "9" * 5000)])
@example([("energy_baselines", "\u2028"), ("energy_lock_folder", "~\0")])
@example([("energy_remote", "http://u:CANARY@a..b/"), ("energy_cpu_counter_folder", "..")])
def test_ini_files(values: list[tuple[str, str]]) -> None:
    written = dict(values)
    config = SimpleNamespace(
        getini=lambda name: written.get(name, []),
        getoption=lambda name, default=None: None,
        inipath=ROOT / "pytest.ini",
        rootpath=ROOT,
        invocation_params=SimpleNamespace(dir=ROOT, args=()),
        args=[],
    )
    try:
        read_settings(cast("pytest.Config", config), {})
    except pytest.UsageError as error:
        for line in str(error).split("\n"):
            assert line.isprintable()
            assert re.match(
                r"energy_\w+ in pytest\.ini(: .| and energy_\w+ in pytest\.ini )", line
            ), line
            assert "CANARY" not in line


# -- a line and a record in which a few values are others ------------------------------------------

(LINE,) = map(json.loads, text_of(update((), [session()], Mode.ADD).lines).splitlines())
PLAIN = to_plain(RECORD)


def places(data: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in plain data."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    return [
        path
        for key, value in items
        for path in (
            (*above, key),
            *(places(value, (*above, key)) if isinstance(value, dict | list) else ()),
        )
    ]


def changed(data: Any, changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
    found = json.loads(json.dumps(data))
    for (*above, last), value in changes:
        inner = found
        try:
            for key in above:
                inner = inner[key]
            inner[last] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change has taken it away
    return found


def changes(data: Any) -> st.SearchStrategy[list[tuple[tuple[Any, ...], Any]]]:
    each = st.tuples(st.sampled_from(places(data)), st.sampled_from(HOSTILE))
    return st.lists(each, min_size=1, max_size=4)


@MANY
@given(changes(LINE) | st.binary().map(lambda each: each))
def test_lines_of_baselines(given: Any) -> None:
    data = given if isinstance(given, bytes) else json.dumps(changed(LINE, given)).encode()
    line = reads(lambda: parse_line(data), BaselineError)
    if line is not None:
        assert parse_line(text_of([line]).encode()) == line


@given(changes=changes(PLAIN))
@settings(MANY, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_run_records(changes: list[tuple[tuple[Any, ...], Any]], tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(changed(PLAIN, changes)))
    reads(lambda: read(path), RecordError)


@given(changes=changes(PLAIN))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(changes=[(("tests", 2, "interval", 0), 1e-320)])
@example(changes=[(("run", "versions", "python"), True)])
@example(changes=[(("tests", 0, "labels", "dtype"), 10**999)])
@example(changes=[(("tests", 2, "channels", 0, "name"), "gpu:" + "9" * 5000)])
def test_reports_of_records(changes: list[tuple[tuple[Any, ...], Any]], tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(changed(PLAIN, changes)))
    record = reads(lambda: read(path), RecordError)
    if record is None:
        return
    for name in names():
        if name not in ("html", "cyclonedx"):  # slow; tests of their own give them such records
            reads(partial(format_named(name), record), EnergyError)
    reads(lambda: suggest([record], "", "b.toml"), EnergyError)
    reads(lambda: update((), [record], Mode.ADD), EnergyError)
