"""Draw docs/report.png: the HTML report of a real run, as a browser shows it.

pip install -e ".[report]" and a Chromium (on Debian: apt-get install chromium), then
python docs/report_page.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image  # matplotlib brings it along

ROOT = Path(__file__).resolve().parent.parent
COMMAND = ["pytest", "-q", "--energy-report", "energy.html"]
WIDTH, HEIGHT = 1000, 830
#: What the run measures: work for a fixed time on one core, so that the page is alike everywhere.
TESTS = """
import time

import pytest


def spin(milliseconds):
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


@pytest.mark.energy_budget("24 mJ / query", task="text-classification")
def test_sentiment():
    spin(4)


@pytest.mark.energy_budget("12 mJ / query", task="fill-mask")
def test_fill_mask():
    spin(4)


def test_upgrade(energy):
    energy.compare(lambda: spin(2), lambda: spin(3), max_increase="3%")


@pytest.mark.energy_budget("2 J / query", scope="gpu")
def test_on_the_gpu():
    spin(2)
"""


def main() -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("no chromium on PATH; on Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "test_models.py").write_text(TESTS, encoding="utf-8")
        (place / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        run = [sys.executable, "-m", *COMMAND, "-p", "no:cacheprovider"]
        run += ["--energy-carbon-intensity", "300 gCO2e/kWh"]
        subprocess.run(run, cwd=place, check=False)  # it is red by intention
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={place}/b"]
        size = f"--window-size={WIDTH},{HEIGHT}"
        picture = ROOT / "docs" / "report.png"
        subprocess.run(
            [browser, *options, size, f"--screenshot={picture}", str(place / "energy.html")],
            env={**os.environ, "HOME": folder},
            check=True,
        )
    with Image.open(picture) as image:
        image.quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    main()
