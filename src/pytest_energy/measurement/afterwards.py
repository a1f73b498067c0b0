"""Whether work goes on once the last call has returned.

A call that hands its work to a thread, a process or a task and doesn't wait is over at once, and
the figure then holds a part of its work only. What was left shows in what the process tree and the
boards do right after the last call, when nothing was asked of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from pytest_energy.errors import Reason
from pytest_energy.measurement.no_work import WAITING_SHARE
from pytest_energy.measurement.protocol import Round
from pytest_energy.sensors.base import Device, Reading, SensorFault
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.process_tree import ProcessTree
from pytest_energy.units import percent

LOOKS, BETWEEN_SECONDS = 5, 0.004
#: Threads of OpenMP wait actively for up to 0.2 s, loaders fill their queues, boards cool down.
PATIENCE_SECONDS = 0.6
#: More threads than before the first call.
BUSY = 0.3
#: Of what a board rose by while the test ran, and of its power limit: it stays in a high state for
#: a while, which takes less.
STILL_SHARE = 0.8
LIMIT_SHARE = 0.15
USUAL_LIMIT_WATTS = 300.0
#: Whom a test waits for is looked for so long.
GAP_SECONDS = 1.0
LEAST_SECONDS = 0.5
#: Others work for it when they use so many cores in all rounds, in none much less than usually, and
#: a small part of that right after.
OUTSIDE_CORES = 0.3
STEADY_SHARE = 0.5
QUIET_SHARE = 0.25
#: Tasks that calls leave behind: so many a call, and so many at least.
TASKS_A_CALL = 0.5
LEAST_TASKS = 3
REMEDY = (
    "so the calls leave work behind, and this figure doesn't hold it: wait for it in each call "
    "(return the future, join the thread, await the task)"
)


@dataclass(frozen=True, kw_only=True)
class Doing:
    """What is done at a moment.

    busy: how many threads of the process tree run. watts: by board. tasks: of the event loop.
    """

    busy: float = 0.0
    watts: Mapping[str, float] = field(default_factory=dict)
    tasks: int = 0


class Afterwards:
    """Looks before the first call and after the last one.

    devices: whose power is read, where they report one. machine_busy: CPU seconds of all processes.
    """

    def __init__(
        self,
        tree: ProcessTree,
        devices: Sequence[Device],
        machine_busy: Callable[[], float | None],
    ) -> None:
        self._tree = tree
        self._machine_busy = machine_busy
        self._watts = {
            each.channel: (each.watts, each.power_limit_watts)
            for each in devices
            if each.watts is not None
        }
        self._before = self._after = Doing()

    def begin(self) -> None:
        """Remember what is done without the calls."""
        self._before = self._after = self._look()

    def end(self, rounds: Sequence[Round]) -> str:
        """Why work goes on that these calls began, once it had time to end; or ""."""
        deadline = real.perf_counter() + PATIENCE_SECONDS
        while problem := self.went_on(rounds, self._look()):
            if real.perf_counter() >= deadline:
                return problem
        return ""

    def outside(self, rounds: Sequence[Round]) -> str:
        """Why processes outside the tree did what the calls of these rounds waited for; or ""."""
        measured = [each.window for each in rounds if not each.warmup]
        seconds = sum(each.ran_seconds for each in measured)
        own = sum(each.cpu_seconds for each in measured)
        cores = [(each.other_cpu_seconds or 0.0) / each.seconds for each in measured]
        if seconds < LEAST_SECONDS or own >= WAITING_SHARE * seconds:
            return ""
        usual = fmean(cores)
        if min(cores) < max(STEADY_SHARE * usual, OUTSIDE_CORES):
            return ""
        after = self._others()
        if after is None or after > QUIET_SHARE * usual:
            return ""
        return Reason(
            "work-outside",
            f"the test's processes used {percent(own / seconds)} of one core and waited, while "
            f"processes outside the process tree used {usual:.2f} cores, and {after:.2f} right "
            "after the last call: they do a part of the work, and what they use isn't counted; "
            "name them with --energy-pids=PID",
        )

    def _others(self) -> float | None:
        """The cores that all other processes use at this moment."""
        before, began, own = self._machine_busy(), real.perf_counter(), real.process_time()
        real.sleep(GAP_SECONDS)
        after, now = self._machine_busy(), real.perf_counter()
        if before is None or after is None:
            return None
        others = after - before - float(real.process_time() - own)
        return max(others, 0.0) / float(now - began)

    def went_on(self, rounds: Sequence[Round], after: Doing) -> str:
        """Why what is done after these rounds is their work."""
        calls = sum(each.calls for each in rounds)
        left = after.tasks - self._before.tasks
        if left >= max(TASKS_A_CALL * calls, LEAST_TASKS):
            return Reason(
                "work-goes-on",
                f"{left:,} tasks of the event loop were not done after {calls:,} calls, {REMEDY}",
            )
        if after.busy - self._before.busy > BUSY:
            return Reason(
                "work-goes-on",
                f"{after.busy:.1f} threads of the test's processes still ran "
                f"{PATIENCE_SECONDS:g} s after the last call (before the first: "
                f"{self._before.busy:.1f}), {REMEDY}",
            )
        for channel, watts in after.watts.items():
            before = self._before.watts.get(channel)
            limit = self._watts[channel][1] or USUAL_LIMIT_WATTS
            usual = _mean_watts(rounds, channel)
            if before is None or usual is None:
                continue
            if watts - before > max(STILL_SHARE * (usual - before), LIMIT_SHARE * limit):
                return Reason(
                    "work-goes-on",
                    f"{channel} still drew {watts:.0f} W {PATIENCE_SECONDS:g} s after the last "
                    f"call (before the first: {before:.0f} W; while the test ran: {usual:.0f} W), "
                    f"{REMEDY}",
                )
        return ""

    def _look(self) -> Doing:
        return Doing(
            busy=self._busy(),
            watts={
                channel: watts
                for channel, (read, _) in self._watts.items()
                if (watts := _read(read)) is not None
            },
            tasks=_tasks(),
        )

    def _busy(self) -> float:
        """How many threads run or want to; on a busy machine their CPU time would say less."""
        total = 0
        for number in range(LOOKS):
            if number:
                real.sleep(BETWEEN_SECONDS)
            total += self._tree.runnable()
        return total / LOOKS


def _mean_watts(rounds: Sequence[Round], channel: str) -> float | None:
    """Of the latest round with a figure."""
    for each in reversed(rounds):
        reading: Reading | None = each.window.readings.get(channel)
        if isinstance(reading, float):
            return reading / each.window.seconds
    return None


def _read(watts: Callable[[], float]) -> float | None:
    try:
        return watts()
    except SensorFault:
        return None


def _tasks() -> int:
    """How many tasks of the event loop that runs in this thread are not done."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # none runs
        return 0
