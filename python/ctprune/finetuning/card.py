"""The model card in plain Markdown: model, training, results, data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctprune import _core
from ctprune.environment.words import counted
from ctprune.files.atomic import replace_file
from ctprune.finetuning.course_options import COSINE, PLAIN
from ctprune.finetuning.overlaps import overlap_sentences
from ctprune.finetuning.result import FinetuneResult
from ctprune.finetuning.subgroup_tables import subgroup_lines
from ctprune.finetuning.target_words import (
    balance_sentence,
    count_word,
    output_lines,
    output_word,
    target_modes,
    target_sentence,
    title,
)
from ctprune.finetuning.words import interval, metric_name, number, origin, sentence_case
from ctprune.options.shared import CLASSES, REGRESSION

_MODES = {
    "finetune": "a backbone and one linear layer, all weights trained",
    "linear": "a logistic regression on the features of a frozen backbone",
    "attention": "gated attention and one linear layer on the features of a frozen backbone",
    "knn": "a vote of the nearest training images by the features of a frozen backbone",
}


_POOLS = {
    "mean": "that for the mean of the features of its images",
    "top-k": "the mean of the {k} largest probabilities of its images",
    "attention": "made of its images' features by gated attention (Ilse et al. 2018)",
}

_FITS = {
    "pad": "shown whole, with margins if they are not square",
    "squeeze": "shown whole, squeezed into the square",
    "crop": "cropped to the square in their middle: both ends of the longer side are cut off",
}

_FROZEN = {
    "default": " (its BatchNorm layers keep their statistics then)",
    "reference": ", whose BatchNorm layers still train, a fifth of the rate after one epoch at the full rate: "
    "the preset `reference`, as in the published notebooks, with rows and columns exchanged",
}


def write_card(result: FinetuneResult) -> None:
    """Write `README.md` into the result's folder.

    Raises:
        OutputError: It cannot be written.
    """
    parts = [_model(result), _metrics(result), *_subgroups(result), _data(result), _use(result)]
    with replace_file(result.out / "README.md") as beside:
        beside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def positive_sentence(result: FinetuneResult) -> str:
    """A sentence about what the measures refer to."""
    of_target = target_sentence(result.config["target"])
    if of_target:
        return of_target
    if result.positive is None:
        return "Measures of single classes are means over the classes, each against the rest."
    return (
        f"The positive class is {result.positive}: precision, sensitivity, specificity, F1 and average precision "
        "refer to it."
    )


def evaluated_images(result: FinetuneResult) -> str:
    """The number of evaluated images (or other units) and patients, as text."""
    counts = result.splits[result.evaluated_split]
    patients = result.patients[result.evaluated_split]
    known, without = patients["patients"], patients["images_without"]
    total = sum(counts.values())
    unit = result.config["unit"]
    whose = f" from {counted(known, 'patient')}" if known and unit != "patient" else ""
    shown = result.label_counts.get(result.evaluated_split) or ({} if len(counts) < 2 else counts)
    what = count_word(result.config["target"])
    facts = [f"{what} {name}: {count:,}" for name, count in shown.items()]
    if without:
        facts.append(f"{without:,} of unknown patients" if known else "patients not known")
    said = f" ({'; '.join(facts)})" if facts else ""
    return f"{counted(total, unit)}{whose}{said}"


def _model(result: FinetuneResult) -> str:
    config = result.config
    modes = _MODES | target_modes(config["target"])
    lines = [
        title(result.config["target"], result.classes),
        "",
        f"{result.backbone} from {origin(result.weights)}: {modes[_head_of(config)]}. Seeds: "
        f"{len(result.per_seed)}; predictions are the mean of their "
        f"{'probabilities' if result.classes else 'numbers'}. Made by ctprune {_core.__version__} in "
        f"{result.seconds:,.0f} s on {'a GPU' if result.device == 'cuda' else 'a CPU'}.",
    ]
    if config["mode"] == "finetune":
        best = "best accuracy" if config["target"] == CLASSES else "smallest loss"
        lines += [
            "",
            f"Adam, learning rate {config['learning_rate']:g}{_schedule(config)}, weight decay "
            f"{config['weight_decay']:g}, batch {config['batch_size']}, {config['epochs']} epochs, the first "
            f"{config['frozen_epochs']} with a frozen backbone{_FROZEN[config['preset']]}; "
            f"{config['side']} × {config['side']} pixels{_changes(config)}. The epoch with the {best} on "
            f"`{result.selection_split}` was taken.",
        ]
    elif result.weights is not None and config["fraction"] == 1 and config["pool"] != "attention":
        lines += ["", "The method is deterministic, so all seeds give the same result."]
    lines += ["", f"Images are {_FITS[config['fit']]}.{_pooled(config)}"]
    if config["class_weights"]:
        lines += ["", balance_sentence(config["target"])]
    return "\n".join(lines)


def _schedule(config: Mapping[str, Any]) -> str:
    """The schedule of the learning rate as text; empty if the rate is constant."""
    warmup = config["warmup_epochs"]
    parts = [f"{warmup} {'epoch' if warmup == 1 else 'epochs'} of warm-up"] if warmup else []
    if config["schedule"] == COSINE:
        parts.append("falling to 0 as a cosine")
    return f" ({', then '.join(parts)})" if parts else ""


def _changes(config: Mapping[str, Any]) -> str:
    """The random changes to training images, as text."""
    flips = ", horizontal flips" if config["flip"] else ""
    return flips if config["augment"] == PLAIN else f"{flips}, augmentation `{config['augment']}`"


def _head_of(config: Mapping[str, Any]) -> str:
    return "attention" if config["pool"] == "attention" else str(config["mode"])


def _pooled(config: Mapping[str, Any]) -> str:
    """The unit of a prediction, and how it is made from images, as text."""
    unit, pool = config["unit"], config["pool"]
    if pool is None:
        return ""
    way = _POOLS[pool].format(unit=unit, k=config["top_k"])
    if pool == "mean" and config["mode"] == "finetune":
        predicted = "numbers" if config["target"] == REGRESSION else "probabilities"
        way = f"the mean of the {predicted} of its images"
    return f" A label and a prediction belong to a {unit}, and each {unit} counts once: the prediction is {way}."


def _metrics(result: FinetuneResult) -> str:
    sure = (
        f"no 95 % interval ({result.no_interval})"
        if result.no_interval
        else f"the 95 % interval (by {result.interval_unit})"
    )
    adjusted = output_lines(result) + _at_threshold(result) + _calibrated(result)
    return "\n".join(
        [
            "## Results",
            "",
            f"{sentence_case(result.evaluation)}. {sentence_case(result.evaluated_split)}: "
            f"{evaluated_images(result)}. Mean and standard deviation over the seeds, and {sure}. "
            f"{positive_sentence(result)}",
            "",
            *_rows(result.pooled),
            *adjusted,
        ]
    )


def _at_threshold(result: FinetuneResult) -> list[str]:
    if result.at_threshold is None:
        return []
    thresholds = ", ".join(number(one["threshold"]) for one in result.per_seed)
    return [
        "",
        f"At a threshold on the probability of {result.positive} instead of the largest probability, chosen for "
        f"each seed on `{result.selection_split}` where sensitivity + specificity is largest ({thresholds}):",
        "",
        *_rows(result.at_threshold),
    ]


def _calibrated(result: FinetuneResult) -> list[str]:
    if result.calibrated is None:
        return []
    temperatures = ", ".join(number(one["temperature"]) for one in result.per_seed)
    return [
        "",
        f"After temperature scaling, fitted for each seed on `{result.selection_split}` ({temperatures}; above 1 "
        "the model was overconfident):",
        "",
        *_rows(result.calibrated),
    ]


def _subgroups(result: FinetuneResult) -> list[str]:
    if not result.subgroups:
        return []
    unit = result.config["unit"]
    lines = [
        "## Subgroups",
        "",
        f"Mean over the seeds and 95 % interval, as above, for the {unit}s of each subgroup.",
    ]
    output = output_word(result.config["target"])
    tables = [subgroup_lines(column, unit, result.pooled, output) for column in result.subgroups]
    return ["\n".join(lines + [line for table in tables for line in ("", *table)])]


def _rows(pooled: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    return [
        "| metric | mean | std | 95 % interval |",
        "|---|---|---|---|",
        *(
            f"| {metric_name(name)} | {number(one['mean'])} | {number(one['std'])} | {interval(one)} |"
            for name, one in pooled.items()
        ),
    ]


def _data(result: FinetuneResult) -> str:
    by_split = {split: counts | result.label_counts.get(split, {}) for split, counts in result.splits.items()}
    names = list(by_split[result.evaluated_split])
    rows = [
        f"| {split} | {' | '.join(str(counts[name]) for name in names)} |" for split, counts in by_split.items()
    ]
    lines = [
        "## Data",
        "",
        f"| split | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
        *rows,
        "",
        f"Digest of the data: `{result.data_digest}`.",
    ]
    if result.config["fraction"] < 1:
        lines += [f"Each seed was trained on {result.config['fraction']:g} of the labels in train."]
    lines += [line for note in result.notes for line in ("", f"{sentence_case(note)}.")]
    shared = overlap_sentences(result.overlaps)
    if shared:
        dropped = (
            "; what train shares with the evaluated split was left out" if result.config["drop_overlap"] else ""
        )
        lines += ["", f"Splits overlap: {'; '.join(shared)}{dropped}."]
    if result.unreadable:
        lines += ["", f"Could not be read: {counted(len(result.unreadable), 'file')}, see `metrics.json`."]
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
