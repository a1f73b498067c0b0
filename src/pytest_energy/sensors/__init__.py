"""Instruments, one file each, all of one shape (see `base`), and the system calls they use.

What their readings mean for a test is decided in `measure`.
"""

from pathlib import Path

#: Where Linux has the energy counters of the CPU.
CPU_COUNTER_FOLDER = Path("/sys/class/powercap")
#: Packages that instruments are read with; their versions shape a figure.
PACKAGES = ("nvidia-ml-py", "zeus-apple-silicon")
