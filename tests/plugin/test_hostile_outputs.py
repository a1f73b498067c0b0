"""Names that something on the way could interpret, in what a run leaves for CI: each read back."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
from hostile import HOSTILE
from markdown_it import MarkdownIt

from conftest import EnergyPytester

TESTS = """
from hostile_texts import HOSTILE

def hostile(text, limit):
    marks = budget(limit, task=text, model=text, labels={text: text, "plain": text})
    return pytest.param(text, id=text, marks=marks)

@pytest.mark.parametrize("text", [hostile(each, "1 kJ / query") for each in HOSTILE])
def test_within(text):
    spin(1)

@pytest.mark.parametrize("text", [hostile(each, "0.001 mJ / query") for each in HOSTILE])
def test_over(text):
    spin(1)
"""


@pytest.fixture
def left(energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a run with these names leaves, by kind."""
    folder = energy_pytester.pytester.path
    (folder / "hostile_texts.py").write_text(f"HOSTILE = {list(HOSTILE.values())!r}\n")
    summary, junit, log = (folder / name for name in ("summary.md", "junit.xml", "log.jsonl"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    energy_pytester.write(TESTS)
    result = energy_pytester.run(f"--junit-xml={junit}", f"--report-log={log}")
    result.assert_outcomes(passed=len(HOSTILE), failed=len(HOSTILE))
    texts = {each.suffix[1:]: each.read_text("utf-8") for each in (summary, junit, log)}
    return texts | {"stdout": result.stdout.str()}


def test_what_ci_reads_is_intact(left: dict[str, str], energy_pytester: EnergyPytester) -> None:
    tests = energy_pytester.record()["tests"]
    assert [each["model"] for each in tests] == [*HOSTILE.values()] * 2

    cases = [*ElementTree.fromstring(left["xml"]).iter("testcase")]
    assert len(cases) == len(tests)
    for case, test in zip(cases, tests, strict=True):
        found = {each.get("name"): each.get("value") for each in case.iter("property")}
        assert found["energy.verdict"] == test["verdict"]

    reports = [json.loads(line) for line in left["jsonl"].split("\n") if line]
    assert [each for one in reports if "energy" in one for each in one["energy"]["tests"]] == tests

    assert "alert(1)" in left["md"]  # the names stand there, as text
    html = MarkdownIt("gfm-like", {"linkify": False}).render(left["md"])
    for each in ("<img", "<script", "<a ", 'href="'):
        assert each not in html
    for character in "\x1b\x07\x00\x0b\u202e":
        assert character not in left["md"] + left["stdout"]
    for line in re.split(r"[\n\r\x0b\x0c\x85\u2028\u2029]", left["md"] + "\n" + left["stdout"]):
        assert not re.match(r"\s*::(?!error (file|title)=|warning |notice )", line), line
        assert not line.startswith("##["), line
