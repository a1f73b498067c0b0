"""`pytest-energy compare`: a candidate beside its reference, in processes that take turns.

Candidates inside one test are compared in `measure`.
"""
