"""`pytest-energy compare`: a candidate compared with its reference, each in processes of its own.

Candidates inside one test are compared in `measure`.
"""
