"""The house: imports run downwards, and nothing heavy is loaded for nothing."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_energy
from pytest_energy.plugin import marker, measured_tests
from pytest_energy.plugin.entry import MARKER

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
    "jinja2",
    "prometheus_client",
    "ssl",
]


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


def test_few_rooms_know_pytest() -> None:
    know = {name for name, path in modules().items() if "pytest" in imports(path)}
    assert {name.partition(".")[0] for name in know} == {"plugin", "study", "testing"}


def test_percentages_are_formatted_in_one_place() -> None:
    by_hand = re.compile(r":[+.\d,]*%\}|\} %")
    found = {
        f"{name}: {line.strip()}"
        for name, path in modules().items()
        if name != "units"
        for line in path.read_text(encoding="utf-8").splitlines()
        if by_hand.search(line)
    }
    assert found == set()


def test_the_study_can_be_deleted(tmp_path: Path) -> None:
    """Nothing else needs that folder but one import and one line in the command."""
    copy = tmp_path / "pytest_energy"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("study", "__pycache__"))
    command = copy / "cli" / "__init__.py"
    lines = command.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if "study" not in line]
    assert len(lines) - len(kept) == 2
    command.write_text("".join(kept), encoding="utf-8")
    code = (
        "import pkgutil, pytest_energy, importlib\n"
        "for each in pkgutil.walk_packages(pytest_energy.__path__, 'pytest_energy.'):\n"
        "    if not each.name.endswith('__main__'): importlib.import_module(each.name)\n"
        "print(pytest_energy.__file__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    imported = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert str(copy) in imported.stdout, imported.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "pytest_energy.cli", "--help"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert "compare" in shown.stdout
    assert "study" not in shown.stdout


#: Parameters of CodeCarbon's tracker.
INSTRUMENTS_ELSEWHERE = {"study/running/codecarbon_way.py": 2}


def test_instruments_are_named_among_the_sensors_only() -> None:
    words = re.compile(r"nvml|rapl|ioreport|apple|libcuda|powercap", re.IGNORECASE)
    found = {
        path.relative_to(PACKAGE).as_posix(): len(words.findall(path.read_text(encoding="utf-8")))
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(PACKAGE / "sensors")
    }
    assert {name: number for name, number in found.items() if number} == INSTRUMENTS_ELSEWHERE


def test_no_pattern_repeats_a_group_possessively() -> None:
    # Python before 3.11.5 matches that wrongly; an atomic group does the same there.
    # https://github.com/python/cpython/issues/106052
    possessive = re.compile(r"[^\\]\)(?:[*+?]|\{\d*,?\d*\})\+")
    for name, path in modules().items():
        literals = [
            each.value
            for each in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        assert not [each for each in literals if possessive.search(each)], name


def test_large_dataclasses_take_keywords_only() -> None:
    """Five values in a row say nothing of what they are."""
    positional = [
        f"{name}: {each.name}"
        for name, path in modules().items()
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(each, ast.ClassDef)
        for decorator in map(ast.unparse, each.decorator_list)
        if decorator.startswith("dataclass") and "kw_only=True" not in decorator
        if sum(isinstance(line, ast.AnnAssign) for line in each.body) > 4
    ]
    assert positional == []


def test_a_file_of_tests_has_at_most_500_lines() -> None:
    lines = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in Path(__file__).parent.rglob("*.py")
    }
    assert {name: number for name, number in lines.items() if number > 500} == {}


def test_the_written_out_marker_is_the_real_one() -> None:
    signature = inspect.signature(marker.energy_budget)
    plain = signature.replace(
        parameters=[each.replace(annotation=each.empty) for each in signature.parameters.values()],
        return_annotation=signature.empty,
    )
    first_line = (inspect.getdoc(marker.energy_budget) or "").partition("\n")[0]
    assert f"{measured_tests.MARKER}{plain}: {first_line}" == MARKER


def test_the_plugin_loads_nothing_heavy() -> None:
    code = (
        f"import sys, pytest_energy.plugin.entry; print([m for m in {HEAVY} if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


ROOT = Path(__file__).parents[1]
#: Files that no package holds: their names, and those of the folders that hold one.
LOOSE = [*ROOT.glob("tests/fakes/*.py"), *ROOT.glob("benchmarks/*/*.py")]


@pytest.mark.parametrize(
    "script", [pytest.param(each, id=each.stem) for each in sorted(ROOT.glob("benchmarks/*.py"))]
)
def test_a_benchmark_finds_the_files_that_it_imports(script: Path) -> None:
    """In a process that knows nothing of pytest's own `pythonpath`."""
    text = script.read_text(encoding="utf-8")
    said = str([line for line in text.splitlines() if "sys.path" in line])
    found = [each for each in LOOSE if f'"{each.parent.name}"' in said]
    seen, left = {script}, [script]
    while left:
        wanted = imports(left.pop()) & {each.stem for each in LOOSE}
        assert wanted <= {each.stem for each in found}, "a folder is missing in sys.path"
        new = {each for each in found if each.stem in wanted} - seen
        seen |= new
        left += new
