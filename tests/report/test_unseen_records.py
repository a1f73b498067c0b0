"""Records that this project hasn't seen, in every format, each read as its consumer reads it."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from markdown_it import MarkdownIt
from pages import assert_is_closed, page_of
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from records import RECORD, UNMEASURED
from test_html_hostile import HOSTILE as HOSTILE_PAGES
from test_html_hostile import many, named
from test_markdown import HOSTILE as HOSTILE_MARKDOWN

from pytest_energy.errors import InputError
from pytest_energy.record.file import read, to_json
from pytest_energy.record.plain import to_plain
from pytest_energy.record.schema import RunRecord
from pytest_energy.report.annotations import error_commands
from pytest_energy.report.formats import format_named, names
from pytest_energy.report.model_card import updated

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies
    from huggingface_hub import ModelCard

HOSTILE = (
    *HOSTILE_PAGES,
    *filter(None, HOSTILE_MARKDOWN),
    "=cmd|' /C calc'!A1",
    "+1",
    "@SUM(1)",
    "\t=1",
    "a\n::error file=x::y\r\n::set-output name=a::b",
    "##[command]x\n::stop-commands::t",
    'a"b\\c\nd{e="f"} # EOF\n# EOF',
    "\u2028\u2029\x85\ufeff\u200e\u2066",
    "- a: 'b' # c\n---\n...\n%x &y *z !t",
)
#: Bytes of a report of 500 tests.
LARGEST = {"markdown": 60_000, "html": 800_000, "statement": 4_000, "badge": 2_000, "shields": 500}


def _older() -> RunRecord:
    """A record without any key that has been added since the first version, read by this one."""
    plain = to_plain(RECORD)
    for key in ("sessions", "limit_changes", "limits_base", "unused_baselines", "fail_on"):
        del plain[key]
    del plain["run"]["folder"], plain["machine"]["self_checks"], plain["carbon"]["embodied"]
    for test in plain["tests"]:
        for key in ("findings", "failure", "contention", "code", "session", "location"):
            del test[key]
    return _read(plain)


def _read(plain: Any) -> RunRecord:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "record.json")
        path.write_text(json.dumps(plain), encoding="utf-8")
        return read(path)


RECORDS = {
    **{f"hostile {index}": named(name) for index, name in enumerate(HOSTILE)},
    "500 pass": many(500, "pass"),
    "500 fail": many(500, "fail"),
    "no test": replace(RECORD, tests=()),
    "unmeasured only": replace(RECORD, tests=(UNMEASURED,)),
    "nothing known": replace(
        RECORD, tests=(), carbon=None, machine=replace(RECORD.machine, cpu="")
    ),
    "older": _older(),
}


def _json(text: str) -> Any:
    def refused(word: str) -> None:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refused)


def _svg(text: str) -> None:
    tags = {each.tag.partition("}")[2] for each in ElementTree.fromstring(text).iter()}
    assert tags == {"svg", "title", "rect", "g", "text"}


def _table(text: str) -> None:
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert all(len(row) == len(head) for row in rows)
    assert not any(
        cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row
    )


def _bill(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def _metrics(text: str) -> None:
    families: Any = text_string_to_metric_families  # it has no types
    assert all(family.type == "gauge" for family in families(text))


def _plain_metrics(text: str) -> None:
    for line in text.splitlines():
        assert re.fullmatch(r'pytest_energy_\w+\{(\w+="[^"\s]*",?)*\} [\d.]+', line), line


def _page(text: str) -> None:
    assert_is_closed(page_of(text))


def _markdown(text: str) -> None:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    found = [each for token in parser.parse(text) for each in (token, *(token.children or ()))]
    kinds = {each.type for each in found}
    assert not kinds & {"link_open", "image", "em_open", "s_open"}
    html = "".join(each.content for each in found if each.type.startswith("html_"))
    tags = set(re.findall(r"<(?!!--)/?(\w+)", html))
    assert tags <= {"details", "summary", "br", "code"}, tags
    assert not re.search(r"(?<![\w`/])@\w", "".join(e.content for e in found if e.type == "text"))


def _paragraph(text: str) -> None:
    assert text.count("\n") == 1


#: What reads each format.
READERS: dict[str, Callable[[str], object]] = {
    "badge": _svg,
    "bencher": _json,
    "codecarbon": _table,
    "csv": _table,
    "cyclonedx": _bill,
    "github-benchmark": _json,
    "gitlab-metrics": _plain_metrics,
    "gitlab-quality": _json,
    "html": _page,
    "json": _json,
    "markdown": _markdown,
    "openmetrics": _metrics,
    "sci": _json,
    "shields": _json,
    "statement": _paragraph,
    "text": str.splitlines,
}


def test_each_format_has_a_reader() -> None:
    assert sorted(READERS) == names()


@pytest.mark.parametrize("case", RECORDS)
@pytest.mark.parametrize("name", names())
def test_each_format_of_each_record_is_read_by_its_consumer(name: str, case: str) -> None:
    text = format_named(name)(RECORDS[case])
    READERS[name](text)
    if name != "json":  # what is stored stays exact; JSON escapes it
        assert all(line.isprintable() for line in text.split("\n"))
    assert text.encode("utf-8").decode("utf-8") == text
    # What a job of GitHub Actions would take for a command in its output.
    assert not re.search(r"^\s*::", text, re.MULTILINE)
    assert name != "text" or "##[" not in text
    if case.startswith("500"):
        assert len(text.encode()) <= LARGEST.get(name, len(text.encode()))


@pytest.mark.parametrize("case", RECORDS)
def test_annotations_are_a_line_each(case: str) -> None:
    lines = error_commands(RECORDS[case])
    assert all(line.isprintable() and line.startswith("::error ") for line in lines)
    assert len(lines) <= 10


@pytest.mark.parametrize("case", [each for each in RECORDS if each.startswith("hostile")])
def test_a_model_card_of_each_record_has_metadata(case: str) -> None:
    record = replace(RECORDS[case], tests=RECORDS[case].tests[:1])
    card = updated("# A card\n", record, record.tests[0].id).text
    data: Any = ModelCard(card, ignore_metadata_errors=False).data
    assert set(data.to_dict()) == {"model-index", "co2_eq_emissions"}
    assert card.endswith("\n---\n# A card\n")


def test_a_line_that_is_wrapped_before_two_colons_is_no_command() -> None:
    for length in range(60, 110):  # wherever the line is broken
        reason = f"{'x' * length} ::stop-commands::abc ##[add-mask]y"
        record = replace(RECORD, tests=(replace(UNMEASURED, reason=reason),))
        text = format_named("text")(record)
        assert "stop-commands" in text
        assert not re.search(r"^\s*::|##\[", text, re.MULTILINE)


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_comes_back_from_its_json(case: str) -> None:
    assert _read(json.loads(to_json(RECORDS[case]))) == RECORDS[case]


def test_a_record_that_cannot_be_read_says_which_version_wrote_it() -> None:
    plain = to_plain(RECORD)
    plain["run"]["versions"]["pytest-energy"] = "0.0.3"
    del plain["tests"][0]["rounds"]
    with pytest.raises(InputError, match=r"lacks 'rounds'.*written by pytest-energy '0\.0\.3'"):
        _read(plain)
    later = {"schema": 2, "run": {"versions": {"pytest-energy": "9.1"}}}
    with pytest.raises(InputError, match=r"schema 2.*written by pytest-energy '9\.1'"):
        _read(later)
