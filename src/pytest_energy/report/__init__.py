"""Reports: each a function from a run record to text.

No I/O and no measuring; reports of a comparison and of the study lie with them.
"""
