"""What the page of a comparison of two runs shows."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_energy.report.advice import Conclusion
from pytest_energy.report.html.measurement import Compared


@dataclass(frozen=True, kw_only=True)
class ComparisonView:
    """The whole page.

    sides: names and words of the two. red: those that are not within what is allowed.
    """

    conclusion: Conclusion
    sides: tuple[tuple[str, str], ...]
    compared: tuple[Compared, ...]
    red: tuple[Compared, ...]
    notes: tuple[str, ...]
