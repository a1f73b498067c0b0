"""Which limits stand for a test; rules without any file or machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.limits.budget import Declaration, MaxIncrease, Scope
from pytest_energy.limits.file import BudgetsFile, Defaults, Entry, Hardware
from pytest_energy.limits.index import matches
from pytest_energy.limits.limit import parse_limit
from pytest_energy.limits.resolve import (
    MachineClass,
    Resolution,
    ResolutionError,
    Subject,
    fits,
    matched,
    resolve,
)

TEST = "tests/test_q.py::test_q[gpt2]"
A100 = MachineClass("AMD EPYC 7763 64-Core Processor", (("NVIDIA A100-SXM4-80GB", 400.0),))
LAPTOP = MachineClass("Intel(R) Core(TM) i7-1185G7")


def entry(line: int, limit: str = "2 Wh / 1000 queries", /, **keys: object) -> Entry:
    place = f"energy-budgets.toml:{line}"
    limits = ((parse_limit(limit), place),)
    return replace(Entry(origin=place, limits=limits), **keys)  # type: ignore[arg-type]


def file(*entries: Entry, **keys: object) -> BudgetsFile:
    hardware = {
        "a100": Hardware(name="a100", origin="energy-budgets.toml:3", gpu="*A100*"),
        "laptop": Hardware(
            name="laptop", origin="energy-budgets.toml:5", cpu="Intel*Core*", gpu_count=0
        ),
    }
    made = BudgetsFile(shown="energy-budgets.toml", hardware=hardware, entries=entries)
    return replace(made, **keys)  # type: ignore[arg-type]


def resolved(
    found: BudgetsFile,
    declaration: Declaration | None = None,
    *,
    models: tuple[str, ...] = ("gpt2",),
    machine: MachineClass = LAPTOP,
    test_id: str = TEST,
) -> Resolution:
    subject = Subject(test_id, frozenset(models))
    return resolve(declaration or Declaration(origin="test_q.py:1"), subject, machine, found)


def origins(found: Resolution) -> list[str]:
    return [each.origin.rpartition(":")[2] for each in found.budgets if each.limit]


TASK = Declaration(origin="test_q.py:1", task="chat")
BY_ID = entry(1, id="x")
BY_TEST = entry(2, tests=(TEST,))
BY_PATTERN = entry(3, tests=("tests/test_q.py::*",))
BY_TASK_AND_MODEL = entry(4, task="chat", model="gpt2")
BY_MODEL = entry(5, model="gpt?")
BY_TASK = entry(6, task="chat")
FROM_MOST_SPECIFIC = [BY_TEST, BY_PATTERN, BY_TASK_AND_MODEL, BY_MODEL, BY_TASK]


@pytest.mark.parametrize("first", range(len(FROM_MOST_SPECIFIC)))
@pytest.mark.parametrize("reverse", [False, True])
def test_the_most_specific_entry_counts_wherever_it_stands(first: int, reverse: bool) -> None:
    entries = FROM_MOST_SPECIFIC[first:]
    found = resolved(file(*(reversed(entries) if reverse else entries)), TASK)
    assert [each.origin for each in found.budgets] == [FROM_MOST_SPECIFIC[first].origin]


def test_an_id_selects_its_entry_alone() -> None:
    found = resolved(file(BY_ID, *FROM_MOST_SPECIFIC), replace(TASK, id="x"))
    assert origins(found) == ["1"]


def test_an_entry_with_an_id_alone_is_for_nobody_else() -> None:
    assert origins(resolved(file(BY_ID), Declaration(origin="m:1"))) == []


def test_the_markers_own_limit_wins_for_its_quantity_and_unit() -> None:
    own = replace(TASK, limits=(parse_limit("1 Wh / 1000 queries"),))
    found = resolved(
        file(
            BY_TASK, entry(7, "35 mJ / token", task="chat"), entry(8, "9 cpu-ms/query", task="chat")
        ),
        own,
    )
    assert [(each.origin, str(each.limit)) for each in found.budgets] == [
        ("test_q.py:1", "1.00 Wh / 1000 queries"),
        ("energy-budgets.toml:7", "35.0 mJ / token"),
        ("energy-budgets.toml:8", "9.00 cpu-ms / query"),
    ]


def test_what_the_marker_leaves_open_comes_from_the_entry() -> None:
    full = replace(BY_PATTERN, task="chat", scope=Scope.CPU, message="ask the platform team")
    found = resolved(file(full), models=())
    assert (found.declaration.task, found.declaration.model) == ("chat", None)
    (budget,) = found.budgets
    assert (budget.scope, budget.message) == (Scope.CPU, "ask the platform team")
    own = Declaration(
        limits=(parse_limit("1 J / query"),), origin="test_q.py:1", scope=Scope.GPU, task="other"
    )
    (budget,) = resolved(file(replace(full, task=None)), own).budgets
    assert (budget.origin, budget.scope) == ("test_q.py:1", Scope.GPU)
    (budget,) = resolved(file(replace(full, task=None)), replace(own, scope=None)).budgets
    assert budget.scope is Scope.CPU


FIVE, THREE = (MaxIncrease(each, f"t:{each}") for each in (0.05, 0.03))


def test_a_max_increase_holds_for_all_limits_of_its_test() -> None:
    task = entry(9, task="t", max_increase=FIVE)
    test = entry(12, "3 mJ / token", tests=(TEST,))
    declared = Declaration(task="t", origin="test_q.py:1")
    assert [each.max_increase for each in resolved(file(task, test), declared).budgets] == [
        FIVE
    ] * 2
    nearer = replace(test, max_increase=THREE)
    assert {each.max_increase for each in resolved(file(task, nearer), declared).budgets} == {THREE}
    own = replace(declared, max_increase=MaxIncrease(0.01, "test_q.py:1"))
    (budget, _) = resolved(file(task, nearer), own).budgets
    assert budget.max_increase == own.max_increase


def test_an_entry_may_be_about_increases_alone() -> None:
    alone = Entry(origin="energy-budgets.toml:9", limits=(), tests=(TEST,), max_increase=FIVE)
    (budget,) = resolved(file(alone)).budgets
    assert (budget.limit, budget.max_increase) == (None, FIVE)
    (other,) = resolved(file(alone), test_id="tests/test_q.py::test_other").budgets
    assert other.max_increase is None


def test_two_entries_alike_may_not_differ_in_it() -> None:
    one = entry(9, task="t", max_increase=FIVE)
    two = entry(12, "3 mJ / token", task="t", max_increase=THREE)
    declared = Declaration(task="t", origin="test_q.py:1")
    with pytest.raises(ResolutionError, match=r"5 % \(t:0.05\) in one and 3 % \(t:0.03\) in the"):
        resolved(file(one, two), declared)
    same = replace(two, max_increase=replace(FIVE, origin="elsewhere"))
    assert {each.max_increase for each in resolved(file(one, same), declared).budgets} == {FIVE}


def test_an_entry_for_another_task_or_model_is_not_for_this_test() -> None:
    named = file(replace(BY_PATTERN, task="images"), replace(BY_TEST, model="bert*"))
    assert matched(TASK, Subject(TEST, frozenset({"gpt2"})), named) == frozenset()


def test_defaults_are_the_last_to_be_asked() -> None:
    defaults = Defaults(tolerance=0.05, scope=Scope.GPU)
    (budget,) = resolved(file(BY_TASK, defaults=defaults), TASK).budgets
    assert (budget.tolerance, budget.scope) == (0.05, Scope.GPU)
    (budget,) = resolved(file(replace(BY_TASK, scope=Scope.ALL), defaults=defaults), TASK).budgets
    assert budget.scope is Scope.ALL


def test_cpu_time_is_counted_on_the_cpu_whatever_the_default() -> None:
    counted = file(entry(1, "9 cpu-ms / query", task="chat"), defaults=Defaults(scope=Scope.GPU))
    (budget,) = resolved(counted, TASK).budgets
    assert budget.scope is Scope.CPU


@pytest.mark.parametrize(
    "twins",
    [
        [BY_TASK, entry(9, task="chat")],
        [BY_PATTERN, entry(9, tests=("*gpt2*",))],
        [BY_TEST, entry(9, tests=("other", TEST))],
        [BY_TASK_AND_MODEL, entry(9, task="chat", model="gpt*")],
    ],
)
def test_two_entries_that_tie_are_both_named(twins: list[Entry]) -> None:
    with pytest.raises(ResolutionError) as error:
        resolved(file(*twins), TASK)
    assert all(each.origin in str(error.value) for each in twins)
    assert "both limit energy per query" in str(error.value)


def test_a_tie_below_a_more_specific_entry_matters_to_nobody() -> None:
    assert origins(resolved(file(BY_TASK, entry(9, task="chat"), BY_TEST), TASK)) == ["2"]


def test_limits_of_other_units_do_not_tie() -> None:
    found = resolved(file(BY_TASK, entry(9, "35 mJ / token", task="chat")), TASK)
    assert origins(found) == ["6", "9"]


def test_hardware_chooses_and_comes_before_any() -> None:
    limits = file(
        BY_TASK,
        replace(
            BY_TASK,
            origin="energy-budgets.toml:7",
            hardware="a100",
            limits=((parse_limit("1 J / query"), "energy-budgets.toml:7"),),
        ),
    )
    assert origins(resolved(limits, TASK, machine=LAPTOP)) == ["6"]
    assert origins(resolved(limits, TASK, machine=A100)) == ["7"]


def test_limits_for_other_hardware_only_are_no_budget_with_a_notice() -> None:
    found = resolved(file(replace(BY_TASK, hardware="a100")), TASK)
    assert [each.limit for each in found.budgets] == [None]
    (notice,) = found.notices
    assert "its limits of energy per query are for other hardware only" in notice
    assert "a100 (energy-budgets.toml:6)" in notice
    assert "Intel(R) Core(TM) i7-1185G7, no GPU" in notice


def test_a_limit_for_other_hardware_is_reported_beside_one_for_any() -> None:
    limits = file(
        replace(BY_TASK, hardware="a100"), entry(9, "35 mJ / token", task="chat"), BY_TEST
    )
    assert resolved(limits, TASK).notices == ()
    found = resolved(file(*limits.entries[:2]), TASK)
    assert origins(found) == ["9"]
    assert "energy per query are for other hardware only: a100" in found.notices[0]


def test_limits_for_other_models_only_are_no_budget_with_a_notice() -> None:
    found = resolved(file(replace(BY_TASK, model="llama-*")), TASK)
    assert [each.limit for each in found.budgets] == [None]
    assert "llama-* (energy-budgets.toml:6)" in found.notices[0]


def test_an_unknown_id_is_reported_with_the_known_ones() -> None:
    with pytest.raises(
        ResolutionError, match=r"unknown budget id 'chatt' in .*did you mean 'chat'\?"
    ):
        resolved(file(entry(1, id="chat"), entry(2, id="sum")), Declaration(id="chatt"))
    with pytest.raises(ResolutionError, match=r"known: chat, sum"):
        resolved(file(entry(1, id="chat"), entry(2, id="sum")), Declaration(id="zebra"))
    with pytest.raises(
        ResolutionError, match=r"energy-budgets\.toml, and the root folder has no such file"
    ):
        resolved(BudgetsFile(), Declaration(id="chat"))


def test_an_unknown_task_without_a_limit_of_its_own_is_reported() -> None:
    with pytest.raises(ResolutionError, match=r"did you mean 'chat'\? \(known: chat\)"):
        resolved(file(BY_TASK), Declaration(task="chatt"))
    with pytest.raises(ResolutionError, match=r"which names none"):
        resolved(file(BY_MODEL), Declaration(task="chat"), models=())
    with pytest.raises(ResolutionError, match=r"the root folder has no such file; create it"):
        resolved(BudgetsFile(), Declaration(task="chatt"))
    assert resolved(BudgetsFile(), Declaration(task="chatt", max_increase=MaxIncrease(0.1)))


def test_a_typo_in_a_task_is_reported_though_other_entries_apply() -> None:
    limits = file(BY_TASK, BY_PATTERN)
    with pytest.raises(ResolutionError, match="did you mean 'chat'"):
        resolved(limits, Declaration(task="chatt"))
    with pytest.raises(ResolutionError, match="did you mean 'chat'"):
        resolved(
            limits, Declaration(limits=(parse_limit("1 J / query"),), origin="m:1", task="chatt")
        )
    with pytest.raises(ResolutionError, match="unknown task 'zebra'"):
        resolved(limits, Declaration(task="zebra"))
    assert origins(
        resolved(
            limits, Declaration(limits=(parse_limit("1 J / query"),), origin="m:1", task="zebra")
        )
    )
    assert origins(resolved(file(BY_PATTERN), Declaration(task="zebra"))) == ["3"]


@pytest.mark.parametrize("task", ["text_classification", "Binary text classification"])
def test_a_task_may_be_called_by_any_name_that_the_study_has_for_it(task: str) -> None:
    limits = file(entry(1, task="text-classification"), entry(2, task="image-to-text"))
    assert origins(resolved(limits, Declaration(task=task))) == ["1"]
    assert origins(resolved(file(entry(1, task=task)), Declaration(task="text-classification")))
    assert matched(Declaration(task=task), Subject(TEST), limits) == {("energy-budgets.toml:1", "")}


def test_a_name_that_the_file_has_means_only_itself() -> None:
    limits = file(entry(1, task="qa"), entry(2, task="question-answering"))
    assert origins(resolved(limits, Declaration(task="qa"))) == ["1"]
    assert origins(resolved(limits, Declaration(task="question-answering"))) == ["2"]
    with pytest.raises(ResolutionError, match="two budgets are for this test"):
        resolved(limits, Declaration(task="extractive question answering"))


def test_limits_for_other_models_only_are_reported_however_the_task_is_spelled() -> None:
    limits = file(entry(1, task="asr", model="whisper*"))
    found = resolved(limits, Declaration(task="automatic-speech-recognition"))
    assert "are for other models only: whisper*" in found.notices[0]


def test_a_pattern_with_many_stars_is_quick() -> None:
    assert not matches("*a" * 10 + "*x", "tests/" + "a" * 40)


def test_entries_are_matched_whatever_the_hardware() -> None:
    limits = file(replace(BY_TASK, hardware="a100"), BY_MODEL, BY_ID)
    found = matched(TASK, Subject(TEST, frozenset({"gpt2"})), limits)
    assert found == {(BY_TASK.origin, ""), (BY_MODEL.origin, "")}
    limits = file(replace(BY_TEST, tests=("gone", TEST, "*gpt2]")), replace(BY_ID, tests=("a",)))
    subject = Subject(TEST, frozenset({"gpt2"}))
    assert matched(TASK, subject, limits) == {(BY_TEST.origin, TEST), (BY_TEST.origin, "*gpt2]")}
    assert matched(Declaration(id="x"), subject, limits) == {(BY_ID.origin, "a")}


NAMES = st.sampled_from(["a", "b", "a*", "?", "*", "**b", "[a]"])


@given(
    st.lists(
        st.builds(
            replace,
            st.just(entry(1)),
            tests=st.lists(NAMES, max_size=3).map(tuple),
            task=st.none() | st.sampled_from("ab"),
            model=st.none() | NAMES,
            id=st.none() | st.just("i"),
        ),
        max_size=6,
    ),
    st.none() | st.sampled_from("ab"),
    st.frozensets(st.sampled_from(["a", "b", "ab", "*"])),
    st.sampled_from(["a", "b", "ab", "*", "[a]"]),
)
def test_an_entry_names_a_test_whatever_else_the_file_has(
    entries: list[Entry], task: str | None, models: frozenset[str], test_id: str
) -> None:
    entries = [replace(each, origin=f"b:{line}") for line, each in enumerate(entries)]
    declaration, subject = Declaration(task=task), Subject(test_id, models)
    alone = [matched(declaration, subject, file(each)) for each in entries]
    assert matched(declaration, subject, file(*entries)) == frozenset().union(*alone)


@given(st.text(st.characters(exclude_characters="*?")), st.text(), st.text())
def test_only_star_and_question_mark_are_special(text: str, before: str, after: str) -> None:
    assert matches(text, text)
    assert matches(f"*{text}*", before + text + after)
    assert matches(text.replace("a", "?"), text.replace("a", "[") if "a" in text else text)
    assert matches(text, before) == (text == before)


@pytest.mark.parametrize(
    ("hardware", "machine", "answer"),
    [
        (Hardware(name="h", origin="", gpu="*a100*"), A100, True),
        (Hardware(name="h", origin="", gpu="NVIDIA A100"), A100, False),
        (Hardware(name="h", origin="", gpu="*"), LAPTOP, False),
        (Hardware(name="h", origin="", cpu="amd epyc*"), A100, True),
        (Hardware(name="h", origin="", cpu="Intel*", gpu="*A100*"), A100, False),
        (Hardware(name="h", origin="", gpu_count=1), A100, True),
        (Hardware(name="h", origin="", gpu_count=0), LAPTOP, True),
        (Hardware(name="h", origin="", gpu_count=2), A100, False),
        (Hardware(name="h", origin="", power_limit_watts=400.4), A100, True),
        (Hardware(name="h", origin="", power_limit_watts=300.0), A100, False),
        (Hardware(name="h", origin="", power_limit_watts=400.0), LAPTOP, False),
        (
            Hardware(name="h", origin="", gpu="*A100*"),
            MachineClass("x", (*A100.gpus, ("T4", 70.0))),
            False,
        ),
        (
            Hardware(name="h", origin="", power_limit_watts=70.0),
            MachineClass("x", (("T4", None),)),
            False,
        ),
    ],
)
def test_a_machine_is_of_a_class_or_not(
    hardware: Hardware, machine: MachineClass, answer: bool
) -> None:
    assert fits(hardware, machine) is answer
