"""Whether calls did any work here: empty bodies, cached results, servers that do it for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from pytest_energy.errors import Reason
from pytest_energy.measurement.meter import Lap
from pytest_energy.measurement.peers import Peer
from pytest_energy.measurement.protocol import Round
from pytest_energy.sensors.remote_caches import CacheCounts
from pytest_energy.units import figure, percent

#: Later calls have collapsed when they take less than this beyond an empty one, and less than this
#: share of the first.
#: The least inferences that people test (a small tree of scikit-learn, one matrix product of numpy
#: with its checks) take 10 us and more; looking a result up in a cache takes less. What is as quick
#: from its first call on is measured, down to an empty call.
COLLAPSED_SECONDS = 10e-6
COLLAPSED_SHARE = 0.01
LEAST_FIRST_SECONDS = 2e-3
#: A call that takes less than an empty one, this factor of noise, and this time beyond did nothing:
#: not even a product of two small matrices. A window holds what opening and closing it takes too:
#: 0.2 to 0.5 ms, and up to 0.7 ms beside six busy processes on two cores.
EMPTY_NOISE = 2.0
NOTHING_SECONDS = 0.5e-6
NOTHING_IN_WINDOW_SECONDS = 2e-3
#: Where the wait for a core isn't counted, a busy machine makes a call so many times as long.
BUSY_FACTOR = 5.0
#: Slower calls needn't be compared with an empty one.
SLOW_SECONDS = 30e-6
#: A server that uses this share of the test's own CPU time does a part of its work.
PEER_SHARE = 0.05
#: A test that keeps less than this share of a core busy waits for somebody.
WAITING_SHARE = 0.5
#: A connection is part of the work when calls exchange so many bytes, or make one every other time.
BYTES_A_CALL = 16
#: Fewer are, a byte each way, where the test waits while the server is busy.
LEAST_BYTES_A_CALL = 2
CONNECTIONS_A_CALL = 0.5
#: Of the tokens that a server looks up; fewer hits are not reported.
CACHE_SHARE = 0.01
REMEDY = (
    "make the input inside the test, clear the cache, or pass inputs= to energy.measure, so that "
    "each call does the work"
)


def no_work(rounds: Sequence[Round], empty_laps: Callable[[], Sequence[Lap]]) -> str:
    """Why these rounds, warm-up first, hold no work; or "". A collapse needs a first call alone.

    empty_laps: measures calls of nothing, and is asked where calls are quick.
    """
    measured = [each for each in rounds if not each.warmup]
    if not measured:
        return ""
    # The least, of warm-up too: a busy machine only makes calls slower.
    pace = min(map(_pace, rounds[1:] or measured))
    following = sum(each.calls for each in rounds[1:])
    if not following:
        return _empty_window(pace) if pace < NOTHING_IN_WINDOW_SECONDS else ""
    if pace >= SLOW_SECONDS:
        return ""
    nothing = empty_laps()
    every = [*nothing, *(lap for each in rounds for lap in each.window.laps)]
    quick = min((end for lap in every for end in (lap.before, lap.after)), default=0.0)
    pace = min(_pace(each, quick) for each in rounds[1:])
    empty = _at_full_speed(nothing, quick) / max(sum(each.calls for each in nothing), 1)
    first = rounds[0].window
    is_empty = pace < EMPTY_NOISE * empty + NOTHING_SECONDS
    # A first call that only waited for its turn on a busy machine did no work.
    worked = first.ran_seconds if is_empty else first.cpu_seconds
    is_first_alone = rounds[0].calls == 1 and worked >= LEAST_FIRST_SECONDS
    # Making a call is no part of the work.
    of_work = pace - empty
    if is_first_alone and of_work < min(COLLAPSED_SECONDS, COLLAPSED_SHARE * worked):
        return Reason(
            "cached-result",
            f"the first call took {duration(first.seconds)}, the following {following:,} took "
            f"{duration(pace)} each: the result is cached or the input is used up; {REMEDY}",
        )
    return _empty_call(pace) if is_empty else ""


def slow_first(rounds: Sequence[Round]) -> str:
    """That the first call used so much that the others may not do the same, for a note; or ""."""
    if len(rounds) < 2 or rounds[0].calls != 1:
        return ""
    first, pace = rounds[0].window.cpu_seconds, min(map(_pace, rounds[1:]))
    if first < LEAST_FIRST_SECONDS or pace > COLLAPSED_SHARE * first:
        return ""
    return (
        f"the first call used {duration(first)} of CPU time, the following {duration(pace)} each: "
        "it loaded or compiled something, which belongs into a fixture, or the others find a "
        "result in a cache, a used-up input or nothing to do"
    )


def _pace(measured: Round, quick: float = 0.0) -> float:
    """Seconds of a call, without those that it waited for a core on a busy machine.

    That is CPU time. A call that waits for a device uses little of it, but takes long.
    quick: what the fixed work takes at full speed; 0 for the CPU time at the speed that there was.
    """
    window = measured.window
    cpu_seconds = window.cpu_seconds
    in_laps = sum(lap.cpu_seconds for lap in window.laps)
    if quick and in_laps:
        cpu_seconds *= _at_full_speed(window.laps, quick) / in_laps
    return max(cpu_seconds, window.ran_seconds / BUSY_FACTOR) / measured.calls


def _at_full_speed(laps: Sequence[Lap], quick: float) -> float:
    """The CPU seconds that these laps take on a core that is not slowed by its neighbours.

    They double the CPU time of the same work for up to seconds, so a call of nothing may meet
    neighbours that the measured calls did not. quick: what the fixed work takes on such a core.
    """
    return sum(
        lap.cpu_seconds * (quick / fmean((lap.before, lap.after)) if quick else 1.0) for lap in laps
    )


def work_elsewhere(peers: Sequence[Peer], rounds: Sequence[Round]) -> str:
    """Why a process outside the tree did a part of what these rounds measured; or ""."""
    if not (working := working_peers(peers, rounds)):
        return ""
    seconds = sum(each.window.seconds for each in rounds)
    return _done_by(working[0], sum(each.window.cpu_seconds for each in rounds) / seconds)


def working_peers(peers: Sequence[Peer], rounds: Sequence[Round]) -> list[Peer]:
    """Who did a part of what these rounds measured, the busiest first.

    A connection alone is no evidence: a pool of a fixture or a debugger may hold it. Either the
    calls use it while this test waits, or the server uses CPU time beside it.
    """
    calls = sum(each.calls for each in rounds)
    seconds = sum(each.window.seconds for each in rounds)
    own = sum(each.window.cpu_seconds for each in rounds)
    found: list[Peer] = []
    if not calls or seconds <= 0:
        return found
    for peer in sorted(peers, key=lambda each: each.cpu_seconds, reverse=True):
        is_used = (
            peer.connections >= CONNECTIONS_A_CALL * calls
            or (peer.exchanged or 0) >= BYTES_A_CALL * calls
        )
        is_waiting = own < WAITING_SHARE * seconds
        is_asked = is_waiting and (peer.exchanged or 0) >= LEAST_BYTES_A_CALL * calls
        is_unseen = peer.exchanged is None and not peer.connections
        may_be_used = is_used or is_asked or is_unseen
        is_busy = may_be_used and peer.cpu_seconds >= PEER_SHARE * max(own, 0.01 * seconds)
        if is_busy or (is_used and is_waiting):
            found.append(peer)
    return found


def _done_by(peer: Peer, own_cores: float) -> Reason:
    place = "a socket in the file system" if peer.port is None else f"port {peer.port}"
    if peer.is_remote:
        return Reason(
            "server-elsewhere",
            f"the test exchanged data with {place} of another machine and used "
            f"{percent(own_cores)} of one core itself: what that machine used isn't counted; "
            "measure where the model runs, or name its energy counters with --energy-remote",
        )
    if peer.pid is None:
        return Reason(
            "server-outside",
            f"the test exchanged data with a process of another user ({place}), which isn't in its "
            "process tree: what that process used isn't counted; add --energy-pids=PID with its id",
        )
    return Reason(
        "server-outside",
        f"the test exchanged data with {peer.name} (process {peer.pid}, {place}), which isn't in "
        f"its process tree: what that process used isn't counted; add --energy-pids={peer.pid}, or "
        "--energy-pids=auto for each server that a test talks to",
    )


def from_cache(alias: str, counts: CacheCounts) -> str:
    """That a server answered so much of the prompts from its prefix cache; or ""."""
    hits, queries = counts.hits, counts.queries
    if queries <= 0 or hits < CACHE_SHARE * queries:
        return ""
    return Reason(
        "prefix-cache",
        f"{alias} took {percent(hits / queries)} of the prompts ({hits:,.0f} of {queries:,.0f} "
        "tokens) from its prefix cache, so this figure holds less work than new prompts need: pass "
        "inputs= with repeat=False, or start vLLM with --no-enable-prefix-caching",
    )


def _empty_call(seconds: float) -> Reason:
    return Reason(
        "no-work",
        f"a call took {duration(seconds)}, no longer than one without work: it did nothing, its "
        f"result is cached or its input is used up; {REMEDY}",
    )


def _empty_window(seconds: float) -> Reason:
    return Reason(
        "no-work",
        f"the window took {duration(seconds)}, and opening and closing it is a part of that: it "
        f"needs {duration(NOTHING_IN_WINDOW_SECONDS)} of work at least; put more calls into it, or "
        "measure one with energy.measure",
    )


def duration(seconds: float) -> str:
    """ "50.0 ms" """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{figure(seconds / size)} {unit}"
    return f"{figure(seconds / 1e-6)} us"
