"""Baselines: earlier sessions of the same tests on the same hardware, in committed files.

Rule B itself is in `rules`.
"""

#: Read from the root folder where it is there.
BASELINES_FOLDER = "energy-baselines"
