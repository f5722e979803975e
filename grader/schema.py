"""As much of JSON Schema as rubrics need. In: any JSON value and a schema. Out: complaints.

Known are type, required, properties, additionalProperties, items, enum, pattern, minimum, minItems
and minLength. A keyword that is not known raises ValueError rather than being passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "boolean": bool,
}
_ANNOTATIONS = frozenset({"$schema", "$id", "title", "description"})
_KEYWORDS = frozenset(
    {
        *("$ref", "$defs", "type", "required", "properties", "additionalProperties", "items"),
        *("enum", "pattern", "minimum", "minItems", "minLength"),
    }
)


def complaints(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """What is wrong with `value`, each with the place where it is; nothing if it is valid."""
    return list(_check(value, schema, "", schema))


def _check(
    value: Any, schema: Mapping[str, Any], place: str, root: Mapping[str, Any]
) -> Iterator[str]:
    unknown = schema.keys() - _KEYWORDS - _ANNOTATIONS
    if unknown:
        raise ValueError(f"keywords that are not known here: {sorted(unknown)}")
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    here = place or "the rubric"
    wanted = schema.get("type")
    if wanted and not _is(value, wanted):
        yield f"{here}: is not of type {wanted}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{here}: {value!r} is none of {schema['enum']}"
    if isinstance(value, str):
        if not re.search(schema.get("pattern", ""), value):
            yield f"{here}: {value!r} does not match {schema['pattern']}"
        if len(value) < schema.get("minLength", 0):
            yield f"{here}: is too short"
    if _is(value, "number") and value < schema.get("minimum", value):
        yield f"{here}: {value} is less than {schema['minimum']}"
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{here}: has too few items"
        for number, item in enumerate(value):
            yield from _check(item, schema.get("items", {}), f"{place}[{number}]", root)
    if isinstance(value, dict):
        yield from _check_object(value, schema, place, root)


def _check_object(
    value: dict[str, Any], schema: Mapping[str, Any], place: str, root: Mapping[str, Any]
) -> Iterator[str]:
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{place or 'the rubric'}: {name} is missing"
    for name, item in value.items():
        inner = f"{place}.{name}" if place else name
        if name in properties:
            yield from _check(item, properties[name], inner, root)
        elif others is False:
            yield f"{inner}: is not known"
        else:
            yield from _check(item, others, inner, root)


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == "boolean"
    return isinstance(value, _TYPES[wanted])
