"""JSON Schemas of what `--json` prints: `ctprune --json-schema COMMAND` shows them, docs/json.md lists them.

A schema is built on request, from the descriptions in configurations and results.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ctprune.cli.output import JSON_VERSIONS

if TYPE_CHECKING:
    from ctprune.cli.schemas.parts import Schema

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Output(NamedTuple):
    """An object that `--json` prints.

    Attributes:
        name: A name of `JSON_VERSIONS`.
        about: When it is printed, in a sentence.
        made_by: Module of this folder, and its function that gives the schema of the result.
    """

    name: str
    about: str
    made_by: str

    def result(self) -> Schema:
        """The schema of the result."""
        module, _, function = self.made_by.partition(":")
        make: Callable[[], Schema] = getattr(importlib.import_module(f"ctprune.cli.schemas.{module}"), function)
        return make()

    def schema(self) -> Schema:
        """The schema of the whole object."""
        from ctprune.cli.schemas.parts import record

        return record(
            self.about,
            schema={"const": f"ctprune.{self.name}", "description": "Name of this schema."},
            version={"const": JSON_VERSIONS[self.name], "description": "Version of this schema."},
            result=self.result(),
        )


#: The objects that each command prints, in the order of the commands.
OUTPUTS: dict[str, tuple[Output, ...]] = {
    "reduce": (
        Output("reduce", "What a reduction found, kept and dropped.", "reductions:summary"),
        Output("reduce.plan", "With --dry-run: what a reduction would read.", "reductions:plan"),
        Output("reduce.shard", "With --shard, while other shards are missing: what was read.", "reductions:shard"),
    ),
    "check": (Output("check", "What is unusual about each series.", "volumes:check"),),
    "merge": (Output("merge", "The summary of the joint reduction.", "reductions:summary"),),
    "verify": (Output("verify", "The problems of a reduction.", "reductions:verify"),),
    "sweep": (Output("sweep", "How many slices each threshold keeps.", "sweeps:sweep"),),
    "duplicates": (Output("duplicates", "Volumes that show the same anatomy.", "volumes:duplicates"),),
    "overlap": (Output("overlap", "What of B is in A.", "volumes:overlap"),),
    "export": (Output("export", "What was exported.", "reductions:export"),),
    "pretrain": (
        Output("pretrain", "The summary of a finished pre-training.", "learning:pretrain"),
        Output("pretrain.views", "With --show-views: the picture that was written.", "learning:views"),
    ),
    "convert": (Output("convert", "What was written, and how closely its features agree.", "learning:convert"),),
    "finetune": (Output("finetune", "The result of a fine-tuning, as in metrics.json.", "learning:finetune"),),
    "predict": (Output("predict", "The prediction for each image.", "learning:predict"),),
    "segment": (Output("segment", "The result of a segmentation, as in metrics.json.", "learning:segment"),),
    "compare": (Output("compare", "Results side by side, as in comparison.json.", "comparisons:compare"),),
    "experiment": (
        Output("experiment", "The steps of a finished experiment and its comparisons.", "comparisons:experiment"),
        Output("experiment.steps", "With --dry-run, --list or --step: the steps.", "comparisons:steps"),
    ),
    "info": (
        Output("info.file", "Of a file: its slices.", "reductions:file"),
        Output("info.reduction", "For a reduction: its summary.", "reductions:summary"),
    ),
    "report": (Output("report", "The page that was written.", "reductions:report"),),
    "phantom": (Output("phantom", "The archive that was written.", "reductions:phantom"),),
    "key": (Output("key", "The key that was made.", "reductions:key"),),
}


def json_schema(command: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a command's output with `--json`.

    >>> json_schema("key")["properties"]["result"]["required"]
    ['path', 'fingerprint']
    """
    kinds = [output.schema() for output in OUTPUTS[command]]
    about = {"$schema": _DIALECT, "title": f"ctprune {command} --json"}
    return about | (kinds[0] if len(kinds) == 1 else {"oneOf": kinds})
