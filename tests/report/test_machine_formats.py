"""Formats for other tools, each read back as its consumer reads it."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pandas
import pytest
from codecarbon.output_methods.emissions_data import EmissionsData
from jsonschema import validate
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from records import NEW, RECORD, TEST, UNMEASURED
from session_records import ESTIMATE, H100, measured, session

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.record.merge import merge
from pytest_energy.record.schema import ChannelRecord, RunRecord, carbon_record
from pytest_energy.report.formats import format_named

FACTOR = Intensity(grams_per_kwh=412.3, source="a grid", year=2024, pue=1.37)
WITH_FACTOR = replace(
    RECORD,
    carbon=carbon_record(FACTOR),
    tests=(replace(TEST, grams_per_unit=FACTOR.grams(12.312), location="tests/test_models.py:9"),),
)
ESTIMATED = replace(
    RECORD,
    tests=(replace(TEST, channels=(ESTIMATE,), method="estimated", scope="cpu"),),
)
CPU_TIME = replace(RECORD, tests=(replace(ESTIMATED.tests[0], method="cpu-time"),))
HOSTILE = 'a "b" \\ {c="d"} # e\n# EOF\r\x00\u202e 5 \'f\' <g> =1+1 |'
HOSTILE_TEST = replace(
    TEST, id=f"t.py::test[{HOSTILE}]", name=HOSTILE, task=HOSTILE, model=HOSTILE, unit=HOSTILE
)
RECORDS = {
    "several": RECORD,
    "hostile": replace(RECORD, tests=(HOSTILE_TEST, replace(UNMEASURED, id=HOSTILE))),
    "no test": replace(RECORD, tests=()),
    "unmeasured only": replace(RECORD, tests=(UNMEASURED,)),
    "no factor": replace(RECORD, carbon=None),
    "estimated": ESTIMATED,
    "CPU time": CPU_TIME,
    "twice the same": replace(RECORD, tests=(TEST, replace(TEST, scope="all"), TEST)),
    "merged": merge([session(day=1), session(day=2), session(day=3, gpus=(H100,))]),
    "reruns": replace(RECORD, tests=(TEST, replace(TEST, attempt=2))),
}
BENCHMARK = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
        "properties": {
            "value": {"type": "number"},
            **{name: {"type": "string"} for name in ("name", "unit", "range", "extra")},
        },
    },
}
#: As published at https://bencher.dev/bmf.json.
BENCHER = {
    "type": "object",
    "patternProperties": {
        ".+": {
            "type": "object",
            "patternProperties": {
                ".+": {
                    "type": "object",
                    "properties": {
                        name: {"type": "number"} for name in ("value", "lower_value", "upper_value")
                    },
                    "required": ["value"],
                }
            },
        }
    },
}
#: What GitLab reads of the Code Climate format.
QUALITY = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "fingerprint": {"type": "string", "minLength": 32},
            "location": {
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^[^/.]"},
                    "lines": {
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}


def rendered(record: RunRecord, name: str) -> str:
    return format_named(name)(record)


def samples(record: RunRecord) -> Iterator[tuple[str, dict[str, str], float]]:
    families: Any = text_string_to_metric_families  # it has no types
    for family in families(rendered(record, "openmetrics")):
        assert family.type == "gauge"
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def emissions(record: RunRecord) -> list[dict[str, Any]]:
    frame = pandas.read_csv(io.StringIO(rendered(record, "codecarbon")))
    return [dict(row) for _, row in frame.iterrows()]


def gitlab_metrics(record: RunRecord) -> dict[str, str]:
    """As GitLab reads them: a name and a value as a shell splits them, comments left out."""
    found = {}
    for line in rendered(record, "gitlab-metrics").splitlines():
        name, value = shlex.split(re.sub("#.*", "", line))
        assert name not in found
        found[name] = value
    return found


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_each_consumer_reads_its_format(record: RunRecord) -> None:
    validate(json.loads(rendered(record, "github-benchmark")), BENCHMARK)
    validate(json.loads(rendered(record, "bencher")), BENCHER)
    issues = json.loads(rendered(record, "gitlab-quality"))
    validate(issues, QUALITY)
    assert len({each["fingerprint"] for each in issues}) == len(issues)
    keys = [(name, tuple(sorted(labels.items()))) for name, labels, _ in samples(record)]
    assert len(set(keys)) == len(keys)
    gitlab_metrics(record)
    for row in emissions(record):
        EmissionsData(**row)


def test_codecarbons_columns_are_codecarbons() -> None:
    head = rendered(RECORD, "codecarbon").splitlines()[0]
    assert head.split(",") == [each.name for each in fields(EmissionsData)]


def test_grams_over_joules_are_the_stated_factor_everywhere() -> None:
    stated = 412.3 * 1.37 / 3.6e6
    exactly = pytest.approx(stated, rel=1e-12)
    (row,) = emissions(WITH_FACTOR)
    assert row["energy_consumed"] == pytest.approx(123.12 * 1.37 / 3.6e6, rel=1e-12)
    assert row["emissions"] / row["energy_consumed"] == pytest.approx(0.4123, rel=1e-12)
    assert row["emissions"] * 1000 / 123.12 == exactly
    ((_, measures),) = json.loads(rendered(WITH_FACTOR, "bencher")).items()
    energy, carbon = measures["joules-per-query"], measures["grams-co2e-per-query"]
    for key in ("value", "lower_value", "upper_value"):
        assert carbon[key] / energy[key] == exactly
    values = {name: value for name, _, value in samples(WITH_FACTOR)}
    grams = values["pytest_energy_grams_co2e_per_unit"]
    assert grams / values["pytest_energy_joules_per_unit"] == exactly
    assert values["pytest_energy_grams_co2e_per_kwh"] == pytest.approx(412.3 * 1.37)
    metrics = {name.partition("{")[0]: value for name, value in gitlab_metrics(WITH_FACTOR).items()}
    grams = float(metrics["pytest_energy_grams_co2e_per_unit"])
    assert grams / float(metrics["pytest_energy_joules_per_unit"]) == exactly
    (entry,) = json.loads(rendered(WITH_FACTOR, "github-benchmark"))
    written = float(re.findall(r"carbon: (\S+) gCO2e / query", entry["extra"])[0])
    assert written / entry["value"] == exactly
    assert "412.3 gCO2e/kWh x PUE 1.37 (a grid, 2024)" in entry["extra"]


@pytest.mark.parametrize("record", [ESTIMATED, CPU_TIME])
def test_an_estimate_is_never_shown_as_a_measurement(record: RunRecord) -> None:
    (row,) = emissions(record)
    assert row["experiment_id"] == "estimated"
    assert "(estimated, 10 x query)" in row["project_name"]
    assert row["tracking_mode"] == "process"
    ((name, measures),) = json.loads(rendered(record, "bencher")).items()
    assert record.tests[0].method in name
    assert "estimated-joules-per-query" in measures
    assert "joules-per-query" not in measures
    (entry,) = json.loads(rendered(record, "github-benchmark"))
    assert entry["unit"] in ("J (estimated) / query", "CPU s / query")
    energy = [labels for name, labels, _ in samples(record) if "joules" in name]
    assert energy and all(each["evidence"] == "estimated" for each in energy)
    names = [each for each in gitlab_metrics(record) if "joules" in each]
    assert names and all("evidence=estimated" in each for each in names)


def test_a_figure_in_cpu_time_is_a_chart_in_cpu_time() -> None:
    (entry,) = json.loads(rendered(CPU_TIME, "github-benchmark"))
    assert (entry["value"], entry["unit"]) == (0.02, "CPU s / query")
    low, high = 12.06, 12.564
    assert float(entry["range"].removeprefix("\u00b1 ")) == pytest.approx(
        (high - low) / 2 * 0.02 / 12.312
    )
    ((_, measures),) = json.loads(rendered(CPU_TIME, "bencher")).items()
    assert measures["cpu-seconds-per-query"]["value"] == 0.02


def test_figures_of_other_hardware_make_another_chart() -> None:
    for name in ("github-benchmark", "bencher"):
        found = json.loads(rendered(RECORDS["merged"], name))
        names = [each["name"] for each in found] if name == "github-benchmark" else list(found)
        assert [re.findall("A100|H100|#2", each) for each in names] == [
            ["A100"],
            ["A100", "#2"],
            ["H100"],
        ]


def test_without_a_carbon_factor_no_emissions_are_named() -> None:
    record = RECORDS["no factor"]
    assert all(pandas.isna(row["emissions"]) for row in emissions(record))
    assert "co2e" not in rendered(record, "openmetrics") + rendered(record, "bencher")
    assert "co2e" not in rendered(record, "gitlab-metrics")


def test_what_was_not_measured_has_a_verdict_and_no_figure() -> None:
    record = RECORDS["unmeasured only"]
    assert emissions(record) == []
    assert json.loads(rendered(record, "bencher")) == {}
    names = {name for name, _, _ in samples(record)}
    assert names == {"pytest_energy_red", "pytest_energy_limit_joules_per_unit"}
    (issue,) = json.loads(rendered(record, "gitlab-quality"))
    assert issue["severity"] == "minor"
    assert "no sensor reads it" in issue["description"]


def test_labels_hold_their_texts_exactly() -> None:
    labels = next(labels for _, labels, _ in samples(RECORDS["hostile"]))
    assert labels["test"].startswith('t.py::test[a "b" \\ {c="d"} # e\\n# EOF')


def test_channels_of_a_row_add_up_to_what_it_consumed() -> None:
    memory = ChannelRecord(
        name="dram:0", kind="dram", source="", provenance="measured", gated=True, joules_per_unit=3
    )
    both = replace(TEST, joules_per_unit=15.312, channels=(*TEST.channels, memory))
    (row,) = emissions(replace(WITH_FACTOR, tests=(both,)))
    parts = row["gpu_energy"] + row["ram_energy"]
    assert parts == pytest.approx(row["energy_consumed"], rel=1e-12)
    assert row["gpu_energy"] / row["ram_energy"] == pytest.approx(12.312 / 3)
    assert row["gpu_power"] == pytest.approx(row["gpu_energy"] * 3.6e6 / row["duration"])
    assert pandas.isna(row["cpu_energy"])


def test_an_issue_points_at_its_test_and_stays_the_same_when_figures_change() -> None:
    (issue,) = json.loads(rendered(WITH_FACTOR, "gitlab-quality"))
    assert issue["location"] == {"path": "tests/test_models.py", "lines": {"begin": 9}}
    assert (issue["check_name"], issue["severity"]) == ("pytest-energy/fail", "major")
    moved = replace(WITH_FACTOR.tests[0], location="tests/test_models.py:99", reason="13 J")
    (later,) = json.loads(rendered(replace(RECORD, tests=(moved,)), "gitlab-quality"))
    assert later["fingerprint"] == issue["fingerprint"]
    passed = replace(RECORD, tests=(replace(TEST, verdict="pass"), NEW))
    assert json.loads(rendered(passed, "gitlab-quality")) == []


@pytest.mark.parametrize("joules", [1e-9, 1.5e-5, 12.312, 1e22])
def test_gitlabs_values_are_fixed_point(joules: float) -> None:
    record = replace(RECORD, tests=(replace(TEST, joules_per_unit=joules),))
    values = gitlab_metrics(record).values()
    assert all(re.fullmatch(r"\d+(\.\d+)?", each) for each in values)
    assert joules in [float(each) for each in values]


def test_a_sample_for_each_limit_of_one_figure() -> None:
    assert TEST.budget is not None
    other = replace(TEST, budget=replace(TEST.budget, limit="9 J / query"), verdict="close")
    found = list(samples(replace(RECORD, tests=(TEST, other))))
    assert [name for name, _, _ in found].count("pytest_energy_joules_per_unit") == 1
    red = {labels["limit"]: value for name, labels, value in found if name == "pytest_energy_red"}
    assert red == {"2.1 Wh / 1000 queries": 1.0, "9 J / query": 0.0}


def test_several_machines_are_told_apart() -> None:
    record = merge([session(measured(), day=1), session(measured(), day=2, gpus=(H100,))])
    found = [labels for name, labels, _ in samples(record) if name.endswith("joules_per_unit")]
    assert {each["hardware"] for each in found} == {
        "NVIDIA A100 x1 @ 400 W",
        "NVIDIA H100 x1 @ 700 W",
    }


def test_each_limit_has_the_labels_of_its_own_figure() -> None:
    assert TEST.budget is not None
    work = replace(
        TEST,
        joules_per_unit=None,
        interval=None,
        grams_per_unit=None,
        limit_joules_per_unit=None,
        flops_per_unit=131072.0,
        method="flops",
        scope="torch",
        budget=replace(TEST.budget, limit="1 MFLOP / query"),
        verdict="pass",
        fraction_of_limit=0.131072,
    )
    token = replace(TEST, unit="token", budget=replace(TEST.budget, limit="1 J / token"))
    record = replace(RECORD, tests=(TEST, token, work))
    found = {
        labels["limit"]: labels
        for name, labels, _ in samples(record)
        if name == "pytest_energy_fraction_of_limit"
    }
    assert [each["unit"] for each in found.values()] == ["query", "token", "query"]
    assert found["1 MFLOP / query"]["method"] == "flops"
    assert "evidence" not in found["1 MFLOP / query"]  # it is of no joules
    flops = {name: value for name, _, value in samples(record) if "flops" in name}
    assert flops == {"pytest_energy_flops_per_unit": 131072.0}
    assert "131072.0" in gitlab_metrics(record).values()
