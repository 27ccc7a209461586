"""Compare the collected results of an experiment once more, from their raw predictions.

    python experiments/compare_again.py experiments/covid.yaml experiments/results/covid

The models are those of the collection's `experiment.json`, contrasts and margin those of the experiment's file;
the pages in `comparison/` are written anew. Nothing is trained.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from ctprune.comparison.comparison import Comparison
from ctprune.experiment.contrasts import SEPARATOR
from ctprune.experiment.file import ExperimentFile
from ctprune.experiment.outcome import compare_models, write_outcome


def compare_again(file: Path, collection: Path) -> dict[str, Comparison]:
    """Write `comparison/` of a collection anew; what it says, by task."""
    content = yaml.safe_load(file.read_text("utf-8"))
    plan = json.loads((collection / "experiment.json").read_text("utf-8"))
    here = Path.cwd()
    # Folders are named as in the collection, wherever that is.
    os.chdir(collection)
    try:
        comparisons = compare_models(content.get("comparison") or {}, _models(content, plan["steps"]))
    finally:
        os.chdir(here)
    before = json.loads((collection / "comparison" / "comparison.json").read_text("utf-8"))
    write_outcome(_experiment(content), comparisons, before["steps"], collection / "comparison")
    return comparisons


def _models(content: Mapping[str, Any], steps: list[dict[str, Any]]) -> dict[str, dict[str, list[Path]]]:
    """For each task and model the folders of its fine-tunings, one for each pre-training."""
    by_folder = {step["folder"]: step for step in steps}
    finetunings = [step for step in steps if step["kind"] == "finetune"]
    parts = {
        needed: _parts(content, by_folder, by_folder[needed]) for step in finetunings for needed in step["needs"]
    }
    # As in a grid: a name holds only the parts that differ.
    varying = [len(set(values)) > 1 for values in zip(*parts.values(), strict=True)]
    found: dict[str, dict[str, list[Path]]] = {task: {} for task in content["tasks"]}
    for step in finetunings:
        # The longest one: a task's name may begin with that of another.
        task = max((task for task in found if step["name"].startswith(f"{task}-")), key=len)
        name = step["name"].removeprefix(f"{task}-")
        for needed in step["needs"]:
            shown = [part for part, varies in zip(parts[needed], varying, strict=True) if varies]
            name = SEPARATOR.join(shown or parts[needed][-1:])
        found[task].setdefault(name, []).append(Path(step["folder"]))
    return found


def _parts(
    content: Mapping[str, Any], by_folder: Mapping[str, dict[str, Any]], pretraining: dict[str, Any]
) -> tuple[str, str, str]:
    """A pre-training's source, reduction and name in the file."""
    reduction = by_folder[pretraining["needs"][0]]["name"]
    source, selection = next(
        pair for pair in product(content["sources"], content["reductions"]) if "-".join(pair) == reduction
    )
    return source, selection, pretraining["name"].removeprefix(f"{reduction}-").rpartition("-seed")[0]


def _experiment(content: Mapping[str, Any]) -> ExperimentFile:
    """As much of it as the page shows."""
    return ExperimentFile(
        name=content["name"],
        description=content.get("description", "").strip(),
        sources={},
        reductions={},
        pretrainings={},
        baselines={},
        tasks={},
        pretraining_seeds=(),
        finetuning_seeds=(),
        comparison={},
    )


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the experiment's file")
    parser.add_argument("collection", type=Path, help="folder that collect_results.py wrote")
    given = parser.parse_args()
    for task, comparison in compare_again(given.file, given.collection).items():
        print(task)
        for pair in comparison.pairs:
            print(f"  {pair.sentence}")


if __name__ == "__main__":
    main()
