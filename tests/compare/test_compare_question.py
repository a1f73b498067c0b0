"""The options of `pytest-energy compare`: the two candidates that they name, and refusals."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from pytest_energy.compare.question import Options, read_question, read_variants


def test_the_first_variant_is_the_reference_and_a_name_may_set_several() -> None:
    first, second = read_variants(
        ["old:MODEL=a", "new:MODEL=b", "old:DTYPE=bf16", "new:URL=h://x=y"]
    )
    assert (first.name, first.variables) == ("old", {"MODEL": "a", "DTYPE": "bf16"})
    assert (second.name, second.variables) == ("new", {"MODEL": "b", "URL": "h://x=y"})


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["old"], "'old': expected NAME:VARIABLE=VALUE"),
        (["old:MODEL"], "'old:MODEL': expected NAME"),
        (["MODEL=a"], "'MODEL=a': expected NAME"),
        (["old:1M=a"], "'old:1M=a': expected NAME"),
        ([":M=a"], "':M=a': expected NAME"),
        (["old:M=a"], "expected two names, got 1 (old)"),
        (["a:M=1", "b:M=2", "c:M=3"], "expected two names, got 3 (a, b, c)"),
        (["a:M=1", "a:M=2", "b:M=3"], "a sets M twice"),
        (["a:M=1", "b:M=1"], "set the same variables"),
    ],
)
def test_variants_that_are_not_two_are_refused_with_an_example(
    texts: list[str], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_variants(texts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(), "expected two records, got 0"),
        (Options(arguments=("a.json",)), "expected two records, got 1"),
        (Options(arguments=("a", "b", "c")), "expected two records, got 3"),
        (Options(arguments=("a", "b"), setup="make"), "--setup prepares the two trees of --base"),
        (Options(arguments=("a", "b"), pairs=5), "two records are already measured"),
        (Options(arguments=("a", "b"), max_seconds=5), "two records are already measured"),
        (Options(arguments=("a", "b"), sequential=True), "two records are already measured"),
        (Options(arguments=("a", "b"), max_increase="3"), "'3': expected a percentage"),
        (Options(arguments=("a", "b"), max_increase="300%"), "'300%': expected a percentage"),
        (Options(base="main", variants=("a:B=1",)), "use one of them"),
        (Options(base="main", pairs=2), "--pairs 2: expected at least 3"),
        (Options(base="main", max_seconds=0), "--max-seconds 0: expected a number above zero"),
        (Options(base="main", max_seconds=math.nan), "expected a number above zero"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: Options, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_question(options, Path())


@pytest.mark.parametrize(
    ("options", "max_increase"),
    [
        (Options(arguments=("a", "b")), 0.05),
        (Options(base="main"), 0.03),
        (Options(base="main", max_increase="10 %"), 0.10),
    ],
)
def test_the_allowed_increase_depends_on_the_rule(options: Options, max_increase: float) -> None:
    assert read_question(options, Path()).max_increase == pytest.approx(max_increase)
