"""Several records as one report: shards of one run, and runs on several kinds of hardware."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from session_records import A100, H100, measured, session
from typer.testing import CliRunner

from pytest_energy.baselines.update import Mode, update
from pytest_energy.carbon.intensity import Intensity
from pytest_energy.cli import app
from pytest_energy.errors import InputError
from pytest_energy.limits.suggest import suggest
from pytest_energy.record.file import read, to_json, write
from pytest_energy.record.merge import merge, split
from pytest_energy.record.plain import RecordError
from pytest_energy.record.schema import RunRecord, carbon_record
from pytest_energy.report.terminal import render

FIRST = session(measured(id="t.py::test_a"), measured(id="t.py::test_b"), day=1)
SECOND = session(measured(id="t.py::test_c"), day=2)
ON_H100 = replace(
    session(measured(id="t.py::test_a"), day=3, gpus=(H100,)),
    carbon=carbon_record(Intensity(grams_per_kwh=20.0, source="hydropower")),
)


def printed(paths: Sequence[Path], to: str) -> str:
    result = CliRunner().invoke(app, ["report", *map(str, paths), "--to", to])
    assert result.exit_code == 0, result.output
    return result.output


def written(folder: Path, *records: RunRecord) -> list[Path]:
    paths = [folder / f"{index}.json" for index, _ in enumerate(records)]
    for record, path in zip(records, paths, strict=True):
        write(record, path)
    return paths


def test_shards_of_one_run_make_one_table(tmp_path: Path) -> None:
    rows = list(csv.DictReader(printed(written(tmp_path, FIRST, SECOND), "csv").splitlines()))
    assert [row["id"] for row in rows] == ["t.py::test_a", "t.py::test_b", "t.py::test_c"]
    assert [row["session"] for row in rows] == ["run-1", "run-1", "run-2"]
    merged = merge([FIRST, SECOND])
    assert merged.machine == FIRST.machine
    assert merged.carbon == FIRST.carbon
    assert merged.run.commit == FIRST.run.commit
    assert (merged.run.start, merged.run.end) == (FIRST.run.start, FIRST.run.end)


def test_tests_keep_the_hardware_and_the_carbon_factor_of_their_session(tmp_path: Path) -> None:
    paths = written(tmp_path, FIRST, ON_H100)
    rows = list(csv.DictReader(printed(paths, "csv").splitlines()))
    assert [(row["hardware"], row["grams_per_kwh"]) for row in rows] == [
        ("NVIDIA A100 x1 @ 400 W", "300.0"),
        ("NVIDIA A100 x1 @ 400 W", "300.0"),
        ("NVIDIA H100 x1 @ 700 W", "20.0"),
    ]
    table = " ".join(printed(paths, "text").split())
    assert "t.py::test_a (NVIDIA A100 x1 @ 400 W)" in table
    assert "t.py::test_a (NVIDIA H100 x1 @ 700 W)" in table
    assert "carbon: 20 gCO2e/kWh (hydropower), year not given on NVIDIA H100 x1 @ 700 W" in table


def test_what_differs_between_sessions_stands_in_the_sessions_alone() -> None:
    merged = merge([FIRST, replace(ON_H100, run=replace(ON_H100.run, commit="other"))])
    assert merged.machine.gpus == ()
    assert merged.machine.cpu == FIRST.machine.cpu
    assert merged.carbon is None
    assert merged.run.commit is None
    assert [each.machine.gpus for each in merged.sessions] == [(A100,), (H100,)]


def test_one_record_is_reported_as_it_is(tmp_path: Path) -> None:
    (path,) = written(tmp_path, FIRST)
    assert printed([path], "json") == path.read_text()
    assert printed([path, path], "json") == path.read_text()


def test_the_order_of_records_does_not_matter_and_no_session_counts_twice() -> None:
    expected = to_json(merge([FIRST, SECOND, ON_H100]))
    for each in permutations([FIRST, SECOND, ON_H100]):
        assert to_json(merge(each)) == expected
    assert to_json(merge([merge([ON_H100, FIRST]), merge([SECOND, FIRST])])) == expected


def test_a_merged_record_is_read_and_split_into_its_sessions(tmp_path: Path) -> None:
    path = tmp_path / "merged.json"
    path.write_text(printed(written(tmp_path, ON_H100, FIRST), "json"))
    assert split(read(path)) == (FIRST, ON_H100)
    assert printed([path], "json") == path.read_text()


def test_what_any_session_reports_is_kept() -> None:
    first = replace(FIRST, unused_budgets=("b: unused", "a: unused"), lost_tests=("t::x",))
    second = replace(SECOND, unused_budgets=("a: unused",), unused_baselines=("c",))
    merged = merge([first, second])
    assert merged.unused_budgets == ("a: unused", "b: unused")
    assert merged.unused_baselines == ("c",)
    assert merged.lost_tests == ("t::x",)
    text = render(merged, 100, colour=False)
    assert text.count("a: unused") == 1


def test_a_rerun_takes_no_place_in_another_session() -> None:
    again = session(measured(id="t.py::test_a", attempt=2), day=4)
    last = merge([FIRST, again]).last_attempts
    assert [(each.session, each.id) for each in last] == [
        (0, "t.py::test_a"),
        (0, "t.py::test_b"),
        (1, "t.py::test_a"),
    ]


def test_baselines_and_suggestions_read_the_sessions_of_a_merged_record() -> None:
    merged = merge([FIRST, SECOND])
    assert update((), [merged], Mode.ADD) == update((), [FIRST, SECOND], Mode.ADD)
    assert suggest([merged], "", "b.toml") == suggest([FIRST, SECOND], "", "b.toml")
    both = update((), [merge([FIRST, ON_H100])], Mode.ADD).lines
    assert {each.key.hardware for each in both} == {
        "NVIDIA A100 x1 @ 400 W",
        "NVIDIA H100 x1 @ 700 W",
    }


def test_two_different_records_of_one_session_are_refused(tmp_path: Path) -> None:
    other = replace(FIRST, tests=FIRST.tests[:1])
    paths = written(tmp_path, FIRST, other)
    result = CliRunner().invoke(app, ["report", *map(str, paths), "--to", "csv"])
    assert result.exit_code == 2
    assert "two different records of the same session (run-1); name one" in result.output
    with pytest.raises(InputError, match="no run record"):
        merge([])


def test_compare_refuses_a_merged_record(tmp_path: Path) -> None:
    first, merged = written(tmp_path, FIRST, merge([SECOND, ON_H100]))
    result = CliRunner().invoke(app, ["compare", str(first), str(merged)])
    assert result.exit_code != 0
    assert "1.json was merged from 2 sessions" in " ".join(result.output.split())


@pytest.mark.parametrize("index", [-1, 2, 10**9])
def test_a_test_of_a_session_that_is_missing_is_refused(tmp_path: Path, index: int) -> None:
    plain = json.loads(to_json(merge([FIRST, SECOND])))
    plain["tests"][1]["session"] = index
    path = tmp_path / "record.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(RecordError, match=rf"tests\[1\]\.session is {index}, .* 2 sessions"):
        read(path)
