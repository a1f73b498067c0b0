"""docs/tutorial.md works as it stands: its files and commands, in order, from an empty folder."""

from __future__ import annotations

import subprocess

import pytest
from quiet_cpu import QuietCpu
from tutorial import COLUMNS, PAGE, Step, steps, words, wrapped
from typer.testing import CliRunner

from pytest_energy.cli import app
from pytest_energy.sensors import cpu_time

STEPS = list(steps(PAGE.read_text(encoding="utf-8")))
#: A round is as short as that, and there are five, which a baseline takes.
QUICK_SECONDS = 0.1
FIVE_ROUNDS = "--energy-max-rounds=5"
#: Of CPU time, for one text.
LAYER_SECONDS = 70e-6
#: What depends on the number of rounds, on how even they are, and on the machine.
OF_ROUNDS = {"its", "first", "rounds", "uJ", "mJ", "AMD", "EPYC", "amd-epyc", "cores"}


class Layers:
    """As a plugin of the runs: each layer of the page's model uses the same CPU time."""

    def __init__(self, cpu: QuietCpu) -> None:
        self._cpu = cpu

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        for module in {item.module for item in items}:
            (layers,) = module.sentiment.__defaults__
            module.sentiment = self._cpu.working(module.sentiment, layers * LAYER_SECONDS)


def test_each_step_prints_what_the_page_shows(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, quiet_cpu: QuietCpu
) -> None:
    monkeypatch.setattr(cpu_time, "WINDOW_SECONDS", QUICK_SECONDS)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("CI", raising=False)
    pytester.makeini("[pytest]\naddopts = -p no:hypothesispytest -p no:asyncio\n")
    for step in STEPS:
        if step.name:
            (pytester.path / step.name).write_text(step.text, encoding="utf-8")
            continue
        statuses, output = zip(
            *(ran(line, pytester, quiet_cpu) for line in step.commands), strict=True
        )
        assert statuses == (*[0] * (len(statuses) - 1), 1 if step.fails else 0), output
        assert words(step.output) - OF_ROUNDS - words("\n".join(output)) == set()


def ran(line: str, pytester: pytest.Pytester, cpu: QuietCpu) -> tuple[int, str]:
    """The exit status of a command and what it prints."""
    program, *arguments = line.split()
    if program == "pytest":
        locks = f"--energy-lock-folder={pytester.path / 'locks'}"
        arguments += [FIVE_ROUNDS, locks, "--energy-gpus=none"]
        result = pytester.runpytest_inprocess(*arguments, plugins=[Layers(cpu)])
        return int(result.ret), result.stdout.str()
    if program == "pytest-energy":
        found = CliRunner().invoke(app, arguments)
        return found.exit_code, found.stdout
    done = subprocess.run(line, shell=True, cwd=pytester.path, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_outputs_are_as_wide_as_a_terminal() -> None:
    for step in STEPS:
        assert wrapped(step.output) == step.output
    line = "a figure with its unit " * 10
    assert words(wrapped(line)) == words(line)
    assert max(map(len, wrapped(line).splitlines())) <= COLUMNS


def test_the_steps_are_those_of_a_page() -> None:
    page = "Write `a.py`:\n\n```python\nx\n```\n\n```sh\npip install a\n```\n\n```sh\nls\n```\n\n"
    page += "```text\n1 failed\n```\n"
    assert list(steps(page)) == [Step("a.py", "x\n"), Step("", "ls\n", "1 failed\n")]
