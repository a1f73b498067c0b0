"""energy-budgets.toml: a good file field by field, and the mistakes that a file may hold."""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.budgets.budget import MaxIncrease, Scope
from pytest_energy.budgets.file import (
    BudgetsFile,
    BudgetsFileError,
    Defaults,
    Entry,
    Hardware,
    read_budgets,
)
from pytest_energy.carbon import Basis, Intensity
from pytest_energy.units import Limit, parse_limit

NAME = "energy-budgets.toml"

GOOD = """\
schema = 1

[defaults]
tolerance = "3 %"           # or 0.03
scope = "auto"
max_seconds = 30

[carbon]
intensity = "300 gCO2e/kWh"
source = "Ember, world"
year = 2024
basis = "market"
pue = 1.2

[estimate]
cpu_watts_per_core = 6.5

[hardware.a100]
gpu = "NVIDIA A100*"
cpu = "*EPYC*"
gpu_count = 8
power_limit = "400 W"

[hardware."small one"]
power_limit = 72.5

[[budget]]
id = "answers"
tests = "tests/test_chat.py::test_answer"
task = "text-generation"
model = "gpt2"
hardware = "a100"
scope = "gpu"
max = "35 mJ / token"
max_carbon = "0.5 gCO2e per 1k tokens"
message = '''
ask the owners
first'''

[[budget]]
tests = [
    "tests/test_q.py::test_q[gpt2]",
    "tests/slow/*",
]
max = "0.5 gCO2e / query"
max_carbon = "5 gCO2e / image"

[[budget]]
task = "speech"
max = "120 cpu-ms / query"
scope = "cpu"
"""


def read(content: str | bytes, folder: Path) -> BudgetsFile:
    path = folder / NAME
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_budgets(path, NAME)


def mistakes(content: str | bytes, folder: Path) -> list[str]:
    with pytest.raises(BudgetsFileError) as caught:
        read(content, folder)
    return str(caught.value).split("\n")


def limit(text: str, line: int) -> tuple[Limit, str]:
    return parse_limit(text), f"{NAME}:{line}"


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode(),
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
    ],
    ids=["plain", "byte order mark", "CRLF"],
)
def test_a_good_file(content: bytes, tmp_path: Path) -> None:
    assert read(content, tmp_path) == BudgetsFile(
        shown=NAME,
        defaults=Defaults(tolerance=0.03, scope=Scope.AUTO, max_seconds=30.0),
        intensity=Intensity(300.0, "Ember, world", 2024, Basis.MARKET, 1.2),
        pue=1.2,
        cpu_watts_per_core=6.5,
        hardware={
            "a100": Hardware("a100", f"{NAME}:18", "NVIDIA A100*", "*EPYC*", 8, 400.0),
            "small one": Hardware("small one", f"{NAME}:24", power_limit_watts=72.5),
        },
        entries=(
            Entry(
                origin=f"{NAME}:27",
                limits=(limit("35 mJ / token", 34), limit("0.5 gCO2e per 1k tokens", 35)),
                id="answers",
                tests=("tests/test_chat.py::test_answer",),
                task="text-generation",
                model="gpt2",
                hardware="a100",
                scope=Scope.GPU,
                message="ask the owners\nfirst",
            ),
            Entry(
                origin=f"{NAME}:40",
                limits=(limit("0.5 gCO2e / query", 45), limit("5 gCO2e / image", 46)),
                tests=("tests/test_q.py::test_q[gpt2]", "tests/slow/*"),
            ),
            Entry(
                origin=f"{NAME}:48",
                limits=(limit("120 cpu-ms / query", 50),),
                task="speech",
                scope=Scope.CPU,
            ),
        ),
    )


def test_the_smallest_file(tmp_path: Path) -> None:
    assert read("schema = 1", tmp_path) == BudgetsFile(shown=NAME)


def test_budgets_in_an_array(tmp_path: Path) -> None:
    file = read(
        "schema = 1\nbudget = [\n"
        '  {id = "a", max = "1 J / query"},\n\n  {id = "b", max = "2 J / query"},\n]\n',
        tmp_path,
    )
    assert file.entries == (
        Entry(f"{NAME}:3", (limit("1 J / query", 3),), id="a"),
        Entry(f"{NAME}:5", (limit("2 J / query", 5),), id="b"),
    )


def test_an_intensity_without_a_source_names_its_line(tmp_path: Path) -> None:
    file = read('schema = 1\n[carbon]\nintensity = "0.3 kgCO2e / kWh"\n', tmp_path)
    assert file.intensity == Intensity(300.0, f"{NAME}:3")
    assert file.pue is None


def test_a_pue_alone(tmp_path: Path) -> None:
    file = read("schema = 1\n[carbon]\npue = 1\n", tmp_path)
    assert (file.intensity, file.pue) == (None, 1.0)


def test_the_processors_own_watts(tmp_path: Path) -> None:
    file = read('schema = 1\n[estimate]\ncpu_watts_per_core = "tdp"\n', tmp_path)
    assert file.cpu_watts_per_core == "tdp"


@pytest.mark.parametrize(
    ("written", "tolerance"),
    [("0", 0.0), ("0.03", 0.03), ("0.999", 0.999), ('"3 %"', 0.03), ('" 12.5% "', 0.125)],
)
def test_tolerances(written: str, tolerance: float, tmp_path: Path) -> None:
    file = read(f"schema = 1\n[defaults]\ntolerance = {written}\n", tmp_path)
    assert file.defaults.tolerance == tolerance


@pytest.mark.parametrize("year", [1990, 2100])
def test_years(year: int, tmp_path: Path) -> None:
    file = read(f'schema = 1\ncarbon = {{intensity = "1 gCO2e/kWh", year = {year}}}\n', tmp_path)
    assert file.intensity == Intensity(1.0, f"{NAME}:2", year)


def test_hardware_without_a_gpu(tmp_path: Path) -> None:
    file = read("schema = 1\n[hardware.cpu]\ngpu_count = 0\n", tmp_path)
    assert file.hardware == {"cpu": Hardware("cpu", f"{NAME}:2", gpu_count=0)}


def test_a_mistake_is_one_line_with_value_reason_and_example(tmp_path: Path) -> None:
    content = 'schema = 1\n[[budget]]\nid = "a"\nmax = "2,1 Wh / 1000 queries"\n'
    assert mistakes(content, tmp_path) == [
        f"{NAME}:4: max = \"2,1 Wh / 1000 queries\": '2,1' has a comma: write decimals with a "
        'point; for example max = "2.1 Wh / 1000 queries"'
    ]


# Each is a line of the table, why it is wrong, and the example that helps.
DEFAULTS = [
    ("tolerance = 3", "neither a fraction from 0 to below 1", 'tolerance = "3 %"'),
    ("tolerance = 1.0", "neither a fraction from 0 to below 1", 'tolerance = "3 %"'),
    ("tolerance = -0.1", "neither a fraction from 0 to below 1", 'tolerance = "3 %"'),
    ("tolerance = true", "neither a fraction from 0 to below 1", 'tolerance = "3 %"'),
    ("max_increase = 5", "neither a fraction from 0 to below 1", 'max_increase = "5 %"'),
    ('max_increase = "5"', "neither a fraction from 0 to below 1", 'max_increase = "5 %"'),
    ("tolerance = nan", "neither a fraction from 0 to below 1", 'tolerance = "3 %"'),
    ('tolerance = "0.03"', "nor a percentage below 100 %", 'tolerance = "3 %"'),
    ('tolerance = "100 %"', "nor a percentage below 100 %", 'tolerance = "3 %"'),
    ('scope = "gpus"', 'not known (did you mean "gpu"?)', 'scope = "gpu"'),
    ('scope = "CPU"', 'not known (did you mean "cpu"?)', 'scope = "gpu"'),
    ('scope = "tpu0:x"', 'choose from "auto", "gpu", "cpu", "all"', 'scope = "gpu"'),
    ("scope = 1", "not a text in quotes", 'scope = "gpu"'),
    ("max_seconds = 0", "not a number above zero", "max_seconds = 60"),
    ("max_seconds = inf", "not a number above zero", "max_seconds = 60"),
    ("max_seconds = nan", "not a number above zero", "max_seconds = 60"),
    ("max_seconds = true", "not a number above zero", "max_seconds = 60"),
    ('max_seconds = "60"', "not a number above zero", "max_seconds = 60"),
    (f"max_seconds = {'9' * 400}", "not a number above zero", "max_seconds = 60"),
    ("max_second = 5", "unknown key in [defaults] (did you mean max_seconds?)", "max_seconds = 60"),
    (
        "wait = 5",
        "unknown key in [defaults] (known: tolerance, max_increase, scope, max_seconds)",
        'tolerance = "3 %"',
    ),
    ("schema = 1", "(it belongs in the lines above all tables)", "schema = 1"),
    ("hardware = 'a100'", "(it belongs in [[budget]])", 'hardware = "a100"'),
    ("estimate = 4", "(known: tolerance, max_increase, scope, max_seconds)", 'tolerance = "3 %"'),
]
CARBON = [
    ("intensity = 300", "a text that names its unit", 'intensity = "300 gCO2e/kWh"'),
    ('intensity = "300"', "not an amount above zero of gCO2e", 'intensity = "300 gCO2e/kWh"'),
    ('intensity = "0 gCO2e/kWh"', "not an amount above zero", 'intensity = "300 gCO2e/kWh"'),
    ('source = "Ember"', "and [carbon] has none", 'intensity = "300 gCO2e/kWh"'),
    ("year = 2024", "and [carbon] has none", 'intensity = "300 gCO2e/kWh"'),
    ('basis = "location"', "and [carbon] has none", 'intensity = "300 gCO2e/kWh"'),
    ("year = 1989", "not a whole number from 1990 to 2100", "year = 2024"),
    ("year = 2101", "not a whole number from 1990 to 2100", "year = 2024"),
    ("year = 2024.0", "not a whole number from 1990 to 2100", "year = 2024"),
    ("year = 2024-01-01", "not a whole number from 1990 to 2100", "year = 2024"),
    ('basis = "markets"', 'not known (did you mean "market"?)', 'basis = "location"'),
    ('source = " "', "it is blank", 'source = "Ember 2024"'),
    ("pue = 0.9", "not a number from 1 up", "pue = 1.2"),
    ("pue = inf", "not a number from 1 up", "pue = 1.2"),
    ("pue = true", "not a number from 1 up", "pue = 1.2"),
    ('sourc = "x"', "(did you mean source?)", 'source = "Ember 2024"'),
]
ESTIMATE = [
    ("cpu_watts_per_core = 0", 'watts above zero nor "tdp"', "cpu_watts_per_core = 4"),
    ('cpu_watts_per_core = "4 W"', 'watts above zero nor "tdp"', "cpu_watts_per_core = 4"),
    ("cpu_watts = 4", "(did you mean cpu_watts_per_core?)", "cpu_watts_per_core = 4"),
    ("pue = 1.2", "(it belongs in [carbon])", "pue = 1.2"),
]
HARDWARE = [
    ("gpu = 1", "not a text in quotes", 'gpu = "*A100*"'),
    ('cpu = ""', "it is blank", 'cpu = "*EPYC 7763*"'),
    ("gpu_count = -1", "not a whole number from 0 up", "gpu_count = 1"),
    ("gpu_count = 1.0", "not a whole number from 0 up", "gpu_count = 1"),
    ("gpu_count = true", "not a whole number from 0 up", "gpu_count = 1"),
    ('power_limit = "300"', "not a number of watts above zero", 'power_limit = "300 W"'),
    ("power_limit = 0", "not a number of watts above zero", 'power_limit = "300 W"'),
    ("power_limit = inf", "not a number of watts above zero", 'power_limit = "300 W"'),
    (f'power_limit = "{"9" * 309} W"', "longer than 200 characters", 'power_limit = "300 W"'),
    ("gpus = 1", "unknown key in [hardware.NAME] (did you mean gpu?)", 'gpu = "*A100*"'),
]
LIMIT = 'max = "2.1 Wh / 1000 queries"'
CARBON_LIMIT = 'max_carbon = "0.5 gCO2e / 1000 queries"'
TESTS = 'tests = "tests/test_chat.py::test_answer"'
#: These stand in a budget that has an id and, unless they have one of their own, a limit.
BUDGET = [
    ('max = "2,1 Wh / 1000 queries"', "write decimals with a point", LIMIT),
    ("max = 5", "a text that names its unit, not a bare number", LIMIT),
    ("max = ['1 J / query']", "a text that names its unit, not an array", LIMIT),
    ("max = 2026-11-22", "a text that names its unit, not a date or time", LIMIT),
    (f"max = 0x{'f' * 5000}", "a text that names its unit, not a bare number", LIMIT),
    (f'max = "1 J / {"x" * 200}"', "longer than 200 characters", LIMIT),
    ('max = "1 gCO2 / query"', "did you mean 'gCO2e'?", LIMIT),
    ("max = true", "a text that names its unit", LIMIT),
    ('max_carbon = "2 J / query"', "a limit in energy, not in carbon", CARBON_LIMIT),
    ('max_carbon = "2 cpu-s / query"', "a limit in CPU time, not in carbon", CARBON_LIMIT),
    ('max_carbon = "2 gCO2e"', "for how many units of work", CARBON_LIMIT),
    ('maximum = "2 J / query"', "unknown key in [[budget]] (did you mean max?)", LIMIT),
    ('limit = "2 J / query"', "unknown key in [[budget]] (did you mean max?)", LIMIT),
    ("tolerance = 0.1", "(it belongs in [defaults])", 'tolerance = "3 %"'),
    ("tests = []", "the list is empty", TESTS),
    ('tests = ["a", " "]', "item 2: it is blank", TESTS),
    ("tests = [\n    'a',\n    3,\n]", "item 2: it is not a text in quotes", TESTS),
    ("tests = {}", "neither a text nor a list of texts", TESTS),
    ('task = ""', "it is blank", 'task = "text-generation"'),
    ("model = 2", "not a text in quotes", 'model = "gpt2"'),
    ('message = "\\n"', "it is blank", 'message = "agreed in May: ask before you raise it"'),
    ('hardware = "a10"', "no [hardware.a10] (known: none)", "[hardware.a10]"),
    ("hardware = true", "not a text in quotes", 'hardware = "a100"'),
]  # fmt: skip


def check(found: list[str], line: int, written: str, why: str, example: str) -> None:
    (message,) = found
    start, end = f"{NAME}:{line}: {written}: ", f"; for example {example}"
    assert message.startswith(start)
    assert message.endswith(end)
    assert why in message[len(start) : -len(end)]


def as_shown(written: str) -> str:
    line = re.sub(r"\n *", " ", written)
    return line if len(line) <= 80 else line[:77] + "..."


@pytest.mark.parametrize(
    ("header", "written", "why", "example"),
    [("[defaults]", *each) for each in DEFAULTS]
    + [("[carbon]", *each) for each in CARBON]
    + [("[estimate]", *each) for each in ESTIMATE]
    + [("[hardware.x]", *each) for each in HARDWARE],
)
def test_a_mistake_in_a_table(
    header: str, written: str, why: str, example: str, tmp_path: Path
) -> None:
    found = mistakes(f"schema = 1\n\n{header}\n# why\n{written}\n", tmp_path)
    check(found, 5, as_shown(written), why, example)


@pytest.mark.parametrize(("written", "why", "example"), BUDGET)
def test_a_mistake_in_a_budget(written: str, why: str, example: str, tmp_path: Path) -> None:
    limits = "" if written.startswith(("max", "limit")) else 'max = "1 J / query"'
    found = mistakes(f'schema = 1\n[[budget]]\n{limits}\nid = "a"\n{written}\n', tmp_path)
    check(found, 5, as_shown(written), why, example)


@pytest.mark.parametrize(
    ("content", "line", "written", "why", "example"),
    [
        ("schema = true", 1, "schema = true", "not the number of a schema", "schema = 1"),
        ('schema = "1"', 1, 'schema = "1"', "not the number of a schema", "schema = 1"),
        ("schema = 1.0", 1, "schema = 1.0", "not the number of a schema", "schema = 1"),
        ("schema = 0", 1, "schema = 0", "not the number of a schema", "schema = 1"),
        ("\nSchema = 1", 2, "Schema = 1", "(did you mean schema?)", "schema = 1"),
        (
            "schema = 1\n[default]\nscope = 1",
            2,
            "[default]",
            "unknown table (did you mean [defaults]?)",
            "[defaults]",
        ),
        (
            'schema = 1\ndefault.scope = "gpu"',
            2,
            'default.scope = "gpu"',
            "(did you mean [defaults]?)",
            "[defaults]",
        ),
        (
            "schema = 1\n[[budgets]]\n[[budgets]]",
            2,
            "[[budgets]]",
            "unknown table (did you mean [[budget]]?)",
            "[[budget]]",
        ),
        ("schema = 1\n\n[budget]\nid = 'a'", 3, "[budget]", "two brackets", "[[budget]]"),
        ("schema = 1\n[budget.a]\nid = 'a'", 2, "[budget.a]", "two brackets", "[[budget]]"),
        ("schema = 1\nbudget = [\n 3]", 3, "3", "a budget is a table", "[[budget]]"),
        ("schema = 1\n[[defaults]]", 2, "[[defaults]]", "one table", "[defaults]"),
        ("schema = 1\ncarbon = 300", 2, "carbon = 300", "one table", "[carbon]"),
        (
            "schema = 1\n[[hardware]]\ngpu = 'x'\n"
            "[[budget]]\nid = 'a'\nhardware = 'a100'\nmax = '1 J / query'",
            2,
            "[[hardware]]",
            "one table",
            "[hardware.a100]",
        ),
        (
            'schema = 1\n[hardware]\ngpu = "A100"',
            3,
            'gpu = "A100"',
            "has a name and a table of its own",
            "[hardware.a100]",
        ),
        ("schema = 1\n[hardware.'']\ngpu = 'a'", 2, "[hardware.'']", "a name", "[hardware.a100]"),
        ("schema = 1\n[hardware.a]", 2, "[hardware.a]", "matches on nothing", 'gpu = "*A100*"'),
        (
            "schema = 1\npue = 1.1",
            2,
            "pue = 1.1",
            "unknown key in the lines above all tables (it belongs in [carbon])",
            "pue = 1.2",
        ),
        (
            "schema = 1\nspeed = 1",
            2,
            "speed = 1",
            "(known: schema, [defaults], [carbon], [estimate], [hardware.a100], [[budget]])",
            "schema = 1",
        ),
        ('schema = 1\n[[budget]]\nid = "a"', 2, "[[budget]]", "it has no limit", LIMIT),
        (
            'schema = 1\nbudget = [{id = "a", max = "1 J / query"},\n{id = "b"}]',
            3,
            '{id = "b"}',
            "it has no limit",
            LIMIT,
        ),
        (
            'schema = 1\n[[budget]]\nscope = "cpu"\nmax = "1 J / query"',
            2,
            "[[budget]]",
            "it applies to no test: it has no id, tests, task or model",
            TESTS,
        ),
        (
            "schema = 1\n[[budget]]\nid = 'a'\nmax = '1 gCO2e / query'\n"
            "max_carbon = '1 mgCO2e / 10 queries'",
            5,
            "max_carbon = '1 mgCO2e / 10 queries'",
            "max is a limit in carbon per query too",
            LIMIT,
        ),
        (
            "schema = 1\n[[budget]]\nid = 'a'\nmax = '1 cpu-s / query'\nscope = 'gpu'",
            5,
            "scope = 'gpu'",
            "counted on the CPU; leave scope out",
            'scope = "cpu"',
        ),
        (
            "schema = 1\n[[budget]]\nid = 'a'\nscope = 'all'\nmax = '1 cpu-s / query'",
            4,
            "scope = 'all'",
            "counted on the CPU; leave scope out",
            'scope = "cpu"',
        ),
        (
            "schema = 1\n[hardware.A100]\ngpu = 'a'\n[[budget]]\nid = 'a'\nhardware = 'a10'\n"
            "max = '1 J / query'",
            6,
            "hardware = 'a10'",
            'no [hardware.a10] (did you mean "A100"?)',
            'hardware = "A100"',
        ),
        (
            "schema = 1\n[hardware.a100]\ngpu = 'a'\n[[budget]]\nid = 'a'\nhardware = 'tpu'\n"
            "max = '1 J / query'",
            6,
            "hardware = 'tpu'",
            "no [hardware.tpu] (known: a100)",
            "[hardware.tpu]",
        ),
        (
            "schema = 1\n[[budget]]\nid = 'a'\nmax = '1 J / query'\n"
            "[[budget]]\nmax = '2 J / query'\nid = 'a'\n",
            7,
            "id = 'a'",
            f"the budget of {NAME}:3 has this id already",
            'id = "a-2"',
        ),
    ],
)
def test_a_mistake_in_a_file(
    content: str, line: int, written: str, why: str, example: str, tmp_path: Path
) -> None:
    check(mistakes(content, tmp_path), line, written, why, example)


@pytest.mark.parametrize("content", ["", "# nothing\n[defaults]\nscope = 'gpu'\n"])
def test_a_file_without_a_schema(content: str, tmp_path: Path) -> None:
    assert mistakes(content, tmp_path) == [
        f"{NAME}:1: the file does not say in which schema it is; for example schema = 1"
    ]


def test_a_newer_file_is_not_judged(tmp_path: Path) -> None:
    assert mistakes('[defaults]\nscope = "tpu"\n[x]\n', tmp_path)[0].startswith(f"{NAME}:1: the")
    assert mistakes('\nschema = 2\n[defaults]\nscope = "tpu"\n[x]\n', tmp_path) == [
        f"{NAME}:2: schema = 2: the file is newer than this version of pytest-energy, "
        "which reads schema 1; upgrade pytest-energy"
    ]


def test_all_mistakes_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = mistakes(
        """\
[defaults]
tolerance = 3
scopes = "gpu"

[hardware.small]

[[budget]]
maximum = "2 J / query"
max_carbon = "2 J / query"

[[budget]]
id = "a"
tests = ["x", ""]
hardware = "smal"
max = "1 cpu-s / query"
scope = "gpu"

[carbons]
""",
        tmp_path,
    )
    assert [message.split(": ")[:2] for message in found] == [
        [f"{NAME}:1", "the file does not say in which schema it is; for example schema = 1"],
        [f"{NAME}:2", "tolerance = 3"],
        [f"{NAME}:3", 'scopes = "gpu"'],
        [f"{NAME}:5", "[hardware.small]"],
        [f"{NAME}:7", "[[budget]]"],
        [f"{NAME}:8", 'maximum = "2 J / query"'],
        [f"{NAME}:9", 'max_carbon = "2 J / query"'],
        [f"{NAME}:13", 'tests = ["x", ""]'],
        [f"{NAME}:14", 'hardware = "smal"'],
        [f"{NAME}:16", 'scope = "gpu"'],
        [f"{NAME}:18", "[carbons]"],
    ]


def test_what_is_half_meant_is_not_told_twice(tmp_path: Path) -> None:
    """A typo is one mistake: nobody is told too that the key it stands for is missing."""
    content = """\
schema = 1
[carbon]
intensty = "300 gCO2e/kWh"
year = 2024
[hardware.a]
gpuu = "x"
[hardwares.b]
gpu = "x"
[[budget]]
ids = "a"
maxi = "1 J / query"
hardware = "a"
"""
    assert [message.split(": ")[0][-2:] for message in mistakes(content, tmp_path)] == [
        ":3",
        ":6",
        ":7",
        "10",
        "11",
    ]


@pytest.mark.parametrize(
    ("content", "start", "end"),
    [
        ("schema = 1\nmax = '1 J\n\na = 2", f"{NAME}:2: max = '1 J: not valid TOML: ", ""),
        ('schema = 1\nmax = "1 J\n', f'{NAME}:2: max = "1 J: not valid TOML at column 11: ', ""),
        ('schema = 1\na = """b" = 1\nc = 2', f'{NAME}:2: a = """b" = 1: not valid TOML: ', ""),
        ("schema = 1\n\na =", f"{NAME}:3: a =: not valid TOML: ", ""),
        ("schema = 1\n\n[a", f"{NAME}:3: [a: not valid TOML: ", ""),
        ("schema = 1\n\nb = [\n1\n,2,\n# x", f"{NAME}:3: b = [: not valid TOML: ", ""),
        ("schema = 1\r\n\r\na = ?\r\n", f"{NAME}:3: a = ?: not valid TOML at column 5: ", "value"),
        ("schema = 1\n[[budget]\n", f"{NAME}:2: [[budget]: not valid TOML at column 9: ", ""),
        ("schema = 1\na = 1\na = 2 # x\nb", f"{NAME}:3: a = 2 # x: not valid TOML", "a value"),
        ("schema = 1\na = [1,\n\n", f"{NAME}:2: a = [1,: not valid TOML: ", "end of document)"),
        ("schema = 1\na = '''\n", f"{NAME}:2: a = ''': not valid TOML: ", ""),
        ("\0", f"{NAME}:1: \\x00: not valid TOML at column 1: ", ""),
        ("a = 1\rb = 2", f"{NAME}:1: a = 1\\rb = 2: not valid TOML at column 6: ", ""),
        (f"{'x' * 90} 1", f"{NAME}:1: {'x' * 77}...: not valid TOML at column 92: ", ""),
        (
            f"schema = 1\na = '123'\nb = -{'1' * 5000}",
            f"{NAME}:3: {'1' * 77}...: an integer of too many digits",
            "digits",
        ),
        (f"schema = 1\na = {'[' * 9000}", f"{NAME}: arrays or tables are nested too", "deeply"),
        (
            b"schema = 1\n# caf\xe9",
            f"{NAME}:2: byte 0xe9 is not UTF-8; save the file as UTF-8",
            "UTF-8",
        ),
        ("schema = 1".encode("utf-16"), f"{NAME}:1: byte 0xff is not UTF-8", ""),
        (b"schema = 1\n" + b"#" * (1 << 20), f"{NAME}: larger than 1 MiB", "smaller file"),
    ],
)
def test_what_is_no_toml(content: str | bytes, start: str, end: str, tmp_path: Path) -> None:
    (message,) = mistakes(content, tmp_path)
    assert message.startswith(start)
    assert message.endswith(end)


def test_a_file_of_the_largest_size(tmp_path: Path) -> None:
    assert read(b"schema = 1\n" + b"#" * ((1 << 20) - 11), tmp_path) == BudgetsFile(shown=NAME)


def test_unprintable_text_stays_on_its_line(tmp_path: Path) -> None:
    (message,) = mistakes("schema = 1\n[[budget]]\nid='a'\nmax = '\u2028\x9b1'\n", tmp_path)
    assert message.startswith(f"{NAME}:4: max = '\\u2028\\x9b1': ")
    assert message.isprintable()


def test_long_values_leave_room_for_the_example(tmp_path: Path) -> None:
    name = "x" * 500
    (message,) = mistakes(
        f"schema = 1\n[[budget]]\nid = 'a'\nmax = '1 J / query'\nhardware = '{name}'", tmp_path
    )
    assert len(message) < 500
    assert "...; for example [hardware.xxx" in message


def test_what_is_no_file(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(BudgetsFileError) as caught:
            read_budgets(path, NAME)
        return str(caught.value)

    assert message(tmp_path / NAME) == f"{NAME}: there is no such file"
    assert message(tmp_path) == f"{NAME}: this is a directory; write a text file"
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert message(loop).startswith(f"{NAME}: can't be read: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / NAME
    os.mkfifo(pipe)
    answers = []

    def attempt() -> None:
        with pytest.raises(BudgetsFileError) as caught:
            read_budgets(pipe, NAME)
        answers.append(str(caught.value))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert answers == [f"{NAME}: this is not a regular file; write a text file"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that opens and can't be read")
def test_a_file_that_can_not_be_read() -> None:
    with pytest.raises(BudgetsFileError, match=f"^{NAME}: can't be read: Input/output error$"):
        read_budgets(Path("/proc/self/mem"), NAME)


VALUES = st.sampled_from(
    [
        "1", "0.03", "-1", "2024", "nan", "inf", "1e999", "true", "0xffff", "2024-01-01",
        "07:32:00", '""', '"gpu"', '"all"', '"market"', '"tdp"', '"3 %"', '"300 W"', '"a"',
        '"300 gCO2e/kWh"', '"1 J / query"', '"1 cpu-s / token"', '"2 gCO2e / 10 queries"',
        '"2,1 Wh"', "'''\nx\n'''", "[]", "{}", '["a", 1]', '{gpu = "a", cpu = {}}',
        '[{id = "a", max = "1 J / query"}, {}, 3]', '"\u2028\\n"', '"' + "x" * 300 + '"',
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "schema", "tolerance", "scope", "max_seconds", "intensity", "source", "year", "basis",
        "pue", "cpu_watts_per_core", "gpu", "cpu", "gpu_count", "power_limit", "id", "tests",
        "task", "model", "hardware", "max", "max_carbon", "message", "maximum", '""', "a", "a.b",
        "hardware.a", "defaults.scope", "carbon.intensity", "budget", "carbon", "'\u2028'",
    ]
)  # fmt: skip
HEADERS = st.sampled_from(
    [
        "[defaults]", "[carbon]", "[estimate]", "[hardware]", "[hardware.a]", "[hardware.b.c]",
        "[[hardware]]", "[[hardware.a]]", "[budget]", "[[budget]]", "[[budget]]", "[[budget]]",
        "[budget.a]", "[[budget.a]]", "[default]", "[[budgets]]", "[schema]", "[\"\"]",
    ]
)  # fmt: skip
PAIRS = st.builds("{} = {}".format, KEYS, VALUES)
DOCUMENTS = st.builds(
    "{}\n{}\n".format,
    st.sampled_from(["schema = 1", "schema = 1", "schema = 1", "", "schema = 2", "schema = 0"]),
    st.lists(st.one_of(PAIRS, PAIRS, HEADERS), max_size=25, unique=True).map("\n".join),
)


@settings(deadline=None)
@given(content=st.one_of(st.binary(), st.text().map(str.encode), DOCUMENTS.map(str.encode)))
def test_any_content_is_a_file_or_lines_of_mistakes(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        file = read(content, tmp_path_factory.getbasetemp())
    except BudgetsFileError as error:
        for line in str(error).split("\n"):
            assert line.startswith(f"{NAME}:")
            assert line.isprintable()
    else:
        assert isinstance(file, BudgetsFile)


def test_a_max_increase_has_a_place_and_needs_no_limit(tmp_path: Path) -> None:
    text = (
        'schema = 1\n[defaults]\nmax_increase = 0.04\n[[budget]]\ntests = "t.py::a"\n'
        'max_increase = "3 %"\n'
    )
    found = read(text, tmp_path)
    assert found.defaults.max_increase == MaxIncrease(0.04, f"{NAME}:3")
    assert found.entries[0].limits == ()
    assert found.entries[0].max_increase == MaxIncrease(0.03, f"{NAME}:6")
