"""Test files beside a stand-in of torch, which counts what its works say they do."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester

#: torch's names: what is done inside its counter is counted.
COUNTER = """
total = 0

class FlopCounterMode:
    inside = False
    def __init__(self, display): assert not display
    def __enter__(self):
        global total
        FlopCounterMode.inside, total = True, 0
        return self
    def __exit__(self, *_): FlopCounterMode.inside = False
    def get_total_flops(self): return total
"""
WORK = """
import torch
from torch.utils import flop_counter

calls = []

def work(flops=0):
    spin()
    calls.append(flop_counter.FlopCounterMode.inside)
    if flop_counter.FlopCounterMode.inside:
        flop_counter.total += flops
"""


@pytest.fixture
def flop_bench(energy_pytester: EnergyPytester) -> EnergyPytester:
    # torch is a package of its own size: the real one runs in test_model.py.
    utils = energy_pytester.pytester.path / "torch" / "utils"
    utils.mkdir(parents=True)
    (utils.parent / "__init__.py").write_text("def get_num_threads(): return 1\n")
    (utils / "__init__.py").touch()
    (utils / "flop_counter.py").write_text(COUNTER)
    return energy_pytester
