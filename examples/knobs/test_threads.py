"""Threads of torch: they answer sooner, and the CPU time of all of them counts."""

from __future__ import annotations

import os

import pytest
import torch
from small_models import text_classifier, tokens

from pytest_energy import Energy

CORES = os.cpu_count() or 1


@pytest.mark.parametrize("threads", sorted({1, 2, 4, CORES} & set(range(1, CORES + 1))))
def test_threads(energy: Energy, threads: int) -> None:
    torch.set_num_threads(threads)
    model, text = text_classifier(), tokens(128)
    try:
        energy.measure(lambda: model(text))
    finally:
        torch.set_num_threads(1)
