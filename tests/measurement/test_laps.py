"""Short pieces of CPU time, and which of them neighbours disturbed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle as endless
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.measurement.laps import Cleaned, cleaned, least, paired_ratios
from pytest_energy.measurement.meter import Lap, Window
from pytest_energy.rules.baseline import MAX_INCREASE, Session, change, session_of
from pytest_energy.rules.estimate import LOOKS, MIN_ROUNDS, estimate
from pytest_energy.rules.limit import look
from pytest_energy.rules.paired import Comparison, compare
from pytest_energy.rules.verdict import Verdict

QUICK = 20e-6
SLOW = 1.7
Cost = Callable[[int], float]


def window(laps: Sequence[Lap], others: float = 0.0) -> Window:
    """others: CPU seconds of processes that the laps don't see."""
    return Window(
        seconds=sum(each.seconds for each in laps),
        readings={},
        cpu_seconds=sum(each.cpu_seconds for each in laps) + others,
        laps=tuple(laps),
    )


class Machine:
    """A core with neighbours that come in bursts, which slow all work by 1.7 in the meantime."""

    def __init__(
        self,
        seed: int,
        busy: float,
        shortest: float = 0.1,
        longest: float = 1.0,
        held_up: float = 0.0,
    ) -> None:
        """busy: the share of the time that bursts take. held_up: of laps that lose their core."""
        self._held_up = held_up
        self.random = random.Random(seed)
        self._busy = busy
        self._lengths = (shortest, longest)
        self._now = 0.0
        self._is_slow = self.random.random() < busy
        self._changes = self._next()

    def _next(self) -> float:
        length = self.random.uniform(*self._lengths)
        share = self._busy if self._is_slow else 1 - self._busy
        return self._now + (length * share / max(self._busy, 1e-9) if share else 1e9)

    def work(self, seconds: float) -> float:
        """The CPU time of work that takes so many seconds on a quiet core."""
        used, left = 0.0, seconds
        while left > 0:
            pace = SLOW if self._is_slow else 1.0
            step = min(left * pace, self._changes - self._now)
            self._now += step
            used += step
            left -= step / pace
            if self._now >= self._changes:
                self._is_slow = not self._is_slow
                self._changes = self._next()
        if self._held_up and self.random.random() < self._held_up:
            used *= self.random.uniform(1.1, 1.8)  # left its core for a moment
        return used * self.random.gauss(1.0, 0.01)

    def reference(self) -> float:
        return QUICK * (SLOW if self._is_slow else 1.0) * abs(self.random.gauss(1.0, 0.02))

    def lap(self, cost: float, before: float, position: int = 0) -> Lap:
        """A lap of one call; before: what the fixed work took when the lap before it ended."""
        used = self.work(cost)
        return Lap(
            position=position,
            calls=1,
            units={"query": 1.0},
            seconds=used,
            cpu_seconds=used,
            before=before,
            after=self.reference(),
        )

    def round(self, cost: Cost, cycle: int = 1, seconds: float = 0.2) -> Window:
        """One call a lap."""
        laps: list[Lap] = []
        before = self.reference()
        while not laps or sum(each.seconds for each in laps) < seconds or len(laps) % cycle:
            laps.append(self.lap(cost(len(laps)), before, len(laps) % cycle))
            before = laps[-1].after
        return window(laps)


def figure(found: Cleaned | None) -> float:
    assert found is not None and not found.problem
    values = [value for value in found.values if value is not None]
    return estimate(values, [each for each in found.units if each]).centre


def whole(rounds: Sequence[Window]) -> float:
    """The figure of the same rounds without laps."""
    return estimate([each.cpu_seconds / len(each.laps) for each in rounds]).centre


def steady(call: int) -> float:
    return 0.01


def test_laps_beside_a_busy_neighbour_are_left_out() -> None:
    machine = Machine(1, busy=0.4)
    rounds = [machine.round(steady) for _ in range(20)]
    found = cleaned(rounds, "query")
    assert figure(found) == pytest.approx(0.01, rel=0.005)
    assert whole(rounds) > 0.0115
    assert found is not None
    assert 0.25 < found.affected < 0.55
    assert found.spread < 0.02


def test_on_a_quiet_machine_nothing_is_left_out() -> None:
    machine = Machine(2, busy=0.0)
    rounds = [machine.round(steady) for _ in range(5)]
    found = cleaned(rounds, "query")
    assert found is not None
    assert None not in found.values
    assert found.affected < 0.02
    assert figure(found) == pytest.approx(whole(rounds), rel=0.002)


def test_the_time_of_one_unit_is_that_of_the_laps_that_count() -> None:
    machine = Machine(3, busy=0.4)
    found = cleaned(
        [machine.round(lambda call: 0.005 * (1 + call % 3), 3) for _ in range(20)], "query"
    )
    assert found is not None
    # One core is busy throughout, so the time of a call is its CPU time.
    assert found.seconds_per_unit == pytest.approx(figure(found), rel=0.01)


@given(st.lists(st.lists(st.floats(0.001, 0.1), min_size=3, max_size=30), min_size=1, max_size=20))
def test_undisturbed_rounds_keep_the_sum_of_their_work(costs: list[list[float]]) -> None:
    rounds = [
        window(
            [
                Lap(
                    position=0,
                    calls=2,
                    units={"token": 7.0},
                    seconds=each,
                    cpu_seconds=each,
                    before=QUICK,
                    after=QUICK,
                )
                for each in laps
            ]
        )
        for laps in costs
    ]
    found = cleaned(rounds, "token")
    assert found is not None
    expected = [sum(laps) / len(laps) / 7 for laps in costs]
    assert found.values == pytest.approx(expected)
    assert sum(found.units) == pytest.approx(7 * sum(map(len, costs)))


@pytest.mark.parametrize("busy", [0.0, 0.4])
def test_work_of_random_cost_is_not_made_cheaper(busy: float) -> None:
    """A fifth of the calls costs ten times the others, as sampling does."""
    figures, spreads = [], []
    for seed in range(40):
        machine = Machine(seed, busy, longest=0.5)
        choose = random.Random(seed)

        def cost(call: int, choose: random.Random = choose) -> float:
            return choose.choice([0.005, 0.005, 0.005, 0.005, 0.05])

        found = cleaned([machine.round(cost) for _ in range(20)], "query")
        figures.append(figure(found))
        assert found is not None
        spreads.append(found.spread)
    assert 0.98 < fmean(figures) / 0.014 < 1.10
    assert min(spreads) > 0.5


@pytest.mark.parametrize("period", [6, 97])
def test_calls_that_are_heavy_now_and_then_count(period: int) -> None:
    figures = []
    for seed in range(20):
        machine = Machine(seed, busy=0.4)
        made = iter(range(1_000_000))

        def cost(call: int, made: Sequence[int] = made) -> float:  # type: ignore[assignment]
            return 0.1 if next(made) % period == period - 1 else 0.005  # type: ignore[call-overload]

        rounds = [machine.round(cost) for _ in range(20)]
        figures.append(figure(cleaned(rounds, "query")))
    truth = 0.005 + 0.095 / period
    assert 0.95 < fmean(figures) / truth < 1.15


def test_inputs_of_different_cost_count_alike() -> None:
    """The dear input is disturbed more often, because it takes longer."""
    costs = [0.002, 0.004, 0.08, 0.003]
    figures = []
    for seed in range(10):
        machine = Machine(seed, busy=0.4)
        rounds = [machine.round(lambda call: costs[call % 4], cycle=4) for _ in range(20)]
        figures.append(figure(cleaned(rounds, "query")))
    assert fmean(figures) == pytest.approx(fmean(costs), rel=0.02)
    assert stdev(figures) / fmean(figures) < 0.02


def test_work_in_other_processes_is_counted_as_a_whole() -> None:
    rounds = [Machine(seed, 0.0).round(steady) for seed in range(5)]
    partly = [window(each.laps, others=0.1 * each.cpu_seconds) for each in rounds]
    found = cleaned(partly, "query")
    assert found is not None
    assert found.values == ()
    assert not found.may_improve
    assert "9.1 % of the CPU time was used outside the short windows" in found.problem


def test_calls_longer_than_a_burst_are_counted_as_a_whole() -> None:
    found = cleaned([Machine(seed, 0.4).round(lambda call: 0.5) for seed in range(5)], "query")
    assert found is not None
    assert found.values == ()
    assert "longer than many bursts" in found.problem
    assert "energy.compare" in found.problem


def test_rounds_that_were_disturbed_throughout_do_not_count() -> None:
    quiet, busy = Machine(1, 0.0), Machine(2, 1.0)
    rounds = [*(quiet.round(steady) for _ in range(5)), *(busy.round(steady) for _ in range(3))]
    found = cleaned(rounds, "query")
    assert found is not None
    assert [value is None for value in found.values] == [False] * 5 + [True] * 3
    few = cleaned(rounds[2:], "query")
    assert few is not None
    assert few.may_improve
    assert few.values == ()


def test_rounds_without_laps_are_left_alone() -> None:
    assert cleaned([], "query") is None
    assert cleaned([Window(seconds=1.0, readings={}, cpu_seconds=1.0)], "query") is None


def turns(machine: Machine, costs: Sequence[Cost]) -> list[Window]:
    """A round in which works take turns call by call, A B B A."""
    laps: list[list[Lap]] = [[] for _ in costs]
    order = list(range(len(costs)))
    before = machine.reference()
    while sum(lap.seconds for mine in laps for lap in mine) < 0.2 * len(costs):
        for work in order:
            laps[work].append(machine.lap(costs[work](len(laps[work])), before))
            before = laps[work][-1].after
        order.reverse()
    return [window(mine) for mine in laps]


def verdict_of_pairs(
    seed: int, busy: float, reference: Cost, candidate: Cost, held_up: float = 0.0
) -> Comparison:
    machine = Machine(seed, busy, held_up=held_up)
    rounds: list[list[Window]] = []
    while True:
        rounds.append(turns(machine, [reference, candidate]))
        old, new = zip(*rounds, strict=True)
        ratios = paired_ratios(new, old, "query")
        found = compare(ratios, 0.03, final=len(rounds) == 20)
        if found is not None:
            return found


def test_turns_beside_bursts_tell_equals() -> None:
    found = verdict_of_pairs(1, 0.4, steady, steady)
    assert found.verdict is Verdict.PASS
    assert found.ratio.centre == pytest.approx(1.0, abs=0.01)


def test_turns_that_did_nothing_leave_the_ratio_to_the_sums() -> None:
    """Every other call of both gives no token."""
    machine = Machine(1, 0.0)
    rounds = [
        [
            window([replace(lap, units={"token": float(i % 2)}) for i, lap in enumerate(each.laps)])
            for each in turns(machine, [steady, lambda call: 0.011])
        ]
        for _ in range(5)
    ]
    old, new = zip(*rounds, strict=True)
    assert paired_ratios(new, old, "token") == pytest.approx([1.1] * 5, rel=0.02)


@pytest.mark.parametrize(("period", "factor"), [(20, 3), (10, 1.8), (30, 20)])
def test_a_candidate_that_is_heavy_now_and_then_is_not_made_cheaper(
    period: int, factor: float
) -> None:
    ratios = []
    for seed in range(30):
        costs = endless([factor, *[1] * (period - 1)])

        def heavy(call: int, costs: Iterator[float] = costs) -> float:
            return 0.01 * next(costs)

        found = verdict_of_pairs(seed, 0.4, steady, heavy)
        ratios.append(found.ratio.centre)
    truth = 1 + (factor - 1) / period
    assert truth - 0.03 < fmean(ratios) < truth * 1.05


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("seconds", "busy"),
    [(0.005, 0.0), (0.005, 0.3), (0.005, 0.5), (0.02, 0.3), (0.02, 0.5), (0.1, 0.0), (0.1, 0.3)],
)
def test_pairs_beside_bursts_hold(seconds: float, busy: float) -> None:
    """Of 200 comparisons: equals are red in at most 1 %, and 5 % more is found in 95 %."""
    held_up = 0.05 if busy and seconds < 0.1 else 0.0  # one lap of 20, beside the bursts
    equals = [
        verdict_of_pairs(seed, busy, lambda call: seconds, lambda call: seconds, held_up).verdict
        for seed in range(200)
    ]
    assert sum(each is not Verdict.PASS for each in equals) <= 2
    dearer = [
        verdict_of_pairs(
            seed, busy, lambda call: seconds, lambda call: 1.05 * seconds, held_up
        ).verdict
        for seed in range(200)
    ]
    assert sum(each is Verdict.FAIL for each in dearer) >= 190


@pytest.mark.simulation
@pytest.mark.parametrize("seconds", [0.003, 0.02, 0.1])
@pytest.mark.parametrize("busy", [0.0, 0.3, 0.5])
def test_figures_beside_bursts_hold(seconds: float, busy: float) -> None:
    """200 sessions: a spread of at most 2.5 % and a bias of at most 3 %."""
    figures = []
    for seed in range(200):
        machine = Machine(seed, busy)
        rounds = [machine.round(lambda call: seconds) for _ in range(20)]
        while len(rounds) < 60 and (cleaned(rounds, "query") or Cleaned()).counted < 20:
            rounds.append(machine.round(lambda call: seconds))
        figures.append(figure(cleaned(rounds, "query")) / seconds)
    assert abs(fmean(figures) - 1) < 0.03
    assert stdev(figures) < 0.025


class Memory(Machine):
    """Neighbours that contend for memory: the fixed work, which needs none, is not slowed."""

    def reference(self) -> float:
        return QUICK * abs(self.random.gauss(1.0, 0.02))


def failed(machine: Machine, excess: float, tolerance: float) -> tuple[bool, bool]:
    """Whether work that is so far over its limit fails by its rounds, and also by cheap calls."""
    truth, rounds = 0.008, list[Window]()
    limit = truth / (1 + excess)
    while len(rounds) < LOOKS[-1]:
        rounds.append(machine.round(lambda call: truth))
        found = cleaned(rounds, "query")
        assert found is not None
        values = [value for value in found.values if value is not None]
        units = [each for each in found.units if each]
        verdict = look(values, limit, tolerance, final=False, units=units)
        if verdict is not None:
            cheapest = least(rounds, "query")
            assert cheapest is not None
            return verdict is Verdict.FAIL, verdict is Verdict.FAIL and cheapest > limit
    return False, False


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("make", "busy", "excess", "tolerance", "by_rounds", "by_both"),
    [
        # At the limit contention alone makes most of them fail.
        (Memory, 0.5, 0.0, 0.03, 90, range(10)),
        (Memory, 0.5, 0.0, 0.15, 20, range(6)),
        # What is over the limit is found as without the cheap calls.
        (Memory, 0.5, 0.2, 0.15, 90, range(90, 101)),
        (Machine, 0.0, 0.08, 0.03, 100, range(100, 101)),
        (Machine, 0.5, 0.08, 0.03, 100, range(100, 101)),
    ],
)
def test_a_fail_beside_others_needs_cheap_calls_over_the_limit_too(
    make: type[Machine],
    busy: float,
    excess: float,
    tolerance: float,
    by_rounds: int,
    by_both: range,
) -> None:
    """Of 100 sessions."""
    found = [failed(make(seed, busy), excess, tolerance) for seed in range(100)]
    rounds, both = (sum(each) for each in zip(*found, strict=True))
    assert rounds >= by_rounds
    assert both in by_both


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("make", "busy", "increase", "regressed"),
    [
        # Contention alone makes equal work look dearer than its baseline of a quiet session.
        (Memory, 0.5, 0.0, (29, 0)),
        # What costs more is found as without the cheap calls.
        (Memory, 0.5, 0.1, (54, 54)),
        (Machine, 0.0, 0.1, (100, 100)),
    ],
)
def test_a_regression_beside_others_needs_cheap_calls_over_the_baseline_too(
    make: type[Machine], busy: float, increase: float, regressed: tuple[int, int]
) -> None:
    """Of 100 sessions, by rounds and by both, against one of a quiet machine; 5 % are allowed."""
    rounds = both = 0
    for seed in range(100):
        stored, stored_least = session_at(Machine(seed + 1000, 0.0), 0.008)
        new, new_least = session_at(make(seed, busy), 0.008 * (1 + increase))
        is_regression = change([new], [stored], MAX_INCREASE, same_board=True).is_regression
        rounds += is_regression
        both += is_regression and new_least / stored_least > 1 + MAX_INCREASE
    assert (rounds, both) == regressed


def session_at(machine: Machine, seconds: float) -> tuple[Session, float]:
    """Five rounds of work that takes so long, and its cheapest calls."""
    rounds = [machine.round(lambda call: seconds) for _ in range(MIN_ROUNDS)]
    found, cheapest = cleaned(rounds, "query"), least(rounds, "query")
    assert found is not None and cheapest is not None
    return session_of([value for value in found.values if value is not None]), cheapest


@pytest.mark.parametrize(("heavy", "every"), [(0.5, 10), (0.05, 20), (0.02, 6)])
def test_costly_calls_that_were_all_disturbed_count(heavy: float, every: int) -> None:
    def lap(number: int) -> Lap:
        is_heavy = number % every == every - 1
        used, after = (heavy, SLOW * QUICK) if is_heavy else (0.001, QUICK)
        return replace(LAP, seconds=used, cpu_seconds=used, after=after)

    found = cleaned([window([lap(number) for number in range(60)])] * 5, "query")
    assert found is not None
    assert "times the CPU time of the undisturbed ones" in found.problem
    assert found.may_improve


def test_what_neighbours_add_at_most_is_no_other_work() -> None:
    slowed = replace(LAP, seconds=0.0017, cpu_seconds=0.0017, after=SLOW * QUICK)
    found = cleaned([window([LAP, slowed, slowed] * 20)] * 5, "query")
    assert figure(found) == pytest.approx(0.001)


LAP = Lap(
    position=0,
    calls=1,
    units={"query": 1.0},
    seconds=0.001,
    cpu_seconds=0.001,
    before=QUICK,
    after=QUICK,
)
