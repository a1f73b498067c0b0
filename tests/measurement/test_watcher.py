"""The thread that looks at instruments in a window: never blind for long, never costly."""

from __future__ import annotations

import time

import pytest

from pytest_energy.measurement.watcher import CREDIT_SECONDS, SHARE, Poll, Watcher

pytestmark = pytest.mark.realtime


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def watch(watcher: Watcher, costs: list[float], seconds: float) -> int:
    """How many looks there were in a window; look number i takes costs[i] CPU seconds."""
    looks = 0

    def look() -> None:
        nonlocal looks
        burn(costs[min(looks, len(costs) - 1)])
        looks += 1

    watcher.start([Poll(look, 0.025)], lambda: None)
    time.sleep(seconds)
    watcher.stop()
    return looks


def test_a_slow_first_look_does_not_end_the_watch() -> None:
    # A pause that earns 3 ms back takes 0.75 s.
    assert watch(Watcher(), [0.003, 0.0], 0.6) >= 3


def test_costly_looks_are_held_back() -> None:
    watcher = Watcher()
    seconds, cost = 1.5, 0.002
    looks = watch(watcher, [cost], seconds)
    assert 1 < looks <= (CREDIT_SECONDS + SHARE * seconds) / cost + 2


def test_a_costly_instrument_does_not_hide_another() -> None:
    looks = 0

    def cheap() -> None:
        nonlocal looks
        looks += 1

    watcher = Watcher()
    costly = Poll(lambda: burn(0.01), 0.025, "costly")
    watcher.start([costly, Poll(cheap, 0.025, "cheap")], lambda: None)
    time.sleep(1.0)
    watcher.stop()
    # One account for both would hold the cheap one back for two seconds.
    assert looks >= 8


def test_credit_is_given_once_and_not_for_each_window() -> None:
    watcher = Watcher()
    first = watch(watcher, [0.004], 0.2)
    later = sum(watch(watcher, [0.004], 0.2) for _ in range(4))
    assert first >= 1
    assert later <= 2
