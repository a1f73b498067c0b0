"""What must be said wherever the study's figures are shown, and how its grams were made."""

from __future__ import annotations

from pytest_energy.carbon.intensity import PHONE_CHARGE, PHONE_CHARGE_2023, Intensity
from pytest_energy.study.tables import CITATION

#: The factor behind the grams that the paper prints.
OF_ITS_GRAMS = Intensity(138.75, "CodeCarbon's Oregon value, behind the grams the study prints")
#: The factor that the paper names.
STATED = Intensity(297.6, "stated in the study's Section 3.2, not used for its grams")

REMARKS = (
    f"The paper states {STATED.factor}, and the grams it prints are made with "
    f"{OF_ITS_GRAMS.factor} (CodeCarbon's Oregon value).",
    "Its energy is that of a node of 8 GPUs, of which 7 are idle, with constants for RAM (430.8 W) "
    "and CPU (42.5 W). A figure measured elsewhere doesn't compare one to one: compare order, and "
    "ratios between tasks, not joules.",
    f"A phone charge is {PHONE_CHARGE_2023.kwh_each:g} kWh in v1 of the paper, and in the press, "
    f"and {PHONE_CHARGE.kwh_each:g} kWh in v3: the US EPA changed it in January 2024.",
)


def said_with_figures() -> tuple[str, ...]:
    """The citation and the three remarks, each a paragraph."""
    return (f"The study: {CITATION}.", *REMARKS)
