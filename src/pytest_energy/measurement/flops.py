"""Floating-point operations of one call, as torch counts them: they tell a bigger model apart.

torch counts matrix products, convolutions and those kernels of attention that it knows, by the
shapes that it sees: the figure is the same in every run, where energy is noisy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from pytest_energy.errors import Reason

NOT_COUNTABLE = Reason(
    "no-flops",
    "FLOPs are not countable: torch saw none in an extra call (custom kernels, TorchScript, work "
    "outside torch, in another thread or in another process)",
)
NO_TORCH = Reason("no-torch", "FLOPs are not countable: the test hasn't loaded torch")


@contextmanager
def counting_flops() -> Generator[Callable[[], int]]:
    """Count what torch does inside, on any device; gives a function that tells the number.

    Counts nothing where torch isn't loaded: it is never imported from here.
    """
    if "torch" not in sys.modules:
        yield lambda: 0
        return
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        yield counter.get_total_flops


def why_none() -> str:
    """Why a call had no FLOPs."""
    return NOT_COUNTABLE if "torch" in sys.modules else NO_TORCH
