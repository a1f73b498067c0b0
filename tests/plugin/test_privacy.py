"""What is known of the user and the machine reaches no file and no output, and no socket opens."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import EnergyPytester
from pytest_energy.cli import app
from pytest_energy.report.formats import names

SECRET = "CANARY"
VARIABLES = ("USER", "LOGNAME", "HOSTNAME", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN")
#: Whatever asks for another machine, or for the name of this one, leaves a line.
WATCH = """
import sys

EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")

def seen(event, arguments):
    if event in EVENTS:
        with open("sockets.txt", "a") as file:
            file.write(f"{event} {arguments}\\n")

sys.addaudithook(seen)
import socket
import contextlib
with contextlib.suppress(ImportError):
    import codecarbon  # whatever it does when it is imported
socket.gethostname = lambda: "CANARYhost"
"""


def test_no_secret_is_stored_or_printed_and_no_socket_opens(
    energy_pytester: EnergyPytester,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = energy_pytester
    home = tmp_path_factory.mktemp(f"{SECRET}home")
    monkeypatch.setenv("HOME", str(home))
    for name in VARIABLES:
        monkeypatch.setenv(name, f"{SECRET}{name.lower()}")
    project.pytester.makeconftest(WATCH)
    project.write("@budget('1 gCO2e / query')\ndef test_it():\n    spin()\n")
    root = project.pytester.path
    author = ("-c", f"user.name={SECRET}", "-c", f"user.email={SECRET}@example.com")
    for words in (
        ("init", "-q"),
        ("remote", "add", "origin", f"https://me:{SECRET}password@example.com/a.git"),
        ("add", "test_it.py"),
        ("commit", "-q", "-m", SECRET),
    ):
        subprocess.run(["git", *author, *words], cwd=root, check=True)
    reports = [f"--energy-report={each}:out/{each}" for each in names()]
    result = project.run_process(
        "--energy-carbon-intensity=300 gCO2e/kWh", "--energy-update=new", "-v", *reports
    )
    assert result.ret == 0, result.stderr.str()
    said = result.stdout.str() + result.stderr.str()
    monkeypatch.chdir(root)
    record = str(project.record_path)
    for command in (
        ["show", "-v", record],
        ["baseline", "list"],
        ["budgets", "suggest", record],
        ["model-card", record],
    ):
        said += CliRunner().invoke(app, command).output
    not_ours = {".git", "__pycache__"}  # byte code holds the strings of conftest.py
    written = [each for each in root.rglob("*") if each.is_file() and not not_ours & {*each.parts}]
    assert len(written) > len(names())
    texts = {each.name: each.read_text(errors="replace") for each in written}
    del texts["conftest.py"]
    for name, text in {**texts, "the output": said}.items():
        assert SECRET not in text, name
    assert not Path(root, "sockets.txt").exists(), texts.get("sockets.txt")
