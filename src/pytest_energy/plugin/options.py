"""Names and help of the options; plain data, because pytest reads them at every start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pytest_energy.baselines import BASELINES_FOLDER
from pytest_energy.limits import BUDGETS_FILE

ENVIRONMENT_PREFIX = "PYTEST_ENERGY_"
#: How our own processes hand something to their children.
INTERNAL_VARIABLES = ("PYTEST_ENERGY_COMPARE_FOLDER",)
#: How GitHub Actions tells of itself.
SUMMARY, ACTIONS = "GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"


class Option(NamedTuple):
    """A setting: an option of the command line, an environment variable, a key of the ini file."""

    name: str
    metavar: str
    help: str
    default: str = ""
    is_list: bool = False
    """Whether the option may stand several times, and its twins hold values between spaces."""

    @property
    def description(self) -> str:
        """The help, with the default."""
        return f"{self.help} ({self.default})" if self.default else self.help

    @property
    def flag(self) -> str:
        return "--energy-" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def ini(self) -> str:
        return "energy_" + self.name


#: Each takes a value.
OPTIONS = (
    Option("gpus", "GPUS", "Measure these GPUs: auto, all, none, per-worker or INDEX,UUID", "auto"),
    Option(
        "pids",
        "PID,PID|auto",
        "Count these processes too (a server under test); auto: servers that a test talks to",
    ),
    Option(
        "remote",
        "[ALIAS=]URL",
        "Read energy counters of another machine at URL (Prometheus's text format); repeatable",
        is_list=True,
    ),
    Option("max_rounds", "N", "Measure at most N rounds a test", "20"),
    Option(
        "max_seconds", "SECONDS", "Measure each test for SECONDS at most, one round at least", "60"
    ),
    Option("fail_on", "VERDICTS", "Fail on VERDICTS, or on none", "fail,unmeasured,inconclusive"),
    Option(
        "require", "measured|any", "Reject figures without an energy counter, or accept any", "any"
    ),
    Option("budgets", "PATH", "Read limits from PATH", f"{BUDGETS_FILE} in the root folder"),
    Option("baselines", "PATH", "Keep baselines in PATH", f"{BASELINES_FOLDER} in the root folder"),
    Option(
        "max_increase", "PERCENT", "Fail a test that exceeds its baseline by more than this", "5 %"
    ),
    Option(
        "carbon_intensity",
        "INTENSITY",
        'Convert joules to carbon with this, such as "300 gCO2e/kWh"',
    ),
    Option("country", "COUNTRY", "Convert joules with CodeCarbon's data on COUNTRY, such as FRA"),
    Option("region", "REGION", "Convert joules with the data on a REGION of that country"),
    Option(
        "cpu_watts_per_core",
        "WATTS",
        "Estimate with WATTS per busy core, or 'tdp' for the CPU's TDP",
        "4",
    ),
    Option("cpu_counter_folder", "FOLDER", "Read the energy counters of the CPU in FOLDER"),
    Option("junit_property", "TEMPLATE", "Name JUnit properties by TEMPLATE", '"{name}"'),
    Option("lock_folder", "FOLDER", "Lock devices against other runs with files in FOLDER"),
)
DISABLE = Option("disable", "", "Run marked tests once, unmeasured")
STRICT = Option("strict", "", "Fail on every verdict but pass")
FLOPS = Option("flops", "", "Count torch's FLOPs in one more, unmeasured call of each test")
#: On the command line flags; their twins hold true or false.
SWITCHES = (DISABLE, STRICT, FLOPS)
#: Options without twins: flag, what it takes, what pytest does with it, help.
COMMAND_LINE_ONLY = (
    ("--energy-json", "PATH", "store", "Write the run record to PATH"),
    (
        "--energy-report",
        "[FORMAT:]PATH",
        "append",
        "Write a report to PATH; without FORMAT, the ending of PATH names it; repeatable (formats: "
        "docs/reports.md)",
    ),
    (
        "--energy-update",
        "MODE",
        "store",
        "Update the baselines: new (add what is missing), add (append this session) or reset "
        "(replace all sessions)",
    ),
)
#: The heading of the options in pytest's help.
HEADING = (
    "energy budgets (all but json, report and update can also be set as ini option energy_NAME or "
    "variable PYTEST_ENERGY_NAME)"
)


def option(name: str) -> Option:
    """The option with this name."""
    return next(each for each in OPTIONS if each.name == name)


class Given(NamedTuple):
    """What a user set, and where."""

    value: str
    origin: str


def levels(asked: Option, config: Any, environment: Mapping[str, str]) -> list[Given | None]:
    """What is set on the command line, in the environment and in the ini file; empty is unset."""
    where = config.inipath.name if config.inipath else "the ini file"
    typed = config.getoption(asked.ini)
    found = (
        Given(" ".join(typed) if asked.is_list and typed else typed, asked.flag),
        Given(environment.get(asked.variable, ""), asked.variable),
        Given(config.getini(asked.ini), f"{asked.ini} in {where}"),
    )
    return [Given(str(each.value), each.origin) if each.value else None for each in found]


def given(asked: Option, config: Any, environment: Mapping[str, str]) -> Given | None:
    """What holds: command line > environment > ini file."""
    return next((each for each in levels(asked, config, environment) if each), None)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that has our prefix and is unknown."""
    known = {each.name.upper(): each.variable for each in (*OPTIONS, *SWITCHES)}
    others = {ENVIRONMENT_PREFIX + flag[9:].upper(): flag for flag, *_ in COMMAND_LINE_ONLY}
    mistakes = []
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in (
            *known.values(),
            *INTERNAL_VARIABLES,
        ):
            continue
        from pytest_energy.spelling import alike  # most runs have no such variable

        near = alike(name.removeprefix(ENVIRONMENT_PREFIX), known)
        hint = f"known: {', '.join(known.values())}"
        if near:
            hint = f"did you mean {known[near[0]]}?"
        if name in others:
            hint = f"write {others[name]} into PYTEST_ADDOPTS"
        mistakes.append(f"{name}: unknown variable; {hint}")
    return mistakes


def is_job(environment: Mapping[str, str]) -> bool:
    """Whether this run has a summary, or annotations; one that measures for another has none."""
    if any(each in environment for each in INTERNAL_VARIABLES):
        return False
    return bool(environment.get(SUMMARY)) or environment.get(ACTIONS) == "true"
