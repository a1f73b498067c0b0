"""`pytest-energy compare`: a candidate beside its reference."""
