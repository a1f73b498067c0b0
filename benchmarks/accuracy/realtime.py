"""Starts the tools on a compiled fake library, and sums up what they measured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean, pstdev
from typing import Any

HERE = Path(__file__).parent
FAKE_NVML = HERE.parent.parent / "tests" / "fakes" / "fake_nvml" / "fake_nvml.c"
SECONDS = (0.2, 1.0, 2.0)
#: Of a burst at the end, what comes before.
IDLE_SHARE = 0.8


@dataclass(frozen=True)
class Result:
    """versions: by package. warm_up: the first window of each tool. windows: all others."""

    versions: Mapping[str, str]
    warm_up: Mapping[str, Mapping[str, float]]
    windows: Sequence[Mapping[str, Any]]

    def errors(self, tool: str, seconds: float) -> list[float]:
        return [
            each["joules"] / each["true_joules"] - 1
            for each in self.windows
            if (each["tool"], each["window"]) == (tool, seconds)
        ]

    @property
    def tools(self) -> list[str]:
        return list(self.warm_up)

    def summary(self) -> list[dict[str, Any]]:
        """Bias, sd and worst error of each tool at each window length."""
        rows = []
        for tool in self.tools:
            for seconds in SECONDS:
                errors = self.errors(tool, seconds)
                rows.append(
                    {
                        "tool": tool,
                        "window": seconds,
                        "windows": len(errors),
                        "bias": fmean(errors),
                        "sd": pstdev(errors),
                        "worst": max(errors, key=abs),
                    }
                )
        return rows


def minutes(windows: int) -> float:
    """About how long it takes."""
    return 2 * 3 * windows * sum(1.05 * each + 0.4 for each in SECONDS) / 60


def run(windows: int, seed: int, idle_share: float, fall_ms: float) -> Result:
    """Work that begins with an idle part, and whose power falls with a time constant.

    Raises RuntimeError where it can't be done, with what the process said.
    """
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        compile_library(folder)
        job, result = folder / "job.json", folder / "result.json"
        job.write_text(
            json.dumps(
                {"seconds": SECONDS, "windows": windows, "seed": seed, "idle_share": idle_share}
            )
        )
        command = [sys.executable, str(HERE / "rivals.py"), str(job), str(result)]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment(folder, _scenario(seed, fall_ms)),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return Result(**json.loads(result.read_text(encoding="utf-8")))


def compile_library(folder: Path) -> None:
    """The fake library, with what CodeCarbon asks of it beyond."""
    command = [shutil.which("cc") or "gcc", "-shared", "-fPIC", "-O2"]
    command += ["-Wl,-soname,libnvidia-ml.so.1", "-o", str(folder / "libnvidia-ml.so.1")]
    command += [str(FAKE_NVML), str(HERE / "more_nvml.c"), "-lpthread", "-lm"]
    subprocess.run(command, check=True)


def _scenario(seed: int, fall_ms: float) -> str:
    phase = Random(seed).uniform(0, 100)
    return (
        "gpu name=Fake-A100 watts=50 period_ms=100 jitter_ms=8 latency_us=200 "
        f"phase_ms={phase:.3f} seed={seed} decay_ms={fall_ms}\n"
    )


def environment(folder: Path, text: str) -> dict[str, str]:
    """Variables of a process that sees the boards of a scenario.

    As on a machine with a driver; CodeCarbon counts no GPU unless a program nvidia-smi runs.

    Settings of the tools that come from this user's files and variables are left out.
    """
    smi = folder / "nvidia-smi"
    smi.write_text("#!/bin/sh\nexit 0\n")
    smi.chmod(0o755)
    scenario = folder / "scenario.txt"
    scenario.write_text(text)
    hidden = {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in hidden and not name.startswith(("CODECARBON", "ZEUS"))
    }
    libraries = filter(None, [str(folder), kept.get("LD_LIBRARY_PATH", "")])
    # The process runs in another folder, where a relative path would lead elsewhere.
    modules = [str(Path(each).resolve()) for each in sys.path if each]
    return kept | {
        "PYTHONPATH": os.pathsep.join(modules),
        "HOME": str(folder),
        "PATH": os.pathsep.join([str(folder), kept.get("PATH", "")]),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "FAKE_NVML_SCENARIO": str(scenario),
    }
