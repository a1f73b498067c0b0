"""Draw docs/report.png: the HTML report of a real run, as a browser shows it.

pip install -e ".[report]" and a Chromium (on Debian: apt-get install chromium), then
python docs/report_page.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from browser import browser
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
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "test_models.py").write_text(TESTS, encoding="utf-8")
        (place / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        run = [sys.executable, "-m", *COMMAND, "-p", "no:cacheprovider"]
        run += ["--energy-carbon-intensity", "300 gCO2e/kWh"]
        subprocess.run(run, cwd=place, check=False)  # it is red by intention
        picture = ROOT / "docs" / "report.png"
        with browser() as page:
            page.show(WIDTH, "light")
            page.open((place / "energy.html").as_uri())
            page.picture(picture, HEIGHT)
    with Image.open(picture) as image:
        image.quantize(128).save(picture, optimize=True)


if __name__ == "__main__":
    main()
