"""Run tests beside each other, and those that fail again with the cores to themselves.

python tests/again_alone.py PYTEST_ARGUMENTS

Workers share two cores with whatever else runs there, so a test may wait too long for its turn.
What fails alone too is red. Any other end than "tests failed" (a crash, an interrupt, a wrong
option) is the end.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

ALONE = ["-n", "0", "--last-failed", "--last-failed-no-failures=none"]


def main(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    status = subprocess.run(command).returncode
    if status != pytest.ExitCode.TESTS_FAILED:
        return status
    print("\nWhat failed is run again, one test at a time:", flush=True)
    return subprocess.run([*command, *ALONE]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
