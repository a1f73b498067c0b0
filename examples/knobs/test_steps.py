"""Steps of a diffusion model: each one is a pass through its largest part."""

from __future__ import annotations

import pytest

from pytest_energy import Energy

pytest.importorskip("diffusers", reason="pictures need diffusers: pip install diffusers")


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 16])
def test_steps(energy: Energy, steps: int) -> None:
    from small_models import painter

    paint = painter()
    energy.measure(lambda: paint(steps))
