"""Limits that a branch changes: of two files, and in a run of a repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import EnergyPytester
from pytest_energy.limits.changes import LimitChange, limit_changes
from pytest_energy.limits.file import parse_budgets

OLD = """
schema = 1
[defaults]
max_increase = "5 %"
[[budget]]
id = "sentiment"
tests = "test_it.py::test_it"
max = "2 kJ / query"
[[budget]]
task = "summarization"
max = "1 Wh / 1000 tokens"
[[budget]]
tests = "test_it.py::test_gone"
max = "1 kJ / query"
"""
NEW = """
schema = 1
[defaults]
max_increase = "8 %"
# moved down
[[budget]]
task = "summarization"
max = "3.6 J / token"
[[budget]]
id = "sentiment"
tests = "test_it.py::test_it"
max = "3 kJ / query"
[[budget]]
model = "m"
scope = "cpu"
max = "1 J / query"
"""


def changes(old: str, new: str) -> tuple[LimitChange, ...]:
    return limit_changes(parse_budgets(old, "b.toml"), parse_budgets(new, "b.toml"))


def test_changed_added_and_removed_limits_are_found_wherever_they_stand() -> None:
    found = [(each.subject, each.old, each.new, each.origin) for each in changes(OLD, NEW)]
    assert found == [
        ("sentiment", "2 kJ / query", "3 kJ / query", "b.toml:12"),
        ("model m, scope cpu", "none", "1 J / query", "b.toml:16"),
        ("all tests, by default", "+5 %", "+8 %", "b.toml:4"),
        ("test_it.py::test_gone", "1 kJ / query", "none", "b.toml:14"),
    ]
    assert [each.change for each in changes(OLD, NEW)] == [
        pytest.approx(0.5),
        None,
        pytest.approx(0.6),
        None,
    ]
    assert changes(OLD, OLD) == ()


def test_limits_in_other_units_of_work_are_other_limits() -> None:
    new = OLD.replace("2 kJ / query", "2 kJ / token")
    assert [(each.old, each.new) for each in changes(OLD, new)] == [
        ("none", "2 kJ / token"),
        ("2 kJ / query", "none"),
    ]


@pytest.fixture
def branch(energy_pytester: EnergyPytester) -> EnergyPytester:
    """A repository whose branch raises a limit that main has."""
    folder = energy_pytester.pytester.path
    energy_pytester.write("@pytest.mark.energy_budget\ndef test_it():\n    spin()\n")
    git(energy_pytester, "init", "-q", "-b", "main")
    (folder / "energy-budgets.toml").write_text(OLD)
    commit(energy_pytester)
    git(energy_pytester, "checkout", "-q", "-b", "feature")
    (folder / "energy-budgets.toml").write_text(OLD.replace("2 kJ", "3 kJ"))
    commit(energy_pytester)
    return energy_pytester


def git(project: EnergyPytester, *arguments: str) -> None:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    assert project.pytester.run("git", *names, *arguments).ret == 0


def commit(project: EnergyPytester) -> None:
    git(project, "add", "-A")
    git(project, "commit", "-qm", "x")


def test_a_run_reports_what_its_branch_changes(branch: EnergyPytester) -> None:
    branch.run("--energy-report=e.md")
    record = branch.record()
    assert record["limits_base"] == "main"
    (change,) = record["limit_changes"]
    assert (change["old"], change["new"], change["change"]) == (
        "2 kJ / query",
        "3 kJ / query",
        0.5,
    )
    text = (branch.pytester.path / "e.md").read_text()
    assert "### Limits changed since `main`\n" in text
    assert "| `sentiment` | `2 kJ / query` | `3 kJ / query` | +50 % |" in text


def test_what_main_changed_meanwhile_is_not_the_branchs(branch: EnergyPytester) -> None:
    git(branch, "checkout", "-q", "main")
    path = branch.pytester.path / "energy-budgets.toml"
    path.write_text(OLD.replace("1 Wh", "9 Wh"))
    commit(branch)
    git(branch, "checkout", "-q", "feature")
    branch.run()
    assert [each["subject"] for each in branch.record()["limit_changes"]] == ["sentiment"]


def test_a_file_that_the_branch_removes_is_reported(branch: EnergyPytester) -> None:
    (branch.pytester.path / "energy-budgets.toml").unlink()
    branch.run("--energy-report=e.md")
    assert {each["new"] for each in branch.record()["limit_changes"]} == {"none"}


def test_a_job_names_the_commit_that_its_branch_left(
    branch: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (head,) = branch.pytester.run("git", "rev-parse", "main").outlines
    git(branch, "branch", "-q", "-m", "main", "renamed")
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", head)
    branch.run()
    assert branch.record()["limits_base"] == head
    assert [each["subject"] for each in branch.record()["limit_changes"]] == ["sentiment"]


@pytest.mark.parametrize("base", ["--output=x", "-x", "a b", "no-such-branch"])
def test_a_base_that_is_none_is_passed_over(
    branch: EnergyPytester, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    monkeypatch.setenv("GITHUB_BASE_REF", base)
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", base)
    branch.run()
    assert branch.record()["limits_base"] == "main"
    assert not Path(branch.pytester.path, "x").exists()


def test_an_older_file_that_cannot_be_read_is_compared_with_nothing(
    branch: EnergyPytester,
) -> None:
    git(branch, "checkout", "-q", "main")
    (branch.pytester.path / "energy-budgets.toml").write_text("not = [toml")
    commit(branch)
    (branch.pytester.path / "energy-budgets.toml").write_text(OLD)
    branch.run()
    assert branch.record()["limits_base"] == ""
    assert branch.record()["limit_changes"] == []


def test_outside_of_a_repository_nothing_is_compared(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write("@budget('1 kJ / query')\ndef test_it():\n    spin()\n")
    (energy_pytester.pytester.path / "energy-budgets.toml").write_text("schema = 1\n")
    energy_pytester.run()
    assert energy_pytester.record()["limits_base"] == ""
