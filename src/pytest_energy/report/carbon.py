"""The text of `pytest-energy carbon`: a place's intensity, and the table that pins it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence

from pytest_energy.carbon.codecarbon_data import Place
from pytest_energy.carbon.intensity import PHONE_CHARGE, Basis, Intensity, equivalent
from pytest_energy.units import JOULES_PER_KWH, JOULES_PER_WH, figure

_WIDEST = 80  # columns; longer lines are hard to read
_NARROWEST = 40
_GLUE = "\u00a0"  # stands for a blank at which no line is broken
_BASIS = {
    Basis.LOCATION: "the average of the local grid, regardless of contracts",
    Basis.MARKET: "the contracted electricity, regardless of the local grid",
}


def render_place(
    place: Place, intensity: Intensity, regions: Sequence[Place], width: int = _WIDEST
) -> str:
    """Factor, source, year, basis and meaning, the known regions, and the `[carbon]` table.

    `regions` are those of the place's country. Lines are wrapped to `width`, at most 80 columns;
    those to be pasted never are. Ends in a newline.
    """
    width = max(_NARROWEST, min(width, _WIDEST))
    year = "not given" if intensity.year is None else str(intensity.year)
    facts = [
        f"source: {intensity.source}",
        f"year:   {year}",
        f"basis:  {intensity.basis}, {_BASIS[intensity.basis]}",
    ]
    paragraphs = [
        _wrapped(f"{place}: {intensity.factor}", width),
        [line for fact in facts for line in _wrapped(fact, width, indent=8)],
        _wrapped(_meaning(intensity), width),
        _regions(place, regions, width),
        _wrapped("To pin it, paste this into energy-budgets.toml:", width),
        list(_table(intensity)),
    ]
    return "\n\n".join("\n".join(lines) for lines in paragraphs) + "\n"


def _meaning(intensity: Intensity) -> str:
    grams, gram = intensity.grams(JOULES_PER_KWH), intensity.joules(1.0) / JOULES_PER_WH
    charges = figure(equivalent(JOULES_PER_KWH, PHONE_CHARGE))
    return (
        f"1{_GLUE}kWh ({charges} phone charges of {PHONE_CHARGE.kwh_each:g}{_GLUE}kWh) emits "
        f"{figure(grams)}{_GLUE}gCO2e there; 1{_GLUE}gCO2e is {figure(gram)}{_GLUE}Wh. A limit of "
        f'"1{_GLUE}gCO2e / 1000{_GLUE}queries" is judged as {figure(gram)}{_GLUE}Wh / '
        f"1000{_GLUE}queries."
    )


def _regions(place: Place, regions: Sequence[Place], width: int) -> list[str]:
    if not regions:
        return _wrapped(f"CodeCarbon has no regions of {place.country_name}.", width)
    head = _wrapped(f"Regions of {place.country_name} with a figure of their own:", width)
    if any(each.about for each in regions):
        sentence = (f"{each.label}: {each.about}" if each.about else each.label for each in regions)
        return head + [f"  {line}" for each in sentence for line in _wrapped(each, width - 2, 5)]
    names = ", ".join(each.label.replace(" ", _GLUE) for each in regions)
    return head + [f"  {line}" for line in _wrapped(names, width - 2)]


def _table(intensity: Intensity) -> Iterable[str]:
    """Lines of TOML; its strings are written as JSON's are."""
    yield "[carbon]"
    yield f'intensity = "{intensity.factor}"'
    yield f"source = {json.dumps(intensity.source, ensure_ascii=False)}"
    if intensity.year is not None:
        yield f"year = {intensity.year}"
    yield f'basis = "{intensity.basis}"'
    if intensity.pue != 1:
        yield f"pue = {float(intensity.pue)!r}"


def _wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    lines = textwrap.wrap(
        text, width, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=False
    )
    return [line.replace(_GLUE, " ") for line in lines]
