"""All formats of this package: the same from a run and the command, light, and for old records."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest
from records import RECORD
from session_records import H100, session
from typer.testing import CliRunner

from conftest import EnergyPytester
from pytest_energy.cli import app
from pytest_energy.record.file import read, write
from pytest_energy.record.merge import merge
from pytest_energy.record.plain import to_plain
from pytest_energy.record.schema import Run, TestRecord
from pytest_energy.report.formats import format_named, names

#: What no format but html loads.
LIBRARIES = (
    *("jinja2", "markupsafe", "matplotlib", "numpy", "pandas", "yaml", "ruamel", "jsonschema"),
    *("huggingface_hub", "prometheus_client", "cyclonedx", "codecarbon", "torch"),
)


def test_a_run_and_the_command_give_the_same_bytes(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("0.001 mJ / query", task="t", model="m")
        def test_over():
            spin(5)

        @budget("1 kJ / query")
        def test_pass():
            spin(1)
        """
    )
    folder = energy_pytester.pytester.path
    options = [f"--energy-report={name}:out/{name}" for name in names()]
    energy_pytester.run("--energy-carbon-intensity=300 gCO2e/kWh", *options)
    for name in names():
        command = ["report", str(energy_pytester.record_path), "--to", name]
        printed = CliRunner().invoke(app, command).stdout_bytes
        assert printed == (folder / "out" / name).read_bytes(), name


def test_a_format_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    write(RECORD, tmp_path / "record.json")
    code = f"""
import sys
from pathlib import Path
from pytest_energy.record.file import read
from pytest_energy.report.formats import format_named, names
record = read(Path({str(tmp_path / "record.json")!r}))
for name in names():
    if name != "html":
        format_named(name)(record)
print([each for each in {LIBRARIES!r} if each in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ((), []),
        ([each for each in names() if each != "html"], []),
        (["html"], ["jinja2", "markupsafe"]),
    ],
    ids=["none", "all but html", "html"],
)
def test_a_run_loads_the_libraries_of_the_reports_that_were_asked_for(
    energy_pytester: EnergyPytester, reports: list[str], expected: list[str]
) -> None:
    energy_pytester.pytester.makeconftest(
        f"""
        import sys

        def pytest_unconfigure():
            found = [each for each in {LIBRARIES!r} if each in sys.modules]
            open("loaded", "w").write(" ".join(found))
        """
    )
    energy_pytester.write('@budget("0.001 mJ / query")\ndef test_over():\n    spin(5)\n')
    result = energy_pytester.run_process(
        "-p",
        "no:asyncio",
        *(f"--energy-report={each}:out/{each}" for each in reports),
        fresh=True,
    )
    result.assert_outcomes(failed=1)
    loaded = (energy_pytester.pytester.path / "loaded").read_text(encoding="utf-8").split()
    assert loaded == expected


@pytest.mark.parametrize("name", names())
def test_a_record_of_an_older_version_is_reported(tmp_path: Path, name: str) -> None:
    """Without any key that has a default, as the first version wrote it."""
    plain = to_plain(RECORD)
    later = {each.name for cls in (TestRecord, Run) for each in fields(cls) if _has_default(each)}
    for test in plain["tests"]:
        for key in later & set(test):
            del test[key]
    for key in ("sessions", "limit_changes", "limits_base", "unused_baselines"):
        del plain[key]
    del plain["run"]["folder"]
    path = tmp_path / "record.json"
    path.write_text(json.dumps(plain), encoding="utf-8")
    assert format_named(name)(read(path))


@pytest.mark.parametrize("name", names())
def test_a_report_is_the_same_each_time(name: str) -> None:
    record = merge([session(day=1), session(day=2, gpus=(H100,)), session(day=3)])
    assert format_named(name)(record) == format_named(name)(record)


def _has_default(each: Field[Any]) -> bool:
    return each.default is not MISSING
