"""What a rule says of a measurement, and how several of them become one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a test came to, from best to worst."""

    PASS = "pass"
    CLOSE = "close"
    NO_BUDGET = "no-budget"
    NO_BASELINE = "no-baseline"
    INCONCLUSIVE = "inconclusive"
    UNMEASURED = "unmeasured"
    FAIL = "fail"


#: Verdicts that fail a test unless the settings say otherwise.
RED = frozenset({Verdict.FAIL, Verdict.UNMEASURED, Verdict.INCONCLUSIVE})


class Rule(StrEnum):
    """What decided: the measurement itself, or the comparison with something."""

    MEASUREMENT = "measurement"
    LIMIT = "limit"
    BASELINE = "baseline"
    PAIRED = "paired"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one rule says of one measurement.

    reason: one sentence for people. code: the reason code, a short fixed word for machines, "" for
    a pass.
    """

    rule: Rule
    verdict: Verdict
    reason: str
    code: str = ""


def combine(findings: Sequence[Finding]) -> Finding:
    """The finding that counts where there are several: the worst of them.

    Findings that are equally bad join their reasons, and the code is that of the first. That there
    is no limit counts only where nothing else was found.
    """
    counted = [each for each in findings if each.verdict is not Verdict.NO_BUDGET] or findings
    worst = max((each.verdict for each in counted), key=list(Verdict).index)
    alike = [each for each in counted if each.verdict is worst]
    return Finding(
        rule=alike[0].rule,
        verdict=worst,
        reason="; and ".join(each.reason for each in alike),
        code=alike[0].code,
    )
