"""How busy the machine is, and how long a thread waits for a core."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytest_energy.sensors import proc

STAT = "cpu  700 50 200 90000 4000 30 20 999 7 7\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 5\n"


def read(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> float | None:
    path = tmp_path / "stat"
    path.write_text(text, encoding="ascii")
    monkeypatch.setattr(proc, "_PROC_STAT", str(path))
    return proc.busy_seconds()


def test_idle_waiting_and_stolen_time_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(STAT, tmp_path, monkeypatch) == pytest.approx(10.0)


@pytest.mark.parametrize("text", ["", "cpu  1 2 3\n", "cpu  a b c d e f g\n"])
def test_a_file_that_cannot_be_read_is_unknown(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(text, tmp_path, monkeypatch) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("582744000 250000000 17\n", 0.25), ("", None), ("0 1\n", None), ("a b c\n", None)],
)
def test_waiting_for_a_core_is_the_second_number(
    text: str, seconds: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "schedstat"
    path.write_text(text, encoding="ascii")
    monkeypatch.setattr(proc, "_THREAD_SCHEDSTAT", str(path))
    assert proc.waited_seconds() == seconds


def test_no_file_of_the_thread_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "_THREAD_SCHEDSTAT", str(tmp_path / "none"))
    assert proc.waited_seconds() is None


def test_our_own_work_is_in_it() -> None:
    before, cpu = proc.busy_seconds(), time.process_time()
    while time.process_time() < cpu + 0.3:
        pass
    after = proc.busy_seconds()
    assert before is not None
    assert after is not None
    assert after - before > 0.25
