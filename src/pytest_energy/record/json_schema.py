"""The JSON Schema of the run record, from its dataclasses; docs/record.schema.json holds it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from pytest_energy.record.schema import SCHEMA, RunRecord

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def json_schema() -> dict[str, Any]:
    """Further keys are allowed, because later versions of the same schema may add some."""
    definitions: dict[str, Any] = {}
    _define(RunRecord, definitions)
    root = definitions.pop("RunRecord")
    root["properties"]["schema"] = {"const": SCHEMA}
    root["required"] = sorted({*root["required"], "schema"})
    return {
        "$schema": DRAFT,
        "title": "Run record of pytest-energy",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def json_schema_text() -> str:
    """The file's text."""
    return json.dumps(json_schema(), indent=1) + "\n"


def _define(cls: Any, definitions: dict[str, Any]) -> None:
    if cls.__name__ in definitions:
        return
    found: dict[str, Any] = {}
    definitions[cls.__name__] = found
    hints = get_type_hints(cls)
    found["description"] = (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
    found["type"] = "object"
    found["properties"] = {
        each.name: _of(hints[each.name], definitions) for each in fields(cls) if each.init
    }
    found["required"] = sorted(
        each.name
        for each in fields(cls)
        if each.default is MISSING and each.default_factory is MISSING
    )


def _of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if hint in _TYPES:
        return {"type": _TYPES[hint]}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"enum": [str(each) for each in hint]}
    if is_dataclass(hint):
        _define(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}  # type: ignore[union-attr]
    inner = get_args(hint)
    if isinstance(hint, UnionType):
        allowed = [_of(each, definitions) for each in inner if each is not NoneType]
        none = [{"type": "null"}] if NoneType in inner else []
        return {"anyOf": [*allowed, *none]}
    if get_origin(hint) is tuple:
        if inner[-1] is Ellipsis:
            return {"type": "array", "items": _of(inner[0], definitions)}
        parts = [_of(each, definitions) for each in inner]
        return {"type": "array", "prefixItems": parts, "minItems": len(parts), "items": False}
    assert issubclass(get_origin(hint) or hint, Mapping), hint
    return {"type": "object", "additionalProperties": _of(inner[1], definitions)}
