"""What a command prints with `--json`, checked against its JSON Schema."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from ctprune.cli.schemas import json_schema


@cache
def validator(command: str) -> Draft202012Validator:
    return Draft202012Validator(json_schema(command))


def result_of(command: str, stdout: str) -> Any:
    """The result in this output of a command, which must be as its schema says."""
    found = json.loads(stdout)
    validator(command).validate(found)
    return found["result"]
