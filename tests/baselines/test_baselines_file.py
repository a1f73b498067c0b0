"""The folder of baselines: what is written reads back, and what is wrong is told with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_records import H100, measured, session

from pytest_energy.baselines.baseline import Baselines, Line
from pytest_energy.baselines.file import (
    BaselineError,
    parse_line,
    read_folder,
    text_of,
    write_folder,
)
from pytest_energy.baselines.update import Mode, update

SHOWN = "energy-baselines"
A100_FILE = "nvidia-a100-x1-400w.jsonl"


def lines(*days: int, test: str = "t.py::test_a") -> tuple[Line, ...]:
    return update((), [session(measured(id=test), day=day) for day in days], Mode.ADD).lines


def written(folder: Path, found: tuple[Line, ...]) -> Path:
    write_folder(folder, Baselines(), found)
    return folder / A100_FILE


def mistakes(folder: Path) -> list[str]:
    with pytest.raises(BaselineError) as error:
        read_folder(folder, SHOWN)
    return str(error.value).splitlines()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert read_folder(tmp_path / "none", SHOWN) == Baselines()
    empty = read_folder(tmp_path, SHOWN)
    assert (empty.shown, empty.lines) == (SHOWN, ())


def test_one_line_a_test_and_session_sorted(tmp_path: Path) -> None:
    found = (*lines(3, 1), *lines(2, test="t.py::test_0"))
    text = written(tmp_path, found).read_text(encoding="utf-8")
    shown = [json.loads(each) for each in text.splitlines()]
    assert [(each["test"], each["start"][:10]) for each in shown] == [
        ("t.py::test_0", "2026-11-02"),
        ("t.py::test_a", "2026-11-01"),
        ("t.py::test_a", "2026-11-03"),
    ]
    assert text.endswith("}\n")
    assert text == text_of(reversed(found))


def test_a_new_session_is_a_diff_of_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, (*lines(1, 2), *lines(1, 2, test="t.py::test_z")))
    before = path.read_text(encoding="utf-8").splitlines()
    baselines = read_folder(tmp_path, SHOWN)
    record = session(measured(id="t.py::test_a"), day=3)
    write_folder(tmp_path, baselines, update(baselines.lines, [record], Mode.ADD).lines)
    after = path.read_text(encoding="utf-8").splitlines()
    assert [each for each in after if each not in before] == [after[2]]
    assert [each for each in after if each in before] == before


def test_each_kind_of_hardware_has_a_file(tmp_path: Path) -> None:
    records = [session(), session(gpus=(H100,), day=2)]
    found = update((), records, Mode.ADD).lines
    assert write_folder(tmp_path / "a" / "b", Baselines(), found) == (
        A100_FILE,
        "nvidia-h100-x1-700w.jsonl",
    )
    again = read_folder(tmp_path / "a" / "b", SHOWN)
    assert len(again.lines) == 2
    assert write_folder(tmp_path / "a" / "b", again, again.lines) == ()


def test_a_file_may_have_another_name_and_keeps_it(tmp_path: Path) -> None:
    written(tmp_path, lines(1)).rename(tmp_path / "runner.jsonl")
    before = read_folder(tmp_path, SHOWN)
    found = update(before.lines, [session(day=2)], Mode.ADD).lines
    assert write_folder(tmp_path, before, found) == ("runner.jsonl",)
    assert [each.name for each in tmp_path.iterdir()] == ["runner.jsonl"]


def test_a_file_without_lines_is_removed_and_others_are_left(tmp_path: Path) -> None:
    path = written(tmp_path, lines(1))
    (tmp_path / "README.md").write_text("ours", encoding="utf-8")
    write_folder(tmp_path, read_folder(tmp_path, SHOWN), ())
    assert not path.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["README.md"]


LABEL = st.one_of(st.text(max_size=5), st.booleans(), st.integers(), st.floats(-1e9, 1e9))


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), LABEL),
    st.floats(1e-9, 1e9),
)
def test_what_is_written_reads_back_to_the_last_digit(
    test: str, labels: dict[str, Any], joules: float
) -> None:
    (line,) = update((), [session(measured(joules, id=test, labels=labels))], Mode.NEW).lines
    text = text_of([line])
    assert text.count("\n") == 1
    assert parse_line(text.encode()) == line


def changed(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda data: data.update(values)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (changed(centre="7"), "the session.centre is '7', not float"),
        (changed(centre=0.0), "centre is 0.0, not a number from 1e-15 to 1e+15"),
        (changed(centre=1e-20, rounds=[1e-20] * 5), "centre is 1e-20, not a number from 1e-15"),
        (changed(centre=10**99, rounds=[10**99] * 5), f"centre is 1{'0' * 39}..., not a number"),
        (changed(window=-1.0), "window is -1.0, not a number from 1e-09 to 1e+09"),
        (changed(variance=-1.0), "variance is -1.0, not a number from 0 to 100"),
        (changed(variance=1e99), "variance is 1e+99, not a number from 0 to 100"),
        (changed(variance=10**400), "the session.variance is 1000000000"),
        (changed(n=10**99), f"n is 1{'0' * 39}..., not a number from 1 to 1e+12"),
        (changed(cheapest=-1.0), "cheapest is -1.0, not a number over 0 and up to 1e+09"),
        (changed(cheapest=0), "cheapest is 0, not a number over 0 and up to 1e+09"),
        (changed(rounds=[1.0]), "it has 1 rounds, not 5"),
        (changed(centre=99.0), "centre is 99.0, which its rounds don't have around it"),
        (
            changed(centre=7, rounds=[0, 1, 9, 9, 9]),
            "centre is 7, which its rounds don't have around it",
        ),
        (changed(start="yesterday"), "start is 'yesterday', not a date and time"),
        (changed(rounds=7), "the session.rounds is int, not a list"),
        (changed(schema=2), "schema 2 is not 1, which this version reads; upgrade pytest-energy"),
        (changed(schema=None), "schema None is not 1, which this version reads"),
        (lambda data: data.pop("hardware"), "the session lacks 'hardware'"),
    ],
)
def test_an_invalid_line_is_reported_with_its_place_and_what_to_do(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], why: str
) -> None:
    path = written(tmp_path, lines(1, 2))
    first, second = path.read_text(encoding="utf-8").splitlines()
    data = json.loads(second)
    change(data)
    path.write_text(f"{first}\n\n{json.dumps(data)}\n", encoding="utf-8")
    (mistake,) = mistakes(tmp_path)
    assert mistake.startswith(f"{SHOWN}/{A100_FILE}:3: {why}")
    assert mistake.endswith(
        f"; take the line from git (git checkout -- {SHOWN}/{A100_FILE}), or remove it: it is one "
        "session"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "schema None is not 1"),
        (b'{"schema": 1, "centre": NaN}', "NaN is not a number"),
        (b'{"a": "\xff"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_an_unreadable_line_is_reported(tmp_path: Path, text: bytes, why: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(text)
    (mistake,) = mistakes(tmp_path)
    assert mistake.startswith(f"{SHOWN}/x.jsonl:1: ") and why in mistake


def test_all_mistakes_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.jsonl").write_text("x\n{}\n", encoding="utf-8")
    places = [each.split(" ")[0] for each in mistakes(tmp_path)]
    assert places == [
        f"{SHOWN}/{each}:" for each in ("a.jsonl:1", "a.jsonl:2", "b.jsonl:1", "b.jsonl:2")
    ]


def test_a_merge_conflict_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, lines(1, 2))
    one, two = path.read_text(encoding="utf-8").splitlines()
    text = "\n".join(["<<<<<<< HEAD", one, "=======", two, ">>>>>>> branch", ""])
    path.write_text(text, encoding="utf-8")
    found = mistakes(tmp_path)
    assert [each.partition(": ")[0] for each in found] == [
        f"{SHOWN}/{A100_FILE}:{number}" for number in (1, 3, 5)
    ]
    assert all("keep the sessions of both sides" in each for each in found)


def test_a_line_that_both_sides_of_a_merge_brought_counts_once(tmp_path: Path) -> None:
    path = written(tmp_path, lines(1))
    text = path.read_text(encoding="utf-8")
    path.write_text(text * 2, encoding="utf-8")
    assert len(read_folder(tmp_path, SHOWN).lines) == 1
    (line,) = lines(1)
    path.write_text(text + text_of([replace(line, window=9.0)]), encoding="utf-8")
    (mistake,) = mistakes(tmp_path)
    assert ":2: line 1 holds the same session with other figures" in mistake


def test_a_merge_may_bring_more_than_ten_sessions(tmp_path: Path) -> None:
    path = written(tmp_path, lines(*range(1, 11)))
    path.write_text(path.read_text(encoding="utf-8") + text_of(lines(11, 12)), encoding="utf-8")
    found = read_folder(tmp_path, SHOWN)
    assert [each.run for each in found.sessions(found.lines[0].key)] == [
        f"run-{day}" for day in range(3, 13)
    ]


def test_a_file_in_the_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("", encoding="utf-8")
    with pytest.raises(BaselineError, match=r"energy-baselines: .*; a folder is expected here"):
        read_folder(path, SHOWN)


def test_a_hundred_mistakes_are_reported_and_the_others_counted(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}\n" * 250, encoding="utf-8")
    found = mistakes(tmp_path)
    assert len(found) == 101
    assert found[-1] == f"{SHOWN}: 150 more mistakes"
