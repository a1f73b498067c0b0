"""Beams of a search: each one decodes a text of its own, and some models take four by default."""

from __future__ import annotations

import pytest
from small_models import generated, summarizer, tokens

from pytest_energy import Energy


@pytest.mark.parametrize("beams", [1, 2, 4, 8])
def test_beams(energy: Energy, beams: int) -> None:
    model, text = summarizer(), tokens(128)
    energy.measure(lambda: generated(model, text, 15, beams))
