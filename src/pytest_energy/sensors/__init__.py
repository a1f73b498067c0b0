"""Instruments: each has a `probe`, which `discover` calls, and sensors of one shape (`base`).

CPU: `cpu_time` (`process_tree`, `proc`, `tdp`), `rapl` (`rapl_counters`, `powercap`), `apple`.
GPU: `nvidia` (`nvml`) reads a board by `gpu_energy` (`gpu_counter`, `gpu_corrections`) or by
`gpu_power`; `gpu_choice`, `gpu_activity` and `accelerators` say which GPUs count.
All: `counter` has the rules for energy counters, `clock` the calls that no test can replace.
What readings mean for a test is decided in `measure`.
"""

from pathlib import Path

#: Where Linux has the energy counters of the CPU.
CPU_COUNTER_FOLDER = Path("/sys/class/powercap")
#: Packages that instruments are read with; their versions shape a figure.
PACKAGES = ("nvidia-ml-py", "zeus-apple-silicon")
