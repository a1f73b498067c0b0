"""The script of docs/how-to/history-of-a-fleet.md makes one table of many records."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from session_records import H100, session

from pytest_energy.record.merge import merge
from pytest_energy.report.formats import format_named

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "history-of-a-fleet.md"


def test_each_kind_of_hardware_has_its_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)[0]
    older, newer, elsewhere = session(day=1), session(day=2), session(day=3, gpus=(H100,))
    dearer = replace(newer.tests[0], joules_per_unit=9.0)
    newer = replace(newer, tests=(dearer,))
    for repository, records in (("speech", [newer, older, elsewhere]), ("vision", [older])):
        folder = tmp_path / "records" / repository
        folder.mkdir(parents=True)
        text = format_named("csv")(merge(records))
        (folder / "figures.csv").write_text(str(text), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(script, PAGE, "exec"), {})
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[6], *row[-3:]) for row in rows] == [
        ("speech", "NVIDIA A100 x1 @ 400 W", "sessions: 2", "9 J on 2026-11-02", "lowest 7.56 J"),
        (
            "speech",
            "NVIDIA H100 x1 @ 700 W",
            "sessions: 1",
            "7.56 J on 2026-11-03",
            "lowest 7.56 J",
        ),
        (
            "vision",
            "NVIDIA A100 x1 @ 400 W",
            "sessions: 1",
            "7.56 J on 2026-11-01",
            "lowest 7.56 J",
        ),
    ]
