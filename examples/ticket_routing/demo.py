"""Run the example's tests, show their output, and explain the one that fails on purpose.

Exits with 0 when exactly that happened which the example is meant to show, else with 1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
#: What each test is to come to: its outcome in pytest and its energy verdict.
EXPECTED = {
    "test_within_budget": ("passed", "pass"),
    "test_over_budget_on_purpose": ("failed", "fail"),
    "test_accurate_within_budget": ("passed", "pass"),
}
RED = "test_over_budget_on_purpose"
WIDTH = min(shutil.get_terminal_size().columns, 80)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        record, outcomes = Path(name, "energy.json"), Path(name, "outcomes.xml")
        status = run_tests(record, outcomes)
        print()
        if not (record.exists() and outcomes.exists()):
            say(
                f"DEMO FAILED: pytest ended with status {status} and wrote no results; its output "
                "is above. README.md in this folder says what has to be installed."
            )
            return 1
        tests = {each["id"].rpartition("::")[2]: each for each in read_tests(record)}
        ended = read_outcomes(outcomes)
    mistakes = differences(ended, tests)
    if mistakes:
        say("DEMO FAILED: the tests did not come out as they should:")
        for mistake in mistakes:
            say(f"- {mistake}")
        return 1
    explain(tests[RED])
    return 0


def run_tests(record: Path, outcomes: Path) -> int:
    """Run pytest as on a command line, with its output going where ours goes."""
    command = [sys.executable, "-m", "pytest", str(FOLDER), "--no-header", "-p", "no:cacheprovider"]
    command += ["--energy-json", str(record), "--junit-xml", str(outcomes)]
    # The model comes with its package, so nothing is to be looked up on the network.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.run(command, env=environment, check=False).returncode


def read_tests(record: Path) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = json.loads(record.read_text(encoding="utf-8"))["tests"]
    return tests


def read_outcomes(outcomes: Path) -> dict[str, str]:
    """How each test ended in pytest, with its message where it did not pass."""
    ended = {}
    for case in ElementTree.parse(outcomes).iter("testcase"):
        ended[case.get("name", "")] = "passed"
        for tag, word in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
            if (found := case.find(tag)) is not None:
                ended[case.get("name", "")] = f"{word}: {found.get('message', '')}"
    return ended


def differences(ended: dict[str, str], tests: dict[str, dict[str, Any]]) -> list[str]:
    """Where the run differs from what is expected, in sentences."""
    mistakes = []
    for name, (outcome, verdict) in EXPECTED.items():
        found = ended.pop(name, "not run")
        if found.partition(":")[0] != outcome:
            mistakes.append(f"{name} should have {outcome}, and it was: {found}")
        elif outcome == "failed" and not found.startswith("failed: energy: "):
            mistakes.append(f"{name} did not fail because of its energy: {found}")
        reached = tests[name]["verdict"] if name in tests else "no record"
        if reached != verdict:
            mistakes.append(f"the energy verdict of {name} should be {verdict}, and is: {reached}")
    return mistakes + [f"there is a test that nobody expects: {name}" for name in ended]


def explain(test: dict[str, Any]) -> None:
    """Say in words what the red message says, with the figures of the run record."""
    rounds = [each for each in test["rounds"] if not each["warmup"]]
    queries = sum(each["units"] for each in rounds)
    measured = f"in {len(rounds)} rounds with {queries:.0f} queries in all, after a warm-up"
    for channel in test["channels"]:
        if channel["gated"]:
            measured += f"; {channel['name']}, {channel['provenance']}: {channel['source']}"
    say("As expected: two tests passed, and one failed on purpose. Its red message says:")
    print()
    say_row("test", RED)
    say_row("figure", f"{test['joules_per_unit'] * 1000:.3g} mJ / query")
    say_row("limit", f"{test['budget']['limit']}, set in {test['budget']['origin']}")
    fraction = test["fraction_of_limit"]
    say_row("over by", f"{fraction - 1:.0%}, so it is {fraction:.0f} times the limit")
    if test["interval"] is not None:
        low, high = (f"{joules * 1000:.3g}" for joules in test["interval"])
        say_row("interval", f"{low} to {high} mJ: even its lower end is over the limit")
    say_row("measured", measured)
    print()
    say(
        "The table has the same figures in Wh for 1000 queries. In a real project such a message "
        "mostly means that the model or the code has become more expensive. There are two ways "
        "out: change the model (a smaller one, shorter inputs, larger batches), or raise the "
        "limit in the line that the message names, in a commit that a colleague reviews."
    )


def say_row(name: str, text: str) -> None:
    start = f"  {name:<10}"
    print(textwrap.fill(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start)))


def say(text: str) -> None:
    print(textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False))


if __name__ == "__main__":
    sys.exit(main())
