"""New tokens: each one is a pass through the whole model."""

from __future__ import annotations

import pytest
from small_models import generated, text_generator, tokens

from pytest_energy import Energy


@pytest.mark.parametrize("output_length", [1, 5, 10, 20, 40])
def test_output_length(energy: Energy, output_length: int) -> None:
    model, prompt = text_generator(), tokens(26)
    energy.measure(lambda: generated(model, prompt, output_length))
