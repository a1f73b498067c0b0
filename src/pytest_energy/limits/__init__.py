"""Limits: what a marker declares, energy-budgets.toml, and which limits apply to a test.

How a limit is judged is in `rules`.
"""

#: Read from the root folder where it is there.
BUDGETS_FILE = "energy-budgets.toml"
