"""Energy and emissions in the metadata of a model card on the Hugging Face Hub; pure.

Only our own lines of a README.md are written or replaced; all others stay as they are, to the byte.
Ours are known by their marks, or by their dataset where another tool has written the card anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_energy.errors import InputError
from pytest_energy.record.schema import RunRecord
from pytest_energy.report.exposition import fixed_point
from pytest_energy.report.printable import printable
from pytest_energy.report.quantities import Measured, measured
from pytest_energy.units import plural, watt_hours_per_1000

#: The lines around our entry of the model index.
BEGIN, END = "# pytest-energy: begin", "# pytest-energy: end"
#: How the source of our emissions begins, by which they are known in a card.
OURS = "pytest-energy: "
EMISSIONS, INDEX = "co2_eq_emissions", "model-index"

_DATASET = "pytest-energy"
#: As we write it, or without quotes or with others.
_OURS = re.compile(rf"\s*(- )?type:\s*([\"']?){_DATASET}\2\s*")
_FRONT = re.compile(r"\A(\ufeff?\s*---[ \t]*\r?\n)(.*?)(^---[ \t]*\r?$)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Card:
    """The card's new text, and a sentence for each part that was written or left."""

    text: str
    messages: tuple[str, ...]


def updated(text: str, record: RunRecord, test: str = "") -> Card:
    """Write the figures of one model into a card.

    text: the README.md, "" for a new one. test: the id of the test whose emissions stand for the
    model, needed where there are several. Raises InputError for a record that doesn't tell, and for
    metadata that can't be changed in lines.
    """
    test = printable(test)
    figures = _figures(record, test)
    match = _FRONT.match(text)
    ending = "\r\n" if "\r\n" in (match[1] if match else text) else "\n"
    if match is None:
        head, front, rest = f"---{ending}", "", f"---{ending}{text}"
    else:
        head, front, rest = match[1], match[2], text[match.start(3) :]
    lines = front.split(ending)[:-1]  # no other line end counts, so that all come back
    messages = []
    lines, message = _with_emissions(lines, figures, test)
    messages.append(message)
    lines = _with_index(lines, figures)
    messages.append(f"{INDEX}: {', '.join(each.label for each in figures)}")
    changed = "".join(line + ending for line in lines)
    return Card(head + changed + rest, tuple(messages))


def _figures(record: RunRecord, test: str) -> list[Measured]:
    found = measured(record)
    if not found:
        raise InputError("the record holds no figure; a model card needs a measured test")
    models = sorted({each.test.model or "" for each in found})
    if test:
        known = ", ".join(dict.fromkeys(each.test.id for each in found))
        models = sorted({each.test.model or "" for each in found if each.test.id == test})
        if not models:
            raise InputError(f"the record holds no figure of a test {test!r}; known: {known}")
    if len(models) > 1:
        raise InputError(
            f"the record holds figures of several models ({', '.join(map(repr, models))}), and a "
            "card is of one; name one of its tests with --test"
        )
    return [each for each in found if (each.test.model or "") == models[0]]


def _with_emissions(lines: list[str], figures: list[Measured], test: str) -> tuple[list[str], str]:
    """The metadata with our emissions; those of somebody else stay."""
    start, end = _block(lines, EMISSIONS)
    if start < end and not any(OURS.strip() in line for line in lines[start:end]):
        return lines, f"{EMISSIONS}: left as it is, because it isn't from pytest-energy"
    chosen = [each for each in figures if not test or each.test.id == test]
    named = [each for each in chosen if each.grams is not None]
    if not named:
        return lines, f"{EMISSIONS}: not written, because no carbon factor was set"
    if len(named) > 1:
        raise InputError(
            f"the record holds {len(named)} figures, and {EMISSIONS} is one number; name the test "
            "that stands for the model with --test"
        )
    (each,) = named
    assert each.grams is not None and each.session.carbon is not None
    units = plural(each.test.unit)
    source = (
        f"{OURS}inference of 1,000 {units}, {each.evidence}, by {each.session.carbon.description}"
    )
    new = [
        f"{EMISSIONS}:",
        f"  emissions: {fixed_point(each.grams * 1000)}",
        f"  source: {_quoted(source)}",
    ]
    new += [f"  hardware_used: {_quoted(each.hardware)}"] if each.hardware else []
    return [*lines[:start], *new, *lines[end:]], f"{EMISSIONS}: grams for 1,000 {units}"


def _with_index(lines: list[str], figures: list[Measured]) -> list[str]:
    """The metadata with our entry at the end of the model index."""
    if (ours := _marked(lines)) is not None:
        lines = [*lines[: ours[0]], *lines[ours[1] :]]
    lines = _without_results(lines)
    start, end = _block(lines, INDEX)
    if start == end:
        return [*lines, f"{INDEX}:", *_entry(figures, "", _model_name(figures))]
    value = lines[start].partition(":")[2].partition(" #")[0].strip()
    if value not in ("", "[]"):
        raise InputError(f"{INDEX} of the card is written in one line; write it as a list of lines")
    items = [line for line in lines[start + 1 : end] if re.match(r"\s*- ", line)]
    indent = re.match(r"\s*", items[0])[0] if items else ""  # type: ignore[index]
    name = next(
        (found[1] for line in items if (found := re.match(r"\s*- name:\s*(\S.*)", line))),
        _model_name(figures),
    )
    before = [*lines[:start], f"{INDEX}:", *lines[start + 1 : end]]
    return [*before, *_entry(figures, indent, name), *lines[end:]]


def _model_name(figures: list[Measured]) -> str:
    return _quoted(figures[0].test.model or figures[0].label)


def _entry(figures: list[Measured], indent: str, name: str) -> list[str]:
    lines = [BEGIN, f"- name: {name}", "  results:"]
    for each in figures:
        unit = plural(each.test.unit)
        lines += [
            "  - task:",
            f"      type: {_quoted(each.test.task or 'other')}",
            "    dataset:",
            f"      type: {_quoted(_DATASET)}",
            f"      name: {_quoted(each.label)}",
            "    metrics:",
            *_metric(
                f"energy_wh_per_1000_{each.test.unit}",
                f"Energy, Wh for 1,000 {unit}, {each.evidence}, on {each.hardware or 'unknown'}",
                watt_hours_per_1000(each.joules),
            ),
        ]
        if each.grams is not None and each.session.carbon is not None:
            lines += _metric(
                f"emissions_gco2e_per_1000_{each.test.unit}",
                f"Emissions, gCO2e for 1,000 {unit}, {each.evidence}, by "
                f"{each.session.carbon.description}",
                each.grams * 1000,
            )
        lines += ["    source:", '      name: "pytest-energy"']
        lines += ['      url: "https://pypi.org/project/pytest-energy/"']
    return [f"{indent}{line}" for line in [*lines, END]]


def _metric(kind: str, name: str, value: float) -> list[str]:
    return [
        f"    - type: {_quoted(re.sub(r'[^A-Za-z0-9]+', '_', kind).lower())}",
        f"      value: {fixed_point(value)}",
        f"      name: {_quoted(name)}",
    ]


def _quoted(text: str) -> str:
    """A string that YAML reads as it is."""
    return json.dumps(text, ensure_ascii=False)


def _marked(lines: list[str]) -> tuple[int, int] | None:
    """Where our entry of the model index stands."""
    stripped = [line.strip() for line in lines]
    if BEGIN not in stripped:
        return None
    start = stripped.index(BEGIN)
    if END not in stripped[start:]:
        raise InputError(f"the card has a line {BEGIN!r} without {END!r} behind it; remove both")
    return start, stripped.index(END, start) + 1


def _without_results(lines: list[str]) -> list[str]:
    """The metadata without our results in the model index, and without models that had no other."""
    start, end = _block(lines, INDEX)
    gone: set[int] = set()
    for first, last in _items(lines, start + 1, end):
        head = next(
            (i for i in range(first, last) if re.match(r"\s*(- )?results:", lines[i])), last
        )
        results = list(_items(lines, head + 1, last))
        ours = [(a, b) for a, b in results if any(map(_OURS.fullmatch, lines[a:b]))]
        if ours and len(ours) == len(results):
            ours = [(first, last)]
        gone.update(index for a, b in ours for index in range(a, b))
    return [line for index, line in enumerate(lines) if index not in gone]


def _items(lines: list[str], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where each item of the first list in these lines begins and ends."""
    depths = {i: len(line) - len(line.lstrip()) for i, line in enumerate(lines) if line.strip()}
    first = next((i for i in range(start, end) if lines[i].lstrip().startswith("- ")), end)
    for index in range(first, end):
        if depths.get(index) == depths[first] and lines[index].lstrip().startswith("- "):
            last = index + 1
            while last < end and depths.get(last, depths[first] + 1) > depths[first]:
                last += 1
            yield index, last
        elif depths.get(index, depths[first]) < depths[first]:
            return


def _block(lines: list[str], key: str) -> tuple[int, int]:
    """The lines of a top-level key; an empty range at the end of the metadata without it."""
    start = next((i for i, line in enumerate(lines) if re.match(rf"{key}\s*:", line)), None)
    if start is None:
        return len(lines), len(lines)
    end = start + 1
    for index in range(start + 1, len(lines)):
        if re.match(r"[^\s#-]", lines[index]) or re.match(r"-\S", lines[index]):
            break
        if lines[index].strip() and not lines[index].startswith("#"):
            end = index + 1  # comments and empty lines before the next key belong to that
    return start, end
