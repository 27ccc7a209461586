"""Building blocks of JSON Schemas: each describes a value in one sentence, with its unit.

Descriptions come from a dataclass's docstring or an option's help if these exist.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctprune.options.option import Option, options_of

Schema = dict[str, Any]

#: Marks an optional property; not a keyword of JSON Schema, removed by `record`.
_OPTIONAL = "optional"

#: JSON's equivalents of Python's values.
_IN_JSON = {"None": "null", "NaN": "null", "nan": "null", "True": "true", "False": "false"}


def text(about: str, *choices: str) -> Schema:
    """A text, or one of these."""
    return {"type": "string", "description": about} | ({"enum": list(choices)} if choices else {})


def count(about: str) -> Schema:
    """A whole number from 0."""
    return {"type": "integer", "minimum": 0, "description": about}


def whole(about: str) -> Schema:
    """A whole number."""
    return {"type": "integer", "description": about}


def number(about: str) -> Schema:
    """A number."""
    return {"type": "number", "description": about}


def share(about: str) -> Schema:
    """A number from 0 to 1."""
    return {"type": "number", "minimum": 0, "maximum": 1, "description": about}


def flag(about: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": about}


def maybe(schema: Schema) -> Schema:
    """The same schema, or null."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    found = {**schema, "type": list(dict.fromkeys([*kinds, "null"]))}
    return found | ({"enum": [*schema["enum"], None]} if "enum" in schema else {})


def optional(schema: Schema) -> Schema:
    """An optional property."""
    return {**schema, _OPTIONAL: True}


def array(about: str, items: Schema, length: int | None = None) -> Schema:
    """A list of any length, or of this length."""
    fixed = {} if length is None else {"minItems": length, "maxItems": length}
    return {"type": "array", "items": items, "description": about} | fixed


def mapping(about: str, values: Schema) -> Schema:
    """An object whose keys are not fixed, such as reasons; the description says what they are."""
    return {"type": "object", "additionalProperties": values, "description": about}


def anything(about: str) -> Schema:
    """An object with any properties, not made by ctprune."""
    return {"type": "object", "description": about}


def record(about: str, /, **properties: Schema) -> Schema:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "description": about,
        "properties": {
            name: {key: value for key, value in one.items() if key != _OPTIONAL}
            for name, one in properties.items()
        },
        "required": [name for name, one in properties.items() if _OPTIONAL not in one],
        "additionalProperties": False,
    }


def fields_of(
    kind: type, *, without: Sequence[str] = (), undefined: bool = False, **given: Schema
) -> dict[str, Schema]:
    """The properties of a dataclass, as its docstring describes them.

    Args:
        kind: The dataclass; its docstring has a list of attributes.
        without: Attributes that are not in JSON.
        undefined: Whether each of its floats may be undefined and then becomes null.
        given: Schemas of attributes whose types are not specific enough, and of additional properties.

    >>> from ctprune.duplicates.groups import Group
    >>> fields_of(Group)["representative"]
    {'type': 'integer', 'description': 'The one to take.'}
    """
    said, hints = _attributes(kind), typing.get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        if field.name in without:
            continue
        schema = (
            given[field.name] if field.name in given else _typed(hints[field.name], said[field.name], undefined)
        )
        found[field.name] = schema
    return found | {name: schema for name, schema in given.items() if name not in found}


def _attributes(kind: type) -> dict[str, str]:
    """A docstring's description of each attribute, in JSON's terms."""
    section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: _in_json(" ".join(about.split())) for name, about in entries}


def _in_json(said: str) -> str:
    """A sentence with JSON's terms in place of Python's."""
    return re.sub(r"\b(None|NaN|nan|True|False)\b", lambda word: _IN_JSON[word[0]], said)


_SIMPLE: dict[Any, str] = {str: "string", Path: "string", int: "integer", float: "number", bool: "boolean"}


def _typed(hint: Any, about: str, undefined: bool) -> Schema:
    """The schema of a value with this type."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return maybe(_typed(next(part for part in parts if part is not type(None)), about, undefined))
    if origin in (list, tuple):
        return array(about, _typed(parts[0], "", undefined))
    if origin in (dict, Mapping):
        return mapping(about, _typed(parts[1], "", undefined))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return record(
            about or inspect.cleandoc(hint.__doc__ or "").partition("\n")[0],
            **fields_of(hint, undefined=undefined),
        )
    schema: Schema = {"type": _SIMPLE[hint]} | ({"description": about} if about else {})
    return maybe(schema) if hint is float and (undefined or "null" in about) else schema


def options(config: type, about: str, *, deciding: bool, **given: Schema) -> Schema:
    """The options of a configuration by name.

    Args:
        config: The configuration's class.
        about: What they are.
        deciding: Whether to include only options that decide the result.
        given: Schemas of options whose types are not specific enough.
    """
    found = {
        name: given.get(name) or _option(one)
        for name, one in options_of(config).items()
        if one.about.decides or not deciding
    }
    # Pages name the options; the command's own page lists them.
    return record(about, **found) | {"title": config.__name__}


def _option(option: Option) -> Schema:
    about = option.about
    said = _in_json(" ".join(filter(None, [about.help, about.more, about.unit and f"Unit: {about.unit}."])))
    if option.kind is list:
        schema = array(said, {"type": "string"})
    elif option.kind is tuple:
        schema = array(said, {"type": "number"}, 2)
    elif option.kind in _SIMPLE:
        schema = {"type": _SIMPLE[option.kind], "description": said}
        if about.choices:
            schema["enum"] = list(about.choices)
    else:
        # A value of several types, as the help says.
        return {"description": said}
    return maybe(schema) if option.is_optional else schema
