"""Limits that stand far above what is measured are lowered; pure.

Each value is edited in place, and every other byte of the file stays as it is.
"""

from __future__ import annotations

import copy
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from pytest_energy.baselines.baseline import Key, Line, by_key, shown_sessions
from pytest_energy.limits.budget import Declaration, base_limit, limit_of, rounded_up
from pytest_energy.limits.file import BudgetsFile, Entry, parse_budgets
from pytest_energy.limits.headroom import upper_end
from pytest_energy.limits.limit import Limit, LimitError, parse_limit
from pytest_energy.limits.resolve import Subject, matched
from pytest_energy.limits.room import rooms
from pytest_energy.limits.toml_lines import places
from pytest_energy.record.contention import doubt_of_figure
from pytest_energy.record.schema import RunRecord, quantity_of
from pytest_energy.rules.verdict import Verdict
from pytest_energy.units import Quantity, figure, percent

#: A limit is lowered where the new one is lower by more than this.
FAR = 0.05

_AMOUNT = re.compile(r"\+?[\d.]+(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Tightened:
    """The new text of a budgets file; a sentence for each limit, and how many were lowered."""

    text: str
    messages: tuple[str, ...]
    lowered: int


@dataclass(frozen=True, kw_only=True)
class _Figure:
    """What one measurement uses and needs, in the base of its limit for one unit.

    upper: what another session stays under, None where there is no figure; why then says so.
    """

    test: str
    sessions: int
    centre: float
    upper: float | None
    why: str


@dataclass(frozen=True, kw_only=True)
class _Place:
    """One limit in the file: its budget's index and key, and where it stands.

    item: its place in a list of limits, None for the only one.
    """

    index: int
    key: str
    item: int | None
    limit: Limit
    origin: str
    entry: Entry

    @property
    def named(self) -> str:
        """How messages name it; a line may hold both keys, and a list."""
        item = "" if self.item is None else f", item {self.item + 1}"
        return f"{self.origin}: {self.key}{item}"


def tighten_from_records(records: Sequence[RunRecord], text: str, shown: str) -> Tightened:
    """Lower the limits that these records were judged by.

    text: the file's, without mistakes. shown: its name in messages. Raises SuggestionError for
    figures that can't be compared with one another.
    """
    by_limit: dict[tuple[str, str], list[_Figure]] = {}
    for test, room in rooms(records):
        if test.budget is None:
            continue
        limit = limit_of(test.budget)
        # A limit in carbon was judged in joules, at the intensity of that run.
        scale = 1.0
        if limit is not None and limit.quantity is Quantity.CARBON and test.limit_joules_per_unit:
            scale = limit.base_per_unit / test.limit_joules_per_unit
        doubt = doubt_of_figure(test) if test.verdict != Verdict.UNMEASURED else ""
        found = _Figure(
            test=test.id,
            sessions=0,
            centre=0.0,
            upper=None,
            why=f"{test.id}: {doubt}" if doubt else f"{test.id} is unmeasured",
        )
        if limit is None:
            why = f"{test.id} was measured by another version of pytest-energy; measure it again"
            found = replace(found, why=why)
        elif room is not None:
            found = _Figure(
                test=test.id,
                sessions=room.sessions,
                centre=room.centre * scale,
                upper=room.upper * scale,
                why=room.why,
            )
        by_limit.setdefault((_name(test.budget.origin), test.budget.limit), []).append(found)
    file = _file(text, shown)
    figures = {
        each.named: by_limit.get((_name(each.origin), each.limit.text), [])
        for each in _places(text, file)
    }
    return _tightened(text, file, figures)


def tighten_from_baselines(lines: Sequence[Line], text: str, shown: str) -> Tightened:
    """Lower the limits that stand for tests with baselines, as far as their keys tell.

    Limits for some hardware only are left: which class a line belongs to, it doesn't say.
    """
    file = _file(text, shown)
    stored = by_key(lines)
    figures: dict[str, list[_Figure]] = {}
    for place in _places(text, file):
        for key, sessions in stored.items():
            if _is_for(place, key, sessions[-1], file):
                scaled = _scaled(place.limit, file)
                if scaled is not None:
                    figures.setdefault(place.named, []).append(_figure(key, sessions, scaled))
    return _tightened(text, file, figures)


def _name(origin: str) -> str:
    """file:line without the folder, which depends on where the command runs."""
    return origin.rpartition("/")[2]


def _file(text: str, shown: str) -> BudgetsFile:
    return parse_budgets(text.removeprefix("\ufeff"), shown)


def _places(text: str, file: BudgetsFile) -> Iterator[_Place]:
    """All limits of the file, in its order."""
    plain = text.removeprefix("\ufeff")
    document, root = tomllib.loads(plain), places(plain)
    for index, entry in enumerate(file.entries):
        for limit, origin in entry.limits:
            for key in ("max", "max_carbon"):
                value = document["budget"][index].get(key)
                written = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
                for item, text_of_it in written:
                    if text_of_it is None or text_of_it.strip() != limit.text:
                        continue
                    path = (key,) if item is None else (key, item)
                    if origin.endswith(f":{root.at('budget', index, *path).line}"):
                        yield _Place(
                            index=index,
                            key=key,
                            item=item,
                            limit=limit,
                            origin=origin,
                            entry=entry,
                        )


def _is_for(place: _Place, key: Key, line: Line, file: BudgetsFile) -> bool:
    """Whether a limit stands for a test: no other budget for it may be more specific."""
    limit = place.limit
    quantity = Quantity.ENERGY if limit.quantity is Quantity.CARBON else limit.quantity
    if (limit.unit, quantity) != (key.unit, quantity_of(key.method)):
        return False
    parameters = key.test.partition("[")[2].removesuffix("]")
    subject = Subject(key.test, frozenset(filter(None, (line.model, parameters))))
    declaration = Declaration(task=line.task, model=line.model)
    fitting = {origin for origin, _ in matched(declaration, subject, file)}
    rivals = [
        each
        for each in file.entries
        if each.origin in fitting
        and any((own.quantity, own.unit) == (limit.quantity, limit.unit) for own, _ in each.limits)
    ]
    return [each.origin for each in rivals] == [place.entry.origin] and not place.entry.hardware


def _scaled(limit: Limit, file: BudgetsFile) -> float | None:
    """What turns joules into the limit's own base; None where the file doesn't tell."""
    if limit.quantity is not Quantity.CARBON:
        return 1.0
    if file.intensity is None:
        return None
    return limit.base_per_unit / base_limit(limit, file.intensity)


def _figure(key: Key, sessions: Sequence[Line], scale: float) -> _Figure:
    logs = [math.log(each.centre) for each in sessions]
    variances = [each.variance for each in sessions]
    upper, why = upper_end(logs, variances, key.method, few_rounds=False)
    return _Figure(
        test=key.test,
        sessions=len(sessions),
        centre=math.exp(fmean(logs)) * scale,
        upper=upper * scale,
        why=why,
    )


def _tightened(text: str, file: BudgetsFile, figures: Mapping[str, Sequence[_Figure]]) -> Tightened:
    messages: list[str] = []
    lowered = 0
    for place in _places(text, file):
        found = figures.get(place.named, ())
        uppers = [(each.upper, each) for each in found if each.upper is not None]
        named = place.named
        if not found:
            messages.append(
                f'{named}: kept "{place.limit.text}": no figures of a test that it limits'
            )
            continue
        if len(uppers) < len(found):
            unmeasured = next(each for each in found if each.upper is None)
            messages.append(f'{named}: kept "{place.limit.text}": {unmeasured.why}')
            continue
        upper, highest = max(uppers, key=lambda each: each[0])
        about = _about(place.limit, found, highest, upper)
        amount = rounded_up(place.limit.amount_of(upper))
        if float(amount) >= place.limit.amount * (1 - FAR):
            messages.append(f'{named}: kept "{place.limit.text}" ({about})')
            continue
        new = _AMOUNT.sub(amount, place.limit.text, count=1)
        try:
            parse_limit(new)
        except LimitError as error:
            messages.append(f'{named}: kept "{place.limit.text}": {error.why}')
            continue
        edited = _edited(text, place, new)
        if edited is None:
            messages.append(f'{named}: write "{new}" by hand, where it is spelled with escapes')
            continue
        text, lowered = edited, lowered + 1
        messages.append(f'{named}: "{place.limit.text}" -> "{new}" ({about})')
    return Tightened(text, tuple(messages), lowered)


def _about(limit: Limit, found: Sequence[_Figure], highest: _Figure, upper: float) -> str:
    """ "1.27 in 3 sessions of tests/test_q.py::test_q, 10 % headroom" """
    centre = figure(limit.amount_of(highest.centre))
    tests = len({each.test for each in found})
    among = f", the highest of {tests} tests" if tests > 1 else ""
    headroom = percent(upper / highest.centre - 1)
    return (
        f"{centre} in {shown_sessions(highest.sessions)} of {highest.test}{among}, "
        f"{headroom} headroom{highest.why}"
    )


def _edited(text: str, place: _Place, new: str) -> str | None:
    """The text with one limit replaced; None where its value isn't spelled out.

    Of all places where the old words stand, it is the one whose change alters this value and
    nothing else: so no comment, and no equal limit, is taken for it.
    """
    plain = text.removeprefix("\ufeff")
    mark = text[: len(text) - len(plain)]
    wanted: dict[str, Any] = copy.deepcopy(tomllib.loads(plain))
    table = wanted["budget"][place.index]
    old = place.limit.text
    if place.item is None:
        table[place.key] = table[place.key].replace(old, new)
    else:
        table[place.key][place.item] = table[place.key][place.item].replace(old, new)
    start = -1
    while (start := plain.find(old, start + 1)) >= 0:
        candidate = plain[:start] + new + plain[start + len(old) :]
        try:
            if tomllib.loads(candidate) == wanted:
                return mark + candidate
        except tomllib.TOMLDecodeError:
            continue
    return None
