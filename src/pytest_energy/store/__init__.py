"""Baselines: earlier sessions of the same tests on the same hardware, in committed files."""
