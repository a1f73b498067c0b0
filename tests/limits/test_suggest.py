"""Suggested limits: which tests get one, what is left alone, and the file they go into."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import RECORD, TEST, UNMEASURED
from suggestions import FILE, ID, OPEN, limit_of, read, session, sessions, suggested

from conftest import EnergyPytester
from pytest_energy.limits.budget import Declaration
from pytest_energy.limits.limit import parse_limit
from pytest_energy.limits.resolve import MachineClass, Subject, resolve
from pytest_energy.limits.room import SuggestionError
from pytest_energy.limits.suggest import suggest
from pytest_energy.record import file as record
from pytest_energy.record.schema import (
    BudgetRecord,
    ChannelRecord,
    GpuRecord,
    LapsRecord,
    TestRecord,
)

SMALL = 'schema = 1\n\n[[budget]] # a\ntask = "other" # b\nmax = "1 J / query" # c\n'


# -- what is written ----------------------------------------------------------------------------


def test_a_test_without_a_limit_gets_one_with_its_reason() -> None:
    found = suggest([session(OPEN)], "", FILE)
    assert found.text == (
        "# Limits of pytest-energy: what each test may use at most.\n"
        "schema = 1\n"
        "\n"
        "[[budget]]\n"
        f'tests = "{ID}"\n'
        'max = "2.31 Wh / 1000 queries"\n'
    )
    assert found.messages == (
        f'{ID}: max = "2.31 Wh / 1000 queries" (2.10 measured in 1 session, 10 % headroom)',
    )
    assert found.written == 1
    assert limit_of(found.text) == parse_limit("2.31 Wh / 1000 queries")


def scaled(joules: float) -> TestRecord:
    """The measured test at another figure."""
    return replace(OPEN, joules_per_unit=joules, interval=(0.98 * joules, 1.02 * joules))


def test_a_limit_of_three_digits_is_rounded_no_further() -> None:
    for hundredths in range(100, 300, 10):
        found = suggest([session(scaled(hundredths * 0.036))], "", FILE)
        assert limit_of(found.text).amount == pytest.approx(hundredths * 0.011)


def test_small_figures_are_in_millijoules() -> None:
    found = suggest([session(replace(scaled(0.0123), unit="token"))], "", FILE)
    assert limit_of(found.text) == parse_limit("13.6 mJ / token")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.118, "148 cpu-ms / query"), (0.00001, "0.0125 cpu-ms / query"), (9, "11300 cpu-ms /query")],
)
def test_cpu_time_is_limited_in_cpu_time(seconds: float, text: str) -> None:
    test = replace(OPEN, method="cpu-time", scope="cpu", cpu_seconds_per_unit=seconds)
    found = suggest([session(test)], "", FILE)
    assert limit_of(found.text) == parse_limit(text)
    assert re.search(r"counted in 1 session, 25 % headroom\)$", found.messages[0])


@pytest.mark.parametrize(
    "test_id",
    [
        "tests/a.py::test_x[say \"hi\" \\ 'you']",
        "tests/a.py::test_x[\x01\x7f\t\n\r]",
        "tests/ä.py::test_x[😀]",
        "tests/a.py::test_x[a*b?]",
        "tests/a.py::test_x[{}]#=",
    ],
)
def test_any_test_id_can_be_written(test_id: str) -> None:
    found = suggest([session(replace(OPEN, id=test_id))], SMALL, FILE)
    assert limit_of(found.text, test_id) == parse_limit("2.31 Wh / 1000 queries")
    assert read(found.text).entries[-1].tests == (test_id,)
    assert ("fit other tests too" in found.messages[0]) == ("*" in test_id)


@pytest.mark.parametrize(
    "text",
    [
        SMALL,
        SMALL.replace("\n", "\r\n"),
        "\ufeff" + SMALL,
        SMALL.rstrip(),
        SMALL + "# the end",
        SMALL + "\n\n\t# the end\n\n",
        "schema=1",
        "'schema' = 1\n",
        "schema = 1\n[[ 'budget' ]]\n\"task\"   ='x'\nmax=\"1 J / query\"\n\n[carbon]\npue = 1 # d",
        "schema = 1\nhardware.a.gpu = '*' # e\ndefaults = {scope='cpu'}\n[hardware . b]\ncpu='x'",
        "schema = 1\n[[budget]]\ntask='x'\nmax='1 J / query'\nmessage = '''\n# no comment\n'''",
    ],
)
def test_what_the_file_holds_stays_as_it_is(text: str) -> None:
    records = [session(OPEN, replace(OPEN, id="t.py::test_two"))]
    found = suggest(records, text, FILE)
    assert found.text.startswith(text)
    added = found.text.removeprefix(text)
    assert added.count("[[budget]]") == 2
    assert len(re.findall(r"\n\r?\n\[\[budget\]\]", found.text.removeprefix(text.rstrip()))) == 2
    assert added.count("\r\n") == (added.count("\n") if "\r\n" in text else 0)
    before, after = read(text), read(found.text)
    assert after.entries[:-2] == before.entries
    assert replace(after, entries=before.entries) == before
    assert limit_of(found.text) == limit_of(found.text, "t.py::test_two")
    again = suggest(records, found.text, FILE)
    assert (again.text, again.written) == (found.text, 0)


@pytest.mark.parametrize("budgets", ["[]", "[ { task = 'x', max = '1 J / query' }, # one\n]"])
def test_a_list_in_one_value_is_refused_in_words(budgets: str) -> None:
    text = f"schema = 1\n'budget' = {budgets}\n"
    read(text)
    with pytest.raises(SuggestionError, match=rf"{FILE}:2: 'budget' = \[.*under \[\[budget\]\]"):
        suggest([session(OPEN)], text, FILE)
    assert suggest([session(TEST)], text, FILE).text == text


def test_nothing_measured_writes_nothing() -> None:
    assert suggest([], SMALL, FILE) == suggest([session()], SMALL, FILE)
    assert suggest([], "", FILE).text == ""


@pytest.mark.usefixtures("no_contention")
def test_the_limit_holds_for_the_measured_test(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        '@pytest.mark.parametrize("n", ["a*", "b"])\n@budget\ndef test_it(n):\n    spin(10)\n'
    )
    energy_pytester.run()
    found = suggest([record.read(energy_pytester.record_path)], "", FILE)
    assert found.written == 2
    (energy_pytester.pytester.path / FILE).write_text(found.text, encoding="utf-8")
    energy_pytester.run()
    budgets = [each["budget"] for each in energy_pytester.record()["tests"]]
    assert [each["origin"] for each in budgets] == [f"{FILE}:6", f"{FILE}:10"]
    again = suggest([record.read(energy_pytester.record_path)], found.text, FILE)
    assert again.written == 0


# -- what is left as it is ----------------------------------------------------------------------

ENTRY = 'schema = 1\n[[budget]]\n{}\nmax = "3 Wh / 1k queries"\n'


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        (f'tests = "{ID}"', ":4"),
        (f'tests = ["a.py::test_a", "{ID}"]', ":4"),
        (f'tests = "{ID}"\ntask = "another"\nmodel = "another"', ":6"),
        ('tests = "tests/*"', ":4"),
        ('task = "answers"', ":4"),
        ('model = "gpt*"', ":4"),
    ],
)
def test_a_limit_that_the_file_has_is_kept(keys: str, where: str) -> None:
    text = ENTRY.format(keys)
    test = replace(OPEN, task="answers", model="gpt2")
    found = suggest([session(test)], text, FILE)
    assert (found.text, found.written) == (text, 0)
    assert found.messages == (f'{ID}: kept "3 Wh / 1k queries" ({FILE}{where})',)


def test_a_limit_for_other_hardware_is_kept_and_reported_as_such() -> None:
    text = ENTRY.format(f'tests = "{ID}"\nhardware = "h"') + '[hardware.h]\ngpu = "H100"\n'
    found = suggest([session(OPEN)], text, FILE)
    assert (found.text, found.written) == (text, 0)
    assert found.messages == (f'{ID}: kept "3 Wh / 1k queries" ({FILE}:5, for hardware h only)',)


@pytest.mark.parametrize(
    ("keys", "changes"),
    [
        (f'tests = "{ID}"', {"unit": "token"}),
        (f'tests = "{ID}"', {"method": "cpu-time", "scope": "cpu"}),
        ('tests = "tests/test_p*"', {}),
        ('task = "answers"', {"task": "others"}),
    ],
)
def test_an_existing_limit_of_another_kind_does_not_prevent_a_suggestion(
    keys: str, changes: dict[str, Any]
) -> None:
    found = suggest([session(replace(OPEN, **changes))], ENTRY.format(keys), FILE)
    assert found.written == 1
    read(found.text)


def test_the_entry_of_its_own_is_named_before_a_pattern() -> None:
    text = ENTRY.format('tests = "tests/*"') + f'[[budget]]\ntests = "{ID}"\nmax = "1 J / query"\n'
    assert suggest([session(OPEN)], text, FILE).messages == (
        f'{ID}: kept "1 J / query" ({FILE}:7)',
    )


MARKER = BudgetRecord(limit="9 J / query", origin="tests/test_q.py:3")


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (replace(OPEN, budget=MARKER, verdict="pass"), 'kept "9 J / query" (tests/test_q.py:3)'),
        (
            replace(OPEN, budget=MARKER, verdict="inconclusive"),
            'kept "9 J / query" (tests/test_q.py:3)',
        ),
        (
            replace(OPEN, budget=MARKER, verdict="fail"),
            'skipped, it is over its limit "9 J / query" (tests/test_q.py:3), and a suggestion '
            "raises no limit",
        ),
        (replace(OPEN, verdict="fail", reason="worse"), "skipped, fail: worse"),
        (
            replace(UNMEASURED, id=ID, budget=None),
            "skipped, unmeasured: an Apple GPU (MPS) was used, and no sensor reads it",
        ),
        (
            replace(UNMEASURED, id=ID, name="long", reason="0 J"),
            "skipped, unmeasured as 'long': 0 J",
        ),
        (replace(OPEN, joules_per_unit=0.0, reason="none"), "skipped, unmeasured: none"),
    ],
)
def test_a_test_that_gets_no_limit_is_reported_with_the_reason(
    test: TestRecord, reason: str
) -> None:
    for text in ("", SMALL):
        found = suggest([session(test)], text, FILE)
        assert (found.text, found.written, found.messages) == (text, 0, (f"{ID}: {reason}",))


def test_each_existing_limit_of_a_test_is_reported_once() -> None:
    tests = [
        replace(OPEN, budget=budget, name=name, verdict=verdict)
        for name in ("a", "b")
        for budget, verdict in (
            (MARKER, "pass"),
            (replace(MARKER, limit="9 J / call"), "fail" if name == "b" else "pass"),
        )
    ]
    messages = suggest([session(*tests)], "", FILE).messages
    assert [each.removeprefix(f"{ID}: ")[:12] for each in messages] == [
        'kept "9 J / ',
        "skipped, it ",
    ]


# -- which figures count ------------------------------------------------------------------------


def test_the_last_attempt_counts() -> None:
    first = replace(OPEN, joules_per_unit=99.0, interval=None)
    assert suggested([session(first, replace(OPEN, attempt=2))])[0] == pytest.approx(2.31 * 3.6)
    failed = replace(UNMEASURED, id=ID, budget=None, attempt=2)
    assert suggest([session(OPEN, failed)], "", FILE).written == 0


def test_the_highest_of_several_measurements_counts() -> None:
    tests = [
        replace(OPEN, name=name, joules_per_unit=joules, interval=(joules, joules))
        for name, joules in (("short", 1.0), ("long", 7.56), ("middle", 2.0))
    ]
    limit, reason = suggested([session(*tests)])
    assert limit == pytest.approx(2.31 * 3.6)
    assert "(2.10 measured as 'long' in 1 session, 10 % headroom)" in reason


def test_one_measurement_in_several_units_gets_a_limit_for_each() -> None:
    found = suggest([session(OPEN, replace(OPEN, unit="token"))], "", FILE)
    budgets = resolve(Declaration(), Subject(ID), MachineClass("Xeon"), read(found.text)).budgets
    assert [each.unit for each in budgets] == ["query", "token"]


@pytest.mark.parametrize(
    "changes", [{"unit": "token"}, {"scope": "cpu"}, {"method": "estimated"}], ids=str
)
def test_measurements_of_different_things_get_no_limit_for_all(changes: dict[str, Any]) -> None:
    tests = (replace(OPEN, name="a"), replace(OPEN, name="b", **changes))
    found = suggest([session(*tests)], "", FILE)
    assert found.written == 0
    assert next(iter(changes.values())) in found.messages[0]
    assert "make each a test of its own" in found.messages[0]


def test_whether_a_limit_exists_is_read_from_the_newest_record() -> None:
    limited = replace(OPEN, budget=MARKER, verdict="pass")
    assert suggest([session(OPEN, day=2), session(limited, day=1)], "", FILE).written == 1
    assert suggest([session(OPEN, day=1), session(limited, day=2)], "", FILE).written == 0


def test_a_record_given_twice_counts_once_and_their_order_does_not_count() -> None:
    one, two = sessions([7.56, 7.6])
    assert suggest([one, one], "", FILE) == suggest([one], "", FILE)
    assert suggest([two, one, two], "", FILE) == suggest([one, two], "", FILE)


def test_a_session_without_the_measurement_is_left_out() -> None:
    failed = replace(UNMEASURED, id=ID, unit="query", budget=None)
    elsewhere = replace(OPEN, unit="token"), replace(OPEN, name="other"), failed
    records = [session(test, day=day) for day, test in enumerate(elsewhere, start=1)]
    found = suggest([*records, session(OPEN, day=9)], "", FILE)
    assert f"{ID}: max" in found.messages[0]
    assert "in 1 session" in found.messages[0]


A100 = GpuRecord(name="A100", uuid="GPU-1", power_limit_watts=400.0)
CPU = replace(
    OPEN,
    scope="cpu",
    channels=(
        ChannelRecord(
            name="cpu:process",
            kind="cpu",
            source="x",
            provenance="estimated",
            gated=True,
            joules_per_unit=1.0,
        ),
    ),
)


@pytest.mark.parametrize(
    ("test", "machine", "words"),
    [
        (OPEN, {"gpus": (replace(A100, name="H100"),)}, "A100 at 400 W .* and H100 at 400 W"),
        (OPEN, {"gpus": (A100, A100)}, "A100 at 400 W .* and A100 at 400 W, A100 at 400 W"),
        (OPEN, {"gpus": (replace(A100, power_limit_watts=300.0),)}, "and A100 at 300 W"),
        (OPEN, {"gpus": (replace(A100, power_limit_watts=None),)}, r"and A100 \("),
        (OPEN, {"gpus": ()}, "and no GPU"),
        (CPU, {"cpu": "EPYC"}, "Xeon, 2 cores .* and EPYC, 2 cores"),
        (CPU, {"cpu_count": 4}, "Xeon, 2 cores .* and Xeon, 4 cores"),
    ],
)
def test_figures_of_different_hardware_are_never_mixed(
    test: TestRecord, machine: dict[str, Any], words: str
) -> None:
    others = replace(RECORD.machine, **machine)
    with pytest.raises(SuggestionError, match=f"different hardware.*{words}.*in a run for each"):
        suggest([session(test), session(test, day=2, machine=others)], "", FILE)


@pytest.mark.parametrize(
    ("test", "machine"),
    [
        (OPEN, {"gpus": (replace(A100, uuid="GPU-2"),)}),
        (OPEN, {"cpu": "EPYC"}),
        (CPU, {"gpus": ()}),
    ],
)
def test_hardware_that_is_not_gated_may_differ(test: TestRecord, machine: dict[str, Any]) -> None:
    others = replace(RECORD.machine, **machine)
    unmeasured = replace(UNMEASURED, channels=(*OPEN.channels[:1], *CPU.channels))
    records = [session(test, unmeasured), session(test, unmeasured, day=2, machine=others)]
    found = suggest(records, "", FILE)
    assert "in 2 sessions" in found.messages[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "integrated"}, "measured, scope gpu, .* and integrated, scope gpu"),
        ({"scope": "all"}, "scope gpu, .* and measured, scope all"),
        ({"channels": OPEN.channels[:1] * 2}, r"of A100 \(.*of A100 \+ NVML energy counter"),
        (
            {"channels": (replace(OPEN.channels[1], gated=True),)},
            "by NVML energy counter of A100 .* by CPU time x 4 W a core",
        ),
    ],
    ids=["method", "scope", "two GPUs", "source"],
)
def test_figures_that_came_about_differently_are_never_mixed(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(SuggestionError, match=f"^{ID} was measured in different ways: .*{words}"):
        suggest([session(OPEN), session(replace(OPEN, **changes), day=2)], "", FILE)


COMMENT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)


@given(
    st.lists(COMMENT, min_size=3, max_size=3),
    st.sampled_from(["\n", "\r\n", "\n\n\t"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(lambda id: f"t.py::{id}"),
)
def test_every_comment_survives_and_the_file_reads(
    comments: list[str], newline: str, test_id: str
) -> None:
    lines = ["schema = 1", "[[budget]]", 'id = "a"', "max = '1 J / query'"]
    for index, comment in enumerate(comments, start=1):
        lines[index] += f" #{comment}"
    text = newline.join(lines)
    found = suggest([session(replace(OPEN, id=test_id))], text, FILE)
    assert found.text.startswith(text)
    assert read(found.text).entries[-1].tests == (test_id,)
    assert limit_of(found.text, test_id) == parse_limit("2.31 Wh / 1000 queries")


def test_figures_with_a_wide_interval_suggest_nothing() -> None:
    wide = replace(OPEN, interval=(OPEN.joules_per_unit or 0.0, 3 * (OPEN.joules_per_unit or 0.0)))
    assert suggest([session(wide)], "", FILE).messages == (
        f"{ID}: skipped, its rounds differ so much that its interval ends at 300 % of the figure; "
        "measure again, on a quieter machine or with more rounds",
    )
    alone = suggest([session(OPEN, day=1)], "", FILE)
    assert suggest([session(OPEN, day=1), session(wide, day=2)], "", FILE) == alone


def test_figures_under_cpu_contention_suggest_nothing() -> None:
    crowd, quiet = replace(OPEN, joules_per_unit=23.4, contention=True), OPEN
    found = suggest([session(crowd)], "", FILE)
    assert found.messages == (
        f"{ID}: skipped, CPU contention increased the CPU time; measure on a quieter machine",
    )
    laps = LapsRecord(laps=400, seconds=0.005, affected=0.5, rounds_left_out=1, spread=0.04)
    cleaned = suggest([session(replace(crowd, laps=laps))], "", FILE)
    assert cleaned.text == suggest([session(replace(crowd, contention=False))], "", FILE).text
    alone = suggest([session(quiet, day=1)], "", FILE)
    for noisy_day in (2, 3):  # the newest or not, it is left out
        records = [session(quiet, day=1), session(crowd, day=noisy_day)]
        assert suggest(records, "", FILE) == alone


@pytest.mark.usefixtures("no_contention")
@pytest.mark.parametrize("rounds", [2, 5])
def test_the_summary_suggests_what_the_command_does(
    energy_pytester: EnergyPytester, rounds: int
) -> None:
    energy_pytester.write("@budget\ndef test_it():\n    spin(2)\n")
    limits = (f"--energy-max-rounds={rounds}", "--energy-max-seconds=9")
    result = energy_pytester.run(*limits, quick=False)
    (line,) = [each for each in result.outlines if "@pytest.mark.energy_budget(" in each]
    (said,) = [each for each in result.outlines if "the line to paste" in each]
    found = suggest([record.read(energy_pytester.record_path)], "", FILE)
    (limit,) = re.findall(r'max = "([^"]*)"', found.text)
    assert f'"{limit}"' in line
    (headroom,) = re.findall(r"\d+ % headroom", " ".join(found.messages))
    assert headroom in said
