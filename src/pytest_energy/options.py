"""Names and help of the options; plain data, because pytest reads them at every start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

ENVIRONMENT_PREFIX = "PYTEST_ENERGY_"
#: Read from the root folder where it is there.
BUDGETS_FILE = "energy-budgets.toml"
#: The same for the folder of baselines.
BASELINES_FOLDER = "energy-baselines"


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
    Option("gpus", "GPUS", "GPUs that count: auto, all, none, per-worker, or INDEX,UUID"),
    Option("pids", "PID,PID", "processes of a server under test, whose CPU time counts too"),
    Option("max_rounds", "N", "rounds a test at most (20)"),
    Option("max_seconds", "SECONDS", "seconds a test takes (60); one round at least"),
    Option("fail_on", "VERDICTS", "verdicts that fail (fail,unmeasured,inconclusive); or none"),
    Option("require", "EVIDENCE", "measured: without an energy counter unmeasured; or any"),
    Option("budgets", "PATH", f"the file of limits ({BUDGETS_FILE} in the root folder)"),
    Option("baselines", "PATH", f"the folder of baselines ({BASELINES_FOLDER} in the root folder)"),
    Option("max_increase", "PERCENT", "how far tests may rise over their baselines (0.05)"),
    Option("carbon_intensity", "INTENSITY", 'grams of CO2e for one kWh, such as "300 gCO2e/kWh"'),
    Option("country", "COUNTRY", "take grams of CO2e for one kWh from CodeCarbon's data: FRA"),
    Option("region", "REGION", "the same, for a region of that country"),
    Option(
        "cpu_watts_per_core",
        "WATTS",
        "watts of a busy core, for estimates without a counter (4); or tdp",
    ),
    Option("powercap_root", "FOLDER", "where RAPL counters are (/sys/class/powercap)"),
    Option("lock_folder", "FOLDER", "by which runs on one machine take turns (/tmp/pytest-energy)"),
)
#: Options of the command line alone: flag, what it takes, help.
FLAGS = (
    ("--energy-disable", None, "run marked tests once, unmeasured"),
    ("--energy-strict", None, "every verdict but pass fails"),
    ("--energy-flops", None, "count torch's FLOPs in one more, unmeasured call of each test"),
    ("--energy-json", "PATH", "write the run record here"),
    ("--energy-update", "MODE", "baselines: new fills what is missing; add, reset"),
)


class Given(NamedTuple):
    """What a user set, and where."""

    value: str
    origin: str


def levels(option: Option, config: Any, environment: Mapping[str, str]) -> list[Given | None]:
    """What is set on the command line, in the environment and in the ini file; empty is unset."""
    where = config.inipath.name if config.inipath else "the ini file"
    found = (
        Given(config.getoption(option.ini), option.flag),
        Given(environment.get(option.variable, ""), option.variable),
        Given(config.getini(option.ini), f"{option.ini} in {where}"),
    )
    return [Given(str(each.value), each.origin) if each.value else None for each in found]


def given(option: Option, config: Any, environment: Mapping[str, str]) -> Given | None:
    """What holds: command line > environment > ini file."""
    return next((each for each in levels(option, config, environment) if each), None)
