"""The report for pull requests, read back by a parser of Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from records import NEW, RECORD, TEST, UNMEASURED
from session_records import H100, measured, session

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.record.merge import merge
from pytest_energy.record.schema import (
    BaselineRecord,
    BudgetRecord,
    ReferenceRecord,
    RunRecord,
    carbon_record,
)
from pytest_energy.report.advice import advice
from pytest_energy.report.formats.markdown import LARGEST, MARKER, render, render_within

PASS = replace(TEST, id="t.py::test_pass", verdict="pass", fraction_of_limit=0.5)
HOSTILE = [
    "<script>alert(1)</script>",
    "</details><h1>x</h1>",
    "a | b",
    "a \\| b",
    "`` ` ``",
    "`",
    "[x](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "https://evil.example www.evil.example me@evil.example",
    "@octocat and @org/team",
    "org/repo#12 #12 GH-12",
    'org/repo!12 !12 %12 %"1.0"',
    "<!-- x --> --> &lt;b&gt; &#60;b&#62;",
    "**b** __i__ ~~s~~ $x$ :smile:",
    "a\n\n# heading\n- list\n```\n::error::x",
    "\x1b[31m\u202e\r\n| x | y |",
    "",
]


def tokens(text: str) -> list[Token]:
    """Every token, those of inline text included."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    found = []
    for token in parser.parse(text):
        found.append(token)
        found += token.children or []
    return found


def rows(text: str) -> list[list[str]]:
    """The cells of each row of all tables, as people see them."""
    found: list[list[str]] = []
    inside = False
    for token in tokens(text):
        if token.type == "tr_open":
            found.append([])
        elif token.type in ("td_open", "th_open", "td_close", "th_close"):
            inside = token.nesting == 1
            found[-1] += [""] if inside else []
        elif inside and token.type in ("text", "code_inline"):
            found[-1][-1] += token.content
    return found


def hostile(text: str) -> RunRecord:
    """A record that holds this text wherever text from outside is held."""
    test = replace(
        TEST,
        id=f"t.py::test[{text}]",
        name=text,
        unit=text or "query",
        method="measured",
        reason=f"over: {text}",
        notes=(f"{text}\n    {text}", text),
        budget=BudgetRecord(limit=text, origin=text, message=text),
        limit_joules_per_unit=None,
        reference=ReferenceRecord(
            name=text,
            joules_per_unit=10.0,
            cpu_seconds_per_unit=0.1,
            ratio=1.2,
            interval=None,
            max_increase=0.03,
        ),
    )
    return replace(
        RECORD,
        tests=(test, replace(test, verdict=text), PASS),
        run=replace(RECORD.run, commit=text, versions={text: text}),
        machine=replace(RECORD.machine, cpu=text, notes=(text,)),
        carbon=carbon_record(Intensity(grams_per_kwh=300.0, source=text)),
        unused_budgets=(text,),
        unused_baselines=(text,),
        lost_tests=(text,),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_from_outside_is_markup(text: str) -> None:
    shown = render(hostile(text))
    found = tokens(shown)
    html = {each.content.strip() for each in found if each.type in ("html_block", "html_inline")}
    allowed = re.compile(
        r"<!-- pytest-energy: report -->|</?details>|<br>|</?code>"
        r"|<details>\n<summary>(Notes|All measurements \(3\))</summary>"
    )
    assert {each for each in html if not allowed.fullmatch(each)} == set()
    kinds = {each.type for each in found}
    assert not kinds & {"link_open", "image", "em_open", "s_open", "blockquote_open"}
    headings = [found[i + 1].content for i, each in enumerate(found) if each.type == "heading_open"]
    assert len(headings) == 3
    assert headings[1:] == ["Old and new", "Not used, or lost"]
    widths = {len(each) for each in rows(shown)}
    assert widths == {8}
    assert sum(each.type == "fence" for each in found) == 1 if text else True


@pytest.mark.parametrize("text", HOSTILE)
def test_nobody_is_mentioned_and_no_address_is_linked(text: str) -> None:
    """GitHub looks for these in all text that isn't code, after it has read the Markdown."""
    seen = [each.content for each in tokens(render(hostile(text))) if each.type == "text"]
    links = re.compile(r"@[\w-]|#\d|[!%][\d\"]|GH-\d|https?://|www\.|\w@\w|:smile:", re.IGNORECASE)
    # What stands in <code> is not searched for mentions either, and is broken all the same.
    assert [each for each in seen if links.search(each)] == []


@pytest.mark.parametrize("text", [each for each in HOSTILE if each.isprintable() and each])
def test_names_are_shown_as_they_are(text: str) -> None:
    record = replace(RECORD, tests=(replace(PASS, id=text),))
    (_, row) = rows(render(record))
    assert row[0].replace("\u200b", "") == " ".join(text.split())


@pytest.mark.parametrize(
    ("code", "named"),
    [("no-sensor", True), ("counter-stalled", True), ("cached-result", False), ("no-work", False)],
)
def test_the_doctor_is_named_where_an_instrument_is_the_problem(code: str, named: bool) -> None:
    """All other reasons of an unmeasured test say themselves what to do."""
    test = replace(UNMEASURED, code=code)
    assert ("pytest-energy doctor" in advice(test)) is named
    assert ("What to do" in render(replace(RECORD, tests=(test,)))) is named


def test_failures_stand_first_with_their_reason_limit_and_what_to_do() -> None:
    text = render(replace(RECORD, tests=(PASS, NEW, UNMEASURED, TEST)))
    assert text.startswith(f"{MARKER}\n## Energy: 1 fail, 1 unmeasured, 1 no-budget, 1 pass\n")
    lines = text.splitlines()
    assert lines[3] == "1 of 4 measurements failed, 1 has no figure."
    assert lines[5] == (
        f"- **fail** `{TEST.id}`<br>Why: 3.42 Wh / 1000 queries is over the limit"
        "<br>Limit: `2.1 Wh / 1000 queries` from `tests/test_models.py:12`"
        f"<br>What to do: {advice(TEST)}"
    )
    assert lines[6].startswith(f"- **unmeasured** `{UNMEASURED.id}`<br>Why: an Apple GPU")
    assert lines[6].endswith("<br>What to do: " + advice(UNMEASURED))
    heads, *found = rows(text)
    assert heads[:4] == ["test", "J / unit", "interval", "limit"]
    assert [row[6] for row in found] == ["fail", "unmeasured", "no-budget", "pass"]
    assert found[0][1:6] == ["12.3", "12.1 to 12.6", "7.56", "+63 %", "measured"]
    assert found[0][7] == "1.03"
    assert "carbon factor 300 gCO2e/kWh (--energy-carbon-intensity), year not given" in text
    assert text.index("<details>") < text.index("| test |") < text.index("</details>")


def test_the_author_of_a_limit_is_quoted() -> None:
    assert TEST.budget is not None
    test = replace(TEST, budget=replace(TEST.budget, message="Ask the platform team."))
    assert "<br>Its author says: Ask the platform team." in render(replace(RECORD, tests=(test,)))


def test_old_new_and_change_come_from_pairs_and_baselines() -> None:
    paired = replace(
        PASS,
        joules_per_unit=12.0,
        reference=ReferenceRecord(
            name="old",
            joules_per_unit=10.0,
            cpu_seconds_per_unit=None,
            ratio=1.2,
            interval=(1.19, 1.21),
            max_increase=0.03,
        ),
    )
    based = replace(
        PASS,
        id="t.py::test_based",
        joules_per_unit=9.0,
        baseline=BaselineRecord(
            max_increase=0.05, origin="", sessions=3, increase=-0.1, threshold=0.089
        ),
    )
    cpu = replace(based, id="t.py::test_cpu", method="cpu-time", cpu_seconds_per_unit=0.018)
    text = render(replace(RECORD, tests=(based, PASS, cpu, paired)))
    heads, *found = rows(text[: text.index("<details>")])
    assert heads[:4] == ["test", "old", "new", "change"]
    assert [" ; ".join(row) for row in found] == [
        "t.py::test_pass ; 10.0 J / query ; 12.0 J / query ; +20 % ; +3 % ; old ; measured ; pass",
        "t.py::test_based ; 10.0 J / query ; 9.00 J / query ; -10 % ; +8.9 % ; 3 sessions ; "
        "measured ; pass",
        "t.py::test_cpu ; 20.0 cpu-ms / query ; 18.0 cpu-ms / query ; -10 % ; +8.9 % ; "
        "3 sessions ; cpu-time ; pass",
    ]


def test_what_was_not_compared_is_never_folded_away() -> None:
    record = replace(RECORD, unused_budgets=("b.toml:3: unused",), lost_tests=("t.py::gone",))
    text = render(record)
    head = text[: text.index("<details>")]
    assert "- not compared: b.toml:3: unused" in head
    assert "- not compared: t.py::gone: its worker process was lost" in head


def test_a_record_without_tests_says_so() -> None:
    text = render(replace(RECORD, tests=()))
    assert "## Energy: nothing was measured\n" in text
    assert "Nothing was measured: no test has an energy limit" in text
    assert "| test |" not in text
    without_limits = render(replace(RECORD, tests=(NEW,)))
    assert "Nothing was compared: 1 measurement without a limit." in without_limits


def test_only_the_last_attempt_of_a_rerun_test_is_shown() -> None:
    text = render(replace(RECORD, tests=(TEST, replace(PASS, id=TEST.id, attempt=2))))
    assert "## Energy: 1 pass\n" in text
    assert f"`{TEST.id}` (attempt 2)" in text


def test_tests_of_several_machines_name_theirs() -> None:
    both = merge([session(measured(), day=1), session(measured(), day=2, gpus=(H100,))])
    heads, *found = rows(render(both))
    assert heads[-1] == "hardware"
    assert {row[-1] for row in found} == {"NVIDIA A100 x1 @ 400 W", "NVIDIA H100 x1 @ 700 W"}


def many(number: int, **changes: Any) -> RunRecord:
    tests = tuple(
        replace(each, id=f"t.py::test_{index}[{'|<@' * 80}]", **changes)
        for index in range(number)
        for each in (TEST, PASS)
    )
    return replace(RECORD, tests=tests)


@pytest.mark.parametrize("largest", [8_000, 20_000, LARGEST])
def test_a_long_report_stays_within_its_bytes_and_says_what_is_missing(largest: int) -> None:
    record = many(250, reason="@|<" * 400, notes=("`" * 500,))
    record = replace(record, unused_budgets=tuple(f"{n}: {'|' * 500}" for n in range(500)))
    text = render_within(record, largest)
    assert len(text.encode()) <= largest
    assert "## Energy: 250 fail, 250 pass" in text
    assert re.search(r"\.\.\. and \d+ more; the run record has all of them", text)
    assert re.search(r"\| \d+ more are in the run record \|", text)
    assert text.count("<details>") == text.count("</details>")


def test_five_hundred_ordinary_tests_fit() -> None:
    tests = [replace(PASS, id=f"tests/test_models.py::test_model[{n}]") for n in range(500)]
    text = render(replace(RECORD, tests=tuple(tests)))
    assert len(text.encode()) <= LARGEST
    assert len(rows(text)) > 350
