"""The type of the weights: half as many bytes, and on hardware for it much less work."""

from __future__ import annotations

import pytest
import torch
from small_models import text_classifier, tokens

from pytest_energy import Energy


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtype(energy: Energy, dtype: str) -> None:
    model, text = text_classifier().to(getattr(torch, dtype)), tokens(128)
    energy.measure(lambda: model(text))
