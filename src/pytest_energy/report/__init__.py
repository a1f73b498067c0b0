"""Reports: each a function from a run record to text; no I/O, no measuring."""
