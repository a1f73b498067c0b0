"""Suggested limits: how much room they leave, what they leave alone, and the file they go into."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from conftest import EnergyPytester
from pytest_energy import record
from pytest_energy.budgets.budget import Declaration
from pytest_energy.budgets.file import BudgetsFile, read_budgets
from pytest_energy.budgets.resolve import MachineClass, Subject, resolve
from pytest_energy.budgets.suggest import SuggestionError, suggest
from pytest_energy.record import (
    BudgetRecord,
    ChannelRecord,
    GpuRecord,
    MachineRecord,
    RoundRecord,
    RunRecord,
    TestRecord,
)
from pytest_energy.units import Limit, parse_limit
from pytest_energy.verdict import Verdict, estimate, look
from records import NEW, RECORD, TEST, UNMEASURED

FILE = "energy-budgets.toml"
ID = "tests/test_q.py::test_q"
ROUNDS = tuple(RoundRecord(1.0, 1.0, 1.0, False, 0.1, 1) for _ in range(5))
#: A test without a limit; 7.56 J / query are 2.1 Wh / 1000 queries.
OPEN = replace(
    NEW,
    id=ID,
    unit="query",
    joules_per_unit=7.56,
    interval=(7.55, 7.57),
    rounds=ROUNDS,
    attempt=1,
    notes=(),
)
SMALL = 'schema = 1\n\n[[budget]] # a\ntask = "other" # b\nmax = "1 J / query" # c\n'


def session(*tests: TestRecord, day: int = 1, machine: MachineRecord | None = None) -> RunRecord:
    run = replace(RECORD.run, uuid=f"run-{day}", start=f"2026-11-{day:02d}T05:48:00+00:00")
    return replace(RECORD, run=run, tests=tests, machine=machine or RECORD.machine)


def sessions(centres: Sequence[float], factor: float = 1.005, **changes: Any) -> list[RunRecord]:
    """A session a day for each centre in joules, whose interval is this factor wide each way."""
    return [
        session(
            replace(OPEN, joules_per_unit=each, interval=(each / factor, each * factor), **changes),
            day=day,
        )
        for day, each in enumerate(centres, start=1)
    ]


def read(text: str) -> BudgetsFile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, FILE)
        path.write_bytes(text.encode())
        return read_budgets(path, FILE)


def limit_of(text: str, test_id: str = ID) -> Limit:
    """The one limit that stands for a test of this file."""
    (budget,) = resolve(Declaration(), Subject(test_id), MachineClass("Xeon"), read(text)).budgets
    assert budget.limit is not None
    return budget.limit


def suggested(records: Sequence[RunRecord]) -> tuple[float, str]:
    """What another session may use for one unit, and what is told of it."""
    found = suggest(records, "", FILE)
    assert found.written == 1
    return limit_of(found.text).base_per_unit, found.told[0]


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
    assert found.told == (
        f'{ID}: max = "2.31 Wh / 1000 queries" (2.10 measured in 1 session, 10 % headroom)',
    )
    assert found.written == 1
    assert limit_of(found.text) == parse_limit("2.31 Wh / 1000 queries")


def test_a_limit_of_three_digits_is_rounded_no_further() -> None:
    for hundredths in range(100, 300, 10):
        found = suggest([session(replace(OPEN, joules_per_unit=hundredths * 0.036))], "", FILE)
        assert limit_of(found.text).amount == pytest.approx(hundredths * 0.011)


def test_small_figures_are_in_millijoules() -> None:
    found = suggest([session(replace(OPEN, joules_per_unit=0.0123, unit="token"))], "", FILE)
    assert limit_of(found.text) == parse_limit("13.6 mJ / token")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.118, "148 cpu-ms / query"), (0.00001, "0.0125 cpu-ms / query"), (9, "11300 cpu-ms /query")],
)
def test_cpu_time_is_limited_in_cpu_time(seconds: float, text: str) -> None:
    test = replace(OPEN, method="cpu-time", scope="cpu", cpu_seconds_per_unit=seconds)
    found = suggest([session(test)], "", FILE)
    assert limit_of(found.text) == parse_limit(text)
    assert re.search(r"counted in 1 session, 25 % headroom\)$", found.told[0])


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
    assert ("fit other tests too" in found.told[0]) == ("*" in test_id)


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
    assert found.told == (f'{ID}: kept "3 Wh / 1k queries" ({FILE}{where})',)


def test_a_limit_for_other_hardware_is_kept_and_said_to_be_one() -> None:
    text = ENTRY.format(f'tests = "{ID}"\nhardware = "h"') + '[hardware.h]\ngpu = "H100"\n'
    found = suggest([session(OPEN)], text, FILE)
    assert (found.text, found.written) == (text, 0)
    assert found.told == (f'{ID}: kept "3 Wh / 1k queries" ({FILE}:5, for hardware h only)',)


@pytest.mark.parametrize(
    ("keys", "changes"),
    [
        (f'tests = "{ID}"', {"unit": "token"}),
        (f'tests = "{ID}"', {"method": "cpu-time", "scope": "cpu"}),
        ('tests = "tests/test_p*"', {}),
        ('task = "answers"', {"task": "others"}),
    ],
)
def test_another_limit_is_no_reason_to_give_none(keys: str, changes: dict[str, Any]) -> None:
    found = suggest([session(replace(OPEN, **changes))], ENTRY.format(keys), FILE)
    assert found.written == 1
    read(found.text)


def test_the_entry_of_its_own_is_named_before_a_pattern() -> None:
    text = ENTRY.format('tests = "tests/*"') + f'[[budget]]\ntests = "{ID}"\nmax = "1 J / query"\n'
    assert suggest([session(OPEN)], text, FILE).told == (f'{ID}: kept "1 J / query" ({FILE}:7)',)


MARKER = BudgetRecord("9 J / query", "tests/test_q.py:3")


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (replace(OPEN, budget=MARKER, verdict="pass"), 'kept "9 J / query" (tests/test_q.py:3)'),
        (
            replace(OPEN, budget=MARKER, verdict="inconclusive"),
            'kept "9 J / query" (tests/test_q.py:3)',
        ),
        (
            replace(OPEN, budget=MARKER, verdict="fail"),
            'skipped, it is over its limit "9 J / query" (tests/test_q.py:3), and a suggestion '
            "loosens none",
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
def test_a_test_that_gets_no_limit_is_told_of(test: TestRecord, told: str) -> None:
    for text in ("", SMALL):
        found = suggest([session(test)], text, FILE)
        assert (found.text, found.written, found.told) == (text, 0, (f"{ID}: {told}",))


def test_each_limit_of_a_test_is_told_of_once() -> None:
    tests = [
        replace(OPEN, budget=budget, name=name, verdict=verdict)
        for name in ("a", "b")
        for budget, verdict in (
            (MARKER, "pass"),
            (replace(MARKER, limit="9 J / call"), "fail" if name == "b" else "pass"),
        )
    ]
    told = suggest([session(*tests)], "", FILE).told
    assert [each.removeprefix(f"{ID}: ")[:12] for each in told] == ['kept "9 J / ', "skipped, it "]


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
    limit, told = suggested([session(*tests)])
    assert limit == pytest.approx(2.31 * 3.6)
    assert "(2.10 measured as 'long' in 1 session, 10 % headroom)" in told


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
    assert next(iter(changes.values())) in found.told[0]
    assert "make each a test of its own" in found.told[0]


def test_the_newest_record_tells_whether_a_limit_stands() -> None:
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
    assert f"{ID}: max" in found.told[0]
    assert "in 1 session" in found.told[0]


A100 = GpuRecord("A100", "GPU-1", 400.0)
CPU = replace(
    OPEN, scope="cpu", channels=(ChannelRecord("cpu:process", "cpu", "x", "estimated", True, 1.0),)
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
    assert "in 2 sessions" in found.told[0]


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


# -- the headroom -------------------------------------------------------------------------------


def predicted(centres: Sequence[float], half: float) -> float:
    """Rule B of the design, with scipy's t."""
    k, logs = len(centres), [math.log(each) for each in centres]
    within = (half / float(stats.t.ppf(0.9975, 4))) ** 2
    s2 = max(variance(logs) - within, 0) if k > 1 else 0
    tau2 = (8 * 0.02**2 + (k - 1) * s2) / (7 + k)
    t = float(stats.t.ppf(0.99, 7 + k))
    return math.exp(fmean(logs) + t * math.sqrt(tau2 * (1 + 1 / k) + within * (1 + 1 / k)))


@pytest.mark.parametrize("factor", [1.005, 1.15])
@pytest.mark.parametrize(
    "centres", [[7.56, 7.7], [5.0, 6.0], [7.5, 7.6, 7.7, 7.9, 7.4], [3.0, 3.3, 3.6, 3.2]]
)
def test_several_sessions_tell_the_spread(centres: list[float], factor: float) -> None:
    limit, told = suggested(sessions(centres, factor))
    expected = predicted(centres, math.log(factor))
    assert expected * (1 - 1e-6) <= limit <= expected * 1.011  # three digits, rounded up
    mean = math.exp(fmean(math.log(each) for each in centres))
    headroom = f"{expected / mean - 1:.0%}".replace("%", " %")
    assert told.endswith(f"in {len(centres)} sessions, {headroom} headroom for the spread)")


def test_a_noisy_session_leaves_more_room() -> None:
    noisy = replace(OPEN, interval=(7.56 / 1.2, 7.56 * 1.2))
    limit, told = suggested([session(noisy)])
    assert limit == pytest.approx(predicted([7.56], math.log(1.2)), rel=0.01)
    assert limit > 7.56 * 1.15
    assert told.endswith("headroom for the spread)")


@pytest.mark.parametrize(
    ("count", "changes", "headroom"),
    [
        (1, {}, "10"),
        (1, {"method": "integrated"}, "10"),
        (1, {"method": "estimated"}, "25"),
        (30, {}, "5"),
        (30, {"method": "estimated"}, "5"),
    ],
)
def test_the_headroom_has_a_floor(count: int, changes: dict[str, Any], headroom: str) -> None:
    found = suggest(sessions([7.56] * count, **changes), "", FILE)
    assert found.told[0].endswith(f", {headroom} % headroom)")
    expected = 7.56 * (1 + int(headroom) / 100)
    assert expected * (1 - 1e-6) <= limit_of(found.text).base_per_unit <= expected * 1.01


def test_one_session_far_out_stays_under_the_limit() -> None:
    limit, told = suggested(sessions([7.56] * 20 + [15.0]))
    assert 15.0 * 1.01 * (1 - 1e-6) <= limit <= 15.0 * 1.02
    assert told.endswith("headroom to stay over the highest)")


@pytest.mark.parametrize("rounds", [1, 5])
def test_the_same_figure_passes_under_its_suggested_limit(rounds: int) -> None:
    values = [7.5, 7.6, 7.5, 7.7, 7.4][:rounds]
    found = estimate(values)
    test = replace(OPEN, joules_per_unit=found.centre, interval=found.interval)
    limit, told = suggested([session(test)])
    assert look(values, limit, 0.03, final=True) is Verdict.PASS
    assert ("since fewer than 5 rounds pass only 15 % under a limit" in told) == (rounds < 5)


FIGURES = st.floats(min_value=1e-6, max_value=1e6)
UNITS = st.sampled_from(["query", "token", "image", "call"])


@given(
    st.lists(st.tuples(FIGURES, st.none() | st.floats(1.0, 3.0)), min_size=1, max_size=12),
    UNITS,
    st.sampled_from(["measured", "integrated", "estimated", "cpu-time"]),
)
def test_the_limit_lies_above_every_session(
    spread: list[tuple[float, float | None]], unit: str, method: str
) -> None:
    records = []
    for day, (centre, factor) in enumerate(spread, start=1):
        test = replace(
            OPEN,
            joules_per_unit=centre,
            cpu_seconds_per_unit=centre,
            interval=None if factor is None else (centre / factor, centre * factor),
            unit=unit,
            method=method,
        )
        records.append(session(test, day=day))
    limit, _ = suggested(records)
    assert limit > max(centre for centre, _ in spread)


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
