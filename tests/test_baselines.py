"""Baselines: what two sessions must share, what becomes of them, and rule B on a record."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.budgets.budget import MaxIncrease
from pytest_energy.record import (
    BudgetRecord,
    ChannelRecord,
    Explanation,
    GpuRecord,
    GpuStateRecord,
    MachineRecord,
    RoundRecord,
    RunRecord,
    TestRecord,
)
from pytest_energy.store.baseline import Baselines, Line, difference, key_of, line_of
from pytest_energy.store.hardware import file_name, hardware_of
from pytest_energy.store.regression import compared, threshold_of
from pytest_energy.store.update import Mode, Update, drop, update
from pytest_energy.verdict import Session, change
from session_records import A100, H100, ID, JOULES, SHAPE, measured, rounds, session

EPYC = MachineRecord("Linux", "x86_64", "AMD EPYC 7763 64-Core Processor", 2)
ESTIMATE = ChannelRecord(
    "cpu:process", "cpu", "CPU time of the process tree x 4 W a core", "estimated", True, 1.0
)
ON_CPU: dict[str, Any] = {"channels": (ESTIMATE,), "scope": "cpu", "method": "estimated"}
RAPL = ChannelRecord("cpu:package-0", "cpu", "RAPL package-0", "measured", True, 1.0)


def channels(*indices: int) -> tuple[ChannelRecord, ...]:
    return tuple(
        ChannelRecord(f"gpu:{each}", "gpu", "NVML energy counter", "measured", True, 1.0)
        for each in indices
    )


def lines(*records: RunRecord) -> tuple[Line, ...]:
    return update((), records, Mode.ADD).lines


def stored(*records: RunRecord) -> Baselines:
    return Baselines("energy-baselines", {"a.jsonl": lines(*records)})


# -- the hardware -------------------------------------------------------------------------------

MIG = replace(A100, name="NVIDIA A100", mig="7g.80gb")


@pytest.mark.parametrize(
    ("gated", "machine", "told", "file"),
    [
        (
            channels(0),
            replace(EPYC, gpus=(H100,)),
            "NVIDIA H100 x1 @ 700 W",
            "nvidia-h100-x1-700w.jsonl",
        ),
        (
            channels(1),
            replace(EPYC, gpus=(A100, replace(H100, channel="gpu:1"))),
            "NVIDIA H100 x1 @ 700 W",
            "nvidia-h100-x1-700w.jsonl",
        ),
        (
            channels(0, 1),
            replace(EPYC, gpus=(A100, replace(A100, channel="gpu:1", uuid="GPU-3"))),
            "NVIDIA A100 x2 @ 400 W",
            "nvidia-a100-x2-400w.jsonl",
        ),
        (
            channels(0, 1),
            replace(EPYC, gpus=(H100, replace(A100, channel="gpu:1"))),
            "NVIDIA A100 x1 @ 400 W + NVIDIA H100 x1 @ 700 W",
            "nvidia-a100-x1-400w-nvidia-h100-x1-700w.jsonl",
        ),
        (
            channels(0),
            replace(EPYC, gpus=(MIG,)),
            "NVIDIA A100 x1 @ 400 W, MIG 7g.80gb",
            "nvidia-a100-x1-400w-mig-7g-80gb.jsonl",
        ),
        (
            channels(0),
            replace(EPYC, gpus=(replace(A100, power_limit_watts=None),)),
            "NVIDIA A100 x1",
            "nvidia-a100-x1.jsonl",
        ),
        (
            (ESTIMATE,),
            replace(EPYC, gpus=(A100,)),
            "AMD EPYC 7763 64-Core Processor, 2 cores",
            "amd-epyc-7763-64-core-processor-2-cores.jsonl",
        ),
        (
            (*channels(0), RAPL),
            replace(EPYC, gpus=(A100,)),
            "NVIDIA A100 x1 @ 400 W + AMD EPYC 7763 64-Core Processor, 2 cores",
            "nvidia-a100-x1-400w-amd-epyc-7763-64-core-processor-2-cores.jsonl",
        ),
        (
            channels(0),
            replace(EPYC, cpu="Apple M2 Pro"),
            "Apple M2 Pro GPU x1",
            "apple-m2-pro-gpu-x1.jsonl",
        ),
        ((ESTIMATE,), replace(EPYC, cpu="---", cpu_count=0), "---, 0 cores", "0-cores.jsonl"),
    ],
)
def test_hardware_in_words_and_as_a_file(
    gated: tuple[ChannelRecord, ...], machine: MachineRecord, told: str, file: str
) -> None:
    found = hardware_of(measured(channels=gated), machine)
    assert (found, file_name(found)) == (told, file)


def test_a_board_that_is_not_gated_is_no_part_of_the_hardware() -> None:
    (board,) = channels(0)
    test = measured(channels=(ESTIMATE, replace(board, gated=False)))
    assert hardware_of(test, replace(EPYC, gpus=(A100,))) == f"{EPYC.cpu}, 2 cores"


def test_boards_of_older_records_are_told_by_their_place() -> None:
    old = [replace(each, channel="") for each in (A100, H100)]
    found = hardware_of(measured(channels=channels(1)), replace(EPYC, gpus=tuple(old)))
    assert found == "NVIDIA H100 x1 @ 700 W"


@given(st.text())
def test_any_hardware_is_a_file_name(hardware: str) -> None:
    name = file_name(hardware)
    assert name.endswith(".jsonl") and len(name) < 130
    assert not set(name) & set("/\\: \0")
    assert not name.startswith((".", "-"))


# -- the key ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "gpus", "words"),
    [
        (
            {},
            (H100,),
            "stored on NVIDIA A100 x1 @ 400 W; this is NVIDIA H100 x1 @ 700 W",
        ),
        (
            {},
            (replace(A100, power_limit_watts=300.0),),
            "stored on NVIDIA A100 x1 @ 400 W; this is NVIDIA A100 x1 @ 300 W",
        ),
        (
            {},
            (MIG,),
            "stored on NVIDIA A100 x1 @ 400 W; this is NVIDIA A100 x1 @ 400 W, MIG 7g.80gb",
        ),
        ({"method": "integrated"}, (A100,), "stored as measured; this is integrated"),
        ({"unit": "token"}, (A100,), "stored as per query; this is per token"),
        ({"scope": "all"}, (A100,), "stored as scope gpu; this is scope all"),
        (
            {"labels": {"dtype": "fp8"}},
            (A100,),
            'stored as labels {"dtype": "bf16"}; this is labels {"dtype": "fp8"}',
        ),
        (
            {"labels": {}},
            (A100,),
            'stored as labels {"dtype": "bf16"}; this is without labels',
        ),
        (
            {"method": "integrated"},
            (H100,),
            "stored on NVIDIA A100 x1 @ 400 W, measured; "
            "this is NVIDIA H100 x1 @ 700 W, integrated",
        ),
    ],
)
def test_a_difference_is_named(
    changes: dict[str, Any], gpus: tuple[GpuRecord, ...], words: str
) -> None:
    here = session(measured(**changes), gpus=gpus)
    key = key_of(here.tests[0], here.machine)
    before = stored(session())
    nearest = before.nearest(key)
    assert nearest is not None
    assert difference(nearest, key) == words
    assert before.sessions(key) == ()


def test_the_watts_of_an_estimate_are_a_part_of_the_key() -> None:
    six = replace(ESTIMATE, source="CPU time of the process tree x 6 W a core")
    one, other = (measured(**{**ON_CPU, "channels": (each,)}) for each in (ESTIMATE, six))
    keys = [key_of(each, EPYC) for each in (one, other)]
    assert difference(*keys) == "stored as 4 W a core; this is 6 W a core"
    counted = [key_of(replace(each, method="cpu-time"), EPYC) for each in (one, other)]
    assert counted[0] == counted[1]
    assert difference(keys[0], counted[0]) == "stored as estimated, 4 W a core; this is cpu-time"


def test_processes_of_a_server_are_no_part_of_the_key() -> None:
    source = "CPU time of the process tree and of process {} x 4 W a core"
    one, other = (
        measured(**{**ON_CPU, "channels": (replace(ESTIMATE, source=source.format(pid)),)})
        for pid in (4711, 4712)
    )
    assert key_of(one, EPYC) == key_of(other, EPYC)


@pytest.mark.parametrize(
    "same",
    [
        {"model": "another"},
        {"task": "another"},
        {"attempt": 7},
        {"labels": {"dtype": "bf16"}},
        {"rounds": rounds(99.0)},
    ],
    ids=str,
)
def test_what_a_test_is_called_or_found_is_no_part_of_the_key(same: dict[str, Any]) -> None:
    here = session(measured(**same), gpus=(replace(A100, uuid="GPU-9"),), day=2, commit="ffff")
    assert len(stored(session()).sessions(key_of(here.tests[0], here.machine))) == 1


def test_labels_are_the_same_in_any_order_and_true_is_not_one() -> None:
    def key(**labels: Any) -> object:
        return key_of(measured(labels=labels), EPYC)

    assert key(a=1, b=2) == key(b=2, a=1)
    assert key(a=1) != key(a=True)


def test_the_nearest_key_differs_in_the_least_then_is_the_newest() -> None:
    key = key_of(measured(), session().machine)
    far = session(measured(unit="token", scope="all"), day=3)
    near = session(measured(unit="token"), day=1)
    nearest = stored(far, near).nearest(key)
    assert nearest is not None and nearest.scope == "gpu"
    newest = stored(session(measured(unit="call"), day=2), near).nearest(key)
    assert newest is not None and newest.unit == "call"
    assert stored(session(measured(id="other"))).nearest(key) is None
    assert stored(session(measured(name="other"))).nearest(key) is None


# -- a session as a line ------------------------------------------------------------------------


def test_a_line_holds_the_first_five_rounds_and_what_they_were_measured_with() -> None:
    state = GpuStateRecord("gpu:0", 61, 1410, 400.0)
    explained = Explanation(5.5, {}, 1.0, 1.0, gpus_after=(state,))
    test = measured(shape=(*SHAPE, 9.0, 9.0, 9.0), explanation=explained)
    line = line_of(test, session(test, day=22))
    values = [JOULES * each for each in SHAPE]
    assert line.rounds == pytest.approx(values)
    assert line.centre == pytest.approx(math.exp(fmean(math.log(each) for each in values)))
    assert 0 < line.variance < 1e-4
    assert line.n == 8
    assert line.window == pytest.approx(1.1)
    assert (line.celsius, line.gpus, line.commit) == ((61,), ("GPU-1",), "1f2e3d4c5b")
    assert (line.start, line.run) == ("2026-11-22T06:00:00+00:00", "run-22")
    assert line.versions == {"python": "3.12", "driver": "570.11"}
    assert (line.labels, line.hardware) == ({"dtype": "bf16"}, "NVIDIA A100 x1 @ 400 W")


def test_cpu_time_is_compared_where_it_is_what_counts() -> None:
    test = measured(**{**ON_CPU, "method": "cpu-time"})
    assert line_of(test, session(test)).centre == pytest.approx(0.02)


# -- update -------------------------------------------------------------------------------------


def told(found: Update) -> str:
    assert len(found.told) == 1
    return found.told[0]


def test_new_fills_what_is_missing_and_leaves_the_rest() -> None:
    other = measured(id="tests/test_q.py::test_new")
    before = lines(session())
    found = update(before, [session(measured(9.9), other, day=2)], Mode.NEW)
    assert found.changed == 1
    assert found.told == (
        f"{other.id}: none -> 2.10 Wh / 1000 queries (1 session; NVIDIA A100 x1 @ 400 W)",
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
    assert told(found) == f"{ID}: 2.10 -> 2.12 Wh / 1000 queries (+1.0 %), 10 -> 10 sessions"


def test_reset_starts_again_from_the_session() -> None:
    before = lines(session(), session(day=2))
    found = update(before, [session(measured(JOULES * 2), day=3)], Mode.RESET)
    assert [each.run for each in found.lines] == ["run-3"]
    assert told(found) == f"{ID}: 2.10 -> 4.20 Wh / 1000 queries (+100.0 %), 2 -> 1 session"


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
    assert ("it replaces the session of that day on the same hardware" in told(found)) == (
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
            measured(strangers=("python (process 7) on gpu:0",)),
            "570",
            "python (process 7) on gpu:0 added its joules; measure without it",
        ),
        (measured(shape=SHAPE[:4]), "570", "it has 4 rounds, and 5 are compared"),
        (measured(shape=SHAPE[:1]), "570", "it has 1 round, and 5 are compared"),
        (
            measured(rounds=(*rounds()[:5], RoundRecord(None, 1.0, 1.0, False, 1.0, 1))),
            "570",
            "it has 0 rounds, and 5 are compared",
        ),
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_what_is_no_measurement_is_refused(
    test: TestRecord, driver: str, why: str, mode: Mode
) -> None:
    found = update((), [session(test, driver=driver)], mode)
    assert (found.lines, found.changed) == ((), 0)
    assert told(found).startswith(f"{ID}: not stored: {why}")


@pytest.mark.parametrize("verdict", ["fail", "inconclusive", "no-baseline", "close"])
def test_a_red_verdict_is_no_reason_to_refuse(verdict: str) -> None:
    assert update((), [session(measured(verdict=verdict))], Mode.NEW).changed == 1


def test_a_crowd_is_said() -> None:
    found = update((), [session(measured(**ON_CPU, crowded=True))], Mode.NEW)
    assert found.changed == 1
    assert told(found).endswith("; measured in a crowd, so it may be too high")


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
    assert "replaces" not in told(twice)
    assert len(lines(session(measured(name="a"), measured(name="b")))) == 2


def test_drop_removes_by_id_or_pattern_and_says_what() -> None:
    before = lines(session(measured(id="t.py::a[1]"), measured(id="t.py::b")), session(day=2))
    found = drop(before, ["t.py::a[1]"])
    assert told(found) == (
        "dropped t.py::a[1]: 1 session, 2.10 Wh / 1000 queries (NVIDIA A100 x1 @ 400 W)"
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


# -- rule B -------------------------------------------------------------------------------------

ASKED = MaxIncrease(0.05, "test_q.py:4")


def judged(
    test: TestRecord,
    before: Baselines,
    asked: MaxIncrease = ASKED,
    machine: MachineRecord | None = None,
) -> TestRecord:
    return compared(test, machine or session().machine, before, asked)


def test_without_baselines_and_without_asking_nothing_changes() -> None:
    assert judged(measured(), Baselines(), MaxIncrease()) == measured()
    unmeasured = measured(verdict="unmeasured")
    assert judged(unmeasured, stored(session())) == unmeasured


def test_a_clear_increase_fails_and_says_why() -> None:
    before = stored(session(), session(measured(JOULES * 1.01), day=3, commit="99aabbccdd"))
    found = judged(measured(JOULES * 1.2), before)
    expected = change(
        [line_of(measured(JOULES * 1.2), session()).session],
        [each.session for each in before.lines],
        0.05,
        same_board=True,
    )
    assert found.verdict == "fail"
    assert found.reason == (
        "2.52 Wh / 1000 queries is 19.4 % over the mean of 2 sessions (2.11 Wh / 1000 queries; "
        "2026-11-01 to 2026-11-03, commits 1f2e3d4 to 99aabbc), and fails from "
        f"+{expected.threshold * 100:.1f} %, which chance could explain here; asked for: "
        "5 % (test_q.py:4)"
    )
    assert found.baseline is not None
    assert (found.baseline.increase, found.baseline.threshold, found.baseline.noise) == (
        expected.increase,
        expected.threshold,
        expected.noise,
    )
    assert (found.baseline.sessions, found.baseline.max_increase) == (2, 0.05)


def test_a_max_increase_over_the_noise_is_the_threshold() -> None:
    found = judged(measured(JOULES * 1.6), stored(session()), MaxIncrease(0.5, "t.py:1"))
    assert found.reason.endswith("2026-11-01, commit 1f2e3d4), and fails from +50 % (t.py:1)")
    assert found.baseline is not None and found.baseline.threshold == 0.5


def test_an_increase_that_chance_explains_passes() -> None:
    found = judged(measured(JOULES * 1.06), stored(session()))
    assert found.verdict == "pass"
    assert "6.0 % over the mean of 1 session" in found.reason


def test_the_default_is_said_to_be_one() -> None:
    found = judged(measured(JOULES * 2), stored(session()), MaxIncrease())
    assert found.verdict == "fail"
    assert found.reason.endswith("asked for: 5 % (the default)")


def test_only_the_first_five_rounds_are_compared() -> None:
    later = measured(shape=(*SHAPE, 9.0, 9.0, 9.0))
    assert judged(later, stored(session())).verdict == "pass"


def test_another_board_is_compared_with_more_doubt() -> None:
    here = judged(measured(), stored(session())).baseline
    machine = session(gpus=(replace(A100, uuid="GPU-8"),)).machine
    elsewhere = judged(measured(), stored(session()), machine=machine).baseline
    assert here is not None and elsewhere is not None
    assert here.threshold is not None and elsewhere.threshold is not None
    assert elsewhere.threshold > 2 * here.threshold
    both = stored(session(), session(gpus=(replace(A100, uuid="GPU-8"),), run="b"))
    assert judged(measured(), both, machine=machine).verdict == "pass"


@pytest.mark.parametrize(
    ("limit", "increase", "verdict", "words"),
    [
        ("pass", 1.0, "pass", "with a limit"),
        ("pass", 1.3, "fail", "30.0 % over the mean"),
        ("close", 1.0, "close", "with a limit"),
        ("fail", 1.0, "fail", "with a limit"),
        ("inconclusive", 1.3, "fail", "30.0 % over the mean"),
        ("no-budget", 1.0, "pass", "under the mean"),
    ],
)
def test_the_worse_of_limit_and_baseline_counts(
    limit: str, increase: float, verdict: str, words: str
) -> None:
    test = measured(JOULES * increase, verdict=limit, reason="with a limit")
    found = judged(test, stored(session(measured(JOULES * 1.000001))))
    assert found.verdict == verdict
    assert words in found.reason


def test_both_reasons_are_given_where_both_are_red() -> None:
    test = measured(JOULES * 1.3, verdict="fail", reason="2.73 is over the limit")
    found = judged(test, stored(session()))
    assert found.reason.startswith("2.73 is over the limit; and it is 30.0 % over the mean of 1")


def test_a_stranger_makes_a_fail_inconclusive_and_leaves_a_pass() -> None:
    stranger: dict[str, Any] = {"strangers": ("python (process 7) on gpu:0",)}
    found = judged(measured(JOULES * 1.3, **stranger), stored(session()))
    assert found.verdict == "inconclusive"
    assert found.reason.endswith(
        "but python (process 7) on gpu:0 added joules, so it can't be "
        "told whose they are: measure without it"
    )
    assert judged(measured(**stranger), stored(session())).verdict == "pass"


def test_a_crowd_makes_a_fail_inconclusive_if_a_round_kept_to_the_baseline() -> None:
    mixed = measured(JOULES, shape=(1.0, 1.4, 1.4, 1.4, 1.4))
    assert judged(mixed, stored(session())).verdict == "fail"
    found = judged(replace(mixed, crowded=True), stored(session()))
    assert found.verdict == "inconclusive"
    assert found.reason.endswith("its least round is at 100% of the baseline")
    assert judged(measured(JOULES * 1.4, crowded=True), stored(session())).verdict == "fail"


@pytest.mark.parametrize(
    ("budget", "advice"),
    [
        (None, "pytest --energy-update reset starts"),
        (
            BudgetRecord("9 J / query", "energy-budgets.toml:4"),
            "pytest-energy budgets tighten lowers its limit, and pytest --energy-update reset",
        ),
        (
            BudgetRecord("9 J / query", "test_q.py:4"),
            "lower its limit (test_q.py:4), and pytest --energy-update reset",
        ),
    ],
)
def test_an_improvement_is_said_with_what_keeps_it(
    budget: BudgetRecord | None, advice: str
) -> None:
    (note,) = judged(measured(JOULES * 0.8, budget=budget), stored(session())).notes
    start = "20.0 % under the mean of 1 session, more than chance explains; to keep it: "
    assert note.startswith(start + advice)
    assert judged(measured(JOULES * 0.95), stored(session())).notes == ()


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (Baselines(), "no session of this test is stored"),
        (stored(session(measured(id="other"))), "no session of this test is stored"),
        (
            stored(session(gpus=(H100,))),
            "stored on NVIDIA H100 x1 @ 700 W; this is NVIDIA A100 x1 @ 400 W",
        ),
    ],
)
def test_no_baseline_is_a_verdict_where_one_was_asked_for(before: Baselines, why: str) -> None:
    found = judged(measured(), before)
    assert found.verdict == "no-baseline"
    assert found.reason == (
        f"the test is to be at most 5 % (test_q.py:4) over its baseline, and {why}; "
        "pytest --energy-update new makes one"
    )
    assert judged(measured(verdict="fail"), before).verdict == "fail"
    assert judged(measured(verdict="pass"), before).verdict == "no-baseline"
    quiet = judged(measured(verdict="pass"), replace(before, shown="x"), MaxIncrease())
    assert quiet.verdict == "pass"
    assert quiet.baseline is not None and quiet.baseline.missing == why


def test_too_few_rounds_are_said_and_inconclusive_where_it_was_asked_for() -> None:
    few = measured(shape=SHAPE[:3])
    found = judged(few, stored(session()))
    assert found.verdict == "inconclusive"
    assert "it has 3 rounds, and 5 are compared" in found.reason
    quiet = judged(few, stored(session()), MaxIncrease())
    assert quiet.verdict == "no-budget"
    assert quiet.baseline is not None and "3 rounds" in quiet.baseline.missing


def test_more_sessions_would_lower_the_noise() -> None:
    found = judged(measured(), stored(session())).baseline
    assert found is not None and found.noise is not None and found.noise_of_ten is not None
    assert 0.08 < found.noise < 0.1
    assert 0.05 < found.noise_of_ten < 0.06
    # Ten sessions that differ by the 2 % that is taken for granted until they are seen.
    far = math.sqrt(0.9 * (0.02**2 + line_of(measured(), session()).variance))
    centres = [JOULES * math.exp(far * (-1) ** day) for day in range(10)]
    ten = stored(*(session(measured(each), day=day + 1) for day, each in enumerate(centres)))
    beside = judged(measured(), ten).baseline
    assert beside is not None and beside.noise == pytest.approx(found.noise_of_ten, rel=1e-6)
    assert beside.noise_of_ten == pytest.approx(beside.noise)


def test_the_threshold_of_a_list_is_that_of_a_usual_session() -> None:
    before = lines(session(), session(day=2))
    usual = Session(before[0].centre, before[0].variance)
    expected = change([usual], [each.session for each in before], 0.05, same_board=True)
    assert threshold_of(before) == pytest.approx(expected.threshold)
