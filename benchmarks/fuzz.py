"""Coverage-guided fuzzing of each reader of text that somebody else may have written.

    pip install atheris prometheus-client
    python benchmarks/fuzz.py [SECONDS] [READER ...]

SECONDS (default 180) is for each reader. Any exception but the reader's own, and any text that
takes more than 5 s, ends with the text in a file `crash-*` or `timeout-*` of the current folder.
atheris needs Linux and Python 3.11 to 3.13.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fakes"))

import atheris

with atheris.instrument_imports(include=["pytest_energy", "tomllib", "prometheus_client"]):
    from records import RECORD
    from session_records import session

    from pytest_energy.baselines.file import BaselineError, parse_line, text_of
    from pytest_energy.baselines.update import Mode, update
    from pytest_energy.carbon.intensity import parse_intensity
    from pytest_energy.errors import EnergyError
    from pytest_energy.limits.file import parse_budgets
    from pytest_energy.limits.limit import parse_limit
    from pytest_energy.limits.suggest import suggest
    from pytest_energy.plugin.values import PARSERS
    from pytest_energy.record.file import read
    from pytest_energy.record.plain import to_plain
    from pytest_energy.report.formats import format_named, names
    from pytest_energy.report.model_card import updated
    from pytest_energy.sensors import powercap
    from pytest_energy.sensors.gpu_choice import Board, allotted, listed
    from pytest_energy.sensors.remote_metrics import endpoints
    from pytest_energy.sensors.remote_page import read_page

METRIC = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
PAGE = f'# HELP {METRIC} x\n# TYPE {METRIC} counter\n{METRIC}{{gpu="0",UUID="GPU-1"}} 1.5e3\n'
BUDGETS = """schema = 1
[defaults]
tolerance = "3 %"
scope = "gpu"
[hardware.a100]
gpu = "*A100*"
[carbon]
intensity = "400 gCO2e/kWh"
[[budget]]
id = "a"
tests = ["t.py::test_a", "*[b]"]
max = ["2.1 Wh / 1000 queries", "1 MFLOP / query"]
max_increase = "5 %"
[budget.on]
a100 = "1 J / query"
[[remote]]
metric = "x_joules_total"
unit = "J"
"""
LINE = text_of(update((), [session()], Mode.ADD).lines)
CARD = (
    "---\nlicense: mit\nmodel-index:\n- name: x\n  results:\n  - task:\n      type: y\n---\n# x\n"
)
BOARDS = tuple(Board(each, f"GPU-{each}") for each in (0, 1))


def options(text: str) -> None:
    name, _, value = text.partition("=")
    PARSERS.get(name, PARSERS["gpus"])(value)


def record(data: bytes) -> None:
    path = Path("fuzzed.json")
    path.write_bytes(data)
    found = read(path)
    for name in names():
        if name not in ("html", "cyclonedx"):  # slow
            format_named(name)(found)
    suggest([found], "", "b.toml")
    update((), [found], Mode.ADD)


def gpus(text: str) -> None:
    allotted(text, BOARDS)
    listed(text.split(","), BOARDS)


def powercap_file(data: bytes) -> None:
    found = powercap.number(data)
    assert found is None or found >= 0
    assert powercap.shown(data).isprintable()


def baseline(data: bytes) -> None:
    line = parse_line(data)
    assert parse_line(text_of([line]).encode()) == line


def as_text(reader: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: reader(data.decode("utf-8", "surrogatepass"))


#: Name -> what reads bytes, the errors that it may raise, and texts to begin with.
READERS: dict[str, tuple[Callable[[bytes], object], tuple[type[Exception], ...], list[str]]] = {
    "limits": (as_text(parse_limit), (EnergyError,), ["2.1 Wh / 1000 queries", "1 gCO2e / token"]),
    "intensities": (as_text(parse_intensity), (ValueError,), ["400 gCO2e/kWh"]),
    "budgets": (as_text(lambda text: parse_budgets(text, "b")), (EnergyError,), [BUDGETS]),
    "baselines": (baseline, (BaselineError,), [LINE.strip()]),
    "records": (record, (EnergyError,), [json.dumps(to_plain(RECORD))]),
    "metrics": (
        as_text(lambda text: read_page(text, [METRIC])),
        (EnergyError, ValueError),
        [PAGE],
    ),
    "endpoints": (
        as_text(lambda text: endpoints(text.split())),
        (EnergyError, ValueError),
        ["a=http://h:9400/metrics", "[::1]:1"],
    ),
    "options": (as_text(options), (ValueError,), [f"{each}=1,GPU-0" for each in PARSERS]),
    "gpus": (as_text(gpus), (EnergyError,), ["0,GPU-1,MIG-GPU-0/1/0,-1"]),
    "powercap": (powercap_file, (), ["123\n"]),
    "model card": (as_text(lambda text: updated(text, RECORD)), (EnergyError,), [CARD]),
}


def fuzz(name: str, seconds: int, corpus: str) -> None:
    reader, errors, seeds = READERS[name]
    for number, seed in enumerate(seeds):
        Path(corpus, str(number)).write_text(seed, encoding="utf-8")

    def one(data: bytes) -> None:
        try:
            reader(data)
        except (*errors, UnicodeDecodeError):
            pass

    largest = 2 * max(map(len, seeds)) + 1000
    atheris.Setup(
        [
            *(sys.argv[0], "-seed=16", "-timeout=5", "-rss_limit_mb=4096", "-print_final_stats=1"),
            *(f"-max_total_time={seconds}", f"-max_len={largest}", corpus),
        ],
        one,
    )
    atheris.Fuzz()


def main() -> int:
    words: list[Any] = sys.argv[1:]
    seconds = int(words.pop(0)) if words and words[0].isdigit() else 180
    failed = False
    for name in words or READERS:
        with tempfile.TemporaryDirectory() as corpus:
            done = subprocess.run(
                [sys.executable, __file__, "--one", name, str(seconds), corpus],
                capture_output=True,
                text=True,
            )
        failed = failed or done.returncode != 0
        cases = [each.split()[-1] for each in done.stderr.splitlines() if "executed_units" in each]
        print(f"{name:12} {int(cases[0]) if cases else 0:>10,} texts, status {done.returncode}")
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-3000:])
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        sys.exit(main())
