"""Checks values against the part of JSON Schema that our OpenAPI file uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

_TYPES: dict[str, Any] = {
    "string": str, "boolean": bool, "object": dict, "array": list, "null": type(None), "number": (int, float),
    "integer": int,
}  # fmt: skip
_KNOWN = {
    *("$ref", "type", "oneOf", "properties", "required", "additionalProperties", "items", "enum", "format"),
    *("description", "minimum", "maximum"),
}


class SchemaChecker:
    """Tells what is wrong with values.

    :param document: the whole, to which references refer
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def resolved(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """The part, or what it refers to."""
        if "$ref" not in part:
            return part
        found: Any = self._document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return self.resolved(found)

    def problems(self, schema: Mapping[str, Any], value: Any, where: str = "") -> list[str]:
        """What is wrong with the value; an empty list if it fits."""
        return list(self._problems(self.resolved(schema), value, where))

    def _problems(self, schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
        assert not schema.keys() - _KNOWN, f"the checker does not know {schema.keys() - _KNOWN}"
        if "oneOf" in schema:
            tries = [self.problems(each, value, where) for each in schema["oneOf"]]
            if all(tries):
                yield min(tries, key=len)[0]
            return
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(_is(kind, value) for kind in kinds):
            yield f"{where}: expected {kinds}, got {value!r}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{where}: expected one of {schema['enum']}, got {value!r}"
        if schema.get("format") == "date-time" and value is not None and datetime.fromisoformat(value).tzinfo is None:
            yield f"{where}: expected a time with an offset, got {value!r}"
        if isinstance(value, list):
            for number, each in enumerate(value):
                yield from self.problems(schema["items"], each, f"{where}[{number}]")
        if isinstance(value, dict):
            yield from self._of_object(schema, value, where)

    def _of_object(self, schema: Mapping[str, Any], value: Mapping[str, Any], where: str) -> Iterator[str]:
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{where}.{name}: missing"
        for name, each in value.items():
            if name in known:
                yield from self.problems(known[name], each, f"{where}.{name}")
            elif rest is False:
                yield f"{where}.{name}: not in the description"
            elif rest is not True:
                yield from self.problems(rest, each, f"{where}.{name}")


def _is(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
