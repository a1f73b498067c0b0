"""The run record: written whole, read back the same, refused with a reason."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import RECORD, TEST

from conftest import EnergyPytester, assert_estimated
from pytest_energy.record.file import read, write
from pytest_energy.record.plain import RecordError, to_plain
from pytest_energy.record.project_files import write_text
from pytest_energy.record.schema import RunRecord, TestRecord


def test_a_record_reads_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write(RECORD, path)
    assert read(path) == RECORD
    assert [each.name for each in tmp_path.iterdir()] == ["record.json"]


@given(
    st.floats(min_value=1e-12, max_value=1e12),
    st.text(),
    st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()),
)
def test_full_precision_and_any_text_survive(
    joules: float, text: str, labels: dict[str, str | int | bool]
) -> None:
    test = replace(TEST, joules_per_unit=joules, reason=text, labels=labels)
    plain = json.loads(json.dumps(to_plain(test)))
    assert plain["joules_per_unit"] == joules
    assert plain["reason"] == text
    assert plain["labels"] == labels


def test_a_failed_write_leaves_the_old_record(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write(RECORD, path)
    bad = replace(RECORD, tests=(replace(TEST, joules_per_unit=float("nan")),))
    with pytest.raises(ValueError, match="JSON"):
        write(bad, path)
    assert read(path) == RECORD


def changed(**changes: Any) -> str:
    return json.dumps({**to_plain(RECORD), **changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("\x00\xff", "not JSON"),
        ("[]", "schema None is not 1"),
        ("{}", "schema None is not 1"),
        (changed(schema=2), "schema 2 is not 1"),
        (changed(tests={}), "record.tests is dict, not a list"),
        (changed(tests=[{}]), "record.tests[0] lacks"),
        (changed(tests=[{**to_plain(TEST), "attempt": "1"}]), "record.tests[0].attempt is '1'"),
        (changed(tests=[{**to_plain(TEST), "interval": 3}]), "interval is int, not a list"),
        (changed(machine=None), "record.machine is NoneType, not an object"),
        (changed(carbon={"grams_per_kwh": 300}), "record.carbon lacks 'source'"),
    ],
)
def test_a_file_that_is_not_a_record_is_refused_with_the_place(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "record.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RecordError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_keys_of_a_later_version_are_left_aside(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(changed(later=[1, 2]), encoding="utf-8")
    assert read(path) == RECORD


def test_the_record_of_a_run_holds_everything_measured(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        '@budget("2 kJ / query", task="t", model="m", labels={"a": 1}, count=2)\n'
        "def test_it():\n    spin(10)\n"
    )
    energy_pytester.run(
        "--energy-carbon-intensity=300 gCO2e/kWh", "--energy-max-seconds=20", quick=False
    )
    record = energy_pytester.record()
    assert set(record) == {
        "schema",
        "run",
        "machine",
        "carbon",
        "tests",
        "unused_budgets",
        "unused_baselines",
        "lost_tests",
        "sessions",
        "limit_changes",
        "limits_base",
        "fail_on",
    }
    assert set(record["run"]) == {"uuid", "start", "end", "versions", "commit", "folder"}
    assert {"pytest-energy", "python"} <= set(record["run"]["versions"])
    (test,) = record["tests"]
    assert test["id"] == "test_it.py::test_it"
    assert (test["task"], test["model"], test["labels"], test["unit"]) == (
        "t",
        "m",
        {"a": 1},
        "query",
    )
    assert_estimated(test, 0.005)
    low, high = test["interval"]
    assert low < test["joules_per_unit"] < high
    assert test["budget"] == {
        "limit": "2 kJ / query",
        "origin": "test_it.py:4",
        "message": "",
        "tolerance": 0.15,
        "method": "",
        "amount": 2.0,
        "symbol": "kJ",
        "per": 1.0,
        "unit": "query",
    }
    (channel,) = test["channels"]
    assert (channel["name"], channel["kind"], channel["provenance"], channel["gated"]) == (
        "cpu:process",
        "cpu",
        "estimated",
        True,
    )
    assert channel["joules_per_unit"] == test["joules_per_unit"]
    measured = [each for each in test["rounds"] if not each["warmup"]]
    assert len(measured) >= 5  # and one for each that other processes disturbed throughout
    assert len(test["rounds"]) >= 7
    for each in measured:
        assert each["seconds"] >= 0.2
        assert each["units"] == 2 * each["calls"]
        assert each["joules"] == pytest.approx(4.0 * each["cpu_seconds"])


def test_a_record_holds_no_host_name_user_or_address(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    import getpass
    import socket

    energy_pytester.write('@budget("2 kJ / query")\ndef test_it():\n    spin()\n')
    energy_pytester.run()
    text = energy_pytester.record_path.read_text(encoding="utf-8")
    assert socket.gethostname() not in text
    assert str(energy_pytester.pytester.path) not in text
    assert f"/{getpass.getuser()}" not in text


def test_the_reader_builds_what_the_writer_took() -> None:
    assert isinstance(RECORD, RunRecord)
    assert isinstance(RECORD.tests[0], TestRecord)


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "energy.json"
    left, empty, writing = (tmp_path / f".{path.name}.{digit * 16}" for digit in "abc")
    others = tmp_path / ".energy.json.mine"
    for each in (left, writing, others):
        each.write_text("half")
    empty.touch()
    with writing.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_text(path, "{}")
    assert {each.name for each in tmp_path.iterdir()} == {
        each.name for each in (path, writing, others)
    }


@pytest.mark.parametrize("kind", ["pipe", "directory", "/dev/stdout", "/proc/self/fd/1"])
def test_a_device_or_a_pipe_is_not_replaced_by_a_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind  # an absolute one stays itself
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    before = path.lstat().st_mode
    with pytest.raises(OSError, match="not a regular file"):
        write_text(path, "{}")
    assert path.lstat().st_mode == before
    assert list(tmp_path.iterdir()) == ([path] if path.is_relative_to(tmp_path) else [])


def test_what_no_file_can_hold_is_written_as_an_escape(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "t\ud800\n")
    assert (tmp_path / "a").read_bytes() == b"t\\ud800\n"


@pytest.mark.parametrize("label", ["bf16", 8, 0.5, True])
def test_a_label_is_of_any_plain_type_and_of_no_other(label: object, tmp_path: Path) -> None:
    plain = to_plain(RECORD)
    path = tmp_path / "r.json"
    for value in (label, [label], None):
        plain["tests"][0]["labels"] = {"a": value}
        path.write_text(json.dumps(plain))
        if value is label:
            assert read(path).tests[0].labels == {"a": label}
        else:
            with pytest.raises(RecordError, match=r"tests\[0\]\.labels\['a'\] is"):
                read(path)
