"""What the files of somebody else's branch can't do: read, write, hang or break anything."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from session_records import measured, session
from typer.testing import CliRunner

from conftest import EnergyPytester
from pytest_energy.baselines.baseline import Baselines
from pytest_energy.baselines.file import read_folder, text_of, write_folder
from pytest_energy.baselines.update import Mode, update
from pytest_energy.cli import app
from pytest_energy.record.file import write
from pytest_energy.record.plain import to_plain

SECRET = "password CANARY3"
BASELINE = "energy-baselines/runner.jsonl"
#: A file of them, of a test with that id.
BASELINE_OF = text_of(update((), [session(measured(id="{}"))], Mode.ADD).lines)
BASELINE_OF = BASELINE_OF.replace("{", "{{").replace("}", "}}").replace('"{{}}"', '"{}"')


@pytest.fixture
def project(energy_pytester: EnergyPytester) -> EnergyPytester:
    energy_pytester.write(
        """
        @budget("1 kJ / query")
        def test_model():
            spin()
        """
    )
    return energy_pytester


def refusal(project: EnergyPytester, *options: str) -> str:
    """What a run says that ends before any test."""
    result = project.run(*options)
    said = result.stdout.str() + result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR, said
    assert "INTERNALERROR" not in said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("name", ["energy-budgets.toml", BASELINE])
@pytest.mark.parametrize("aim", ["secret", "/proc/self/environ", "/dev/zero", "missing"])
def test_a_link_out_of_the_project_is_not_read(
    name: str, aim: str, project: EnergyPytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("home")
    (outside / "secret").write_text(f"machine hub login me {SECRET}\n")
    link = project.pytester.path / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside / aim)
    said = refusal(project)
    assert "this is a link that leads out of the project" in said
    assert SECRET not in said


@pytest.mark.parametrize("name", ["energy-budgets.toml", BASELINE])
def test_a_link_inside_the_project_is_read(name: str, project: EnergyPytester) -> None:
    link = project.pytester.path / name
    link.parent.mkdir(exist_ok=True)
    target = project.pytester.path / "elsewhere"
    target.write_text("schema = 1\n" if name.endswith("toml") else "")
    link.symlink_to(target)
    assert project.run("--energy-fail-on=none").ret == 0


def test_a_folder_of_baselines_outside_is_not_read(
    project: EnergyPytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("home")
    (outside / "a.jsonl").write_text(SECRET)
    (project.pytester.path / "energy-baselines").symlink_to(outside)
    said = refusal(project)
    assert "this is a link that leads out of the project" in said
    assert SECRET not in said


@pytest.mark.parametrize("name", ["energy-budgets.toml", BASELINE])
@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_a_special_file_is_not_waited_for(name: str, kind: str, project: EnergyPytester) -> None:
    path = project.pytester.path / name
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    word = "not a regular file" if kind == "pipe" else "a directory"
    assert f"this is {word}; write a text file" in refusal(project)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("energy-budgets.toml", f"machine hub login me {SECRET}"),
        ("energy-budgets.toml", f'schema = 1\n"{SECRET}'),
        ("energy-budgets.toml", f"schema = 1\nmax = {SECRET}"),
        ("energy-budgets.toml", f'schema = 1\n[defaults]\ntoken = "{"x" * 40}{SECRET}"'),
        ("energy-budgets.toml", f'schema = 1\n[defaults]\nscope = "{"x" * 40}{SECRET}"'),
        (BASELINE, SECRET),
        (BASELINE, json.dumps({"schema": "x" * 40 + SECRET})),
        (BASELINE, json.dumps({"schema": 1, "test": ["x" * 40 + SECRET]})),
    ],
)
def test_messages_do_not_show_what_a_file_holds(
    name: str, text: str, project: EnergyPytester
) -> None:
    path = project.pytester.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert "CANARY" not in refusal(project)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema":' * 100_000, "NaN", "1" * 5000])
def test_json_of_any_depth_is_refused(text: str, project: EnergyPytester) -> None:
    path = project.pytester.path / BASELINE
    path.parent.mkdir()
    path.write_text(text)
    assert f"{BASELINE}:1: not JSON" in refusal(project)
    shown = CliRunner().invoke(app, ["show", str(path)])
    assert (shown.exit_code, "not JSON" in shown.output) == (2, True)


def test_a_record_is_not_written_through_a_link_out_of_the_project(
    project: EnergyPytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path_factory.mktemp("home") / "mine"
    target.write_text("mine")
    link = project.pytester.path / "energy.json"
    link.symlink_to(target)
    said = refusal(project, f"--energy-json={link}")
    assert "this is a link that leads out of the project" in said
    assert target.read_text() == "mine"


@pytest.mark.parametrize("amount", ["1e300", "1e-300", "0", "-1", "nan", "inf", "9" * 400])
@pytest.mark.parametrize("way", ["option", "ini", "variable", "file"])
def test_a_carbon_intensity_nobody_can_mean(
    amount: str, way: str, project: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{amount} gCO2e/kWh"
    options = [f"--energy-carbon-intensity={text}"] if way == "option" else []
    if way == "ini":
        project.pytester.makeini(f"[pytest]\nenergy_carbon_intensity = {text}\n")
    if way == "variable":
        monkeypatch.setenv("PYTEST_ENERGY_CARBON_INTENSITY", text)
    if way == "file":
        path = project.pytester.path / "energy-budgets.toml"
        path.write_text(f'schema = 1\n[carbon]\nintensity = "{text}"\n')
    refusal(project, *options)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("max-seconds", each) for each in ("1e300", "1e-300", "0", "-1", "nan", "inf")),
        *(("cpu-watts-per-core", each) for each in ("1e300", "1e-300", "0", "nan", "inf")),
        *(("max-increase", each) for each in ("1e300", "-1e-300", "nan", "inf", "9" * 400 + " %")),
        *(("max-rounds", each) for each in ("0", "1000000000000000000", "9" * 5000)),
        *(("pids", each) for each in ("0", "9" * 20, "9" * 5000)),
    ],
)
def test_a_number_nobody_can_mean(option: str, value: str, project: EnergyPytester) -> None:
    refusal(project, f"--energy-{option}={value}")


LIMITS = ["1e300 Wh / query", "1e-300 Wh / query", "1e17 J / query", f"1 J / {'9' * 50} queries"]


@pytest.mark.parametrize("limit", [*LIMITS, f"{'9' * 400} J / query", f"1 J / {'x' * 100_000}"])
def test_a_limit_nobody_can_mean(limit: str, energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(f"@budget({limit!r})\ndef test_model():\n    spin()\n")
    result = energy_pytester.run()
    result.assert_outcomes(errors=1)
    assert "INTERNALERROR" not in result.stdout.str()
    path = energy_pytester.pytester.path / "energy-budgets.toml"
    path.write_text(f'schema = 1\n[[budget]]\nid = "a"\nmax = "{limit}"\n')
    assert f"{path.name}:4: max = " in refusal(energy_pytester)


@pytest.mark.parametrize("count", ["0", "-1", "10**18", "10**400", "1e300"])
def test_a_count_nobody_can_mean(count: str, energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        f"""
        @budget("1 kJ / query", count={count})
        def test_marked():
            spin()

        def test_measured(energy):
            energy.measure(spin, count={count})

        def test_counted(energy):
            energy.measure(spin, count=lambda result: -1 if {count} < 1 else {count})
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(errors=3)
    assert "INTERNALERROR" not in result.stdout.str()


@pytest.mark.parametrize(
    "arguments",
    [
        ["scale", "1e300 Wh / query", "--volume", "1 query / day"],
        ["scale", "1 Wh / query", "--volume", f"{'9' * 300} queries / day"],
        ["scale", "1 Wh / query", "--volume", "1 query / day", "--carbon-intensity", "1e300"],
        ["scale", "1 Wh / query", "--training", f"{'9' * 300} GWh"],
    ],
)
def test_a_command_with_a_number_nobody_can_mean(arguments: list[str]) -> None:
    found = CliRunner().invoke(app, arguments)
    assert (found.exit_code, "Traceback" in found.output) == (2, False), found.output


DEEP = ".".join(["a"] * 20_000)


@pytest.mark.parametrize(
    "line",
    [
        f"{DEEP} = 1",
        f"[{DEEP}]",
        f"[[ {DEEP} ]]",
        f"x = {{ {DEEP} = 1 }}",
        " . ".join(['"a.b"', "'c'"] * 10_000) + " = 1",
        f'message = """\n""\\""" # " """\n{DEEP} = 1',
    ],
)
def test_a_path_of_too_many_keys_takes_no_memory(line: str, project: EnergyPytester) -> None:
    path = project.pytester.path / "energy-budgets.toml"
    path.write_text(f"schema = 1\n{line}\n")
    tracemalloc.start()
    try:
        said = refusal(project)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert f"{path.name}:{2 + line.count(chr(10))}: a path of more than 16 keys" in said


@pytest.mark.parametrize("quote", ['"', "'", '"""', "'''"])
def test_dots_in_texts_and_comments_are_no_path(quote: str, project: EnergyPytester) -> None:
    dots = ".".join(["a"] * 40)
    path = project.pytester.path / "energy-budgets.toml"
    path.write_text(
        f"schema = 1 # {dots}\n[[budget]]\ntests = 'test_it.py::*'\nmax = '1 kJ / query'\n"
        f"message = {quote}{dots}{quote} # {dots}\n"
    )
    project.run("--energy-fail-on=none").assert_outcomes(passed=1)


PATHS = ["json", "budgets", "baselines", "lock-folder", "cpu-counter-folder"]


@pytest.mark.parametrize("option", PATHS)
@pytest.mark.parametrize("kind", ["loop", "long", "long path", "NUL", "below a file", "surrogate"])
def test_an_impossible_path_is_a_usage_error(
    option: str, kind: str, project: EnergyPytester
) -> None:
    folder = project.pytester.path
    folder.joinpath("loop").symlink_to("loop")
    folder.joinpath("file").write_text("")
    name = {
        "loop": "loop",
        "long": "x" * 300,
        "long path": "x/" * 3000,
        "NUL": "a\0b",
        "below a file": "file/below/it",
        "surrogate": "\udcff",
    }[kind]
    given = [f"--energy-{option}={name}"]
    if option != "json":  # the last of two is the one that counts
        given.append(f"--energy-json={project.record_path}")
    result = project.run(*given)
    said = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in said
    assert "Traceback" not in said
    assert result.ret in (0, 1, 4)
    if option != "cpu-counter-folder" and kind != "surrogate":
        assert result.ret in (1, 4), said


@pytest.mark.parametrize("option", ["budgets", "baselines", "lock_folder", "cpu_counter_folder"])
@pytest.mark.parametrize("name", ["loop", "x" * 300, "a\0b", "/proc/self/environ"])
def test_nor_is_one_in_the_ini_file(option: str, name: str, project: EnergyPytester) -> None:
    project.pytester.path.joinpath("loop").symlink_to("loop")
    project.pytester.makeini(f"[pytest]\nenergy_{option} = {name}\n")
    # As a user has it, without the options of this suite.
    result = project.pytester.runpytest_inprocess("--energy-max-seconds=0.2")
    said = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in said
    assert "Traceback" not in said
    if option != "cpu_counter_folder":
        assert result.ret in (1, 4), said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda each: each["run"].update(start="yesterday"), "start is 'yesterday'"),
        (lambda each: each["tests"][0]["rounds"].__setitem__(0, {}), "rounds[0] lacks"),
        (lambda each: [one.update(seconds=0.0) for one in each["tests"][0]["rounds"]], "window"),
        (lambda each: [one.update(seconds=-1.0) for one in each["tests"][0]["rounds"]], "window"),
        (
            lambda each: [one.update(joules=1e200) for one in each["tests"][0]["rounds"]],
            "too large",
        ),
        (lambda each: each["tests"][0].update(joules_per_unit="[/red]"), "is '[/red]', not"),
    ],
)
def test_no_baseline_is_written_that_could_not_be_read(
    change: Callable[[Any], object], why: str, tmp_path: Path
) -> None:
    plain = to_plain(session(measured()))
    change(plain)
    (tmp_path / "energy.json").write_text(json.dumps(plain))
    folder = tmp_path / "energy-baselines"
    arguments = ["baseline", "update", str(tmp_path / "energy.json"), "--folder", str(folder)]
    found = CliRunner().invoke(app, arguments)
    assert (found.exit_code, "Traceback" in found.output) == (2, False), found.output
    assert why in found.output
    assert not folder.exists()


def test_a_name_that_no_encoding_has_reads_back(tmp_path: Path) -> None:
    found = update((), [session(measured(id="t_\udcff.py::test_\x00\x1b[31m"))], Mode.ADD).lines
    write_folder(tmp_path, Baselines(), found)
    assert read_folder(tmp_path, "x").lines == found


EVIL = "\x1b[2J\x07\x00\u202e\n::error::x"


@pytest.mark.parametrize("place", ["name", "label", "task", "model"])
def test_a_name_with_control_characters_does_nothing(
    place: str, energy_pytester: EnergyPytester
) -> None:
    marker = {
        "label": f"labels={{{EVIL!r}: {EVIL!r}}}",
        "model": f"model={EVIL!r}",
        "task": f"task={EVIL!r}",
    }.get(place, "")
    name = EVIL if place == "name" else "plain"
    energy_pytester.write(
        f"@budget('1e-9 J / query', {marker})\ndef test_model(energy):\n"
        f"    energy.measure(spin, name={name!r})\n"
    )
    result = energy_pytester.run("--junitxml=junit.xml", "-v")
    said = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in said
    energy = said.partition("= energy =")[2]
    for each in ("\x07", "\x00", "\u202e", "\x1b[2J", "\n::error"):
        assert each not in energy
    ElementTree.parse(energy_pytester.pytester.path / "junit.xml")
    (test,) = energy_pytester.record()["tests"]
    found = {"label": [*test["labels"]], "name": [test["name"]]}
    assert found.get(place, [test.get(place)]) == [EVIL]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("energy-baselines/a\n::error::x\u2028::error::x.jsonl", "{}"),
        ("energy-baselines/a.jsonl", BASELINE_OF.format("::error::x")),
        ("energy-baselines/a.jsonl", BASELINE_OF.format("t.py::a ##vso[task.setvariable]b")),
        ("energy-budgets.toml", 'schema = 1\n"a\u2028::error::x" = 1\n'),
        ("energy-budgets.toml", 'schema = 1\n"##teamcity[x]" = 1\n'),
        ("a\n::error::x/energy-budgets.toml", "schema = 1\n"),
    ],
)
@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_no_file_of_a_project_makes_a_line_that_ci_takes_for_a_command(
    name: str, text: str, quiet: tuple[str, ...], energy_pytester: EnergyPytester
) -> None:
    path = energy_pytester.pytester.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    energy_pytester.write("def test_plain():\n    pass\n")
    if "::" in path.parent.name:
        (path.parent / "test_a.py").write_text("def test_plain():\n    pass\n")
    result = energy_pytester.run(*quiet)
    said = result.stdout.str() + "\n" + result.stderr.str()
    shown = "error" in said or "vso" in said or "teamcity" in said
    assert shown or quiet
    for line in re.split(r"[\n\r\x0b\x0c\x85\u2028\u2029]", said):
        assert not re.match(r"\s*::|.*##(vso|teamcity)?\[", line), line


def test_a_commands_output_holds_no_control_characters(tmp_path: Path) -> None:
    evil = measured(id=f"t.py::{EVIL}", task=EVIL, notes=(EVIL,), reason=EVIL)
    path = tmp_path / "energy.json"
    write(session(evil), path)
    folder = ["--folder", str(tmp_path / "baselines")]
    for command in (
        ["show", "-v", str(path)],
        ["compare", str(path), str(path)],
        ["baseline", "update", str(path), *folder],
        ["baseline", "list", *folder],
        ["budgets", "suggest", str(path), "--file", str(tmp_path / "b.toml")],
        ["baseline", "drop", "*", *folder],
        ["show", str(tmp_path / EVIL.replace("\0", ""))],
    ):
        found = CliRunner().invoke(app, command)
        assert found.exit_code in (0, 2), found.output
        for each in ("\x07", "\x00", "\u202e", "\x1b", "\n::error"):
            assert each not in found.output, command
