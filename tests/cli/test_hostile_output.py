"""Names from a file are text in all that a command prints, and in each format read back."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hostile import HOSTILE
from session_records import measured, session
from typer.testing import CliRunner

from pytest_energy.cli import app
from pytest_energy.record.file import write
from pytest_energy.record.schema import GpuRecord

COMMANDS = [
    *("show -v a.json", "baseline update a.json b.json", "baseline list", "baseline drop *"),
    *("budgets suggest a.json", "budgets check", "compare a.json b.json", "model-card a.json"),
    *("compare a.json b.json --markdown -", "compare a.json b.json --html -"),
]
LINE_ENDS = re.compile(r"[\n\r\x0b\x0c\x85\u2028\u2029]")


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_no_output_of_a_command_does_anything(
    hostile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gpu = GpuRecord(name=hostile, uuid=hostile, power_limit_watts=400.0, channel="gpu:0")
    test = measured(
        id=hostile,
        name=hostile,
        task=hostile,
        model=hostile,
        unit=hostile,
        labels={hostile: hostile},
        notes=(hostile,),
        reason=hostile,
    )
    for name, day in (("a", 1), ("b", 2)):
        found = replace(session(test, gpus=(gpu,), day=day), lost_tests=(hostile,))
        write(found, tmp_path / f"{name}.json")
    # A command line holds no NUL, and its bytes that are no UTF-8 are other surrogates.
    written = hostile.replace("\0", "").encode("utf-8", "surrogatepass")
    typed = written.decode("utf-8", "surrogateescape")
    for command in (*map(str.split, COMMANDS), ["show", typed], ["baseline", "drop", typed]):
        result = CliRunner().invoke(app, command)
        assert result.exception is None or isinstance(result.exception, SystemExit), command
        for line in LINE_ENDS.split(result.output):
            assert not re.match(r"\s*::", line), (command, line)
            is_command = re.search(r"##(vso|teamcity)?\[", line)
            assert not is_command or "--markdown" in command or "--html" in command
        for each in "\x1b\x07\x00\x0b\u202e":
            assert each not in result.output, command
    table = CliRunner().invoke(app, ["report", "a.json", "--to", "csv"]).output
    assert not LINE_ENDS.sub("\n", table).startswith("::")
    rows = list(csv.reader(io.StringIO(table)))
    assert len({len(each) for each in rows}) == 1
    for each in (cell.lstrip() for row in rows for cell in row):
        assert not each.startswith(("=", "@", "::", "\uff1d")), each
        assert not re.search(r"##(vso|teamcity)?\[", each)
    plain = json.loads(CliRunner().invoke(app, ["report", "a.json", "--to", "json"]).output)
    assert plain["tests"][0]["id"] == hostile  # JSON is exact
