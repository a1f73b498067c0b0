"""Record classes as dicts, lists and plain values, and back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import StrEnum
from functools import lru_cache
from json import dumps, loads  # a test may have replaced them while its report is made
from types import NoneType, UnionType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from pytest_energy.errors import InputError

#: No joules, seconds or watts are larger, and none but zero smaller than its inverse.
LARGEST_NUMBER = 1e100
#: Of a value that is wrong.
SHOWN_CHARACTERS = 40


class RecordError(InputError):
    """A file that this version cannot read as a run record."""


def to_plain(record: Any) -> Any:
    """A record as dicts, lists and plain values, as pytest-xdist and JSON carry them."""
    return loads(dumps(asdict(record), allow_nan=False))


def from_plain(cls: type[Any], data: object, where: str = "record") -> Any:
    """Build a record class from plain data. Raises RecordError that names what is wrong.

    Keys that a later version of the same schema adds are ignored.
    """
    if not isinstance(data, dict):
        raise RecordError(f"{where} is {type(data).__name__}, not an object")
    hints = _hints(cls)  # type: ignore[arg-type]  # mypy takes a class for unhashable
    values = {}
    for each in fields(cls):
        if each.name in data:
            place = f"{where}.{each.name}"
            values[each.name] = _value(hints[each.name], data[each.name], place)
    try:
        return cls(**values)
    except TypeError as error:
        missing = str(error).rpartition(":")[2].strip()
        raise RecordError(f"{where} lacks {missing}") from None


@lru_cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return get_type_hints(cls)


def _value(hint: Any, data: object, where: str) -> Any:
    if type(data) is hint and (hint is not float or _is_usual(data)):  # most values are plain
        return data
    if isinstance(hint, UnionType):
        if data is None and NoneType in get_args(hint):
            return None
        kinds = [each for each in get_args(hint) if each is not NoneType]
        if len(kinds) > 1 and type(data) in kinds:
            return data  # a label, with which nothing is calculated
        hint = kinds[0]
    origin = get_origin(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        try:
            return hint(str(data))
        except ValueError:
            known = ", ".join(hint)
            raise RecordError(f"{where} is {short(data)}, not one of {known}") from None
    if is_dataclass(hint):
        return from_plain(hint, data, where)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(data, list):
            raise RecordError(f"{where} is {type(data).__name__}, not a list")
        inner, *others = get_args(hint)
        if others and others[0] is not Ellipsis and len(data) != 1 + len(others):
            raise RecordError(f"{where} has {len(data)} values, not {1 + len(others)}")
        return tuple(_value(inner, each, f"{where}[{i}]") for i, each in enumerate(data))
    if origin is Mapping and isinstance(data, dict):
        _, inner = get_args(hint)
        return {key: _value(inner, each, f"{where}[{short(key)}]") for key, each in data.items()}
    expected: Any = {float: int | float}.get(hint, origin or hint)
    if not isinstance(data, expected) or (isinstance(data, bool) and hint is not bool):
        raise RecordError(f"{where} is {short(data)}, not {getattr(hint, '__name__', hint)}")
    if hint is float and not _is_usual(data):
        size = "small" if abs(data) < 1 else "large"
        raise RecordError(f"{where} is {short(data)}, which is too {size}")
    return data


def _is_usual(number: Any) -> bool:
    return bool(number == 0 or 1 / LARGEST_NUMBER <= abs(number) < LARGEST_NUMBER)


def spelled(value: object) -> str:
    """A value as Python writes it; it refuses integers of thousands of digits."""
    try:
        return repr(value)
    except Exception as error:  # any class may have a repr of its own
        is_long = isinstance(error, ValueError) and isinstance(value, int)
        return "a number of too many digits" if is_long else f"a {type(value).__name__}"


def short(value: object) -> str:
    """A value as messages show it: a file may hold something else than it should."""
    text = spelled(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def no_number(text: str) -> NoReturn:
    """Refuse what JSON has no word for: NaN and infinity."""
    raise ValueError(f"{text} is not a number")
