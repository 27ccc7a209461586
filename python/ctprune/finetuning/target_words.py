"""Targets in the sentences and tables of the model card."""

from __future__ import annotations

from collections.abc import Sequence

from ctprune.finetuning.result import FinetuneResult
from ctprune.finetuning.words import cell, interval, metric_name, number
from ctprune.options.shared import MULTI_LABEL, ORDINAL, REGRESSION

_SENTENCES = {
    MULTI_LABEL: "Measures are means over the labels; a label is predicted where its probability is above 0.5.",
    ORDINAL: "The predicted level is the median one. Kappa has quadratic weights, errors are in levels, and the "
    "AUC is the mean over the thresholds between levels.",
    REGRESSION: "Errors are in the unit of the labels; R² is the explained share of the variance of the labels; "
    "Spearman's correlation compares ranks.",
}

_MODES = {
    MULTI_LABEL: {
        "linear": "a logistic regression for each label on the features of a frozen backbone",
        "knn": "the share of the nearest training images with each label, by the features of a frozen backbone",
    },
    ORDINAL: {
        "finetune": "a backbone and one number with a bias for each threshold between levels (CORAL), all weights "
        "trained",
        "attention": "gated attention and one number with a bias for each threshold between levels (CORAL) on the "
        "features of a frozen backbone",
        "linear": "an ordinal logistic regression with proportional odds on the features of a frozen backbone",
    },
    REGRESSION: {
        "linear": "a ridge regression on the features of a frozen backbone",
        "knn": "the mean of the nearest training images by the features of a frozen backbone",
    },
}


def title(target: str, names: Sequence[str]) -> str:
    """The first line of a card.

    >>> title("ordinal", ["mild", "severe"]), title("classes", ["healthy", "ill"])
    ('# Ordinal classifier of mild < severe', '# Classifier of healthy, ill')
    """
    if target == REGRESSION:
        return "# Regression"
    if target == ORDINAL:
        return f"# Ordinal classifier of {' < '.join(names)}"
    return f"# {'Multi-label classifier' if target == MULTI_LABEL else 'Classifier'} of {', '.join(names)}"


def target_sentence(target: str) -> str:
    """A sentence about what the measures refer to; empty for classes."""
    return _SENTENCES.get(target, "")


def target_modes(target: str) -> dict[str, str]:
    """The trained model by mode, if it differs from that for classes."""
    return _MODES.get(target, {})


def balance_sentence(target: str) -> str:
    """A sentence about what `class_weights` did."""
    what = "images with and without each label" if target == MULTI_LABEL else f"all {count_words(target)}"
    return f"In training, {what} weighed the same in total, so probabilities do not follow their frequencies."


def count_word(target: str) -> str:
    """The noun for the names that images are counted by."""
    return {MULTI_LABEL: "label", ORDINAL: "level"}.get(target, "class")


def count_words(target: str) -> str:
    """The same for several.

    >>> count_words("classes"), count_words("ordinal")
    ('classes', 'levels')
    """
    word = count_word(target)
    return f"{word}es" if word.endswith("s") else f"{word}s"


def output_word(target: str) -> str:
    """The noun for what is measured by itself, besides all of it together."""
    return "label" if target == MULTI_LABEL else "threshold"


def output_sentence(result: FinetuneResult) -> str:
    """The AUC of each label or threshold with its interval, in one line."""
    areas = {name: one["pooled"]["auc"] for name, one in result.by_output.items()}
    return "; ".join(f"{name} {number(one['mean'])} ({interval(one)})" for name, one in areas.items())


def output_lines(result: FinetuneResult) -> list[str]:
    """A table in Markdown of the measures of each label or threshold; empty for other targets."""
    if not result.by_output:
        return []
    shown = list(next(iter(result.by_output.values()))["pooled"])
    what = output_word(result.config["target"])
    lines = ["", f"| {what} | {' | '.join(map(metric_name, shown))} |", "|---" * (len(shown) + 1) + "|"]
    reasons = []
    for name, one in result.by_output.items():
        cells = [f"{number(one['pooled'][m]['mean'])} ({interval(one['pooled'][m])})" for m in shown]
        lines.append(f"| {' | '.join([cell(name), *cells])} |")
        reasons += ["", f"{name}: {one['no_interval']}."] if one["no_interval"] else []
    return lines + reasons
