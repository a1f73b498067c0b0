"""The house: imports run downwards, and nothing heavy is loaded for nothing."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest_energy
from pytest_energy import items, marker
from pytest_energy.plugin import MARKER

PACKAGE = Path(pytest_energy.__file__).parent
HEAVY = [
    "torch",
    "codecarbon",
    "pynvml",
    "numpy",
    "rich",
    "typer",
    "pandas",
    "filelock",
    "matplotlib",
]
KNOW_PYTEST = {
    "plugin",
    "hooks",
    "reporting",
    "budget_use",
    "settings",
    "settings_here",
    "marker",
    "fixture",
    "study.running.plugin",
}

#: From top to bottom; a module may import what stands below its own row.
ROWS = [
    ["plugin"],
    ["hooks"],
    ["progress", "reporting"],
    ["budget_use"],
    ["cli.__main__"],
    ["cli"],
    ["cli.baseline", "cli.budgets", "cli.compare", "cli.doctor", "cli.figures", "cli.study"],
    ["cli.shared", "study.running.suite.test_study"],
    ["study.running.command", "study.running.table", "study.running.plugin"],
    ["settings_here"],
    ["report.comparison", "comparing.answer"],
    ["comparing.question", "comparing.progress_line"],
    ["comparing.of_base", "comparing.of_records", "comparing.of_variants"],
    ["comparing.turns", "comparing.worktree", "comparing.origin"],
    ["comparing.process", "comparing.pairs", "comparing.records"],
    ["comparing.interrupts", "comparing.inside", "comparing.words"],
    ["comparing.figures"],
    ["comparing.outcome"],
    ["report.doctor"],
    ["doctor"],
    ["study.running.protocol"],
    ["fixture", "marker", "settings"],
    ["calls"],
    ["measure.gate"],
    ["measure.contest"],
    ["measure.judgement", "measure.self_check", "measure.watch"],
    ["measure.explain", "measure.turns"],
    ["measure.protocol"],
    ["measure.in_use"],
    ["measure.meter", "measure.coverage"],
    ["measure.accelerators", "measure.lock"],
    [
        "report.terminal",
        "report.details",
        "report.equivalents",
        "report.carbon",
        "report.traffic",
    ],
    ["study.running.results", "study.running.progress"],
    ["study.running.choice", "study.running.hub"],
    ["study.running.codecarbon_way"],
    ["study.running.models", "study.running.queries", "study.running.memory"],
    ["study.running.twins"],
    ["report.study", "report.study_picture"],
    ["study.place"],
    ["study.compare"],
    ["study.points"],
    ["unit_costs"],
    ["report.baselines", "report.regressions"],
    ["store.regression", "budgets.tighten"],
    ["store.change"],
    ["store.update", "store.file"],
    ["store.baseline"],
    ["store.hardware"],
    ["machine"],
    ["budgets.suggest"],
    ["budgets.resolve"],
    ["budgets.file"],
    ["budgets.keys", "budgets.toml_file"],
    ["budgets.checks", "budgets.toml_lines"],
    ["budgets.budget", "record", "grid"],
    ["verdict"],
    ["study.remarks"],
    ["study.figures"],
    ["study.tables"],
    ["carbon", "statistics"],
    ["traffic"],
    ["units"],
    ["sensors.discover"],
    [
        "sensors.gpu_energy",
        "sensors.gpu_power",
        "sensors.cpu_time",
        "sensors.rapl",
        "sensors.apple",
    ],
    ["pinning"],
    ["sensors.nvml", "sensors.powercap", "sensors.standstill", "sensors.tdp"],
    [
        "sensors.base",
        "sensors.tail",
        "sensors.visible",
        "sensors.proc_stat",
        "codecarbon_data",
        "measure.cuda_driver",
        "measure.flops",
        "items",
        "options",
        "task_names",
    ],
]
PACKAGES = {
    "",
    "budgets",
    "comparing",
    "measure",
    "report",
    "sensors",
    "store",
    "study",
    "study.running",
    "study.running.suite",
}


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix("__init__").removesuffix(".")] = path
    return found


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_every_module_has_a_row() -> None:
    assert {name for row in ROWS for name in row} | PACKAGES == set(modules())


def test_imports_run_downwards() -> None:
    height = {name: index for index, row in enumerate(ROWS) for name in row}
    for name, path in modules().items():
        for imported in imports(path):
            below = imported.removeprefix("pytest_energy.")
            if name in height and below in height and imported != below:
                assert height[below] > height[name], f"{name} imports {below}"


def test_few_rooms_know_pytest() -> None:
    know = {name for name, path in modules().items() if "pytest" in imports(path)}
    assert know <= KNOW_PYTEST


def test_the_written_out_marker_is_the_real_one() -> None:
    signature = inspect.signature(marker.energy_budget)
    plain = signature.replace(
        parameters=[each.replace(annotation=each.empty) for each in signature.parameters.values()],
        return_annotation=signature.empty,
    )
    first_line = (inspect.getdoc(marker.energy_budget) or "").partition("\n")[0]
    assert f"{items.MARKER}{plain}: {first_line}" == MARKER


def test_the_plugin_loads_nothing_heavy() -> None:
    code = f"import sys, pytest_energy.plugin; print([m for m in {HEAVY} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
