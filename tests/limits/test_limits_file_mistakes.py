"""Mistakes in energy-budgets.toml: each is one line with its place, value, reason and example."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from budgets_files import NAME, mistakes, read


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
EMBODIED = 'embodied = "0.2 gCO2e / 1000 queries"'
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
    ("embodied = 1", "not an amount above zero of gCO2e", EMBODIED),
    ('embodied = "1 J / query"', "not an amount above zero of gCO2e", EMBODIED),
    ('embodied = ["1 g / query"]', "not an amount above zero of gCO2e", EMBODIED),
    ("embodied = []", "neither one amount nor a list", EMBODIED),
    ('embodied = ["1 gCO2e/query", "2 gCO2e/query"]', "an amount for each unit", EMBODIED),
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
    ("max = []", "the list is empty", LIMIT),
    ("max = ['1 J / query', 5]", "item 2: a limit is a text that names its unit", LIMIT),
    ("max = ['1 J / query', '2 mJ / query']", "two limits of energy per query", LIMIT),
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


REMOTE = [
    ('kind = "rack"', 'choose from "gpu", "cpu", "dram", "machine"', 'kind = "gpu"'),
    ('unit = "MJ"', 'not known (did you mean "mJ"?)', 'unit = "J"'),
    ("labels = {}", "it is not a table of labels", 'labels = { gpu = "0" }'),
    ("labels = { gpu = 0 }", "the label gpu is not a text in quotes", 'labels = { gpu = "0" }'),
    ("endpoint = 1", "not a text in quotes", 'endpoint = "box"'),
]


def check(found: list[str], line: int, written: str, why: str, example: str) -> None:
    (message,) = found
    if ": unknown key in " in message:  # whose value isn't shown
        written = written.partition(" =")[0]
    start, end = f"{NAME}:{line}: {written}: ", f"; for example {example}"
    assert message.startswith(start)
    assert message.endswith(end)
    assert why in message[len(start) : -len(end)]


def as_shown(written: str) -> str:
    key, equals, value = re.sub(r"\n *", " ", written).partition(" = ")
    if not equals:
        return key if len(key) <= 80 else key[:77] + "..."
    return f"{key} = {value if len(value) <= 40 else value[:37] + '...'}"


@pytest.mark.parametrize(
    ("header", "written", "why", "example"),
    [("[defaults]", *each) for each in DEFAULTS]
    + [("[carbon]", *each) for each in CARBON]
    + [("[estimate]", *each) for each in ESTIMATE]
    + [("[hardware.x]", *each) for each in HARDWARE],
)
def test_a_mistake_in_a_table_is_reported_at_its_line(
    header: str, written: str, why: str, example: str, tmp_path: Path
) -> None:
    found = mistakes(f"schema = 1\n\n{header}\n# why\n{written}\n", tmp_path)
    check(found, 5, as_shown(written), why, example)


@pytest.mark.parametrize(("written", "why", "example"), BUDGET)
def test_a_mistake_in_a_budget_is_reported_at_its_line(
    written: str, why: str, example: str, tmp_path: Path
) -> None:
    limits = "" if written.startswith(("max", "limit")) else 'max = "1 J / query"'
    found = mistakes(f'schema = 1\n[[budget]]\n{limits}\nid = "a"\n{written}\n', tmp_path)
    check(found, 5, as_shown(written), why, example)


@pytest.mark.parametrize(("written", "why", "example"), REMOTE)
def test_a_mistake_in_a_counter_is_reported_at_its_line(
    written: str, why: str, example: str, tmp_path: Path
) -> None:
    given = {"metric": '"m"', "kind": '"gpu"', "unit": '"J"'}
    given.pop(written.partition(" ")[0], None)
    lines = [f"{name} = {value}" for name, value in given.items()]
    head = ["schema = 1", "[[remote]]", *lines]
    found = mistakes("\n".join([*head, written, ""]), tmp_path)
    check(found, len(head) + 1, written, why, example)


def test_a_counter_that_is_not_known_needs_its_kind_and_unit(tmp_path: Path) -> None:
    known = 'schema = 1\n[[remote]]\nmetric = "nv_energy_consumption"\n'
    (counter,) = read(known, tmp_path).remotes
    assert (counter.kind, counter.unit) == ("gpu", "J")
    assert [
        each.partition("; for")[0] for each in mistakes(known.replace("nv_", "my_"), tmp_path)
    ] == [
        f"{NAME}:2: [[remote]]: it has no kind",
        f"{NAME}:2: [[remote]]: it has no unit",
    ]


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
            "(known: schema, [defaults], [carbon], [estimate], [hardware.a100], [[budget]], "
            "[[remote]])",
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
def test_a_mistake_in_the_structure_is_reported_at_its_line(
    content: str, line: int, written: str, why: str, example: str, tmp_path: Path
) -> None:
    check(mistakes(content, tmp_path), line, written, why, example)


@pytest.mark.parametrize("content", ["", "# nothing\n[defaults]\nscope = 'gpu'\n"])
def test_a_file_without_a_schema_is_refused(content: str, tmp_path: Path) -> None:
    assert mistakes(content, tmp_path) == [
        f"{NAME}:1: the file does not say in which schema it is; for example schema = 1"
    ]


def test_a_newer_schema_is_the_only_mistake_reported(tmp_path: Path) -> None:
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
        [f"{NAME}:3", "scopes"],
        [f"{NAME}:5", "[hardware.small]"],
        [f"{NAME}:7", "[[budget]]"],
        [f"{NAME}:8", "maximum"],
        [f"{NAME}:9", 'max_carbon = "2 J / query"'],
        [f"{NAME}:13", 'tests = ["x", ""]'],
        [f"{NAME}:14", 'hardware = "smal"'],
        [f"{NAME}:16", 'scope = "gpu"'],
        [f"{NAME}:18", "[carbons]"],
    ]


def test_a_typo_is_reported_once(tmp_path: Path) -> None:
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


NEAR = "".join(f'[hardware.{"a" * 30}{i:04d}]\ngpu = "x"\n' for i in range(2000))


@pytest.mark.untraced
@pytest.mark.parametrize(
    "content",
    [
        NEAR
        + "".join(
            f"[[budget]]\nid = 'i{i}'\nmax = '1 J / query'\nhardware = '{'a' * 29}b{i:04d}'\n"
            for i in range(200)
        ),
        "x = " + '"' + '\\"' * 60_000,
        "x = " + '"""' + '\\"' * 60_000,
        "x = '" * 20_000,
        "".join(f"toleranc{i} = 1\n" for i in range(8000)),
    ],
    ids=["near names", "open text", "open long text", "quotes", "near keys"],
)
def test_a_hostile_text_is_read_in_no_time(content: str, tmp_path: Path) -> None:
    """Minutes, where the time grows with the square of the length."""
    started = time.process_time()
    found = mistakes(f"schema = 1\n{content}", tmp_path)
    assert time.process_time() - started < 5
    assert 1 <= len(found) <= 101
