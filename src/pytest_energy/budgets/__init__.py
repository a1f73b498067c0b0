"""Limits: what a marker declares, energy-budgets.toml, and which limits stand for a test."""
