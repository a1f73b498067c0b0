"""energy-budgets.toml: a valid file field by field, and what is no readable TOML file."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from budgets_files import NAME, limit, mistakes, read
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.carbon.intensity import Basis, Embodied, Intensity
from pytest_energy.limits.budget import MaxIncrease, Scope
from pytest_energy.limits.file import (
    BudgetsFile,
    BudgetsFileError,
    Defaults,
    Entry,
    Hardware,
    read_budgets,
)

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


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode(),
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
    ],
    ids=["plain", "byte order mark", "CRLF"],
)
def test_a_valid_file_is_read_field_by_field(content: bytes, tmp_path: Path) -> None:
    assert read(content, tmp_path) == BudgetsFile(
        shown=NAME,
        defaults=Defaults(tolerance=0.03, scope=Scope.AUTO, max_seconds=30.0),
        intensity=Intensity(
            grams_per_kwh=300.0, source="Ember, world", year=2024, basis=Basis.MARKET, pue=1.2
        ),
        pue=1.2,
        cpu_watts_per_core=6.5,
        hardware={
            "a100": Hardware(
                name="a100",
                origin=f"{NAME}:18",
                gpu="NVIDIA A100*",
                cpu="*EPYC*",
                gpu_count=8,
                power_limit_watts=400.0,
            ),
            "small one": Hardware(name="small one", origin=f"{NAME}:24", power_limit_watts=72.5),
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


def test_the_smallest_valid_file(tmp_path: Path) -> None:
    assert read("schema = 1", tmp_path) == BudgetsFile(shown=NAME)


def test_budgets_may_be_written_as_an_array(tmp_path: Path) -> None:
    file = read(
        "schema = 1\nbudget = [\n"
        '  {id = "a", max = "1 J / query"},\n\n  {id = "b", max = "2 J / query"},\n]\n',
        tmp_path,
    )
    assert file.entries == (
        Entry(origin=f"{NAME}:3", limits=(limit("1 J / query", 3),), id="a"),
        Entry(origin=f"{NAME}:5", limits=(limit("2 J / query", 5),), id="b"),
    )


def test_an_intensity_without_a_source_names_its_line(tmp_path: Path) -> None:
    file = read('schema = 1\n[carbon]\nintensity = "0.3 kgCO2e / kWh"\n', tmp_path)
    assert file.intensity == Intensity(grams_per_kwh=300.0, source=f"{NAME}:3")
    assert file.pue is None


def test_a_pue_needs_no_intensity(tmp_path: Path) -> None:
    file = read("schema = 1\n[carbon]\npue = 1\n", tmp_path)
    assert (file.intensity, file.pue) == (None, 1.0)


@pytest.mark.parametrize("intensity", ["", 'intensity = "300 gCO2e/kWh"\n'])
def test_embodied_emissions_are_for_a_unit_each(tmp_path: Path, intensity: str) -> None:
    stated = 'embodied = ["0.2 gCO2e / 1000 queries", "1 mgCO2e / token"]\n'
    file = read(f"schema = 1\n[carbon]\n{stated}{intensity}", tmp_path)
    found = (Embodied("query", 0.0002, f"{NAME}:3"), Embodied("token", 0.001, f"{NAME}:3"))
    assert file.embodied == found
    assert (file.intensity.embodied if file.intensity else found) == found


def test_the_estimate_may_use_the_processors_tdp(tmp_path: Path) -> None:
    file = read('schema = 1\n[estimate]\ncpu_watts_per_core = "tdp"\n', tmp_path)
    assert file.cpu_watts_per_core == "tdp"


@pytest.mark.parametrize(
    ("written", "tolerance"),
    [("0", 0.0), ("0.03", 0.03), ("0.999", 0.999), ('"3 %"', 0.03), ('" 12.5% "', 0.125)],
)
def test_a_tolerance_is_a_fraction_or_a_percentage(
    written: str, tolerance: float, tmp_path: Path
) -> None:
    file = read(f"schema = 1\n[defaults]\ntolerance = {written}\n", tmp_path)
    assert file.defaults.tolerance == tolerance


@pytest.mark.parametrize("year", [1990, 2100])
def test_the_first_and_the_last_year_are_accepted(year: int, tmp_path: Path) -> None:
    file = read(f'schema = 1\ncarbon = {{intensity = "1 gCO2e/kWh", year = {year}}}\n', tmp_path)
    assert file.intensity == Intensity(grams_per_kwh=1.0, source=f"{NAME}:2", year=year)


def test_hardware_without_a_gpu(tmp_path: Path) -> None:
    file = read("schema = 1\n[hardware.cpu]\ngpu_count = 0\n", tmp_path)
    assert file.hardware == {"cpu": Hardware(name="cpu", origin=f"{NAME}:2", gpu_count=0)}


@pytest.mark.parametrize(
    ("content", "start", "end"),
    [
        ("schema = 1\nmax = '1 J\n\na = 2", f"{NAME}:2: not valid TOML: ", ""),
        ('schema = 1\nmax = "1 J\n', f"{NAME}:2: not valid TOML at column 11: ", ""),
        ('schema = 1\na = """b" = 1\nc = 2', f"{NAME}:2: not valid TOML: ", ""),
        ("schema = 1\n\na =", f"{NAME}:3: not valid TOML: ", ""),
        ("schema = 1\n\n[a", f"{NAME}:3: not valid TOML: ", ""),
        ("schema = 1\n\nb = [\n1\n,2,\n# x", f"{NAME}:3: not valid TOML: ", ""),
        ("schema = 1\r\n\r\na = ?\r\n", f"{NAME}:3: not valid TOML at column 5: ", "value"),
        ("schema = 1\n[[budget]\n", f"{NAME}:2: not valid TOML at column 9: ", ""),
        ("schema = 1\na = 1\na = 2 # x\nb", f"{NAME}:3: not valid TOML", "a value"),
        ("schema = 1\na = [1,\n\n", f"{NAME}:2: not valid TOML: ", "end of document)"),
        ("schema = 1\na = '''\n", f"{NAME}:2: not valid TOML: ", ""),
        ("\0", f"{NAME}:1: not valid TOML at column 1: ", ""),
        ("a = 1\rb = 2", f"{NAME}:1: not valid TOML at column 6: ", ""),
        (f"{'x' * 90} 1", f"{NAME}:1: not valid TOML at column 92: ", ""),
        (
            f"schema = 1\na = '123'\nb = -{'1' * 5000}",
            f"{NAME}:3: an integer of too many digits",
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
        (
            "schema = 1\n[[budget]]\nmax = '1 J / query'\ntests = [" + "'*'," * 20_001 + "]",
            f"{NAME}:1: its budgets have 20,001 names with * or ?, and 20,000 are allowed",
            '"tests/test_q.py::*"',
        ),
    ],
)
def test_invalid_toml_is_reported_with_its_line(
    content: str | bytes, start: str, end: str, tmp_path: Path
) -> None:
    (message,) = mistakes(content, tmp_path)
    assert message.startswith(start)
    assert message.endswith(end)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    assert read(b"schema = 1\n" + b"#" * ((1 << 20) - 11), tmp_path) == BudgetsFile(shown=NAME)


def test_a_path_that_is_no_file_is_reported(tmp_path: Path) -> None:
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


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_file_of_the_kernel_is_not_read() -> None:
    with pytest.raises(BudgetsFileError, match=f"^{NAME}: this is not a regular file;"):
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
