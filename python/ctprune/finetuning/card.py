"""The model card: what the model is, how it was trained, how good it was on what, in plain Markdown."""

from __future__ import annotations

from ctprune import _core
from ctprune.atomic import replace_file
from ctprune.finetuning.overlaps import Overlap
from ctprune.finetuning.result import FinetuneResult

_METRIC_NAMES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "calibration_error": "calibration error",
}

_MODES = {
    "finetune": "a backbone and one linear layer, all weights trained",
    "linear": "a logistic regression on the features of a frozen backbone",
    "knn": "a vote of the nearest training images by the features of a frozen backbone",
}


def write_card(result: FinetuneResult) -> None:
    """Write `README.md` into the result's folder.

    Raises:
        OutputError: It cannot be written.
    """
    parts = [_model(result), _metrics(result), _data(result), _use(result)]
    with replace_file(result.out / "README.md") as beside:
        beside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def metric_name(name: str) -> str:
    """A metric as it is written.

    >>> metric_name("auc"), metric_name("sensitivity")
    ('AUC', 'sensitivity')
    """
    return _METRIC_NAMES.get(name, name)


def number(value: float | None) -> str:
    """Three decimals, or a dash where it is not defined."""
    return "–" if value is None or value != value else f"{value:.3f}"


def overlap_sentences(result: FinetuneResult) -> list[str]:
    """What splits share, a sentence for each pair that shares anything."""
    return [
        Overlap(**(one | {"splits": tuple(one["splits"])})).sentence()
        for one in result.overlaps
        if one["patients"] or one["near_duplicates"]
    ]


def _model(result: FinetuneResult) -> str:
    config = result.config
    origin = "random weights" if result.weights is None else f"weights `{result.weights['path']}`"
    method = (result.weights or {}).get("metadata", {}).get("method")
    start = f"{origin} ({method})" if method else origin
    lines = [
        f"# Classifier of {', '.join(result.classes)}",
        "",
        f"{result.backbone} from {start}: {_MODES[config['mode']]}. Seeds: {len(result.per_seed)}; predictions "
        f"are the mean of their probabilities. Made by ctprune {_core.__version__} in {result.seconds:,.0f} s on "
        f"{'a GPU' if result.device == 'cuda' else 'a CPU'}.",
    ]
    if config["mode"] == "finetune":
        lines += [
            "",
            f"Adam, learning rate {config['learning_rate']:g}, weight decay {config['weight_decay']:g}, batch "
            f"{config['batch_size']}, {config['epochs']} epochs, the first {config['frozen_epochs']} with a "
            f"frozen backbone (its BatchNorm layers keep their statistics then); "
            f"{config['side']} × {config['side']} pixels{', horizontal flips' if config['flip'] else ''}. The "
            f"epoch with the best accuracy on `{result.selection_split}` was taken.",
        ]
    elif result.weights is not None and config["fraction"] == 1:
        lines += ["", "Nothing in it is drawn by chance, so that all seeds are equal."]
    return "\n".join(lines)


def _metrics(result: FinetuneResult) -> str:
    rows = [
        f"| {metric_name(name)} | {number(one['mean'])} | {number(one['std'])} | "
        f"{number(one['low'])} – {number(one['high'])} |"
        for name, one in result.pooled.items()
    ]
    positive = result.config["positive"] or result.classes[-1]
    note = (
        f"Precision, sensitivity and specificity are those of {positive}."
        if len(result.classes) == 2
        else "Measures of single classes are means over all of them, each against the rest."
    )
    unit = result.interval_unit
    return "\n".join(
        [
            "## Results",
            "",
            f"{result.evaluation[0].upper()}{result.evaluation[1:]}. Mean and standard deviation over the seeds, "
            f"and the 95 % bootstrap interval (by {unit}). {note}",
            "",
            "| metric | mean | std | 95 % interval |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def _data(result: FinetuneResult) -> str:
    rows = [
        f"| {split} | {' | '.join(str(counts[name]) for name in result.classes)} |"
        for split, counts in result.splits.items()
    ]
    lines = [
        "## Data",
        "",
        f"| split | {' | '.join(result.classes)} |",
        "|---" * (len(result.classes) + 1) + "|",
        *rows,
        "",
        f"Digest of the data: `{result.data_digest}`.",
    ]
    if result.config["fraction"] < 1:
        lines += [f"Each seed was trained on {result.config['fraction']:g} of the labels in train."]
    shared = overlap_sentences(result)
    if shared:
        dropped = (
            "; what train shares with the evaluated split was left out" if result.config["drop_overlap"] else ""
        )
        lines += ["", f"Splits overlap: {'; '.join(shared)}{dropped}."]
    if result.unreadable:
        lines += ["", f"{len(result.unreadable)} files could not be read, see `metrics.json`."]
    return "\n".join(lines)


def _use(result: FinetuneResult) -> str:
    return "\n".join(
        [
            "## Use",
            "",
            f"    ctprune predict {result.out.name}/ IMAGES...",
            "",
            "A research result, not a medical device: it must not guide the care of any patient.",
        ]
    )
