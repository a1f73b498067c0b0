"""Who computes on the GPUs inside windows, and whether their power rises with the work.

A process list at one moment misses a process that lives for one call, and some drivers list none at
all. So the lists and the power are looked at while the window is open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from statistics import mean, median

from pytest_energy.sensors.base import Channel, Reading, Sensor, SensorFault
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.nvml import Gpu, Nvml
from pytest_energy.sensors.process_tree import ProcessTree

POLL_SECONDS = 0.025
#: A board's power rises in step when its windows are above the gaps between them by this.
STEP_SHARE = 0.10
STEP_WATTS = 2.0
#: A board that does nothing stays this close to its power before the window.
FLAT_SHARE = 0.02
FLAT_WATTS = 2.0
#: A shorter window proves neither: power readings are up to 0.2 s behind the work.
FLAT_SECONDS = 0.5
#: One window is enough when it is above the gap before it by this share of the power limit.
ONSET_SHARE = 0.15
USUAL_LIMIT_WATTS = 300.0


@dataclass(kw_only=True)
class _Seen:
    """What was seen on one board since `begin`."""

    ours: set[int] = field(default_factory=set)
    others: set[int] = field(default_factory=set)
    gaps: list[float] = field(default_factory=list)
    windows: list[float | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)


class GpuActivity(Sensor):
    """Has no channel: it watches while other sensors measure.

    It is opened last and closed first of the counters, so its look at a board before the work comes
    after they have waited for their ticks.
    """

    def __init__(
        self,
        nvml: Nvml,
        gpus: Sequence[Gpu],
        watts: Mapping[Gpu, Callable[[], float]],
        tree: ProcessTree,
    ) -> None:
        """watts: reads the power of a board, where it reports one."""
        self._nvml = nvml
        self._tree = tree
        self._watts = watts
        self._turns = cycle(gpus)
        self._gpus = tuple(gpus)
        self._seen = {gpu: _Seen() for gpu in gpus}
        self._listed_before: dict[int, frozenset[int]] = {}
        self._opened = 0.0

    @property
    def channels(self) -> tuple[Channel, ...]:
        return ()

    def begin(self) -> None:
        """Forget what was seen: another measurement begins."""
        self._seen = {gpu: _Seen() for gpu in self._gpus}
        ours = self._tree.pids()
        self._listed_before = {
            gpu.board.index: (self._nvml.process_ids(gpu) or frozenset()) & ours
            for gpu in self._gpus
        }

    def open(self, names: frozenset[str]) -> None:
        for gpu in self._gpus:
            seen = self._seen[gpu]
            seen.samples = []
            watts = self._power(gpu)
            if watts is not None:
                seen.gaps.append(watts)
        self._opened = real.perf_counter()

    def poll_seconds(self, names: frozenset[str]) -> float:
        return POLL_SECONDS if self._gpus else math.inf

    def poll(self) -> None:
        for gpu in self._watts:
            watts = self._power(gpu)
            if watts is not None:
                self._seen[gpu].samples.append(watts)
        gpu = next(self._turns)
        pids = self._nvml.process_ids(gpu) or frozenset()
        new = pids - self._seen[gpu].ours - self._seen[gpu].others
        if new:
            ours = self._tree.pids()
            self._seen[gpu].ours |= new & ours
            self._seen[gpu].others |= {pid for pid in new - ours if _is_alive(pid)}

    def close(self, ended: float) -> Mapping[str, Reading]:
        seconds = real.perf_counter() - self._opened
        for seen in self._seen.values():
            if len(seen.gaps) > len(seen.windows):
                seen.windows.append(mean(seen.samples) if seen.samples else None)
                seen.seconds.append(seconds)
        return {}

    def abandon(self) -> None:
        self.close(0.0)

    @property
    def process_ids(self) -> dict[int, frozenset[int]]:
        """Processes of the test's tree that were listed in a window, by board index."""
        return {gpu.board.index: frozenset(seen.ours) for gpu, seen in self._seen.items()}

    @property
    def ours(self) -> frozenset[int]:
        """The same on all boards; some may have ended since."""
        return frozenset().union(*self.process_ids.values())

    @property
    def listed_before(self) -> Mapping[int, frozenset[int]]:
        """Processes of the test's tree that were listed when the measurement began."""
        return self._listed_before

    @property
    def flat(self) -> frozenset[int]:
        """Indices of the boards whose power didn't rise in any window."""
        return frozenset(
            gpu.board.index
            for gpu, seen in self._seen.items()
            if is_flat(seen.gaps, seen.windows, seen.seconds)
        )

    @property
    def others(self) -> frozenset[int]:
        """Indices of the boards on which living processes of others were listed."""
        return frozenset(gpu.board.index for gpu, seen in self._seen.items() if seen.others)

    def rises(self) -> dict[int, float]:
        """By how many watts each board rose with the work, by index; those that rose with it."""
        found = {}
        for gpu, seen in self._seen.items():
            now = self._power(gpu) if seen.gaps else None
            gaps = seen.gaps if now is None else [*seen.gaps, now]
            limit = gpu.power_limit_watts or USUAL_LIMIT_WATTS
            rise = rise_in_step(gaps, seen.windows, ONSET_SHARE * limit)
            if rise is not None:
                found[gpu.board.index] = rise
        return found

    def _power(self, gpu: Gpu) -> float | None:
        try:
            return self._watts[gpu]() if gpu in self._watts else None
        except SensorFault:
            return None


def rise_in_step(
    gaps: Sequence[float], windows: Sequence[float | None], onset_watts: float
) -> float | None:
    """Watts by which windows are above the gaps around them, where that is more than noise.

    gaps: before each window, and where known one after the last. windows: the mean of each, or None
    where nothing was seen of it. onset_watts: a rise of one window that counts by itself, because
    the gap after it comes before the board has fallen.
    """
    if not any(each is not None for each in windows):
        return None
    after = [*gaps[1:], gaps[-1]][: len(windows)]
    steps = [
        (watts - max(before, later), max(before, later))
        for watts, before, later in zip(windows, gaps, after, strict=False)
        if watts is not None
    ]
    step, gap = median(step for step, _ in steps), median(gap for _, gap in steps)
    if step > STEP_SHARE * gap + STEP_WATTS:
        return step
    onset = max(
        watts - before for watts, before in zip(windows, gaps, strict=False) if watts is not None
    )
    return onset if onset > onset_watts else None


def is_flat(
    gaps: Sequence[float], windows: Sequence[float | None], seconds: Sequence[float]
) -> bool:
    """Whether there are windows long enough to tell, and none is above the power before it."""
    sentence = [
        watts is not None and watts - before <= FLAT_SHARE * before + FLAT_WATTS
        for watts, before, each in zip(windows, gaps, seconds, strict=False)
        if each >= FLAT_SECONDS
    ]
    return bool(sentence) and all(sentence)


def _is_alive(pid: int) -> bool:
    try:
        real.readlink(f"/proc/{pid}/exe")
    except FileNotFoundError:
        return False
    except OSError:
        pass  # another user's
    return True
