"""What is shipped, and what no code and no hint of this package does."""

from __future__ import annotations

import ast
import re
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
#: Calls that run text as code, or as a shell does; files are data here.
FORBIDDEN = re.compile(r"(builtins\.)?(eval|exec|compile|__import__)|os\.(system|popen)|pickle\..*")
#: Folders of the source distribution, and files that no distribution holds.
SHIPPED = {"src", "docs", "tests", "examples", "benchmarks", "LICENSE", "README.md"}
PRIVATE = re.compile(r"(^|/)(\.venv|\.git|\.env|__pycache__|\.hypothesis|shared)(/|$)|\.pyc$")


def test_no_code_runs_text() -> None:
    for node in (each for path in SOURCES for each in ast.walk(ast.parse(path.read_bytes()))):
        if isinstance(node, ast.Call):
            assert not FORBIDDEN.fullmatch(ast.unparse(node.func)), ast.unparse(node)
            shells = [each.value for each in node.keywords if each.arg == "shell"]
            # `compare --setup COMMAND` alone is a text, which its user has typed.
            assert all(ast.unparse(each) == "isinstance(command, str)" for each in shells)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [each.name for each in node.names] + [getattr(node, "module", None) or ""]
            assert not {"pickle", "marshal", "shelve", "dill"} & set(names)


def test_no_hint_opens_files_to_everyone_or_runs_tests_as_root() -> None:
    texts = [*SOURCES, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    bad = re.compile(r"chmod\s+(-R\s+)?(0?777|0?666|[ao]\+\w*w)|sudo\s+(python|pytest|tox|pip)\b")
    assert [each.name for each in texts if bad.search(each.read_text(encoding="utf-8"))] == []


def test_two_builds_are_the_same_and_hold_what_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    hashes = []
    for name in ("one", "two"):
        (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path / name))
        hashes.append(sha256(Path(wheel).read_bytes()).hexdigest())
    assert hashes[0] == hashes[1]
    with zipfile.ZipFile(wheel) as opened:
        shipped = opened.namelist()
    package = {each for each in shipped if each.startswith("pytest_energy/")}
    assert package >= {each.relative_to(ROOT / "src").as_posix() for each in SOURCES}
    others = {each.split("/")[1] for each in set(shipped) - package}
    assert others == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses"}
    assert not [each for each in shipped if PRIVATE.search(each)]
    (sdist,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(sdist) as opened:
        inside = [each.partition("/")[2] for each in opened.getnames()]
    assert {each.split("/")[0] for each in inside} >= SHIPPED
    assert not [each for each in inside if PRIVATE.search(each)]
