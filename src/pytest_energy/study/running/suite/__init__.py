"""The tests that `pytest-energy study run` runs."""
