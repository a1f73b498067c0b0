"""Models of the study on this machine: a test for each, with whatever pytest can do to tests.

`inference` is a model that is loaded (outside what is measured) and its inputs; the plugin named in
pytest.ini makes one for each model that the options choose.
"""

from __future__ import annotations

from pytest_energy import Energy
from pytest_energy.study.running.queries import Inference


def test_inference(energy: Energy, inference: Inference) -> None:
    # One inference at a time, batch 1, as the study did; each call gets the next input.
    energy.measure(inference.query, inputs=inference.inputs)
