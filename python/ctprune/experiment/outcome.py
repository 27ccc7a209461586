"""The end of an experiment: one comparison for each task, on one page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctprune.comparison.compare import JSON_NAME, LATEX_NAME, MARKDOWN_NAME, PAGE_NAME
from ctprune.comparison.comparison import COMPARISON_VERSION, Comparison, compare_results
from ctprune.comparison.page import write_page
from ctprune.comparison.result import load_result, merge_pretrainings
from ctprune.comparison.tables import latex, markdown
from ctprune.experiment.contrasts import resolve_contrasts
from ctprune.experiment.file import ExperimentFile
from ctprune.experiment.grid import Grid
from ctprune.experiment.margins import margin_of
from ctprune.files.atomic import replace_file


def compare_tasks(experiment: ExperimentFile, grid: Grid, out: Path) -> dict[str, Comparison]:
    """The comparison of the models of each task; several seeds of a pre-training count as one model."""
    options = dict(experiment.comparison)
    if experiment.pretrainings and len(experiment.pretraining_seeds) == 1:
        # There are no pairs yet: the other seeds may be another machine's.
        options.pop("pair_seeds", None)
    return compare_models(
        options,
        {
            task: {name: [step.folder(out) for step in steps] for name, steps in models.items()}
            for task, models in grid.tasks.items()
        },
    )


def compare_models(
    options: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Sequence[Path]]]
) -> dict[str, Comparison]:
    """The comparison of each task, with the options of an experiment's file.

    Args:
        options: What the file has under `comparison`.
        tasks: For each task, by the model's name, the folders of its fine-tunings, one for each pre-training.
    """
    comparisons = {}
    for task, models in tasks.items():
        of_task = dict(options) | {"margin": margin_of(options.get("margin"), task)}
        if "contrasts" in options:
            of_task["contrasts"] = resolve_contrasts(options["contrasts"], list(models))
        results = [
            merge_pretrainings([load_result(folder, name=name) for folder in folders])
            for name, folders in models.items()
        ]
        comparisons[task] = compare_results(results, **of_task)
    return comparisons


def write_outcome(
    experiment: ExperimentFile,
    comparisons: dict[str, Comparison],
    steps: Sequence[Sequence[str]],
    folder: Path,
) -> Path:
    """Write the page, the numbers and the tables; return the page's file."""
    columns = ("Step", "Stage", "Status", "Seconds", "Result")
    notes = [experiment.description] if experiment.description else []
    write_page(
        folder / PAGE_NAME,
        comparisons,
        title=experiment.name,
        tables=[("Steps", columns, steps)],
        notes=notes,
    )
    texts = {
        MARKDOWN_NAME: "\n".join(f"## {task}\n\n{markdown(one)}" for task, one in comparisons.items()),
        LATEX_NAME: "\n".join(f"% {task}\n{latex(one)}" for task, one in comparisons.items()),
        JSON_NAME: json.dumps(_numbers(experiment, comparisons, steps), indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        with replace_file(folder / name) as beside:
            beside.write_text(text, encoding="utf-8")
    return folder / PAGE_NAME


def _numbers(
    experiment: ExperimentFile, comparisons: dict[str, Comparison], steps: Sequence[Sequence[str]]
) -> dict[str, Any]:
    return {
        "comparison_version": COMPARISON_VERSION,
        "experiment": experiment.name,
        "description": experiment.description,
        "steps": [list(step) for step in steps],
        "tasks": {task: one.to_dict() for task, one in comparisons.items()},
    }
