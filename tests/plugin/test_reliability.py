"""docs/reliability.md, row by row: each fault happens, and ends as its row says."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import EnergyPytester

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
EARLIER = '{"earlier": true}'
Patch = pytest.MonkeyPatch


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What makes it happen: before the run, or in a fixture or the body of the test it measures."""

    body: str = "pass"
    fixture: str = "pass"
    options: tuple[str, ...] = ()
    before: Callable[[EnergyPytester, Patch], object] = lambda project, patch: None
    in_process: bool = True


def failing(name: str, number: int, kind: type[BaseException] = OSError) -> Fault:
    """An operating system that refuses what is needed to write the record."""

    def before(project: EnergyPytester, patch: Patch) -> None:
        real = getattr(os, name)

        def refused(target: Any, *arguments: Any, **keywords: Any) -> Any:
            is_ours = name != "open" or str(target).startswith(
                str(project.record_path.parent / ".")
            )
            if is_ours and (name != "open" or arguments[0] & os.O_CREAT):
                raise kind(number, os.strerror(number))
            return real(target, *arguments, **keywords)

        patch.setattr(os, name, refused)

    return Fault(before=before)


def planted(name: str, text: str) -> Fault:
    def before(project: EnergyPytester, patch: Patch) -> None:
        path = project.pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    return Fault(before=before)


def directory(project: EnergyPytester, patch: Patch) -> None:
    project.record_path.unlink()
    project.record_path.mkdir()


def link(project: EnergyPytester, patch: Patch) -> None:
    outside = project.pytester.path.parent / f"{project.pytester.path.name}-outside"
    outside.write_text(EARLIER)
    project.record_path.unlink()
    project.record_path.symlink_to(outside)


def killed(name: str) -> Fault:
    # Below nohup, all that a test starts ignores SIGHUP.
    heeded = "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    return Fault(body=f"{heeded}os.kill(os.getpid(), signal.{name})", in_process=False)


ONCE = "if not hasattr(os, 'once'): os.once = True; "
FAULTS = {
    "the disk is full": failing("fsync", errno.ENOSPC),
    "the quota is used up": failing("fsync", errno.EDQUOT),
    "the disk fails": failing("fsync", errno.EIO),
    "the file system is read-only": failing("open", errno.EROFS),
    "the folder may not be written": failing("open", errno.EACCES),
    "the folder vanishes while tests run": Fault(
        body="shutil.rmtree(Path(__file__).parent / 'out', ignore_errors=True)"
    ),
    "the caches of byte code and of pytest are removed while tests run": Fault(
        body="[shutil.rmtree(Path(__file__).parent / each, ignore_errors=True) "
        "for each in ('__pycache__', '.pytest_cache')]"
    ),
    "a directory stands where the record goes": Fault(before=directory),
    "the record's path is that of a test": Fault(options=("--energy-json=test_it.py",)),
    "two outputs have one path": Fault(
        options=("--energy-json=a.json", "--energy-report=json:a.json")
    ),
    "the record is a link out of the project": Fault(before=link),
    "the budgets file is corrupt": planted("energy-budgets.toml", "schema = "),
    "a file of baselines is corrupt": planted("energy-baselines/runner.jsonl", '{"schema": 1, "te'),
    "the lock is no lock": planted("locks/cpu.lock", "mine"),
    "the test ends in MemoryError (`RLIMIT_AS`)": Fault(
        body="resource.setrlimit(resource.RLIMIT_AS, (1 << 30, -1)); bytearray(1 << 40)",
        in_process=False,
    ),
    "no file can be opened any more (`RLIMIT_NOFILE`)": Fault(
        body="resource.setrlimit(resource.RLIMIT_NOFILE, (3, 64))",
        in_process=False,
    ),
    "no file may grow any more (`RLIMIT_FSIZE`)": Fault(
        # What the run prints goes to a file too, and is less than half of a record.
        body="resource.setrlimit(resource.RLIMIT_FSIZE, (2500, -1))",
        options=("-q", "-p", "no:warnings"),
        in_process=False,
    ),
    "the clock is set back while the test runs": Fault(
        body="from freezegun import freeze_time; freeze_time('1999-01-01').start()",
        in_process=False,
    ),
    "Ctrl-C (SIGINT)": Fault(body="raise KeyboardInterrupt", in_process=False),
    "Ctrl-C (SIGINT) while the record is written": failing("fsync", errno.EINTR, KeyboardInterrupt),
    "SIGTERM": killed("SIGTERM"),
    "SIGHUP": killed("SIGHUP"),
    "out of memory (SIGKILL)": killed("SIGKILL"),
    "os._exit(0) in the test": Fault(body="os._exit(0)", in_process=False),
    "os._exit(0) in a fixture of the test": Fault(fixture="os._exit(0)", in_process=False),
    "the test replaces its process (`os.execv`)": Fault(
        body="os.execvp('true', ['true'])", in_process=False
    ),
    "pytest.exit(..., 0) in the test": Fault(body="pytest.exit('done', 0)"),
    "pytest.exit(..., 0) in a fixture of the test": Fault(fixture="pytest.exit('done', 0)"),
    "the test changes the umask": Fault(body="os.umask(0o777)", in_process=False),
    "the test lowers the recursion limit": Fault(
        body="sys.setrecursionlimit(sys.getrecursionlimit() // 9)", in_process=False
    ),
    "a function that the plugin uses too is replaced while the test runs": Fault(
        body="patch.setattr(json, 'loads', None); patch.setattr(json, 'dumps', None)"
    ),
    "a worker of pytest-xdist dies": Fault(
        body="os.kill(os.getpid(), signal.SIGKILL)", options=("-n1",), in_process=False
    ),
    "pytest-timeout ends the test, by signal": Fault(
        body="time.sleep(9)", options=("--timeout=1", "--timeout-method=signal"), in_process=False
    ),
    "pytest-timeout ends the test, by thread": Fault(
        body="time.sleep(9)", options=("--timeout=1", "--timeout-method=thread"), in_process=False
    ),
    "the test forks, and the child goes on as the test": Fault(
        body=f"{ONCE}os.child = os.fork(); os.child and os.waitpid(os.child, 0)", in_process=False
    ),
}


@dataclass(frozen=True)
class Row:
    fault: str
    printed: str
    status: int
    kept: str


def rows() -> list[Row]:
    table = PAGE.read_text(encoding="utf-8").partition("## Faults")[2].partition("\n## ")[0]
    cells = [re.split(r"\s*\|\s*", each)[1:-1] for each in table.splitlines() if "|" in each]
    return [
        Row(fault, printed.strip("` "), int(status), kept)
        for fault, printed, status, kept in cells[2:]
    ]


def test_the_table_and_the_faults_are_the_same() -> None:
    assert [each.fault for each in rows()] == list(FAULTS)


@pytest.mark.parametrize("row", rows(), ids=lambda each: each.fault)
def test_a_fault_ends_as_the_table_says(
    row: Row, energy_pytester: EnergyPytester, monkeypatch: Patch
) -> None:
    fault, project = FAULTS[row.fault], energy_pytester
    project.record_path = project.pytester.path / "out" / "record.json"
    project.record_path.parent.mkdir()
    project.record_path.write_text(EARLIER)
    project.write(
        "import json, os, resource, shutil, signal, sys, time\nfrom pathlib import Path\n\n"
        f"@pytest.fixture\ndef patch(monkeypatch):\n    {fault.fixture}\n"
        "    return monkeypatch\n\n"
        "@budget('1 kJ / query')\n"
        f"def test_it(patch):\n    spin()\n    {fault.body}\n"
    )
    run = project.run if fault.in_process else project.run_process
    with monkeypatch.context() as patch:
        fault.before(project, patch)
        # The cache of pytest 8.0 ends in a traceback of its own where no file can be opened.
        result = run("-p", "no:cacheprovider", *fault.options)
    said = result.stdout.str() + result.stderr.str()
    assert (result.ret, row.printed in said) == (row.status, True), said
    # pytest-timeout shows where each thread is, and a traceback ends a line with its place.
    assert not re.search(r"INTERNALERROR|pytest_energy/\S+\.py:\d+: ", said)
    assert kept(project.record_path) == row.kept
    assert not [each for each in project.record_path.parent.iterdir() if each.name[0] == "."]


def kept(path: Path) -> str:
    """In the words of the table."""
    if path.is_symlink():
        return "the link and its target" if path.read_text() == EARLIER else "a broken target"
    if path.is_dir():
        return "the directory"
    if path.read_text() == EARLIER:
        return "the earlier record"
    return "a record" if json.loads(path.read_bytes())["schema"] == 1 else "something else"


def test_an_exit_with_status_0_after_a_measurement_that_failed_is_red(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        @budget("0.001 mJ / query")
        def test_over():
            spin(5)

        def test_plain():
            pytest.exit("done", 0)
        """
    )
    result = energy_pytester.run()
    assert result.ret == 1
    said = "test_it.py::test_over failed, and pytest.exit with status 0 ended the run; *"
    result.stdout.fnmatch_lines([said])


@pytest.mark.parametrize("call", ["os._exit(0)", "pytest.exit('done', 0)"])
def test_no_test_without_a_marker_ends_a_run_green_that_measures(
    call: str, energy_pytester: EnergyPytester
) -> None:
    energy_pytester.write(
        f"import os\n\ndef test_plain():\n    {call}\n\n"
        "@budget('1 kJ / query')\ndef test_it():\n    spin()\n"
    )
    assert energy_pytester.run_process().ret == 1
    disabled = energy_pytester.run_process("--energy-disable")
    assert disabled.ret == 0  # nothing was to be judged


def test_what_a_run_writes_has_the_permissions_of_its_start(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        "import os\n\n@budget('1 kJ / query')\ndef test_it():\n    spin()\n    os.umask(0o777)\n"
    )
    written = ("record.json", "report.html")
    energy_pytester.run_process("--energy-json=record.json", "--energy-report=html:report.html")
    folder = energy_pytester.pytester.path
    (folder / "like").touch()
    usual = (folder / "like").stat().st_mode
    assert [(folder / each).stat().st_mode for each in written] == [usual] * 2


def test_what_fixtures_make_of_os_exit_is_left_to_them(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        import os
        from unittest.mock import patch

        real = os._exit

        @pytest.fixture(scope="module")
        def leave():
            with patch("os._exit") as made:
                yield made

        @budget("1 kJ / query")
        def test_it(leave):
            spin()

        def test_again(leave):
            os._exit(0)
            leave.assert_called_once_with(0)

        def test_end():
            os._exit = real
        """
    )
    energy_pytester.run_process().assert_outcomes(passed=3)


@pytest.mark.parametrize("option", ["--timeout=50", "-q"])
def test_a_lock_folder_that_becomes_a_file_is_reported_by_the_next_test(
    option: str, energy_pytester: EnergyPytester
) -> None:
    energy_pytester.write(
        """
        import shutil
        from pathlib import Path

        @budget("1 kJ / query")
        def test_it():
            spin()
            shutil.rmtree("vanishing", ignore_errors=True)
            Path("vanishing").write_text("")

        @budget("1 kJ / query")
        def test_next():
            spin()
        """
    )
    result = energy_pytester.run_process("--energy-lock-folder=vanishing", option)
    assert result.ret == 1
    assert "the lock folder can't be used: " in result.stdout.str()
    assert "INTERNALERROR" not in result.stdout.str()
