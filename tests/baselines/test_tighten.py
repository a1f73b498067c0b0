"""Tightened limits: which are lowered and how far, and that nothing else in the file changes."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from records import budget_record
from session_records import H100, ID, JOULES, SHAPE, measured, session

from conftest import EnergyPytester
from pytest_energy.baselines.tighten import Tightened, tighten_from_baselines, tighten_from_records
from pytest_energy.baselines.update import Mode, update
from pytest_energy.limits.file import BudgetsFile, parse_budgets
from pytest_energy.limits.room import SuggestionError
from pytest_energy.record import file as record
from pytest_energy.record.schema import LapsRecord, RunRecord, TestRecord

FILE = "energy-budgets.toml"
OLD = "4 Wh / 1000 queries"
TEXT = f'schema = 1\n\n[[budget]]  # {OLD}, as agreed\ntests = "{ID}"\nmax = "{OLD}"  # {OLD}\n'
LINE = 5
NEW = "2.31 Wh / 1000 queries"


def limited(joules: float = JOULES, limit: str = OLD, **changes: Any) -> TestRecord:
    """A test that was judged by the limit of TEXT; 14.4 J are 4 Wh for 1000."""
    budget = budget_record(limit, origin=f"{FILE}:{LINE}")
    changes.setdefault("limit_joules_per_unit", 14.4)
    return measured(joules, budget=budget, verdict="pass", **changes)


def by_records(text: str, *records: RunRecord) -> Tightened:
    return tighten_from_records(records, text, FILE)


def by_baselines(text: str, *records: RunRecord) -> Tightened:
    return tighten_from_baselines(update((), records, Mode.ADD).lines, text, FILE)


@pytest.mark.parametrize("tighten", [by_records, by_baselines])
def test_a_limit_far_above_is_lowered_and_nothing_else_changes(tighten: Any) -> None:
    found = tighten(TEXT, session(limited()))
    assert found.text == TEXT.replace(f'max = "{OLD}"', f'max = "{NEW}"')
    assert (found.lowered, found.messages) == (
        1,
        (f'{FILE}:{LINE}: max: "{OLD}" -> "{NEW}" (2.10 in 1 session of {ID}, 10 % headroom)',),
    )


def test_one_limit_of_a_list_is_lowered_in_its_place() -> None:
    listed = f'["1 J / token", "{OLD}", "2 J / image"]'
    text = TEXT.replace(f'max = "{OLD}"', f"max = {listed}")
    for found in (by_records(text, session(limited())), by_baselines(text, session(limited()))):
        assert found.text == text.replace(f', "{OLD}"', f', "{NEW}"')
        assert found.messages[1].startswith(f'{FILE}:{LINE}: max, item 2: "{OLD}" -> "{NEW}" (')
        assert [each.partition(": kept")[0] for each in found.messages[::2]] == [
            f"{FILE}:{LINE}: max, item 1",
            f"{FILE}:{LINE}: max, item 3",
        ]


def test_a_limit_whose_record_holds_no_values_is_kept() -> None:
    test = limited()
    assert test.budget is not None
    old = replace(test, budget=replace(test.budget, amount=None))
    found = by_records(TEXT, session(old))
    assert found.lowered == 0
    assert "was measured by another version of pytest-energy; measure it" in found.messages[0]


@pytest.mark.parametrize("tighten", [by_records, by_baselines])
def test_several_sessions_leave_what_suggest_leaves(tighten: Any) -> None:
    records = [session(limited(JOULES * each), day=day) for day, each in enumerate((1, 1.02), 1)]
    found = tighten(TEXT, *records)
    assert found.lowered == 1
    assert "2.12 in 2 sessions" in found.messages[0]
    assert "7 % headroom for the spread" in found.messages[0]


@pytest.mark.parametrize("tighten", [by_records, by_baselines])
@pytest.mark.parametrize("joules", [14.4 / 1.1, 14.4 / 1.155, 14.4, 20.0])
def test_a_limit_that_is_near_is_kept_and_none_is_raised(tighten: Any, joules: float) -> None:
    found = tighten(TEXT, session(limited(joules)))
    assert (found.text, found.lowered) == (TEXT, 0)
    assert found.messages[0].startswith(f'{FILE}:{LINE}: max: kept "{OLD}" (')


@pytest.mark.parametrize("tighten", [by_records, by_baselines])
def test_the_highest_of_its_tests_counts(tighten: Any) -> None:
    text = TEXT.replace(f'"{ID}"', '"tests/*"')
    tests = [limited(each, id=f"tests/t.py::test_{each}") for each in (2.0, 7.56, 5.0)]
    found = tighten(text, session(*tests))
    assert f'max = "{NEW}"' in found.text
    assert "of tests/t.py::test_7.56, the highest of 3 tests" in found.messages[0]


def test_a_test_that_is_unmeasured_keeps_its_limit() -> None:
    text = TEXT.replace(f'"{ID}"', '"tests/*"')
    lost = limited(id="tests/t.py::lost")
    lost = replace(lost, verdict="unmeasured", joules_per_unit=None, interval=None)
    found = by_records(text, session(limited(), lost))
    assert (found.text, found.messages) == (
        text,
        (f'{FILE}:{LINE}: max: kept "{OLD}": tests/t.py::lost is unmeasured',),
    )


def test_few_rounds_leave_more_room() -> None:
    found = by_records(TEXT, session(limited(shape=SHAPE[:1], interval=None)))
    assert "since fewer than 5 rounds pass only 15 % under a limit" in found.messages[0]


@pytest.mark.parametrize(
    "other",
    [
        {"budget": budget_record(OLD, origin="tests/test_q.py:5")},
        {"budget": budget_record("5 Wh / 1000 queries", origin=f"{FILE}:{LINE}")},
        {"budget": budget_record(OLD, origin=f"{FILE}:9")},
        {"budget": None},
    ],
)
def test_figures_of_other_limits_are_none_of_this_one(other: dict[str, Any]) -> None:
    found = by_records(TEXT, session(replace(limited(), **other)))
    assert found.messages == (
        f'{FILE}:{LINE}: max: kept "{OLD}": no figures of a test that it limits',
    )
    assert found.text == TEXT


def test_the_folder_of_the_file_does_not_matter() -> None:
    budget = budget_record(OLD, origin=f"limits/{FILE}:{LINE}")
    assert by_records(TEXT, session(replace(limited(), budget=budget))).lowered == 1


@pytest.mark.parametrize(
    ("change", "lowered"),
    [
        ({"unit": "token"}, 0),
        ({"method": "cpu-time"}, 0),
        ({"method": "integrated"}, 1),
        ({"id": "tests/test_q.py::other"}, 0),
        ({"model": "another"}, 1),
    ],
)
def test_a_baseline_is_of_the_limit_that_stands_for_it(
    change: dict[str, Any], lowered: int
) -> None:
    assert by_baselines(TEXT, session(limited(**change))).lowered == lowered


@pytest.mark.parametrize(
    ("keys", "lowered"),
    [
        ('task = "answers"', 1),
        ('task = "others"', 0),
        ('model = "distil*"', 1),
        (f'tests = "{ID}"\nhardware = "h"', 0),
        ('id = "by-marker"', 0),
    ],
)
def test_baselines_find_their_budgets_by_task_and_model(keys: str, lowered: int) -> None:
    text = f'schema = 1\n[[budget]]\n{keys}\nmax = "{OLD}"\n[hardware.h]\ngpu = "*"\n'
    assert by_baselines(text, session(limited(task="answers"))).lowered == lowered


def test_a_test_with_two_budgets_tightens_neither_by_its_baseline() -> None:
    text = TEXT + f'[[budget]]\ntests = "tests/*"\nmax = "{OLD}"\n'
    assert by_baselines(text, session(limited())).lowered == 0


def test_a_limit_in_carbon_is_lowered_at_the_intensity_it_was_judged_with() -> None:
    limit = "1 gCO2e / 1k queries"  # 12 J / query at 300 g/kWh
    text = TEXT.replace(f'"{OLD}"', f'"{limit}"')
    test = limited(limit=limit, limit_joules_per_unit=12.0)
    found = by_records(text, session(test))
    assert found.messages[0].startswith(
        f'{FILE}:{LINE}: max: "{limit}" -> "0.693 gCO2e / 1k queries" (0.630 in 1 session'
    )
    assert by_baselines(text, session(test)).lowered == 0
    known = text + '[carbon]\nintensity = "300 gCO2e/kWh"\n'
    assert by_baselines(known, session(test)).messages == found.messages


def test_cpu_time_is_lowered_in_cpu_time() -> None:
    text = TEXT.replace(OLD, "50 cpu-ms / query")
    test = limited(limit="50 cpu-ms / query", method="cpu-time", limit_joules_per_unit=None)
    for found in (by_records(text, session(test)), by_baselines(text, session(test))):
        assert '"50 cpu-ms / query" -> "25.0 cpu-ms / query"' in found.messages[0]


def test_both_limits_of_a_budget_are_edited_each_at_its_place() -> None:
    limits = f'max = "{OLD}", max_carbon = "2 gCO2e / query"'
    text = f'schema = 1\nbudget = [{{ tests = "{ID}", {limits} }}]\n'
    tests = [
        replace(limited(), budget=budget_record(OLD, origin=f"{FILE}:2")),
        replace(
            limited(limit_joules_per_unit=24000.0),
            budget=budget_record("2 gCO2e / query", origin=f"{FILE}:2"),
        ),
    ]
    found = by_records(text, session(*tests))
    assert found.lowered == 2
    assert f'max = "{NEW}"' in found.text and 'max_carbon = "0.000693 gCO2e' in found.text
    parse_budgets(found.text, FILE)


def test_an_equal_limit_of_another_budget_stays() -> None:
    text = TEXT.replace("[[budget]]", f'[[budget]]\ntask = "a"\nmax = "{OLD}"\n[[budget]]')
    line = text.splitlines().index(f'max = "{OLD}"  # {OLD}') + 1
    test = replace(limited(), budget=budget_record(OLD, origin=f"{FILE}:{line}"))
    found = by_records(text, session(test))
    assert found.text == text.replace(f'max = "{OLD}"  #', f'max = "{NEW}"  #')


def test_a_value_in_escapes_is_reported_and_not_edited() -> None:
    text = TEXT.replace(f'max = "{OLD}"', 'max = "4\\u0020Wh / 1000 queries"')
    found = by_records(text, session(limited()))
    assert (found.text, found.lowered) == (text, 0)
    assert found.messages == (
        f'{FILE}:{LINE}: max: write "{NEW}" by hand, where it is spelled with escapes',
    )


def test_figures_of_different_hardware_are_never_mixed() -> None:
    with pytest.raises(SuggestionError, match="different hardware"):
        by_records(TEXT, session(limited()), session(limited(), day=2, gpus=(H100,)))
    both = by_baselines(TEXT, session(limited()), session(limited(9.0), day=2, gpus=(H100,)))
    assert '"2.75 Wh / 1000 queries" (2.50 in 1 session' in both.messages[0]


COMMENT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)


@given(
    st.lists(COMMENT, min_size=5, max_size=5),
    st.sampled_from(["\n", "\r\n", "\n\n\t"]),
    st.sampled_from(["", "\ufeff"]),
    st.floats(0.1, 14.0),
    st.sampled_from(["'", '"', '"""', "'''"]),
    st.sampled_from(["4", "4.00", "+4", "4e0", "0.4e1"]),
)
def test_every_other_byte_survives(
    comments: list[str], newline: str, mark: str, joules: float, quote: str, amount: str
) -> None:
    limit = f"{amount} Wh / 1000 queries"
    lines = ["schema = 1", "[[budget]]", f'tests = "{ID}"', f"max = {quote}{limit}{quote}", "#"]
    text = mark + newline.join(f"{a} #{b}" for a, b in zip(lines, comments, strict=True))
    assume("\ufeff" not in text[1:])
    (budget,) = parse(text).entries
    (_, origin) = budget.limits[0]
    test = replace(limited(joules), budget=budget_record(limit, origin=origin))
    found = by_records(text, session(test))
    before, _, after = text.partition(f"max = {quote}")
    after = after.removeprefix(limit)
    assert found.text.startswith(f"{before}max = {quote}") and found.text.endswith(after)
    old, new = parse(text), parse(found.text)
    assert new.entries[0].limits[0][0].base_per_unit <= old.entries[0].limits[0][0].base_per_unit
    if found.lowered:
        assert new.entries[0].limits[0][0].base_per_unit > joules
    document = tomllib.loads(found.text.removeprefix("\ufeff"))
    assert document["budget"][0]["tests"] == ID


def parse(text: str) -> BudgetsFile:
    return parse_budgets(text.removeprefix("\ufeff"), FILE)


@pytest.mark.usefixtures("no_contention")
def test_a_tightened_limit_holds_for_the_measured_test(energy_pytester: EnergyPytester) -> None:
    text = 'schema = 1\n[[budget]]\ntask = "t"\nmax = "9 J / query" # ours\n'
    path = energy_pytester.pytester.path / FILE
    path.write_text(text, encoding="utf-8")
    energy_pytester.write('@budget(task="t")\ndef test_it():\n    spin(10)\n')
    energy_pytester.run()
    found = by_records(text, record.read(energy_pytester.record_path))
    assert found.lowered == 1
    path.write_text(found.text, encoding="utf-8")
    energy_pytester.run().assert_outcomes(passed=1)
    (test,) = energy_pytester.record()["tests"]
    assert 0.3 < test["fraction_of_limit"] < 0.9


def test_figures_with_a_wide_interval_lower_no_limit() -> None:
    one = limited()
    joules = one.joules_per_unit or 0.0
    found = by_records(TEXT, session(replace(one, interval=(joules / 10, joules * 2.5))))
    assert (found.text, found.lowered) == (TEXT, 0)
    assert found.messages[0].startswith(
        f'{FILE}:{LINE}: max: kept "{OLD}": {ID}: its rounds differ so much'
    )


def test_figures_that_others_may_have_raised_lower_no_limit() -> None:
    found = by_records(TEXT, session(limited(contention=True)))
    assert (found.text, found.lowered) == (TEXT, 0)
    assert found.messages[0].startswith(
        f'{FILE}:{LINE}: max: kept "{OLD}": {ID}: CPU contention increased'
    )
    laps = LapsRecord(laps=400, seconds=0.005, affected=0.5, rounds_left_out=1, spread=0.04)
    cleaned = by_records(TEXT, session(limited(contention=True, laps=laps)))
    assert cleaned.text == by_records(TEXT, session(limited())).text
    assert cleaned.lowered == 1
    with_a_quiet_one = by_records(
        TEXT, session(limited()), session(limited(contention=True), day=2)
    )
    assert with_a_quiet_one.text == by_records(TEXT, session(limited())).text
