"""A disk without room: each command says so, and what was there stays whole."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from records import RECORD
from session_records import measured, session
from typer.testing import CliRunner

from conftest import EnergyPytester
from pytest_energy.cli import app
from pytest_energy.record.file import write
from pytest_energy.record.project_files import write_text

BUDGETS = 'schema = 1\n[[budget]]\ntests = "t.py::test_old"\nmax = "100 J / query"\n'
COMMANDS = {
    "baseline update": "baseline update new.json --mode add",
    "budgets suggest": "budgets suggest new.json",
    "budgets tighten": "budgets tighten",
    "model-card": "model-card new.json --test t.py::test_new --readme README.md",
    "compare --json": "compare old.json new.json --json old.json",
    "compare --markdown": "compare old.json new.json --markdown README.md",
    "compare --html": "compare old.json new.json --html README.md",
}
Full = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB. Only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount a file system here; RLIMIT_FSIZE stands for a full one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    with suppress(OSError), (folder / "more").open("wb", 0) as file:
        while file.write(b"-" * 512):
            pass
    yield


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=["RLIMIT_FSIZE", "tmpfs"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, Full]:
    """A project's folder, what the system says, and what makes it full."""
    if request.param == "RLIMIT_FSIZE":
        return tmp_path, "File too large", no_file_may_grow
    disk: Path = request.getfixturevalue("disk")
    return disk, "No space left on device", lambda: filled(disk)


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_command_keeps_what_was_there(
    words: str, full: tuple[Path, str, Full], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, why, filling = full
    monkeypatch.chdir(folder)
    for name, joules in (("old", 1.0), ("new", 2.0)):
        about = replace(RECORD.run, uuid=name)
        tests = [measured(joules, id=f"t.py::test_{each}") for each in (name, "both")]
        write(replace(session(*tests), run=about), Path(f"{name}.json"))
    write_text(Path("energy-budgets.toml"), BUDGETS)
    write_text(Path("README.md"), "mine\n")
    assert CliRunner().invoke(app, ["baseline", "update", "old.json"]).exit_code == 0
    with filling():
        before = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
        result = CliRunner().invoke(app, words.split())
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, f"can't be written: {why}" in result.output) == (2, True), (
        result.output
    )
    assert {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()} == before


def test_a_run_keeps_what_was_there(
    disk: Path, energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    energy_pytester.record_path = disk / "energy.json"
    energy_pytester.record_path.write_text("{}")
    (disk / "stored").mkdir()
    (disk / "locks").mkdir()
    energy_pytester.write("@budget('1 kJ / query')\ndef test_it():\n    spin()\n")
    with filled(disk):
        result = energy_pytester.run(
            f"--energy-baselines={disk / 'stored'}",
            f"--energy-report=csv:{disk / 'a.csv'}",
            f"--energy-lock-folder={disk / 'locks'}",
        )
    assert result.ret == 1
    result.stdout.fnmatch_lines_random(
        [
            f"--energy-{what}: * can't be written: No space left on device"
            for what in ("json", "report csv")
        ]
    )
    assert energy_pytester.record_path.read_text() == "{}"
    assert list((disk / "stored").iterdir()) == []
    assert not list(disk.glob(".*"))


@pytest.mark.parametrize("words", ["show old.json", "compare old.json new.json"])
def test_an_output_that_is_full_is_no_traceback_and_no_regression(
    words: str, tmp_path: Path
) -> None:
    for name in ("old", "new"):
        about = replace(RECORD.run, uuid=name)
        write(replace(session(measured()), run=about), tmp_path / f"{name}.json")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pytest_energy.cli", *words.split()],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    said = "pytest-energy: the standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)
