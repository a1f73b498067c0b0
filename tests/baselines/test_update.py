"""What becomes of the stored sessions: new, add, reset and drop."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_records import (
    A100,
    ID,
    JOULES,
    LAPS,
    ON_CPU,
    SHAPE,
    judged,
    lines,
    measured,
    rounds,
    session,
    stored,
)

from pytest_energy.baselines.baseline import Line
from pytest_energy.baselines.update import Mode, Update, drop, update
from pytest_energy.record.schema import GpuRecord, LapsRecord, RoundRecord, TestRecord


def only_message(found: Update) -> str:
    assert len(found.messages) == 1
    return found.messages[0]


def test_new_fills_what_is_missing_and_leaves_the_rest() -> None:
    other = measured(id="tests/test_q.py::test_new")
    before = lines(session())
    found = update(before, [session(measured(9.9), other, day=2)], Mode.NEW)
    assert found.changed == 1
    assert found.messages == (
        f"{other.id}: none -> 7.56 J / query (1 session; NVIDIA A100 x1 @ 400 W)",
        "1 test has a baseline already: add appends this session, reset starts again from it",
    )
    assert before[0] in found.lines
    assert [each.test for each in found.lines] == [ID, other.id]


def test_new_takes_all_sessions_of_the_records() -> None:
    records = [session(day=each) for each in (2, 1, 3)]
    found = update((), records, Mode.NEW)
    assert [each.run for each in found.lines] == ["run-1", "run-2", "run-3"]


def test_add_appends_and_keeps_the_last_ten() -> None:
    before = lines(*(session(day=each) for each in range(1, 11)))
    found = update(before, [session(measured(JOULES * 1.1), day=11)], Mode.ADD)
    assert [each.run for each in found.lines] == [f"run-{each}" for each in range(2, 12)]
    assert only_message(found) == f"{ID}: 7.56 J -> 7.63 J / query (+0.96 %), 10 -> 10 sessions"


def test_reset_starts_again_from_the_session() -> None:
    before = lines(session(), session(day=2))
    found = update(before, [session(measured(JOULES * 2), day=3)], Mode.RESET)
    assert [each.run for each in found.lines] == ["run-3"]
    assert only_message(found) == f"{ID}: 7.56 J -> 15.1 J / query (+100 %), 2 -> 1 session"


@pytest.mark.parametrize("mode", Mode)
def test_a_partial_run_deletes_nothing(mode: Mode) -> None:
    before = lines(session(measured(id="a"), measured(id="b"), measured(id="c")))
    found = update(before, [session(measured(id="b"), day=2)], mode)
    assert {each.test for each in found.lines} == {"a", "b", "c"}
    others = [each for each in found.lines if each.test != "b"]
    assert others == [each for each in before if each.test != "b"]
    nothing = update(before, [session(measured(failure="AssertionError"), day=2)], mode)
    assert (sorted(nothing.lines, key=lambda each: each.order), nothing.changed) == (
        sorted(before, key=lambda each: each.order),
        0,
    )


@pytest.mark.parametrize(
    ("day", "gpus", "commit", "count"),
    [
        (1, (A100,), "1f2e3d4c5b", 1),
        (1, (A100,), "another", 1),
        (1, (replace(A100, uuid="GPU-7"),), "1f2e3d4c5b", 2),
        (2, (A100,), "1f2e3d4c5b", 2),
    ],
)
def test_only_another_day_or_board_makes_another_session(
    day: int, gpus: tuple[GpuRecord, ...], commit: str, count: int
) -> None:
    later = session(measured(9.0), day=day, gpus=gpus, commit=commit, run="later")
    found = update(lines(session()), [later], Mode.ADD)
    assert len(found.lines) == count
    assert "later" in [each.run for each in found.lines]
    assert ("it replaces the session of that day on the same hardware" in only_message(found)) == (
        count == 1
    )


def test_a_record_given_twice_counts_once() -> None:
    twice = update((), [session(), session()], Mode.ADD)
    assert len(twice.lines) == 1
    again = update(twice.lines, [session()], Mode.ADD)
    assert again.lines == twice.lines


@pytest.mark.parametrize(
    ("test", "driver", "why"),
    [
        (
            measured(failure="AssertionError"),
            "570",
            "the test ended in AssertionError, so its work may not have been done",
        ),
        (
            measured(verdict="unmeasured", reason="0 J", failure=""),
            "570",
            "unmeasured: 0 J",
        ),
        (measured(), "570 Simulated", "its joules are simulated (driver 570 Simulated)"),
        (
            measured(other_processes=("python (process 7) on gpu:0",)),
            "570",
            "python (process 7) on gpu:0 added joules; measure without it",
        ),
        (measured(shape=SHAPE[:4]), "570", "it has 4 rounds, and 5 are compared"),
        (measured(shape=SHAPE[:1]), "570", "it has 1 round, and 5 are compared"),
        (
            measured(
                rounds=(
                    *rounds()[:5],
                    RoundRecord(
                        joules=None, seconds=1.0, units=1.0, warmup=False, cpu_seconds=1.0, calls=1
                    ),
                )
            ),
            "570",
            "it has 0 rounds, and 5 are compared",
        ),
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_a_test_without_a_usable_measurement_is_not_stored(
    test: TestRecord, driver: str, why: str, mode: Mode
) -> None:
    found = update((), [session(test, driver=driver)], mode)
    assert (found.lines, found.changed) == ((), 0)
    assert only_message(found).startswith(f"{ID}: not stored: {why}")


@pytest.mark.parametrize("verdict", ["fail", "inconclusive", "no-baseline", "close"])
def test_a_red_verdict_is_stored_too(verdict: str) -> None:
    assert update((), [session(measured(verdict=verdict))], Mode.NEW).changed == 1


def test_a_figure_under_cpu_contention_is_no_baseline() -> None:
    found = update((), [session(measured(**ON_CPU, contention=True))], Mode.NEW)
    assert (found.lines, found.changed) == ((), 0)
    assert only_message(found) == (
        f"{ID}: not stored: CPU contention increased the CPU time; measure on a quieter machine"
    )


@pytest.mark.parametrize(("ends", "is_stored"), [(1.2, True), (1.9, True), (2.1, False)])
def test_a_figure_whose_interval_is_as_wide_is_no_baseline(ends: float, is_stored: bool) -> None:
    wide = replace(measured(), interval=(JOULES / 15, JOULES * ends))
    found = update((), [session(wide)], Mode.NEW)
    assert found.changed == is_stored
    why = (
        f"{ID}: not stored: its rounds differ so much that its interval ends at 210 % of the "
        "figure; measure again, on a quieter machine or with more rounds"
    )
    assert (only_message(found) == why) is not is_stored


@pytest.mark.parametrize(
    ("laps", "why"),
    [
        (LAPS, ""),
        (replace(LAPS, problem="a call takes 2 s"), "the figure includes that: a call takes 2 s"),
        (replace(LAPS, affected=0.7), "70 % of 400 short windows were disturbed"),
        (replace(LAPS, spread=0.06), "undisturbed calls with the same input still differ by 6 %"),
        (replace(LAPS, spread=None), "too few short windows were undisturbed"),
    ],
)
def test_under_cpu_contention_a_figure_of_undisturbed_laps_alone_is_a_baseline(
    laps: LapsRecord, why: str
) -> None:
    found = update((), [session(measured(**ON_CPU, contention=True, laps=laps))], Mode.NEW)
    assert found.changed == (0 if why else 1)
    assert why in only_message(found)
    assert ("not stored" in only_message(found)) == bool(why)


def test_cpu_figures_beside_a_simulated_gpu_are_real() -> None:
    found = update((), [session(measured(**ON_CPU), driver="simulated")], Mode.NEW)
    assert found.changed == 1


def test_the_last_attempt_counts() -> None:
    tests = (measured(9.0), measured(attempt=2), measured(8.0, id="other", attempt=1))
    found = update((), [session(*tests)], Mode.NEW)
    assert sorted(each.centre for each in found.lines) == pytest.approx([7.56, 8.0], rel=1e-3)
    failed = measured(attempt=2, failure="ValueError")
    assert update((), [session(measured(), failed)], Mode.NEW).changed == 0


def test_several_limits_of_one_measurement_are_one_session() -> None:
    twice = update((), [session(measured(), measured(verdict="fail"))], Mode.ADD)
    assert len(twice.lines) == 1
    assert "replaces" not in only_message(twice)
    assert len(lines(session(measured(name="a"), measured(name="b")))) == 2


def test_drop_removes_by_id_or_pattern_and_reports_what() -> None:
    before = lines(session(measured(id="t.py::a[1]"), measured(id="t.py::b")), session(day=2))
    found = drop(before, ["t.py::a[1]"])
    assert only_message(found) == (
        "dropped t.py::a[1]: 1 session, 7.56 J / query (NVIDIA A100 x1 @ 400 W)"
    )
    assert {each.test for each in found.lines} == {"t.py::b", ID}
    assert drop(before, ["t.py::*", "tests/*"]).lines == ()
    with pytest.raises(ValueError, match=r"'t.py::c' is no test with a baseline; did you mean"):
        drop(before, ["t.py::b", "t.py::c"])


@pytest.mark.parametrize("parameter", ["*", "?", "[x]", "a b"])
def test_drop_of_an_id_is_of_that_test_alone(parameter: str) -> None:
    test = f"t.py::a[{parameter}]"
    before = lines(session(measured(id=test), measured(id="t.py::a[z]")))
    assert [each.test for each in drop(before, [test]).lines] == ["t.py::a[z]"]


FIGURES = st.floats(1e-6, 1e6)


@given(
    st.lists(st.tuples(st.integers(1, 28), st.sampled_from("abc"), FIGURES), max_size=30),
    st.sampled_from(Mode),
)
def test_a_test_has_at_most_a_session_a_day_and_ten_in_all(
    days: list[tuple[int, str, float]], mode: Mode
) -> None:
    before: tuple[Line, ...] = ()
    for number, (day, test, joules) in enumerate(days):
        record = session(measured(joules, id=test), day=day, run=f"run-{number}")
        before = update(before, [record], mode).lines
    found = [(each.test, each.day) for each in before]
    assert len(found) == len(set(found))
    assert {each.test for each in before} == {test for _, test, _ in days}
    assert all(sum(1 for test, _ in found if test == each) <= 10 for each in "abc")


def test_an_update_names_the_first_rounds_where_the_table_shows_all() -> None:
    longer = measured(shape=(*SHAPE, 1.5, 1.5, 1.5))
    found = update((), [session(longer)], Mode.NEW)
    assert "none -> 7.56 J / query in the first 5 rounds (1 session" in only_message(found)
    judgement = judged(longer, stored(session()))
    assert "7.56 J / query in its first 5 rounds is " in judgement.reason
    assert "first" not in judged(measured(), stored(session())).reason
