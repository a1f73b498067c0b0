"""The example of a served model runs as its README says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "serving"
TOKENS, NEW_TOKENS = 32, 16
#: Units, and the numbers of requests in flight, of each test.
MEASURED = {
    "test_limits_per_token": [("input-token", None), ("output-token", None), ("request", None)],
    "test_prefill_and_decode": [
        ("prefill-token", None),
        ("decode-token", None),
        ("empty-request", None),
    ],
    "test_load": [("output-token", 1), ("output-token", 4), ("output-token", 16)],
    "test_clients_leave_early": [("request", 4)],
    "test_started_outside_of_pytest": [("output-token", None)],
    "test_killed_in_the_middle": [("output-token", 4)],
}


@pytest.mark.model
def test_served_tokens_are_counted_whatever_the_machine_does(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    command = [sys.executable, "-m", "pytest", str(EXAMPLE), "-p", "no:cacheprovider"]
    command += [f"--energy-json={record}", f"--energy-lock-folder={tmp_path / 'locks'}"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert record.exists(), run.stdout + run.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for each in json.loads(record.read_bytes())["tests"]:
        found.setdefault(each["id"].rpartition("::")[2], []).append(each)
    shown = {
        name: [(each["unit"], each["load"] and each["load"]["concurrency"]) for each in tests]
        for name, tests in found.items()
    }
    assert shown == MEASURED, run.stdout

    (killed,) = found.pop("test_killed_in_the_middle")
    assert (killed["verdict"], killed["code"]) == ("unmeasured", "failed-requests")
    assert killed["load"]["failed"] > 0
    for each in [each for tests in found.values() for each in tests]:
        assert each["method"] == "estimated"
        # A part that disappears beside what neighbours add may be zero.
        assert each["joules_per_unit"] > 0 or each["parts"], each["reason"]
        # Far from each limit, whatever the machine does; a busy one may leave too few calls.
        assert each["verdict"] in ("pass", "inconclusive"), each["reason"]
        assert each["fraction_of_limit"] < 1, each["reason"]
        if each["load"]:
            assert each["load"]["failed"] == 0
    # A model that has no end token answers with as many tokens as were asked for.
    for name in ("test_limits_per_token", "test_started_outside_of_pytest", "test_load"):
        for each in found[name]:
            for one in each["rounds"]:
                units = one["all_units"]
                assert units["input-token"] == pytest.approx(TOKENS * units["request"])
                assert units["output-token"] == pytest.approx(NEW_TOKENS * units["request"])
    for one in found["test_clients_leave_early"][0]["rounds"]:
        assert one["all_units"]["output-token"] == pytest.approx(5 * one["all_units"]["request"])
    parts = found["test_prefill_and_decode"][0]["parts"]
    assert [(each["input_tokens"], each["output_tokens"]) for each in parts["cells"]] == [
        (inputs, outputs) for inputs in (32, 128) for outputs in (1, 8, 32)
    ]
    (outside,) = found["test_started_outside_of_pytest"]
    assert any("outside the process tree that count too" in each for each in outside["notes"]), (
        outside["notes"]
    )
    assert "mJ for a request of 32 tokens in and 16 out, by" in run.stdout
