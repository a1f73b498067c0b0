"""Names and help of the options; plain data, because pytest reads them at every start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

ENVIRONMENT_PREFIX = "PYTEST_ENERGY_"


class Option(NamedTuple):
    """One setting that has a command-line option, an environment variable and an ini twin."""

    name: str
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        return "--energy-" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def ini(self) -> str:
        return "energy_" + self.name


OPTIONS = (
    Option("gpus", "GPUS", "GPUs that count: auto, all, none, or INDEX,UUID"),
    Option("max_rounds", "N", "rounds a test at most (20)"),
    Option("max_seconds", "SECONDS", "seconds a test takes (60); one round at least"),
    Option("fail_on", "VERDICTS", "verdicts that fail (fail,unmeasured,inconclusive)"),
    Option("require", "EVIDENCE", "measured: without an energy counter unmeasured; or any"),
    Option("carbon_intensity", "INTENSITY", 'grams of CO2e for one kWh, such as "300 gCO2e/kWh"'),
    Option(
        "cpu_watts_per_core",
        "WATTS",
        "watts of a busy core, for estimates without a counter (4)",
    ),
)
#: Options of the command line alone: flag, what it takes, help.
FLAGS = (
    ("--energy-disable", None, "run marked tests once, unmeasured"),
    ("--energy-strict", None, "every verdict but pass fails"),
    ("--energy-json", "PATH", "write the run record here"),
)


def given(option: Option, config: Any, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """What a user set, and where: command line > environment > ini file; empty is unset."""
    where = config.inipath.name if config.inipath else "the ini file"
    for value, origin in (
        (config.getoption(option.ini), option.flag),
        (environment.get(option.variable), option.variable),
        (config.getini(option.ini), f"{option.ini} in {where}"),
    ):
        if value:
            return str(value), origin
    return None
