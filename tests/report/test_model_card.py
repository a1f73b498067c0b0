"""Model cards, read back by huggingface_hub; what we did not write stays as it is."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from records import NEW, RECORD, TEST, UNMEASURED
from session_records import ESTIMATE
from typer.testing import CliRunner

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.cli import app
from pytest_energy.errors import InputError
from pytest_energy.record.file import write
from pytest_energy.record.schema import carbon_record
from pytest_energy.report.model_card import updated

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies
    from huggingface_hub import ModelCard

FACTOR = Intensity(grams_per_kwh=412.3, source="a grid", year=2024, pue=1.37)
ONE = replace(RECORD, carbon=carbon_record(FACTOR), tests=(TEST,))
CARD = """---
# who and what
license: apache-2.0   # a comment
tags: [a, 'b']
model-index:
- name: my-model
  results:
  - task:
      type: text-classification
    dataset:
      name: IMDb
      type: imdb
    metrics:
    - type: accuracy
      value: 0.91
# about the language
language:
  - en
---

# My model

---
model-index: not metadata
co2_eq_emissions: neither
"""
#: A list that is indented below its key.
INDENTED = """---
model-index:
  - name: my-model
    results:
      - task:
          type: text-classification
        dataset:
          name: IMDb
          type: imdb
        metrics:
          - type: accuracy
            value: 0.91
---
"""


def read(text: str) -> dict[str, Any]:
    data: Any = ModelCard(text, ignore_metadata_errors=False).data
    return dict(data.to_dict())


def results(text: str) -> list[dict[str, Any]]:
    return [each for model in read(text)["model-index"] for each in model["results"]]


def metrics(text: str) -> dict[str, float]:
    return {metric["type"]: metric["value"] for each in results(text) for metric in each["metrics"]}


@pytest.mark.parametrize("text", ["", "# My model\n", CARD, CARD.replace("\n", "\r\n")])
def test_a_card_holds_energy_and_emissions(text: str) -> None:
    card = updated(text, ONE).text
    data = read(card)
    grams = 12.312 * 1000 / 3.6e6 * 412.3 * 1.37
    assert data["co2_eq_emissions"]["emissions"] == pytest.approx(grams, rel=1e-12)
    assert data["co2_eq_emissions"]["source"] == (
        "pytest-energy: inference of 1,000 queries, measured, by 412.3 gCO2e/kWh x PUE 1.37 "
        "(a grid, 2024)"
    )
    assert data["co2_eq_emissions"]["hardware_used"] == "A100 x1 @ 400 W"
    found = metrics(card)
    assert found["energy_wh_per_1000_query"] == pytest.approx(3.42, rel=1e-12)
    assert found["emissions_gco2e_per_1000_query"] == pytest.approx(grams, rel=1e-12)
    ratio = found["emissions_gco2e_per_1000_query"] / found["energy_wh_per_1000_query"]
    assert ratio * 1000 == pytest.approx(412.3 * 1.37, rel=1e-12)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_all_other_lines_stay_as_they_are(ending: str) -> None:
    text = CARD.replace("\n", ending)
    card = updated(text, ONE).text
    kept = iter(card.split(ending))
    assert all(line in kept for line in text.split(ending))  # all of them, in their order
    assert card.endswith(text[text.index("# My model") :])
    assert read(card)["language"] == ["en"]
    assert metrics(card)["accuracy"] == 0.91
    assert {each["name"] for each in read(card)["model-index"]} == {"my-model"}


@pytest.mark.parametrize("text", ["", CARD, INDENTED])
def test_writing_again_replaces_what_was_written(text: str) -> None:
    first = updated(text, ONE).text
    assert updated(first, ONE).text == first
    double = replace(ONE, tests=(replace(TEST, joules_per_unit=24.624),))
    second = updated(first, double).text
    assert len(results(second)) == len(results(first))
    assert metrics(second)["energy_wh_per_1000_query"] == pytest.approx(6.84)
    assert second.count("co2_eq_emissions:") == first.count("co2_eq_emissions:")


def saved(text: str, folder: Path) -> str:
    """The card as huggingface_hub writes it: its own order, its own quotes, no comments."""
    ModelCard(text).save(folder / "README.md")
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "# My model\n", CARD, INDENTED])
def test_what_was_written_is_replaced_where_another_tool_has_written_the_card_anew(
    tmp_path: Path, text: str
) -> None:
    once = saved(updated(text, ONE).text, tmp_path)
    double = replace(ONE, tests=(replace(TEST, joules_per_unit=24.624),))
    again = updated(once, double).text
    # In the text: huggingface_hub puts equal results together when it reads them.
    assert again.count("energy_wh_per_1000_query") == 1
    assert metrics(again)["energy_wh_per_1000_query"] == pytest.approx(6.84)
    assert again.count("co2_eq_emissions:") == once.count("co2_eq_emissions:")
    ours = ("model-index", "co2_eq_emissions")
    others = [{k: v for k, v in read(each).items() if k not in ours} for each in (again, once)]
    assert others[0] == others[1]
    if "accuracy" in text:
        assert metrics(again)["accuracy"] == 0.91
        assert {each["name"] for each in read(again)["model-index"]} == {"my-model"}
    third = updated(saved(again, tmp_path), double).text
    assert third.count("energy_wh_per_1000_query") == 1


def test_results_of_others_stay_between_ours() -> None:
    item = """  - dataset: {{name: x, type: {0}}}
    task: {{type: other}}
    metrics:
    - type: {1}
      value: 1

    source: {{name: pytest-energy, url: y}}
"""
    ours = """  - dataset:
      name: x
      type: 'pytest-energy'
    metrics:
    - type: old
      value: 2
"""
    body = item.format("imdb", "first") + ours + item.format("glue", "last")
    models = f"- results:\n{body}  name: my-model\n- name: b\n  results: []\n"
    text = f"---\nmodel-index:\n{models}---\n"
    card = updated(text, ONE).text
    assert set(metrics(card)) == {
        *("first", "last", "energy_wh_per_1000_query", "emissions_gco2e_per_1000_query")
    }
    assert card.startswith(text.replace(ours, "").removesuffix("---\n"))


def test_emissions_of_somebody_else_stay() -> None:
    theirs = "co2_eq_emissions:\n  emissions: 7000\n  source: CodeCarbon\n  training_type: x\n"
    text = CARD.replace("language:", theirs + "language:")
    card = updated(text, ONE)
    assert read(card.text)["co2_eq_emissions"]["emissions"] == 7000
    assert "left as it is, because it isn't from pytest-energy" in card.messages[0]
    assert "energy_wh_per_1000_query" in metrics(card.text)


def test_an_estimate_is_never_shown_as_a_measurement() -> None:
    test = replace(TEST, channels=(ESTIMATE,), method="estimated", scope="cpu")
    card = updated("", replace(ONE, tests=(test,))).text
    assert "estimated" in read(card)["co2_eq_emissions"]["source"]
    names = [metric["name"] for each in results(card) for metric in each["metrics"]]
    assert len(names) == 2 and all("estimated" in each for each in names)
    assert "measured" not in card


@pytest.mark.parametrize("joules", [1e-9, 1e22])
def test_numbers_are_fixed_point(joules: float) -> None:
    card = updated("", replace(ONE, tests=(replace(TEST, joules_per_unit=joules),))).text
    values = [line for line in card.splitlines() if "emissions: " in line or "value: " in line]
    assert len(values) == 3
    assert all(set(line.split(": ")[1]) <= set("0123456789.") for line in values)


def test_without_a_carbon_factor_there_is_energy_alone() -> None:
    card = updated("", replace(ONE, carbon=None))
    assert "co2_eq_emissions" not in read(card.text)
    assert list(metrics(card.text)) == ["energy_wh_per_1000_query"]
    assert card.messages[0].endswith("not written, because no carbon factor was set")


HOSTILE = 'a: "b" # c\n---\n- {d} \' \\ *e &f !g %h\r\x00\u202e\ud800 \U0001f600'


def test_no_text_from_outside_breaks_the_metadata() -> None:
    test = replace(TEST, id=HOSTILE, name=HOSTILE, task=HOSTILE, model=HOSTILE, unit=HOSTILE)
    card = updated(CARD, replace(ONE, tests=(test,))).text
    assert set(read(card)) == set(read(CARD)) | {"co2_eq_emissions"}
    assert len(results(card)) == 2
    assert card.endswith(CARD[CARD.index("# My model") :])


@pytest.mark.parametrize(
    ("tests", "asked", "words"),
    [
        ((), "", "no figure"),
        ((UNMEASURED,), "", "no figure"),
        ((TEST, NEW), "", "2 figures, and co2_eq_emissions is one number"),
        ((TEST, replace(NEW, model="other")), "", "several models"),
        ((TEST,), "t::x", "no figure of a test 't::x'; known: tests/test_models.py"),
    ],
)
def test_a_record_that_does_not_tell_is_refused(tests: Any, asked: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        updated("", replace(ONE, tests=tests), asked)


def test_the_test_that_stands_for_the_model_can_be_named() -> None:
    record = replace(ONE, tests=(TEST, NEW, replace(NEW, id="t::y", model="other")))
    card = updated("", record, NEW.id).text
    assert "1,000 tokens" in read(card)["co2_eq_emissions"]["source"]
    assert len(results(card)) == 2


def test_an_index_in_one_line_is_refused() -> None:
    text = "---\nmodel-index: [{name: x, results: []}]\n---\n"
    with pytest.raises(InputError, match="model-index of the card is written in one line"):
        updated(text, ONE)


def test_the_command_writes_a_card(tmp_path: Path) -> None:
    write(ONE, tmp_path / "record.json")
    path = tmp_path / "README.md"
    path.write_bytes(CARD.encode())
    command = ["model-card", str(tmp_path / "record.json"), "--readme", str(path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "co2_eq_emissions: grams for 1,000 queries" in " ".join(result.output.split())
    assert path.read_bytes().decode() == updated(CARD, ONE).text
    refused = CliRunner().invoke(app, [*command, "--test", "none"])
    assert refused.exit_code == 2
    assert path.read_bytes().decode() == updated(CARD, ONE).text
