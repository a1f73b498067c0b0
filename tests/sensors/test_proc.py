"""How busy the machine is."""

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


def test_our_own_work_is_in_it() -> None:
    before, cpu = proc.busy_seconds(), time.process_time()
    while time.process_time() < cpu + 0.3:
        pass
    after = proc.busy_seconds()
    assert before is not None
    assert after is not None
    assert after - before > 0.25
