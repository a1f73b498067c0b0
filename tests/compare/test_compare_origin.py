"""Whose modules a process loaded: the trees, an environment within one, and installed copies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_energy.compare.outcome import CouldNotCompare
from pytest_energy.compare.worktree import Tree, check_origin, loads_any


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Tree, Tree]:
    """The base and the user's, each with a package `shop`, whose `work` differs."""
    made = []
    for name in ("the base", "your tree"):
        root = tmp_path / name
        for folder in ("src/shop/data", "scripts"):
            (root / folder).mkdir(parents=True)
        for package in ("src/shop", "src/shop/data"):
            (root / package / "__init__.py").touch()
        (root / "src/shop/work.py").write_text(f"TREE = {name!r}\n", encoding="utf-8")
        (root / "scripts/requests.py").write_text(f"TREE = {name!r}\n", encoding="utf-8")
        made.append(Tree(name, root))
    return made[0], made[1]


CHANGED = ["src/shop/work.py", "src/shop/data/__init__.py", "scripts/requests.py", "deleted.py"]


def installed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "site-packages" / "shop" / "work.py"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_tree_may_load_itself_and_modules_of_neither_tree(
    trees: tuple[Tree, Tree], tmp_path: Path
) -> None:
    for own, other in (trees, trees[::-1]):
        modules = frozenset(
            {("shop.work", own.root / "src/shop/work.py"), ("torch", tmp_path / "torch.py")}
        )
        check_origin(modules, own, other, CHANGED)
        assert loads_any(modules, own, CHANGED)


def test_one_module_of_the_other_tree_is_enough(trees: tuple[Tree, Tree]) -> None:
    for own, other in (trees, trees[::-1]):
        modules = frozenset(
            {
                ("shop.work", own.root / "src/shop/work.py"),
                ("shop.work", other.root / "src/shop/work.py"),
            }
        )
        with pytest.raises(CouldNotCompare) as caught:
            check_origin(modules, own, other, CHANGED)
        message = str(caught.value)
        assert message.startswith(
            f"src/shop/work.py of {other.name} was loaded in the run of {own.name}"
        )
        assert str(own.root.parent) not in message


def test_an_environment_within_the_tree_is_not_of_the_tree(
    trees: tuple[Tree, Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, yours = trees
    module = ("torch", yours.root / ".venv/lib/torch.py")
    with pytest.raises(CouldNotCompare):
        check_origin(frozenset({module}), base, yours, [])
    monkeypatch.setattr(sys, "prefix", str(yours.root / ".venv"))
    check_origin(frozenset({module}), base, yours, [])


def test_a_tree_within_the_environment_is_still_a_tree(
    trees: tuple[Tree, Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, yours = trees  # /usr/src/app, where sys.prefix is /usr
    monkeypatch.setattr(sys, "prefix", str(yours.root.parent))
    with pytest.raises(CouldNotCompare):
        check_origin(frozenset({("shop", yours.root / "src/shop/work.py")}), base, yours, [])


def test_a_base_within_the_users_repository_is_not_the_users(trees: tuple[Tree, Tree]) -> None:
    base = trees[0]
    around = Tree("your tree", base.root.parent)
    check_origin(frozenset({("shop", base.root / "src/shop/work.py")}), base, around, [])


def test_an_installed_copy_has_to_hold_the_same(trees: tuple[Tree, Tree], tmp_path: Path) -> None:
    base, yours = trees
    copy = installed(tmp_path, "TREE = 'your tree'\n")
    modules = frozenset({("shop.work", copy)})
    check_origin(modules, yours, base, CHANGED)
    assert loads_any(modules, yours, CHANGED)
    with pytest.raises(CouldNotCompare, match="differs between the trees"):
        check_origin(modules, base, yours, CHANGED)
    check_origin(modules, base, yours, [])


def test_a_script_that_is_called_like_a_library_is_not_the_library(
    trees: tuple[Tree, Tree], tmp_path: Path
) -> None:
    base, yours = trees
    library = installed(tmp_path, "").with_name("requests.py")
    library.touch()
    modules = frozenset({("requests", library)})
    check_origin(modules, base, yours, CHANGED)
    assert not loads_any(modules, base, CHANGED)
