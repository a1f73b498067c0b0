"""`python -m pytest_energy.cli`."""

from __future__ import annotations

from pytest_energy.cli import app

if __name__ == "__main__":
    app()
