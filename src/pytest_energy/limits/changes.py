"""Which limits differ between two versions of energy-budgets.toml; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_energy.limits.file import BudgetsFile, Entry

#: What stands for a limit that one version doesn't have.
NONE = "none"


@dataclass(frozen=True, kw_only=True)
class LimitChange:
    """One limit that was added, removed or changed.

    subject: what it is for, in words. old, new: as their author wrote them, or "none". change: the
    fraction that the new one is over the old one, None where one is missing. origin: where the new
    one is written, or where the old one was.
    """

    subject: str
    old: str
    new: str
    change: float | None
    origin: str


@dataclass(frozen=True)
class _Value:
    text: str
    size: float
    origin: str


def limit_changes(old: BudgetsFile, new: BudgetsFile) -> tuple[LimitChange, ...]:
    """The limits that differ, in the order of the new version; removed ones last."""
    before, after = dict(_values(old)), dict(_values(new))
    found = []
    for key in dict.fromkeys((*after, *before)):
        was, now = before.get(key), after.get(key)
        if was is not None and now is not None and was.size == now.size:
            continue
        ratio = None if was is None or now is None or was.size == 0 else now.size / was.size - 1
        place = now or was
        assert place is not None
        found.append(
            LimitChange(
                subject=key[0],
                old=was.text if was else NONE,
                new=now.text if now else NONE,
                change=ratio,
                origin=place.origin,
            )
        )
    return tuple(found)


def _values(file: BudgetsFile) -> Iterator[tuple[tuple[str, str, int], _Value]]:
    """Each limit and each allowed increase, by what it is for, what it counts, and its number."""
    seen: Counter[tuple[str, str]] = Counter()

    def numbered(subject: str, counted: str) -> tuple[str, str, int]:
        seen[subject, counted] += 1
        return subject, counted, seen[subject, counted]

    for entry in file.entries:
        subject = _subject(entry)
        for limit, origin in entry.limits:
            key = numbered(subject, f"{limit.quantity} {limit.unit}")
            yield key, _Value(limit.text, limit.base_per_unit, origin)
        if (increase := entry.max_increase) is not None:
            key = numbered(subject, "increase")
            yield key, _Value(f"+{increase.percent}", increase.fraction, increase.origin)
    if (default := file.defaults.max_increase) is not None:
        value = _Value(f"+{default.percent}", default.fraction, default.origin)
        yield numbered("all tests, by default", "increase"), value


def _subject(entry: Entry) -> str:
    """ "sentiment", or "t.py::test_x, hardware h100"; the id of an entry stands for the rest."""
    if entry.id:
        return entry.id
    named = {
        "task": entry.task,
        "model": entry.model,
        "hardware": entry.hardware,
        "scope": entry.scope,
        "method": entry.method,
    }
    return ", ".join([*entry.tests, *(f"{key} {value}" for key, value in named.items() if value)])
