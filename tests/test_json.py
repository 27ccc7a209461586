"""What `--json` prints is what the schemas and docs/json.md say.

Tests of single commands check their output against the schemas, too: all that take it through `result_of`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from docs.json_schemas import PAGE, inserted
from jsonschema import Draft202012Validator, ValidationError

from ctprune.cli import COMMANDS
from ctprune.cli.output import JSON_VERSIONS, print_json
from ctprune.cli.schemas import OUTPUTS, json_schema
from ctprune.reduction.info import describe
from tests.conftest import Cli
from tests.printed import result_of, validator

CLI = Path(__file__).parents[1] / "python" / "ctprune" / "cli"


def test_every_command_has_a_schema_of_each_object() -> None:
    assert tuple(OUTPUTS) == COMMANDS
    assert [output.name for outputs in OUTPUTS.values() for output in outputs] == list(JSON_VERSIONS)
    for command in COMMANDS:
        Draft202012Validator.check_schema(json_schema(command))


def test_every_command_offers_json_and_prints_it_one_way() -> None:
    for command in COMMANDS:
        source = (CLI / f"{command}.py").read_text(encoding="utf-8")
        assert '"--json"' in source, command
        assert "json.dumps" not in source, command


def parts(schema: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each property of a schema, however deep, by its full name."""
    for key, one in {**schema.get("properties", {}), **schema.get("patternProperties", {})}.items():
        yield f"{name}.{key}", one
        yield from parts(one, f"{name}.{key}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key], f"{name}[]")
    for one in schema.get("anyOf", []) + schema.get("oneOf", []):
        yield from parts(one, name)


#: What others have made, or earlier versions: with any properties.
OPEN = {
    "finetune.result.weights.metadata",
    "segment.result.weights.metadata",
    "compare.result.runs[].config",
    "compare.result.runs[].weights",
    "experiment.result.tasks[].runs[].config",
    "experiment.result.tasks[].runs[].weights",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_property_is_described_and_every_object_is_closed(command: str) -> None:
    for name, one in parts(json_schema(command), command):
        about = one.get("description", "")
        assert re.fullmatch(r".{3,}[.]", about, re.DOTALL), f"{name}: {about}"
        assert not re.search(r"\b(None|NaN|nan|True|False)\b", about), f"{name}: {about}"
        kinds = one.get("type", [])
        if "object" in ([kinds] if isinstance(kinds, str) else kinds):
            assert ("additionalProperties" in one) != (name in OPEN), name


def test_the_page_shows_the_schemas() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == inserted(page), "run 'python -m docs.json_schemas'"


def test_a_schema_is_printed(cli: Cli) -> None:
    printed = cli("--json-schema", "reduce")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert json.loads(printed.stdout) == json_schema("reduce")
    wrong = cli("--json-schema", "reduces")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("Error: --json-schema reduces: expected one of reduce, check, ")


def test_outputs_are_as_their_schemas_say(cli: Cli, tmp_path: Path) -> None:
    def printed(command: str, *arguments: object, codes: tuple[int, ...] = (0,)) -> Any:
        done = cli(command, *arguments, "--json")
        assert done.returncode in codes, done.stderr
        return result_of(command, done.stdout)

    made = printed("phantom", "in", "--patients", 2, "--size", 64, "--slices", 6)
    assert (made["patients"], made["path"]) == (2, "in")
    assert printed("key", "key")["path"] == "key"
    assert printed("reduce", "in", "--dry-run")["files_to_read"] == made["files"] + 1
    plain = printed("reduce", "in", "--out", "run", "--method", "ssim", "--threshold", 0.8)
    assert plain["comparisons"]["pairs"] > 0
    assert printed("info", "run")["kept"] == plain["kept"]
    halves = [printed("reduce", f"in/P000{one}", "--out", f"half{one}") for one in (1, 2)]
    joint = printed("merge", "half1", "half2", "--out", "both")
    assert joint["slices"] == sum(half["slices"] for half in halves) == made["slices"]
    # Other tests check what the other commands print.
    files = sorted((tmp_path / "in").rglob("*.dcm"))
    slices = [one for file in files for one in describe(file)]
    assert printed("info", files[-1])["slices"] == describe(files[-1])
    schema = json_schema("info")["oneOf"][0]["properties"]["result"]["properties"]["slices"]["items"]
    for one in slices:
        Draft202012Validator(schema).validate(one)
    # Nothing stands in the schema that no slice has.
    assert {name for one in slices for name in one} == set(schema["properties"])


def test_a_key_that_is_not_described_is_found(cli: Cli) -> None:
    cli("phantom", "in", "--patients", 1, "--size", 64, "--slices", 3)
    whole = json.loads(cli("reduce", "in", "--out", "run", "--json").stdout)
    check = validator("reduce")
    check.validate(whole)
    for place in ((), ("result",), ("result", "config"), ("result", "ruled"), ("result", "label_volumes")):
        more, less = deepcopy(whole), deepcopy(whole)
        one, other = more, less
        for key in place:
            one, other = one[key], other[key]
        one["new"] = 1
        other.pop(next(iter(other)))
        for wrong in (more, less):
            with pytest.raises(ValidationError):
                check.validate(wrong)
    with pytest.raises(ValidationError):
        check.validate(whole | {"version": 2})


def test_numbers_that_are_not_defined_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json("report", {"bytes": float("nan"), "missing": [{"a": float("-inf")}, (1.5, 2)]})
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "schema": "ctprune.report",
        "version": 1,
        "result": {"bytes": None, "missing": [{"a": None}, [1.5, 2]]},
    }
