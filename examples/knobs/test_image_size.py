"""Pixels on a side: twice as many are four times the patches, and attention grows faster still."""

from __future__ import annotations

import pytest
import torch
from small_models import image_classifier

from pytest_energy import Energy


@pytest.mark.parametrize("image_size", [96, 160, 224, 320, 384])
def test_image_size(energy: Energy, image_size: int) -> None:
    model, image = image_classifier(image_size), torch.randn(1, 3, image_size, image_size)
    energy.measure(lambda: model(image))
