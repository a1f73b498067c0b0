"""Each chosen model of the study, one inference at a time; loading it is not measured."""

from __future__ import annotations

from pytest_energy.plugin.fixture import Energy
from pytest_energy.study.running.plugin import Measure
from pytest_energy.study.running.queries import Inference


def test_inference(energy: Energy, inference: Inference, measure: Measure) -> None:
    measure(energy, inference)
