"""The example of an extension: built, installed as a distribution of its own, and used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "wall_meter"
WATTS = 5000.0
BEGAN = time.perf_counter()
TEST = """
import time
import pytest

@pytest.mark.energy_budget("1 kJ / query", scope="machine")
def test_it(energy):
    with energy.window(count=10):
        end = time.perf_counter() + 0.3
        while time.perf_counter() < end:
            pass
"""


class Plug(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        watt_hours = WATTS * (time.perf_counter() - BEGAN) / 3600
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"aenergy": {"total": round(watt_hours, 3)}}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Plug) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python in which the extension is installed."""
    target = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    install += ["--no-build-isolation", "--target", str(target), str(EXAMPLE)]
    subprocess.run(install, check=True, capture_output=True)
    return {**os.environ, "PYTHONPATH": str(target)}


def test_the_examples_own_tests_pass(installed: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [f"--rootdir={tmp_path}", str(EXAMPLE / "tests")]
    run = subprocess.run(command, env=installed, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_an_installed_sensor_is_used_by_its_option(
    installed: dict[str, str], tmp_path: Path, url: str
) -> None:
    (tmp_path / "test_it.py").write_text(TEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--energy-json=out.json"]
    command += [f"--energy-wall-meter={url}", f"--energy-lock-folder={tmp_path / 'locks'}"]
    run = subprocess.run(command, env=installed, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    (test,) = json.loads((tmp_path / "out.json").read_bytes())["tests"]
    assert (test["scope"], test["method"], test["verdict"]) == ("machine", "measured", "pass")
    assert 0.3 * WATTS <= 10 * test["joules_per_unit"] < 0.6 * WATTS


def test_a_plug_that_does_not_answer_is_named(installed: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    command += ["--energy-wall-meter=http://127.0.0.1:9/"]
    command += [f"--energy-lock-folder={tmp_path / 'locks'}"]
    run = subprocess.run(command, env=installed, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "no sensor of the whole machine: --energy-wall-meter: the plug does not" in run.stdout
    assert "machine:wall is not measured: the plug does not answer" in run.stdout
    assert "Traceback" not in run.stdout
