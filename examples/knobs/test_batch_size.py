"""Texts a call: a batch shares what a call costs, until the processor is busy anyway."""

from __future__ import annotations

import pytest
from small_models import text_classifier, tokens

from pytest_energy import Energy


@pytest.mark.parametrize("batch_size", [1, 2, 4, 8, 16])
def test_batch_size(energy: Energy, batch_size: int) -> None:
    model, batch = text_classifier(), tokens(32, batch_size)
    energy.measure(lambda: model(batch), count=batch_size)
